#!/usr/bin/env bash
# Removes what install.sh installed in one account and region, and proves that nothing is left.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=aws.sh
. "$here/aws.sh"

id=""
failures=0

usage() {
  cat <<'END'
Usage: uninstall.sh [options] CONFIGURATION_ID

Removes the installation of StackState's AWS topology agent that belongs to
this configuration id: stack, functions, roles, queues, stream, bucket, logs,
API key. Buckets, roles, secrets and trails of yours that it used stay as they
are. Can be repeated: what is gone already is no error.

  --region REGION    default: AWS_REGION, or that of the profile
  --profile NAME     default: AWS_PROFILE
  --help, --version

Exit status: 0 nothing is left, 1 something is left or could not be checked,
2 wrong usage.
END
}

misused() {
  warn "uninstall.sh: $*"
  warn "Run uninstall.sh --help to see what it takes."
  exit 2
}

# Reads the command line into the variables above.
read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) usage && exit ;;
      --version) sed -n 's/^ *Version: *\([0-9][0-9.]*\)$/\1/p' "$here/template.yaml" && exit ;;
      --region=*) region=${1#*=} ;;
      --profile=*) profile=${1#*=} ;;
      --region | --profile)
        [ $# -gt 1 ] || misused "$1 needs a value"
        if [ "$1" = --region ]; then region=$2; else profile=$2; fi
        shift
        ;;
      -*) misused "unknown option $1" ;;
      *)
        [ -z "$id" ] || misused "one configuration id at a time"
        id=$1
        ;;
    esac
    shift
  done
  [ -n "$id" ] || misused "a configuration id is needed, the one that was given to install.sh"
  [[ $id =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,63}$ ]] ||
    misused "'$id' is no configuration id: those are letters, digits and hyphens"
}

# Runs one step. A step that fails is told and counted, and the next one follows all the same.
step() {
  local title=$1
  shift
  if ! "$@"; then
    warn "FAILED: $title"
    failures=$((failures + 1))
  fi
}

# Writes down, "type<tab>id" per line and before it goes, what the stack consists of (what may be touched), and
# together with what else has the installation's tag (what is looked up at the end).
take_inventory() {
  local arn
  : >"$work/owned"
  : >"$work/inventory"
  if [ -n "$status" ]; then
    ask cloudformation list-stack-resources --stack-name "$stack" \
      --query 'StackResourceSummaries[?PhysicalResourceId].[ResourceType,PhysicalResourceId]' >"$work/owned" || return
  fi
  ask resourcegroupstaggingapi get-resources --tag-filters "Key=stackstate-lightweight-agent,Values=$id" \
    --query 'ResourceTagMappingList[].ResourceARN' | tr '\t' '\n' >"$work/arns" || return
  while IFS= read -r arn; do typed "$arn"; done <"$work/arns" >"$work/tagged"
  # Logs outlive a stack that was deleted by other means, and their names say whose they are.
  grep $'^AWS::Logs::LogGroup\t/aws/lambda/stackstate-topo-' "$work/tagged" >>"$work/owned"
  # The stack knows a queue by its URL, the tags by its name.
  sed '/^AWS::SQS::Queue/s|https*://.*/||' "$work/owned" "$work/tagged" | sort -u >"$work/inventory"
}

