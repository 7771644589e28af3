# shellcheck shell=bash disable=SC2154  # here is set by those who source this
# What the scripts share: their common options, how AWS is called, and what things are called there. Sourced, not run.
#
# A script defines usage, take_flag and take_option (see read_options), and then goes:
#   read_options "$@"      fills the variables below and the array arguments
#   make_work_folder       a private folder, $work
#   connect                region, account, partition, identity; assumes the role that was asked for
#   find_installation ID   (optional) id, stack and the rest of an installation; see there

# Filled by the options that all scripts take, then by connect and make_work_folder.
profile=""
region=""
role_arn=""
session_name=""
external_id=""
suffix=""
assume_yes=""
account=""
partition=""
identity=""
cli=""
work=""
arguments=()

# No pager and no prompt may wait for somebody in an unattended run.
export AWS_PAGER="" AWS_CLI_AUTO_PROMPT=off

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# Ends the script with a message.
fail() {
  warn "$(basename "$0"): $*"
  exit 1
}

# Ends with the message and a pointer to --help, with the exit status of wrong usage.
misused() {
  warn "$(basename "$0"): $*"
  warn "Run $(basename "$0") --help to see what it takes."
  exit 2
}

version() {
  sed -n 's/^ *Version: *\([0-9][0-9.]*\)$/\1/p' "$here/template.yaml"
}

# The part of --help that all scripts share.
common_usage() {
  cat <<'END'
Where, and as whom
  --region REGION           default: AWS_REGION, AWS_DEFAULT_REGION, or that of
                            the profile
  --profile NAME            default: AWS_PROFILE
  --role-arn ARN            role to assume first (default: AWS_ROLE_ARN)
  --session-name NAME       name of its session (default: AWS_SESSION_NAME, or
                            stackstate-topo)
  --external-id ID          that the role's trust policy asks for (default:
                            AWS_EXTERNAL_ID)

  --yes                     do not ask
  --help, --version

AWS_CLI_READ_TIMEOUT is how many seconds an answer of AWS may take (default: 30).
END
}

# Reads a command line. Options may stand anywhere, and be written --name value or --name=value. What is not common is
# handed to the script's take_flag NAME (false: it is no flag) and take_option NAME VALUE (false: it is unknown).
read_options() {
  local name
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) usage && exit ;;
      --version) version && exit ;;
      --yes | -y) assume_yes=yes ;;
      --?*=*)
        name=${1%%=*}
        listed "$name" || misused "unknown option $name"
        if (take_flag "$name"); then misused "$name takes no value"; fi
        take "$name" "${1#*=}"
        ;;
      -?*)
        listed "$1" || misused "unknown option $1"
        if ! take_flag "$1"; then
          [ $# -gt 1 ] && [[ $2 != --* ]] || misused "$1 needs a value"
          take "$1" "$2"
          shift
        fi
        ;;
      *) arguments+=("$1") ;;
    esac
    shift
  done
}

# Tells whether --help names an option: what it does not name, nobody can know.
listed() {
  # Not grep -q, which may end before usage has said it all.
  usage | grep -E -- "(^|[[:space:]])$1([[:space:],]|\$)" >/dev/null
}

# Keeps an option that has a value.
take() {
  case $1 in
    --region) region=$2 ;;
    --profile) profile=$2 ;;
    --role-arn) role_arn=$2 ;;
    --session-name) session_name=$2 ;;
    --external-id) external_id=$2 ;;
    --name-suffix)
      [[ -z $2 || $2 =~ ^-[a-z0-9][a-z0-9-]{0,15}$ ]] ||
        misused "--name-suffix is '$2'. It must begin with a hyphen, as in --name-suffix -test"
      suffix=$2
      ;;
    *) take_option "$1" "$2" || misused "unknown option $1" ;;
  esac
}

# Ends the script unless the text can be a configuration id.
check_id() {
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,63}$ ]] ||
    misused "CONFIGURATION_ID is '$1'. It must be 1 to 64 letters, digits or hyphens, as StackState shows it"
}

# Asks a yes-or-no question. Without a person to answer (no terminal), silence is consent: that is what scripts expect.
confirm() {
  local answer
  if [ -n "$assume_yes" ] || [ ! -t 0 ] || [ ! -t 1 ]; then return 0; fi
  printf '%s [y/N] ' "$1"
  read -r answer
  [[ $answer == [yY]* ]]
}

