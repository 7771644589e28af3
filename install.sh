#!/usr/bin/env bash
# Installs, or upgrades, StackState's AWS topology agent in one account and region. Needs bash and the AWS CLI.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=aws.sh
. "$here/aws.sh"

mode=full
architecture=""
bucket=""
suffix=""
kms_key=""
parameters=()
arguments=()

usage() {
  cat <<'END'
Usage: install.sh [options] BASE_URL API_KEY CONFIGURATION_ID

Installs StackState's AWS topology agent, or upgrades it: options that are not
given then stay as they were.

  BASE_URL          the receiver, such as https://stackstate.example.com/receiver
  API_KEY           its API key; - reads it from standard input, so that it
                    stays out of the shell's history
  CONFIGURATION_ID  id of the AWS StackPack instance in StackState

What is installed
  --topo-cron-only          the hourly snapshot alone, without change events
  --regions LIST            regions to read, with commas (default: the region
                            of the installation)
  --schedule EXPRESSION     when snapshots are taken (default: rate(1 hour))
  --api-share PERCENT       of AWS's documented request rates that may be used
                            (default: 50)
  --name-suffix -NAME       added to all names, for a second installation here
  --architecture NAME       arm64 (default) or x86_64
  --instance-type TYPE      of the topology instance (default: aws)
  --instance-url URL        of the topology instance (default: the account id)

What it uses of yours
  --topo-cron-bucket NAME   an existing bucket, in place of new ones
  --topo-cron-role ARN      an existing role for topo-cron, with the policy
                            policies/sts-topo-cron-policy.json
  --permissions-boundary ARN  managed policy that bounds every role
  --role-path PATH          IAM path of the roles (default: /)
  --kms-key ARN             key for the stream, the bucket and the secret
  --subnets LIST --security-groups LIST
                            run in a VPC from which the receiver is reachable
  --alarm-topic ARN         SNS topic that hears of alarms

The way to StackState
  --ca-bundle FILE          certificates (PEM) to check the receiver with, in
                            place of the public ones; of a layer: its path,
                            which begins with /opt/
  --proxy URL               for the calls to the receiver and to AWS
  --no-proxy HOSTS          what is reached without it, with commas
  --encoding NAME           of bodies: deflate (default), gzip or none
  --skip-tls-verify         do not check the receiver's certificate at all

How it runs
  --log-level LEVEL         DEBUG, INFO (default), WARNING or ERROR
  --log-retention DAYS      how long logs are kept (default: 14)
  --no-masking              send values that may be secrets as they are

Where
  --region REGION           default: AWS_REGION, or that of the profile
  --profile NAME            default: AWS_PROFILE

  --help, --version
END
}

version() {
  sed -n 's/^ *Version: *\([0-9][0-9.]*\)$/\1/p' "$here/template.yaml"
}

# Ends with the message and a pointer to --help, with the exit status of wrong usage.
misused() {
  warn "install.sh: $*"
  warn "Run install.sh --help to see what it takes."
  exit 2
}