# Prints type and id for an ARN, in the terms of CloudFormation.
typed() {
  local name=${1##*:}
  case $1 in
    arn:*:lambda:*:function:*) printf 'AWS::Lambda::Function\t%s\n' "$name" ;;
    arn:*:lambda:*:event-source-mapping:*) printf 'AWS::Lambda::EventSourceMapping\t%s\n' "$name" ;;
    arn:*:logs:*:log-group:*)
      name=${1#*:log-group:}
      printf 'AWS::Logs::LogGroup\t%s\n' "${name%:\*}"
      ;;
    arn:*:sqs:*) printf 'AWS::SQS::Queue\t%s\n' "$name" ;;
    arn:*:kinesis:*:stream/*) printf 'AWS::Kinesis::Stream\t%s\n' "${name#stream/}" ;;
    arn:*:events:*:rule/*) printf 'AWS::Events::Rule\t%s\n' "${name#rule/}" ;;
    arn:*:cloudwatch:*:alarm:*) printf 'AWS::CloudWatch::Alarm\t%s\n' "$name" ;;
    arn:*:secretsmanager:*) printf 'AWS::SecretsManager::Secret\t%s\n' "$1" ;;
    arn:*:iam:*:role/*) printf 'AWS::IAM::Role\t%s\n' "${name##*/}" ;;
    arn:*:iam:*:policy/*) printf 'AWS::IAM::ManagedPolicy\t%s\n' "$1" ;;
    arn:*:s3:::*) printf 'AWS::S3::Bucket\t%s\n' "$name" ;;
    # The stack itself is looked at by its name.
    arn:*:cloudformation:*) ;;
    *) printf 'unknown\t%s\n' "$1" ;;
  esac
}

# Prints the ids of one type that are the installation's own.
owned() {
  awk -F '\t' -v type="$1" '$1 == type { print $2 }' "$work/owned" | sort -u
}

# Keeps the functions from writing anew what is about to be removed.
stop_functions() {
  local function
  for function in $(owned AWS::Lambda::Function); do
    aws_ lambda put-function-concurrency --function-name "$function" --reserved-concurrent-executions 0 \
      >/dev/null 2>"$work/error" || means_absent "$(cat "$work/error")" || {
      warn "$(cat "$work/error")"
      return 1
    }
  done
}

# Empties the stack's own buckets. One of the user's is no resource of the stack.
empty_stack_buckets() {
  local name
  for name in $(owned AWS::S3::Bucket); do
    if exists AWS::S3::Bucket "$name"; then
      say "Emptying bucket $name."
      empty_bucket "$name" || return
    fi
  done
}

# Removes the stack. A function that was still running may have written to the bucket meanwhile: hence more than once.
remove_stack() {
  local attempt
  for attempt in 1 2 3; do
    say "Deleting stack $stack. This takes a few minutes."
    if delete_stack "$stack"; then return 0; fi
    if [ "$attempt" -lt 3 ]; then empty_stack_buckets; fi
  done
  warn "Stack $stack could not be deleted:"
  warn "$(stack_failures "$stack")"
  return 1
}

# Deletes log groups. The stack's go with it, but Lambda makes a group again for a function that still runs.
delete_logs() {
  local group
  for group in $(owned AWS::Logs::LogGroup); do
    aws_ logs delete-log-group --log-group-name "$group" 2>"$work/error" || means_absent "$(cat "$work/error")" || {
      warn "$(cat "$work/error")"
      return 1
    }
  done
}

# Deletes the secret that install.sh made, and no other of that name.
delete_secret() {
  local name owner
  name=$(secret_name "$id")
  if ! owner=$(ask secretsmanager describe-secret --secret-id "$name" \
    --query "Tags[?Key=='stackstate-lightweight-agent']|[0].Value" 2>"$work/error"); then
    means_absent "$(cat "$work/error")" || { warn "$(cat "$work/error")" && return 1; }
  elif [ "$owner" = "$id" ]; then
    say "Deleting secret $name."
    printf 'AWS::SecretsManager::Secret\t%s\n' "$name" >>"$work/inventory"
    aws_ secretsmanager delete-secret --secret-id "$name" --force-delete-without-recovery >/dev/null
  fi
}

# Deletes the deployment bucket, unless another installation in this region deploys from it.
delete_deployment_bucket() {
  local name owner others
  name=$(deployment_bucket)
  exists AWS::S3::Bucket "$name" || return 0
  owner=$(ask s3api get-bucket-tagging --bucket "$name" --query "TagSet[?Key=='Origin'].Value") || return
  [ "$owner" = Stackstate ] || return 0
  others=$(installations) || return
  others=$(printf '%s\n' "$others" | awk -F '\t' -v stack="$stack" '$2 != "" && $2 != stack { print $1 }')
  if [ -n "$others" ]; then
    say "Bucket $name stays: other installations use it ($(printf '%s' "$others" | tr '\n' ' '))."
    return
  fi
  say "Deleting bucket $name."
  printf 'AWS::S3::Bucket\t%s\n' "$name" >>"$work/inventory"
  empty_bucket "$name" && aws_ s3api delete-bucket --bucket "$name"
}

# Looks one resource up. Returns 0 when it exists, 1 when it does not, 2 when AWS does not say.
exists() {
  local answer
  # shellcheck disable=SC2016  # the quotes around names are JMESPath's
  case $1 in
    AWS::Lambda::Function) answer=$(ask lambda get-function-configuration --function-name "$2" --query State) ;;
    AWS::Lambda::EventSourceMapping) answer=$(ask lambda get-event-source-mapping --uuid "$2" --query State) ;;
    AWS::Logs::LogGroup)
      answer=$(ask logs describe-log-groups --log-group-name-prefix "$2" --query "logGroups[?logGroupName=='$2'].arn")
      ;;
    AWS::SQS::Queue) answer=$(ask sqs get-queue-url --queue-name "${2##*/}" --query QueueUrl) ;;
    AWS::Kinesis::Stream)
      answer=$(ask kinesis describe-stream-summary --stream-name "$2" --query StreamDescriptionSummary.StreamStatus)
      ;;
    AWS::Events::Rule) answer=$(ask events describe-rule --name "$2" --query Arn) ;;
    AWS::CloudWatch::Alarm)
      answer=$(ask cloudwatch describe-alarms --alarm-names "$2" --query 'MetricAlarms[].AlarmArn')
      ;;
    AWS::SecretsManager::Secret) answer=$(ask secretsmanager describe-secret --secret-id "$2" --query ARN) ;;
    AWS::IAM::Role) answer=$(ask iam get-role --role-name "$2" --query Role.Arn) ;;
    AWS::IAM::ManagedPolicy) answer=$(ask iam get-policy --policy-arn "$2" --query Policy.Arn) ;;
    # Without --query: head-bucket of older CLIs answers with nothing at all.
    AWS::S3::Bucket) answer=$(aws_ s3api head-bucket --bucket "$2" && printf there) ;;
    # These live and die with a function, a queue or a bucket, which is looked at.
    AWS::Lambda::Permission | AWS::Lambda::EventInvokeConfig) return 1 ;;
    AWS::SQS::QueuePolicy | AWS::S3::BucketPolicy) return 1 ;;
    *) return 2 ;;
  esac 2>"$work/error" && { [ -n "$answer" ] && return 0 || return 1; }
  if means_absent "$(cat "$work/error")"; then return 1; fi
  warn "$(cat "$work/error")"
  return 2
}

