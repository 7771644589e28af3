# shellcheck shell=bash disable=SC2154  # variables of aws.sh and uninstall.sh
# Single resources in the terms of CloudFormation, "type<tab>id": which ones have an installation's tag or name, whether
# one still exists, how one goes that no stack holds any more, and the proof that all are gone. Sourced by uninstall.sh,
# and by doctor.sh.

# Prints type and id of everything in $region that has the installation's tag.
tagged() {
  local arn
  try resourcegroupstaggingapi get-resources --tag-filters "Key=stackstate-lightweight-agent,Values=$id" \
    --query 'ResourceTagMappingList[].ResourceARN' >"$work/arns" || return
  tr '\t' '\n' <"$work/arns" | while IFS= read -r arn; do typed "$arn"; done
}

# Prints type and id for an ARN, in the terms of CloudFormation.
typed() {
  local name=${1##*:}
  case $1 in
    "") ;;
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
    arn:*:cloudwatch:*:dashboard/*) printf 'AWS::CloudWatch::Dashboard\t%s\n' "${name#dashboard/}" ;;
    arn:*:cloudtrail:*:trail/*) printf 'AWS::CloudTrail::Trail\t%s\n' "${name#trail/}" ;;
    arn:*:states:*:stateMachine:*) printf 'AWS::StepFunctions::StateMachine\t%s\n' "$1" ;;
    arn:*:secretsmanager:*) printf 'AWS::SecretsManager::Secret\t%s\n' "$1" ;;
    arn:*:iam:*:role/*) printf 'AWS::IAM::Role\t%s\n' "${name##*/}" ;;
    arn:*:iam:*:policy/*) printf 'AWS::IAM::ManagedPolicy\t%s\n' "$1" ;;
    arn:*:s3:::*) printf 'AWS::S3::Bucket\t%s\n' "$name" ;;
    # Stacks are looked at by their names.
    arn:*:cloudformation:*) ;;
    *) printf 'unknown\t%s\n' "$1" ;;
  esac
}

# Prints type and id of what has a name as CloudFormation makes it up for this installation, in any region: what has no
# tags, or is not found by them, shows here.
named() {
  local lower where current
  lower=$(printf '%s' "$stack" | tr '[:upper:]' '[:lower:]')
  try s3api list-buckets --query "Buckets[?starts_with(Name, 'stackstate-topo-')].Name" >"$work/names" || return
  # The same id may be installed in another region, under the same names. Those are not ours to judge, then.
  for where in $(tr '\t' '\n' <"$work/names" | sed -n "s/^stackstate-topo-deploy-$account-//p" | grep -Fxv "$region"); do
    current=$(in_region "$where" stack_status "$(stack_name "$id")") || return
    if [ -n "$current" ]; then return 0; fi
  done
  with_type AWS::S3::Bucket "^$lower-(statebucket|trailbucket)-"
  try iam list-roles --query "Roles[?starts_with(RoleName, 'stackstate-topo-')].RoleName" >"$work/names" || return
  with_type AWS::IAM::Role "^($stack-(TopoCron|TopoCwEvents|TopoPublisher|SnapshotSchedule|SnapshotStateMachine)|stackstate-topo-forward-$id-Forward)Role-"
  try iam list-policies --scope Local \
    --query "Policies[?starts_with(PolicyName, '$stack-')].Arn" >"$work/names" || return
  with_type AWS::IAM::ManagedPolicy "/$stack-(Read|Key|Network)Policy-"
}

# Prints the names in $work/names that match, each behind a type.
with_type() {
  tr '\t' '\n' <"$work/names" | awk -v type="$1" -v pattern="$2" '$0 ~ pattern { print type "\t" $0 }'
}

# Looks one resource up. Returns 0 when it exists, 1 when it does not, 2 when AWS does not say.
exists() {
  local answer
  # shellcheck disable=SC2016  # the quotes around names are JMESPath's
  case $1 in
    AWS::Lambda::Function) answer=$(try lambda get-function-configuration --function-name "$2" --query State) ;;
    AWS::Lambda::EventSourceMapping) answer=$(try lambda get-event-source-mapping --uuid "$2" --query State) ;;
    AWS::Logs::LogGroup)
      answer=$(try logs describe-log-groups --log-group-name-prefix "$2" --query "logGroups[?logGroupName=='$2'].arn")
      ;;
    AWS::SQS::Queue) answer=$(try sqs get-queue-url --queue-name "${2##*/}" --query QueueUrl) ;;
    AWS::Kinesis::Stream)
      answer=$(try kinesis describe-stream-summary --stream-name "$2" --query StreamDescriptionSummary.StreamStatus)
      ;;
    AWS::Events::Rule) answer=$(try events describe-rule --name "$2" --query Arn) ;;
    AWS::CloudWatch::Alarm)
      answer=$(try cloudwatch describe-alarms --alarm-names "$2" --query 'MetricAlarms[].AlarmArn')
      ;;
    AWS::CloudWatch::Dashboard) answer=$(try cloudwatch get-dashboard --dashboard-name "$2" --query DashboardName) ;;
    AWS::CloudTrail::Trail) answer=$(try cloudtrail get-trail --name "$2" --query Trail.Name) ;;
    AWS::SecretsManager::Secret) answer=$(try secretsmanager describe-secret --secret-id "$2" --query ARN) ;;
    AWS::StepFunctions::StateMachine)
      answer=$(try stepfunctions describe-state-machine --state-machine-arn "$2" --query status)
      ;;
    AWS::IAM::Role) answer=$(try iam get-role --role-name "$2" --query Role.Arn) ;;
    AWS::IAM::ManagedPolicy) answer=$(try iam get-policy --policy-arn "$2" --query Policy.Arn) ;;
    # Without --query: head-bucket of older CLIs answers with nothing at all.
    AWS::S3::Bucket) answer=$(aws_ s3api head-bucket --bucket "$2" 2>"$work/error" && printf there) ;;
    # These live and die with a function, a queue, a bucket or what it allows, which is looked at.
    AWS::Lambda::Permission | AWS::Lambda::EventInvokeConfig) return 1 ;;
    AWS::SQS::QueuePolicy | AWS::S3::BucketPolicy) return 1 ;;
    AWS::Events::EventBusPolicy)
      answer=$(try events describe-event-bus --query Policy)
      [[ $answer == *"$2"* ]] || return 1
      ;;
    *) printf '%s is of a type that this version does not know.\n' "$2" >"$work/error" && return 2 ;;
  esac && { [ -n "$answer" ] && return 0 || return 1; }
  if absent; then return 1; fi
  return 2
}