# Reads the command line into the variables above.
read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) usage && exit ;;
      --version) version && exit ;;
      --topo-cron-only) mode=minimal ;;
      --no-masking) parameters+=("MaskValues=false") ;;
      --skip-tls-verify) parameters+=("SkipTlsVerify=true") ;;
      --?*=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"
        continue
        ;;
      --?*)
        [ $# -gt 1 ] || misused "$1 needs a value, or is unknown"
        take_option "$1" "$2"
        shift
        ;;
      *) arguments+=("$1") ;;
    esac
    shift
  done
  [ ${#arguments[@]} -eq 3 ] ||
    misused "three arguments are needed, BASE_URL API_KEY CONFIGURATION_ID, but ${#arguments[@]} were given"
}

# Keeps one option that has a value.
take_option() {
  case $1 in
    --region) region=$2 ;;
    --profile) profile=$2 ;;
    --regions) parameters+=("Regions=$2") ;;
    --api-share) parameters+=("ApiSharePercent=$2") ;;
    --schedule) parameters+=("ScheduleExpression=$2") ;;
    --name-suffix) suffix=$2 && parameters+=("NameSuffix=$2") ;;
    --architecture) architecture=$2 ;;
    --instance-type) parameters+=("StackStateInstanceType=$2") ;;
    --instance-url) parameters+=("StackStateInstanceUrl=$2") ;;
    --topo-cron-bucket) bucket=$2 && parameters+=("StateBucketName=$2") ;;
    --topo-cron-role) parameters+=("TopoCronRoleArn=$2") ;;
    --permissions-boundary) parameters+=("PermissionsBoundaryArn=$2") ;;
    --role-path) parameters+=("RolePath=$2") ;;
    --kms-key) kms_key=$2 && parameters+=("KmsKeyArn=$2") ;;
    --subnets) parameters+=("VpcSubnetIds=$2") ;;
    --security-groups) parameters+=("VpcSecurityGroupIds=$2") ;;
    --ca-bundle) take_certificates "$2" ;;
    --proxy) parameters+=("ProxyUrl=$2") ;;
    --no-proxy) parameters+=("NoProxy=$2") ;;
    --encoding) parameters+=("StackStateEncoding=$2") ;;
    --alarm-topic) parameters+=("AlarmTopicArn=$2") ;;
    --log-level) parameters+=("LogLevel=$2") ;;
    --log-retention) parameters+=("LogRetentionInDays=$2") ;;
    *) misused "unknown option $1" ;;
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
  fi
  parameters+=("StackStateCaBundle=${text% }")
}

# Checks what can be checked without AWS. Sets base_url, api_key, id, stack.
check_arguments() {
  base_url=${arguments[0]} api_key=${arguments[1]} id=${arguments[2]}
  [[ $base_url =~ ^https?://[^[:space:]/?#]+(/[^[:space:]?#]*)?$ ]] ||
    misused "BASE_URL is '$base_url'. It must be the address of the receiver, with its http:// or https:// in front,
such as https://stackstate.example.com/receiver"
  if [ "$api_key" = - ]; then
    IFS= read -r api_key || [ -n "$api_key" ] || misused "API_KEY is -, but standard input is empty"
  fi
  [[ -n $api_key && ! $api_key =~ [[:space:]] ]] || misused "API_KEY is empty, or has spaces in it"
  [[ $id =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,63}$ ]] ||
    misused "CONFIGURATION_ID is '$id'. It must be 1 to 64 letters, digits or hyphens, as StackState shows it"
  [[ -z $suffix || $suffix =~ ^-[a-z0-9][a-z0-9-]{0,15}$ ]] ||
    misused "--name-suffix is '$suffix'. It must begin with a hyphen, as in --name-suffix -test"
  case $architecture in
    "" | arm64 | x86_64) ;;
    *) misused "--architecture is '$architecture'. It must be arm64 or x86_64" ;;
  esac
  stack=$(stack_name "$id")
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

# Makes the stack's state known, and one that can be built upon. Sets status.
prepare_stack() {
  status=$(stack_status "$stack") || fail "AWS does not tell whether stack $stack exists; what it said is above"
  case $status in
    ROLLBACK_COMPLETE | ROLLBACK_FAILED)
      say "An earlier installation did not come to an end ($status). Removing what is left of it first."
      delete_stack "$stack" ||
        fail "stack $stack could not be removed. Run: uninstall.sh $id"
      status=""
      ;;
    REVIEW_IN_PROGRESS) ;;
    *_IN_PROGRESS) fail "CloudFormation is at work on stack $stack ($status). Wait for its end, then run this again." ;;
    DELETE_FAILED) fail "stack $stack was being removed, and that failed. Run uninstall.sh $id first." ;;
    UPDATE_ROLLBACK_FAILED)
      fail "an earlier upgrade could not be taken back. Look at its events in the CloudFormation console, then run:
  aws cloudformation continue-update-rollback --region $region --stack-name $stack"
      ;;
  esac
}

