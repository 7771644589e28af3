#!/usr/bin/env bash
# Installs, or upgrades, StackState's AWS topology agent in one account and region. Needs bash and the AWS CLI.
[ -n "${BASH_VERSION:-}" ] || { echo "$0 is a script for bash. Run it as: bash $0" >&2 && exit 2; }
set -euo pipefail

# The folder that this lies in, whatever link it was called by.
here=$(CDPATH="" cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
# shellcheck source=installer/aws.sh
. "$here/installer/aws.sh"
# shellcheck source=installer/preflight.sh
. "$here/installer/preflight.sh"
# shellcheck source=installer/deploy.sh
. "$here/installer/deploy.sh"
# shellcheck source=installer/rehearsal.sh
. "$here/installer/rehearsal.sh"

mode=""
architecture=""
bucket=""
kms_key=""
ca_bundle=""
key_file=""
trail_asked=""
global_events=""
dry_run=""
skip_receiver_check=""
skip_rights_check=""
parameters=()

usage() {
  cat <<'END'
Usage: install.sh [options] BASE_URL API_KEY CONFIGURATION_ID
       install.sh [options] --api-key-file FILE BASE_URL CONFIGURATION_ID

Installs StackState's AWS topology agent, or upgrades it: options that are not
given then stay as they were, and an empty value (--proxy=) takes one back. An
interrupted run can be repeated.

  BASE_URL          the receiver, such as https://stackstate.example.com/receiver
  API_KEY           its API key; - reads it from standard input, so that it
                    stays out of the shell's history and of ps
  CONFIGURATION_ID  id of the AWS StackPack instance in StackState

  --api-key-file FILE       read the API key from a file
  --dry-run                 show what would be created or changed, and what it
                            costs; change nothing
  --skip-receiver-check     do not send the receiver a first, empty message
  --skip-rights-check       do not ask AWS which rights are missing

What is installed
  --topo-cron-only          the hourly snapshot alone, without change events
  --full                    with change events (default); adds them to an
                            installation that was made without
  --regions LIST            regions to read, with commas (default: the region
                            of the installation); change events of further ones
                            are forwarded by a small stack in each
  --no-global-events        no such stack for the change events of Route 53,
                            which AWS has in us-east-1 (cn-northwest-1,
                            us-gov-west-1); --global-events brings it back
  --read-roles LIST         ARNs of roles to read further accounts with, one for
                            each, with commas; cross-account.yaml makes them
  --read-external-id ID     external id that these roles ask for
  --forwarding-accounts LIST  ids of the accounts that may forward their change
                            events to this one, with commas
  --trail existing          use the CloudTrail trail that there is, without
                            looking for it
  --trail create            make one, in any case
  --trail none              do not care; without a trail there are few change
                            events (default: find one, or else create one)
  --schedule EXPRESSION     when snapshots are taken (default: rate(1 hour))
  --api-share PERCENT       of AWS's documented request rates that may be used
                            (default: 80)
  --replay-max-age HOURS    how long an earlier reading may stand in for what
                            cannot be read (default: 24)
  --brake PERCENT           a snapshot that would remove more than this waits
                            for the next one to agree (default: 50)
  --spread                  let Step Functions spread a snapshot over many
                            invocations, for accounts too large for one; takes
                            policies/StackStateIntegrationPolicySpread.json,
                            too; --no-spread ends it
  --spread-concurrency N    how many of them at a time (default: 8)
  --name-suffix -NAME       added to all names, for a second installation here
  --architecture NAME       arm64 (default) or x86_64
  --instance-type TYPE      of the topology instance (default: aws)
  --instance-url URL        of the topology instance (default: the account id)

What it uses of yours
  --topo-cron-bucket NAME   an existing bucket, in place of new ones
  --topo-cron-role ARN      an existing role for topo-cron, with the policy
                            policies/sts-topo-cron-policy.json, and those
                            rights of sts-topo-cron-run-policy.json that the
                            installation needs
  --permissions-boundary ARN  managed policy that bounds every role
  --role-path PATH          IAM path of the roles (default: /)
  --kms-key ARN             key for the stream, the bucket and the secret
  --subnets LIST --security-groups LIST
                            run in a VPC from which the receiver is reachable
  --alarm-topic ARN         SNS topic that hears of alarms
  --no-dashboard            no CloudWatch dashboard; --dashboard makes it again

The way to StackState
  --ca-bundle FILE          certificates (PEM) to check the receiver with, in
                            place of the public ones; of a layer: its path,
                            which begins with /opt/
  --proxy URL               for the calls to the receiver and to AWS
  --no-proxy HOSTS          what is reached without it, with commas
  --encoding NAME           of bodies: deflate (default), gzip or none
  --skip-tls-verify         do not check the receiver's certificate at all;
                            --verify-tls does so again

How it runs
  --log-level LEVEL         DEBUG, INFO (default), WARNING or ERROR
  --log-retention DAYS      how long logs are kept (default: 14)
  --no-masking              send values that may be secrets as they are;
                            --masking masks them again

END
  common_usage
}

# Keeps an option that has no value.
take_flag() {
  case $1 in
    --topo-cron-only) mode=minimal ;;
    --full) mode=full ;;
    --no-global-events) global_events=no ;;
    --global-events) global_events=yes ;;
    --dry-run) dry_run=yes ;;
    --skip-receiver-check) skip_receiver_check=yes ;;
    --skip-rights-check) skip_rights_check=yes ;;
    --no-masking) parameters+=("MaskValues=false") ;;
    --masking) parameters+=("MaskValues=true") ;;
    --spread) parameters+=("SpreadSnapshots=true") ;;
    --no-spread) parameters+=("SpreadSnapshots=false") ;;
    --no-dashboard) parameters+=("Dashboard=false") ;;
    --dashboard) parameters+=("Dashboard=true") ;;
    --skip-tls-verify) parameters+=("SkipTlsVerify=true") ;;
    --verify-tls) parameters+=("SkipTlsVerify=false") ;;
    *) return 1 ;;
  esac
}