# The only caller of the AWS CLI. The endpoint is an argument, since CLI v1 does not heed AWS_ENDPOINT_URL for some
# services; so is the region, since it does not heed AWS_REGION at all.
aws_() {
  local -a options
  options=(--region "$region" --cli-connect-timeout 15 --cli-read-timeout "${AWS_CLI_READ_TIMEOUT:-30}")
  if [ -n "$profile" ]; then options+=(--profile "$profile"); fi
  if [ -n "${AWS_ENDPOINT_URL:-}" ]; then options+=(--endpoint-url "$AWS_ENDPOINT_URL"); fi
  aws "${options[@]}" "$@"
}

# Prints the answer of a call as text, or nothing where AWS answers with nothing.
ask() {
  local answer
  answer=$(aws_ "$@" --output text) || return
  if [ -n "$answer" ] && [ "$answer" != None ]; then printf '%s\n' "$answer"; fi
}

# The same with the error text kept in $work/error, for those who look at it.
try() {
  ask "$@" 2>"$work/error"
}

# Tells by the error text of a call whether the thing does not exist, in contrast to: nobody may look.
means_absent() {
  local codes='\((404|NoSuch[A-Za-z]+|[A-Za-z]*NotFound[A-Za-z]*|[A-Za-z.]*NonExistentQueue|[A-Za-z]*DoesNotExist)\)'
  printf '%s' "$1" | grep -Eq "$codes|Stack with id .* does not exist"
}

# The same of what the last try said.
absent() {
  means_absent "$(cat "$work/error")"
}

# Prints what the last try said, and where it was a refusal, what would mend it. S3 answers some with 403 alone.
what_aws_said() {
  local action=${1:-} named
  named=$(refused_actions "$work/error")
  sed '/^$/d' "$work/error"
  if [ -z "$named" ] && grep -Eq '\((403|AccessDenied[A-Za-z]*|Forbidden)\)' "$work/error"; then named=$action; fi
  missing_rights "$named"
}

# Prints the actions that AWS refuses in the text of a file, one per line.
refused_actions() {
  sed -n 's/.*not authorized to perform: \([a-z0-9-]*:[A-Za-z]*\).*/\1/p' "$1" | sort -u
}

# Says that actions are missing, and in which document each is. Argument: the actions.
missing_rights() {
  local action name found
  for action in $1; do
    found=""
    for name in $(policy_documents); do
      if grep -q "\"$action\"" "$here/policies/$name.json"; then found="$found${found:+ and }policies/$name.json"; fi
    done
    printf 'The right %s is missing. %s\n' "$action" "${found:+It is in $found.}"
  done
}

# Prints the names of the documents in policies/ that a script takes. May be defined anew.
policy_documents() { printf 'StackStateIntegrationPolicyOperate\n'; }

# Makes a private folder for what must be passed in files; it goes when the script ends, however it ends.
make_work_folder() {
  umask 077
  work=$(mktemp -d)
  : >"$work/parameters" && : >"$work/outputs"
  trap 'rm -rf "$work"' EXIT
  # A signal may come where standard error is kept in a file, and its message must not go there.
  exec 9>&2
  trap 'interrupted 2>&9; exit 130' INT
  trap 'interrupted 2>&9; exit 143' TERM HUP
}

# What a script says when it is interrupted. May be defined anew.
interrupted() { warn "Interrupted."; }

# Ends with advice where the AWS CLI is missing, or one of those that get CloudFormation wrong.
check_cli() {
  local release
  command -v aws >/dev/null || fail "the AWS CLI is needed: https://aws.amazon.com/cli/"
  release=$(aws --version 2>&1) || fail "the AWS CLI does not run. Install it anew: https://aws.amazon.com/cli/
$(command -v aws) says:
$release"
  release=$(printf '%s\n' "$release" | sed -n 's|^aws-cli/\([0-9.]*\).*|\1|p')
  cli=$release
  case $release in
    2.0.[0-3])
      fail "this is AWS CLI $release. Versions 2.0.0 to 2.0.3 end CloudFormation calls with a ValidationError that is not
one. Install 2.0.4 or newer: https://aws.amazon.com/cli/"
      ;;
  esac
}

# Prints the command that shows the log of a function: "logs tail" came with CLI v2.
log_of() {
  if [[ $cli == 1.* ]]; then
    printf "aws logs filter-log-events --log-group-name /aws/lambda/%s --region %s --query 'events[].[message]' %s" \
      "$1" "$region" "--output text"
  else
    printf 'aws logs tail /aws/lambda/%s --region %s' "$1" "$region"
  fi
}