# Prints what an existing installation has for a parameter of the template.
previous() {
  if [ -n "$status" ]; then
    ask cloudformation describe-stacks --stack-name "$stack" \
      --query "Stacks[0].Parameters[?ParameterKey=='$1']|[0].ParameterValue"
  fi
}

# Refuses to take the names of another installation in this region.
check_names() {
  local function=stackstate-topo-cron$suffix arn owner
  arn=$(ask lambda get-function-configuration --function-name "$function" --query FunctionArn 2>"$work/error") || {
    means_absent "$(cat "$work/error")" || fail "AWS does not tell whether function $function exists:
$(cat "$work/error")"
    return 0
  }
  owner=$(ask lambda list-tags --resource "$arn" --query 'Tags."stackstate-lightweight-agent"')
  fail "function $function exists already, for ${owner:+configuration id }${owner:-something else}. Nothing was changed.
Either remove that installation${owner:+ (uninstall.sh $owner)}, or give this one names of its own: --name-suffix -NAME"
}

# Creates the bucket that CloudFormation takes artifact and template from, or completes it after an interruption.
prepare_bucket() {
  local owned
  if [ -n "$bucket" ]; then
    aws_ s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null ||
      fail "bucket $bucket (--topo-cron-bucket) does not exist in account $account, or may not be used"
    return
  fi
  bucket=$(deployment_bucket)
  if ! aws_ s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null 2>"$work/error"; then
    means_absent "$(cat "$work/error")" ||
      fail "bucket $bucket belongs to somebody else, or may not be used. Name one of yours with --topo-cron-bucket"
    say "Creating bucket $bucket for what is to be deployed."
    # The one region that must not be named.
    if [ "$region" = us-east-1 ]; then
      aws_ s3api create-bucket --bucket "$bucket" >/dev/null
    else
      aws_ s3api create-bucket --bucket "$bucket" --create-bucket-configuration "LocationConstraint=$region" >/dev/null
    fi
  fi
  # The tags are set last, so they say that the rest was done.
  owned=$(ask s3api get-bucket-tagging --bucket "$bucket" --query "TagSet[?Key=='Origin'].Value" 2>/dev/null) ||
    owned=""
  if [ "$owned" = Stackstate ]; then return; fi
  aws_ s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
  aws_ s3api put-bucket-encryption --bucket "$bucket" --server-side-encryption-configuration \
    'Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]'
  aws_ s3api put-bucket-tagging --bucket "$bucket" --tagging 'TagSet=[{Key=Origin,Value=Stackstate}]'
}

# Puts the API key into the installation's secret, and sets secret_arn. The key travels in a file: arguments show in ps.
store_key() {
  local name owner deleted
  name=$(secret_name "$id")
  printf '%s' "$api_key" >"$work/key"
  if secret_arn=$(ask secretsmanager describe-secret --secret-id "$name" --query ARN 2>"$work/error"); then
    owner=$(ask secretsmanager describe-secret --secret-id "$name" \
      --query "Tags[?Key=='stackstate-lightweight-agent']|[0].Value")
    [ "$owner" = "$id" ] ||
      fail "secret $name exists already, and was not made by this script. Rename it, or use another configuration id."
    deleted=$(ask secretsmanager describe-secret --secret-id "$name" --query DeletedDate)
    if [ -n "$deleted" ]; then aws_ secretsmanager restore-secret --secret-id "$name" >/dev/null; fi
    aws_ secretsmanager put-secret-value --secret-id "$name" --secret-string "file://$work/key" >/dev/null
  elif means_absent "$(cat "$work/error")"; then
    secret_arn=$(ask secretsmanager create-secret --name "$name" --secret-string "file://$work/key" \
      --description "API key of the StackState receiver, for stack $stack" ${kms_key:+--kms-key-id "$kms_key"} \
      --tags Key=Origin,Value=Stackstate "Key=stackstate-lightweight-agent,Value=$id" --query ARN)
  else
    fail "AWS does not tell whether secret $name exists:
$(cat "$work/error")"
  fi
  rm -f "$work/key"
}