# Keeps an option that has a value.
take_option() {
  case $1 in
    --api-key-file) key_file=$2 ;;
    --trail) trail_asked=$2 ;;
    --architecture) architecture=$2 ;;
    --topo-cron-bucket) bucket=$2 && parameters+=("StateBucketName=$2") ;;
    --kms-key) kms_key=$2 && parameters+=("KmsKeyArn=$2") ;;
    --ca-bundle) take_certificates "$2" ;;
    --regions) parameters+=("Regions=$2") ;;
    --read-roles) parameters+=("AccountRoleArns=$2") ;;
    --read-external-id) parameters+=("ExternalId=$2") ;;
    --forwarding-accounts) parameters+=("Accounts=$2") ;;
    --api-share) parameters+=("ApiSharePercent=$2") ;;
    --schedule) parameters+=("ScheduleExpression=$2") ;;
    --replay-max-age) parameters+=("ReplayMaxAgeHours=$2") ;;
    --brake) parameters+=("BrakePercent=$2") ;;
    --spread-concurrency) parameters+=("SpreadConcurrency=$2") ;;
    --instance-type) parameters+=("StackStateInstanceType=$2") ;;
    --instance-url) parameters+=("StackStateInstanceUrl=$2") ;;
    --topo-cron-role) parameters+=("TopoCronRoleArn=$2") ;;
    --permissions-boundary) parameters+=("PermissionsBoundaryArn=$2") ;;
    --role-path) parameters+=("RolePath=$2") ;;
    --subnets) parameters+=("VpcSubnetIds=$2") ;;
    --security-groups) parameters+=("VpcSecurityGroupIds=$2") ;;
    --proxy) parameters+=("ProxyUrl=$2") ;;
    --no-proxy) parameters+=("NoProxy=$2") ;;
    --encoding) parameters+=("StackStateEncoding=$2") ;;
    --alarm-topic) parameters+=("AlarmTopicArn=$2") ;;
    --log-level) parameters+=("LogLevel=$2") ;;
    --log-retention) parameters+=("LogRetentionInDays=$2") ;;
    *) return 1 ;;
  esac
}