# Sets region, account, partition and identity, or says what is missing.
connect() {
  local answer said
  check_cli
  : "${role_arn:=$([ -n "${AWS_WEB_IDENTITY_TOKEN_FILE:-}" ] || printf '%s' "${AWS_ROLE_ARN:-}")}"
  if [ -z "$region" ]; then region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}; fi
  if [ -z "$region" ]; then
    region=$(aws ${profile:+--profile "$profile"} configure get region 2>"$work/error") || {
      said=$(sed '/^$/d' "$work/error")
      fail "no region: name it with --region, in AWS_REGION or in the profile${said:+. The AWS CLI says:
$said}"
    }
  fi
  [[ $region =~ ^[a-z]{2,}(-[a-z]+)+-[0-9]+$ ]] || fail "'$region' is no region. They are named like eu-west-1"
  # The CLI prefers keys in the environment to AWS_PROFILE, which surprises those who set both.
  if [ -n "${AWS_PROFILE:-}" ] && [ -n "${AWS_ACCESS_KEY_ID:-}" ] && [ -z "$profile" ]; then
    warn "Note: AWS_ACCESS_KEY_ID is set, so AWS_PROFILE ($AWS_PROFILE) does not count. Use --profile, or unset one."
  fi
  assume_role
  answer=$(try sts get-caller-identity --query '[Account,Arn]') ||
    fail "AWS does not know who is asking. Check the credentials (AWS_PROFILE, or --profile; where you sign in with IAM
Identity Center, run aws sso login), and that region $region exists and is enabled. It says:
$(what_aws_said)"
  read -r account identity <<<"$answer"
  partition=$(printf '%s' "$identity" | cut -d : -f 2)
}

# Goes on as the role that was asked for. The AWS CLI itself heeds AWS_ROLE_ARN for web identities alone, and does then
# what is done here. Its keys go into the environment, which is passed on to nothing but the AWS CLI.
assume_role() {
  local answer id key token
  [ -n "$role_arn" ] || return 0
  : "${session_name:=${AWS_SESSION_NAME:-stackstate-topo}}" "${external_id:=${AWS_EXTERNAL_ID:-}}"
  answer=$(try sts assume-role --role-arn "$role_arn" --role-session-name "$session_name" \
    ${external_id:+--external-id "$external_id"} \
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]') ||
    fail "role $role_arn cannot be assumed. Its trust policy must admit you${external_id:+ and this external id}, and you
need the right sts:AssumeRole on it. ${external_id:-If it asks for an external id, give it with --external-id. }AWS says:
$(sed '/^$/d' "$work/error")"
  read -r id key token <<<"$answer"
  export AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$key AWS_SESSION_TOKEN=$token
  profile=""
  unset AWS_PROFILE
}

stack_name() { printf 'stackstate-topo-%s' "$1"; }
forwarder_name() { printf 'stackstate-topo-forward-%s' "$1"; }
secret_name() { printf 'stackstate-topo-%s' "$1"; }
deployment_bucket() { printf 'stackstate-topo-deploy-%s-%s' "$account" "$region"; }

# The region whose event bus gets the calls of global services.
global_region() {
  case $partition in
    aws-cn) printf 'cn-northwest-1' ;;
    aws-us-gov) printf 'us-gov-west-1' ;;
    *) printf 'us-east-1' ;;
  esac
}

# Runs a function or command with another region in the place of $region.
in_region() {
  local region=$1
  shift
  "$@"
}

# Prints the installations in the region, one per line, with "-" for what is empty: configuration id, stack, instance
# type, instance url, name suffix. Found by tag (which agents of other versions set as well) or by their parameters
# (SAM sets no tags), whatever their stacks are called.
installations() {
  local ours tag="Tags[?Key=='stackstate-lightweight-agent'].Value"
  ours="Stacks[?($tag || $(value StackStateConfigurationId)) && !($(value HomeEventBusArn))]"
  ask cloudformation describe-stacks --query "$ours.[($tag|[0]) || ($(value StackStateConfigurationId)|[0]), StackName,
    ($(value StackStateInstanceType)|[0]) || 'aws', ($(value StackStateInstanceUrl)|[0]) || '-',
    ($(value NameSuffix)|[0]) || '-']"
}