# Uploads the artifact, and lets CloudFormation bring the account to what the template says.
deploy() {
  say "Uploading version $release to bucket $bucket."
  # The artifact was built before, so it takes the place of the source folder.
  sed "s|^\( *CodeUri:\) functions/\$|\1 $work/functions.zip|" "$here/template.yaml" >"$work/template.yaml"
  cp "$artifact" "$work/functions.zip"
  # Both commands name what they upload by its content, and leave out what is there already.
  aws_ cloudformation package --template-file "$work/template.yaml" --s3-bucket "$bucket" --s3-prefix stackstate-topo \
    --output-template-file "$work/packaged.yaml" >/dev/null ||
    fail "the upload to bucket $bucket failed; what AWS said is above. Run this again to go on."
  say "Deploying stack $stack. This takes a few minutes."
  if ! aws_ cloudformation deploy --template-file "$work/packaged.yaml" --stack-name "$stack" \
    --s3-bucket "$bucket" --s3-prefix stackstate-topo --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
    --parameter-overrides "${parameters[@]}" \
    --tags Origin=Stackstate "stackstate-lightweight-agent=$id" "stackstate-aws-agent-version=$release"; then
    failed_deployment
  fi
}

# Says which resource was the cause, and ends.
failed_deployment() {
  local causes
  causes=$(stack_failures "$stack" || true)
  fail "stack $stack could not be deployed.${causes:+ CloudFormation took the changes back, because of
}${causes:- What AWS said is above.}
When that is mended, run this again."
}

# Starts a snapshot at once: the schedule would first fire after a whole period.
start_snapshot() {
  aws_ lambda invoke --function-name "$1" --invocation-type Event /dev/null >/dev/null ||
    warn "The first snapshot could not be started; the schedule will take it."
}

# Warns when nothing would bring the change events. Without the right to look, nothing is said.
check_trail() {
  local trails
  trails=$(ask cloudtrail describe-trails --query 'length(trailList)' 2>/dev/null) || return 0
  if [ "$trails" = 0 ]; then
    say ""
    say "Note: there is no CloudTrail trail in $region. Without one that logs write management events, AWS sends few"
    say "change events, and most changes show with the next snapshot only. To make one, see:"
    say "  https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-create-and-update-a-trail.html"
  fi
}

# Says what is there now, and where to look.
report() {
  local key value function=""
  say ""
  say "StackState's AWS topology agent $release is installed for configuration id $id."
  say "  account  $account"
  say "  region   $region"
  say "  stack    $stack ($mode)"
  ask cloudformation describe-stacks --stack-name "$stack" \
    --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' >"$work/outputs"
  while IFS=$'\t' read -r key value; do
    case $key in
      TopoCronFunctionName) function=$value && say "  snapshot $value" ;;
      TopoCwEventsFunctionName) say "  changes  $value" ;;
      TopoPublisherFunctionName) say "  sender   $value" ;;
      StreamName) say "  stream   $value" ;;
      StateBucketName) say "  bucket   $value" ;;
    esac
  done <"$work/outputs"
  if [ -n "$function" ]; then
    start_snapshot "$function"
    say ""
    say "A first snapshot is being taken; it shows in StackState within minutes. Its log:"
    say "  aws logs tail /aws/lambda/$function --region $region"
  fi
  if [ "$mode" = full ]; then check_trail; fi
  say ""
  say "To remove it all: uninstall.sh $id"
}

main() {
  read_arguments "$@"
  check_arguments
  release=$(version)
  make_work_folder
  connect
  say "Installing in account $account, region $region, as $identity."
  prepare_stack
  if [ -z "$status" ]; then check_names; fi
  architecture=${architecture:-$(previous Architecture)}
  architecture=${architecture:-arm64}
  artifact=$(find_artifact "$architecture")
  bucket=${bucket:-$(previous StateBucketName)}
  prepare_bucket
  store_key
  parameters+=("StackStateBaseUrl=$base_url" "StackStateApiKeySecretArn=$secret_arn" "StackStateConfigurationId=$id")
  parameters+=("TopologyMode=$mode" "Architecture=$architecture")
  deploy
  report
}

main "$@"