# Removes one resource that no stack holds. Returns 1, with the reason in $work/error, when that does not succeed.
remove() {
  case $1 in
    AWS::Lambda::Function) try lambda delete-function --function-name "$2" ;;
    AWS::Lambda::EventSourceMapping) try lambda delete-event-source-mapping --uuid "$2" >/dev/null ;;
    AWS::Logs::LogGroup) try logs delete-log-group --log-group-name "$2" ;;
    AWS::SQS::Queue)
      try sqs get-queue-url --queue-name "${2##*/}" --query QueueUrl >"$work/url" &&
        try sqs delete-queue --queue-url "$(cat "$work/url")"
      ;;
    AWS::Kinesis::Stream) try kinesis delete-stream --stream-name "$2" --enforce-consumer-deletion ;;
    AWS::CloudWatch::Alarm) try cloudwatch delete-alarms --alarm-names "$2" ;;
    AWS::CloudWatch::Dashboard) try cloudwatch delete-dashboards --dashboard-names "$2" ;;
    AWS::CloudTrail::Trail) try cloudtrail delete-trail --name "$2" ;;
    AWS::StepFunctions::StateMachine) try stepfunctions delete-state-machine --state-machine-arn "$2" ;;
    AWS::S3::Bucket) empty_bucket "$2" && try s3api delete-bucket --bucket "$2" ;;
    AWS::SecretsManager::Secret)
      try secretsmanager delete-secret --secret-id "$2" --force-delete-without-recovery >/dev/null
      ;;
    *) printf '%s %s is not removed by this script.\n' "$1" "$2" >"$work/error" && return 1 ;;
  esac || absent
}