# Keeps the certificates of a file, or the path of a file that a layer will bring.
take_certificates() {
  local text=$1
  if [[ $1 != /opt/* ]]; then
    [ -r "$1" ] || misused "--ca-bundle: $1 cannot be read"
    # What surrounds the certificates is for people, and line ends do not survive every way to a parameter.
    text=$(sed -n '/^-----BEGIN CERTIFICATE-----/,/^-----END CERTIFICATE-----/p' "$1" | tr -d '\r' | tr '\n' ' ')
    [ -n "$text" ] || misused "--ca-bundle: $1 has no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
    [ ${#text} -le 3000 ] ||
      misused "--ca-bundle: $1 is too large for the settings of a function, which take 3,000 characters of it. Give only
the certificate of the authority that signed the receiver's; or bring the file in a Lambda layer, and give its path"
    ca_bundle=$1
  fi
  parameters+=("StackStateCaBundle=${text% }")
}

# Checks what can be checked without AWS. Sets base_url, api_key, id, stack.
check_arguments() {
  local given=${#arguments[@]}
  if [ -n "$key_file" ]; then
    [ -r "$key_file" ] && [ ! -d "$key_file" ] || misused "--api-key-file: $key_file cannot be read"
    [ "$given" -eq 2 ] ||
      misused "with --api-key-file, two arguments are needed, BASE_URL CONFIGURATION_ID, but $given were given"
    arguments=("${arguments[0]}" "$(head -n 1 "$key_file")" "${arguments[1]}")
  else
    [ "$given" -eq 3 ] || misused "three arguments are needed, BASE_URL API_KEY CONFIGURATION_ID, but $given were given"
  fi
  base_url=${arguments[0]} api_key=${arguments[1]} id=${arguments[2]}
  [[ $base_url =~ ^https?://[^[:space:]/?#\"]+(/[^[:space:]?#\"]*)?$ ]] ||
    misused "BASE_URL is '$base_url'. It must be the address of the receiver, with its http:// or https:// in front,
such as https://stackstate.example.com/receiver"
  if [ "$api_key" = - ]; then read_key; fi
  # Files from Windows end their lines so.
  api_key=${api_key%$'\r'}
  [ -n "$api_key" ] ||
    misused "the API key is empty${key_file:+: the first line of $key_file must be the key, and nothing else}"
  [[ ! $api_key =~ [[:space:]] ]] || misused "the API key has spaces in it${key_file:+ (first line of $key_file)}.
It is one word, as StackState's AWS StackPack shows it"
  check_id "$id"
  case $architecture in
    "" | arm64 | x86_64) ;;
    *) misused "--architecture is '$architecture'. It must be arm64 or x86_64" ;;
  esac
  case $trail_asked in
    "" | existing | create | none) ;;
    *) misused "--trail is '$trail_asked'. It must be existing, create or none" ;;
  esac
  stack=$(stack_name "$id")
}

# Reads the API key from standard input; from a person without showing it.
read_key() {
  if [ -t 0 ]; then
    IFS= read -r -s -p "API key: " api_key || true
    warn ""
  else
    IFS= read -r api_key || [ -n "$api_key" ] || misused "API_KEY is -, but standard input is empty"
  fi
}

# Prints the path of the built functions. A release archive has them beside this script, a checkout in build/.
find_artifact() {
  local name=functions-$1.zip folder
  for folder in "$here" "$here/build"; do
    if [ -f "$folder/$name" ]; then
      printf '%s\n' "$folder/$name"
      return
    fi
  done
  fail "$name is missing. In a checkout, run: make build. Otherwise unpack the release archive again."
}

# Prints the value that a parameter of the template is going to have, as far as it is known here: as given, or as it was.
chosen() {
  local entry found=""
  for entry in ${parameters[@]+"${parameters[@]}"}; do
    case $entry in "$1="*) found="given ${entry#*=}" ;; esac
  done
  if [ -n "$found" ]; then printf '%s' "${found#given }"; else parameter "$1"; fi
}

# Makes known what is installed, and completes what was not given with it.
look_back() {
  local had
  clear_stack "$stack"
  : >"$work/parameters" && : >"$work/outputs"
  if [ -n "$status" ]; then
    read_stack "$stack" || fail "AWS does not tell what stack $stack was made with; what it said is above"
  fi
  had=$(parameter NameSuffix)
  if [ -n "$had" ] && [ -n "$suffix" ] && [ "$had" != "$suffix" ]; then
    fail "stack $stack has the name suffix '$had', and a suffix cannot be changed: the stream would be made anew, and
what waits in it lost. Leave --name-suffix out, or remove the installation first: ./uninstall.sh --region $region $id"
  fi
  if [ -n "$suffix" ]; then parameters+=("NameSuffix=$suffix"); else suffix=$had; fi
  mode=${mode:-$(parameter TopologyMode)}
  mode=${mode:-full}
  architecture=${architecture:-$(parameter Architecture)}
  architecture=${architecture:-arm64}
  bucket=${bucket:-$(parameter StateBucketName)}
  kms_key=${kms_key:-$(parameter KmsKeyArn)}
  if [ -z "$global_events" ] && [ -n "$status" ]; then
    global_events=$(ask cloudformation describe-stacks --stack-name "$stack" \
      --query "Stacks[0].Tags[?Key=='stackstate-aws-agent-global-events']|[0].Value")
  fi
  global_events=${global_events:-yes}
}

# Prints the documents in policies/ that whoever installs this needs: one that has nearly all, and one besides.
policy_documents() {
  local name=Install
  if [ "$mode" = minimal ]; then name=TopoCronInstall; fi
  if [ "$mode" = minimal ] && [ -n "$bucket" ] && [ -n "$(chosen TopoCronRoleArn)" ]; then name=TopoCronMinimal; fi
  printf 'StackStateIntegrationPolicy%s\n' "$name"
  if [ "$(chosen SpreadSnapshots)" = true ]; then printf 'StackStateIntegrationPolicySpread\n'; fi
}

# Looks at everything that would go wrong later. Sets reserve, trail, trail_everywhere, old_regions and new_regions.
preflight() {
  local kind url private=""
  kind=$(chosen StackStateInstanceType)
  url=$(chosen StackStateInstanceUrl)
  if [ -z "$skip_rights_check" ]; then check_rights "$here/policies/$(policy_documents | head -n 1).json"; fi
  if [ -z "$status" ]; then check_names; fi
  check_same_instance "$stack" "${kind:-aws}" "${url:-$account}"
  check_concurrency
  old_regions="" trail=none trail_everywhere=false
  if [ -n "$status" ]; then
    old_regions=$(global_events=yes forwarding_regions "$(parameter Regions)" "$(parameter TopologyMode)")
  fi
  new_regions=$(forwarding_regions "$(chosen Regions)" "$mode")
  # shellcheck disable=SC2086  # regions are words
  if [ "$mode" = full ]; then check_trail "$trail_asked" "$(parameter TrailMode)" "$region" $new_regions; fi
  if [ -n "$skip_receiver_check" ]; then return; fi
  if [ -n "$(chosen VpcSubnetIds)$(chosen ProxyUrl)" ]; then private=yes; fi
  check_receiver "$base_url" "$api_key" "$private" \
    ${ca_bundle:+"cacert = \"$ca_bundle\""} "$([ "$(chosen SkipTlsVerify)" != true ] || echo insecure)"
}

# Puts the API key into the installation's secret, and sets secret_arn. The key travels in a file: arguments show in ps.
store_key() {
  local name owner deleted
  name=$(secret_name "$id")
  printf '%s' "$api_key" >"$work/key"
  if secret_arn=$(try secretsmanager describe-secret --secret-id "$name" --query ARN); then
    owner=$(ask secretsmanager describe-secret --secret-id "$name" \
      --query "Tags[?Key=='stackstate-lightweight-agent']|[0].Value")
    [ "$owner" = "$id" ] ||
      fail "secret $name exists already, and was not made by this script. Rename it, or use another configuration id."
    deleted=$(ask secretsmanager describe-secret --secret-id "$name" --query DeletedDate)
    if [ -n "$deleted" ]; then try secretsmanager restore-secret --secret-id "$name" >/dev/null || secret_fails "$name"; fi
    try secretsmanager put-secret-value --secret-id "$name" --secret-string "file://$work/key" >/dev/null ||
      secret_fails "$name"
  elif absent; then
    secret_arn=$(try secretsmanager create-secret --name "$name" --secret-string "file://$work/key" \
      --description "API key of the StackState receiver, for stack $stack" ${kms_key:+--kms-key-id "$kms_key"} \
      --tags Key=Origin,Value=Stackstate "Key=stackstate-lightweight-agent,Value=$id" --query ARN) ||
      secret_fails "$name"
  else
    secret_fails "$name"
  fi
  rm -f "$work/key"
}

secret_fails() {
  fail "the API key could not be put into secret $1. Run this again to go on.
$(what_aws_said)"
}

# Makes the change set of the main stack. Argument: where in the bucket the template goes.
plan() {
  parameters+=("StackStateBaseUrl=$base_url" "StackStateApiKeySecretArn=$secret_arn" "StackStateConfigurationId=$id")
  parameters+=("TopologyMode=$mode" "Architecture=$architecture" "ReserveConcurrency=$reserve")
  parameters+=("TrailMode=$trail" "TrailInAllRegions=$trail_everywhere")
  make_change_set "$stack" "$work/template.yaml" --s3-bucket "$bucket" --s3-prefix "$1" \
    --parameter-overrides "${parameters[@]}"
}

# Prints the regions that have had a forwarding stack, and shall have none.
gone_regions() {
  local where
  for where in $old_regions; do
    if ! printf '%s\n' "$new_regions" | grep -Fx "$where" >/dev/null; then printf '%s\n' "$where"; fi
  done
}

# Starts a snapshot at once: the schedule would first fire after a whole period.
start_snapshot() {
  if take_snapshot; then
    say "A first snapshot is being taken; it shows in StackState within minutes. Its log:"
  else
    warn "The first snapshot could not be started; the schedule will take it. $(what_aws_said)"
    say "The log of the snapshots:"
  fi
  say "  $(log_of "$1")"
}

# Says what is there now, and where to look.
report() {
  local title key
  read_stack "$stack" || fail "stack $stack is deployed, but AWS does not tell what is in it; what it said is above"
  say ""
  say "StackState's AWS topology agent $release is installed for configuration id $id."
  say "  account  $account"
  say "  region   $region"
  say "  stack    $stack ($mode)"
  while read -r title key; do
    if [ -n "$(output "$key")" ]; then printf '  %-8s %s\n' "$title" "$(output "$key")"; fi
  done <<'END'
snapshot TopoCronFunctionName
changes TopoCwEventsFunctionName
sender TopoPublisherFunctionName
stream StreamName
bucket StateBucketName
END
  say ""
  start_snapshot "$(output TopoCronFunctionName)"
  say ""
  say "To remove it all: ./uninstall.sh --region $region $id"
}

interrupted() {
  warn ""
  if [ -n "$dry_run" ]; then
    warn "Interrupted. What was made only to look may be left: a change set, and a bucket for it. That does no harm."
  else
    warn "Interrupted. CloudFormation may still be at work. Run the same command again: it waits for that, and goes on."
  fi
}

main() {
  read_options "$@"
  check_arguments
  release=$(version)
  make_work_folder
  connect
  say "Account $account, region $region, as $identity."
  look_back
  artifact=$(find_artifact "$architecture")
  preflight
  if [ -z "$dry_run" ]; then
    confirm "Install StackState's AWS topology agent $release here (stack $stack, $mode)?" || fail "nothing was changed"
  fi
  prepare_bucket
  name_artifact "$artifact"
  if [ -n "$dry_run" ]; then
    rehearse
    return
  fi
  store_key
  upload "$artifact"
  # First, so that a run that was interrupted still knows from the stack which ones there were.
  forward "$(gone_regions)" ""
  if [ -n "$status" ]; then start_what_was_stopped; fi
  plan stackstate-topo
  say "Deploying stack $stack. This takes a few minutes."
  execute_change_set "$stack"
  forward "" "$new_regions"
  report
}

main "$@"