# Writes the installations to $work/installations, or ends.
list_installations() {
  installations >"$work/installations" 2>"$work/error" || fail "AWS does not tell which installations there are:
$(what_aws_said)"
}

# Prints the JMESPath expression for a parameter of a stack.
value() { printf "Parameters[?ParameterKey=='%s'].ParameterValue" "$1"; }

# Finds the installation of a configuration id, or the only one. Sets id, stack and suffix, and keeps what the stack
# knows for parameter and output.
find_installation() {
  local found
  list_installations
  found=$(cat "$work/installations")
  if [ -n "$1" ]; then found=$(printf '%s\n' "$found" | awk -F '\t' -v id="$1" '$1 == id'); fi
  [ -n "$found" ] || fail "there is no installation${1:+ of configuration id $1} in account $account, region $region.
Is it in another one? Name that with --region or --profile"
  [ "$(printf '%s\n' "$found" | wc -l)" -eq 1 ] || fail "which of the installations? Name its configuration id:
$(printf '%s\n' "$found" | cut -f 1)"
  # shellcheck disable=SC2034  # the scripts say whose they handle
  read -r id stack _ _ suffix <<<"$found"
  suffix=${suffix#-}
  suffix=${suffix:+-$suffix}
  read_stack "$stack"
}

# Keeps parameters and outputs of a stack in $work.
read_stack() {
  # shellcheck disable=SC2016  # the quotes are JMESPath's
  ask cloudformation describe-stacks --stack-name "$1" \
    --query 'Stacks[0].Parameters[?ParameterValue!=``].[ParameterKey,ParameterValue]' >"$work/parameters" &&
    ask cloudformation describe-stacks --stack-name "$1" \
      --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' >"$work/outputs"
}

# Print what the stack of read_stack has for a parameter or an output; nothing where it has none.
parameter() { awk -F '\t' -v key="$1" '$1 == key { print $2 }' "$work/parameters"; }
output() { awk -F '\t' -v key="$1" '$1 == key { print $2 }' "$work/outputs"; }

# Has topo-cron take a snapshot, led by Step Functions where the stack of read_stack has it so. Sets execution to the ARN
# of what leads it, if anything does. Argument: nothing, or a name for a snapshot that is closed in any case.
take_snapshot() {
  local name=${1:-} input="{}" machine
  if [ -n "$name" ]; then input="{\"confirmed\": true, \"snapshot\": \"$name\"}"; fi
  execution=""
  machine=$(output SnapshotStateMachineArn)
  if [ -n "$machine" ]; then
    # shellcheck disable=SC2034  # confirm.sh follows it
    execution=$(try stepfunctions start-execution --state-machine-arn "$machine" ${name:+--name "$name"} \
      --input "$input" --query executionArn)
    return
  fi
  # CLI v2 wants base64 on the command line, v1 does not: from a file, both take it as it is.
  printf '%s' "$input" >"$work/payload"
  try lambda invoke --function-name "$(output TopoCronFunctionName)" --invocation-type Event \
    --payload "fileb://$work/payload" "$work/answer" >/dev/null
}

# Removes everything in a bucket: objects, their versions, delete markers and unfinished uploads.
empty_bucket() {
  local bucket=$1 refused key upload
  while true; do
    # One page at a time: DeleteObjects takes as many keys as a page has, a thousand.
    # shellcheck disable=SC2016  # the quotes around true are JMESPath's
    aws_ s3api list-object-versions --bucket "$bucket" --max-items 1000 --output json \
      --query '{Objects: [Versions, DeleteMarkers][][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' \
      >"$work/objects" 2>"$work/error" || return
    grep -q '"Key"' "$work/objects" || break
    refused=$(try s3api delete-objects --bucket "$bucket" --delete "file://$work/objects" \
      --query 'Errors[0].[Key,Message]') || return
    if [ -n "$refused" ]; then
      printf 'S3 does not delete from %s: %s\n' "$bucket" "$refused" >"$work/error"
      return 1
    fi
  done
  try s3api list-multipart-uploads --bucket "$bucket" --query 'Uploads[].[Key,UploadId]' >"$work/uploads" || return
  while IFS=$'\t' read -r key upload; do
    aws_ s3api abort-multipart-upload --bucket "$bucket" --key "$key" --upload-id "$upload" 2>"$work/error" || return
  done <"$work/uploads"
}

# shellcheck source=stacks.sh
. "$(dirname "${BASH_SOURCE[0]}")/stacks.sh"