# Looks every resource of the inventory up, and lists what is left. Some take a minute to vanish, queues for one.
prove() {
  local round current where unnamed=""
  # What was there in the beginning, and what names find now.
  named >"$work/now" || unnamed="  what has names of ours: $(what_aws_said)"
  sort -u "$work/now" "$work/inventory" | grep -v '^forwarder' >"$work/left"
  for round in 1 2 3 4 5 6 7 8; do
    mv "$work/left" "$work/candidates"
    look_up
    # Waiting helps only where something is about to go.
    if [ ! -s "$work/left" ] || [ "$round" = 8 ] || [ "$failures" -gt 0 ] || [ -z "$status" ]; then break; fi
    sleep 10
  done
  if [ -n "$unnamed" ]; then printf '%s\n' "$unnamed" >>"$work/unsure"; fi
  current=$(stack_status "$stack") || printf '  AWS::CloudFormation::Stack %s\n' "$stack" >>"$work/unsure"
  if [ -n "$current" ]; then printf 'AWS::CloudFormation::Stack\t%s\n' "$stack" >>"$work/left"; fi
  for where in $regions; do
    current=$(in_region "$where" stack_status "$(forwarder_name "$id")" </dev/null) ||
      printf '  AWS::CloudFormation::Stack %s in %s\n' "$(forwarder_name "$id")" "$where" >>"$work/unsure"
    if [ -n "$current" ]; then
      printf 'AWS::CloudFormation::Stack\t%s in %s\n' "$(forwarder_name "$id")" "$where" >>"$work/left"
    fi
  done
  if [ -s "$work/left" ]; then
    warn "Still there:"
    warn "$(sed 's/^/  /' "$work/left")"
    if grep -q 'ForwardRole' "$work/left"; then
      warn "A ForwardRole belongs to stack $(forwarder_name "$id") in another region: name it with --regions."
    fi
  fi
  if [ -s "$work/unsure" ]; then warn "Could not be checked:"$'\n'"$(cat "$work/unsure")"; fi
  : >"$work/error"
  [ ! -s "$work/left" ] && [ ! -s "$work/unsure" ]
}

# Sorts the candidates: what still exists into $work/left, what AWS does not tell of into $work/unsure. Rules and alarms
# are many, and looked up together.
look_up() {
  local type name
  : >"$work/left"
  : >"$work/unsure"
  look_up_together AWS::Events::Rule events list-rules --query 'Rules[].Name'
  look_up_together AWS::CloudWatch::Alarm cloudwatch describe-alarms --query 'MetricAlarms[].AlarmName'
  while IFS=$'\t' read -r type name; do
    case $type in AWS::Events::Rule | AWS::CloudWatch::Alarm) continue ;; esac
    exists "$type" "$name" </dev/null
    case $? in
      0) printf '%s\t%s\n' "$type" "$name" >>"$work/left" ;;
      2) unsure "$type" "$name" ;;
    esac
  done <"$work/candidates"
}

# Looks all candidates of one type up by one call, which prints the names that there are.
look_up_together() {
  local type=$1
  shift
  grep "^$type"$'\t' "$work/candidates" >"$work/alike" || return 0
  if ! try "$@" >"$work/names"; then
    unsure "$type" "$(wc -l <"$work/alike" | tr -d ' ') of them"
    return
  fi
  tr '\t' '\n' <"$work/names" | awk -v type="$type" '{ print type "\t" $0 }' | grep -Fxf "$work/alike" >>"$work/left"
}

unsure() {
  printf '  %s %s: %s\n' "$1" "$2" "$(what_aws_said s3:ListBucket | tr '\n' ' ')" >>"$work/unsure"
}