# Looks every resource of the inventory up, and lists what is left. Some take a minute to vanish, queues for one.
prove() {
  local round type name current unsure=""
  cp "$work/inventory" "$work/left"
  for round in 1 2 3 4 5 6 7 8; do
    mv "$work/left" "$work/candidates"
    : >"$work/left"
    while IFS=$'\t' read -r type name; do
      exists "$type" "$name"
      case $? in
        0) printf '%s\t%s\n' "$type" "$name" >>"$work/left" ;;
        2) unsure="$unsure  $type $name"$'\n' ;;
      esac
    done <"$work/candidates"
    # Waiting helps only where something is about to go.
    if [ ! -s "$work/left" ] || [ "$round" = 8 ] || [ "$failures" -gt 0 ] || [ -z "$status" ]; then break; fi
    sleep 10
  done
  current=$(stack_status "$stack") || unsure="$unsure  AWS::CloudFormation::Stack $stack"$'\n'
  if [ -n "$current" ]; then printf 'AWS::CloudFormation::Stack\t%s\n' "$stack" >>"$work/left"; fi
  if [ -s "$work/left" ]; then warn "Still there:"$'\n'"$(sed 's/^/  /' "$work/left")"; fi
  if [ -n "$unsure" ]; then warn "Could not be checked:"$'\n'"$unsure"; fi
  [ ! -s "$work/left" ] && [ -z "$unsure" ]
}

# Names what the installation used and did not make, so that nobody looks for it in vain.
tell_what_stays() {
  local key value
  # shellcheck disable=SC2016
  ask cloudformation describe-stacks --stack-name "$stack" --query \
    'Stacks[0].Parameters[?ParameterValue!=``].[ParameterKey,ParameterValue]' >"$work/parameters" || return
  while IFS=$'\t' read -r key value; do
    case $key in
      StateBucketName)
        say "Bucket $value is yours and stays. What was written there begins with state/$id/, dead-letters/,"
        say "aws/lambda/ and stackstate-topo/."
        ;;
      TopoCronRoleArn) say "Role $value is yours and stays." ;;
      StackStateApiKeySecretArn)
        [[ $value == *":secret:$(secret_name "$id")-"* ]] || say "Secret $value is yours and stays."
        ;;
    esac
  done <"$work/parameters"
}

# Says that there was nothing to do, and what else there is: the id may have been mistyped.
report_nothing() {
  local others
  say "There is no installation of configuration id $id in account $account, region $region: nothing is left to remove."
  others=$(installations 2>/dev/null | awk -F '\t' '{ print "  " $1 }')
  if [ -n "$others" ]; then say "Installed here are:"$'\n'"$others"; fi
}

main() {
  read_arguments "$@"
  make_work_folder
  connect
  stack=$(stack_name "$id")
  status=$(stack_status "$stack") || fail "AWS does not tell whether stack $stack exists; what it said is above"
  step "list what the installation consists of" take_inventory
  if [ -n "$status" ]; then
    say "Removing configuration id $id from account $account, region $region."
    step "find what is yours" tell_what_stays
    step "stop the functions" stop_functions
    step "empty the bucket of the stack" empty_stack_buckets
    step "delete the stack" remove_stack
  fi
  step "delete the logs" delete_logs
  step "delete the secret" delete_secret
  step "delete the deployment bucket" delete_deployment_bucket
  step "prove that nothing is left" prove
  if [ "$failures" -gt 0 ]; then
    fail "$failures of the steps failed, see above. When the cause is mended, run this again: it goes on where it is."
  fi
  if [ -s "$work/inventory" ]; then
    local number
    number=$(wc -l <"$work/inventory" | tr -d ' ')
    say "Nothing of configuration id $id is left: $number resources were looked up one by one."
  else
    report_nothing
  fi
}

main "$@"
