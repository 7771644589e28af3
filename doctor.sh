#!/usr/bin/env bash
# Examines an installation of StackState's AWS topology agent from inside: what would keep it from working, and what to
# do about each. Needs bash and the AWS CLI.
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
# shellcheck source=installer/leftovers.sh
. "$here/installer/leftovers.sh"
# shellcheck source=installer/health.sh
. "$here/installer/health.sh"

problems=0
unknowns=0

usage() {
  cat <<'END'
Usage: doctor.sh [options] [CONFIGURATION_ID]

Examines an installation of StackState's AWS topology agent: versions, roles
and rights, functions and what calls them, queue, stream and bucket, the trail
that change events come by, the forwarding from further regions, and whether
the receiver takes a message from the functions. Changes nothing; the message
is without topology. The configuration id may be left out where there is one
installation.

END
  common_usage
  cat <<'END'

Exit status: 0 nothing is wrong, 1 something is wrong or could not be looked
at, 2 wrong usage.
END
}

# There are no options but the common ones.
take_flag() { return 1; }
take_option() { return 1; }

good() { say "ok       $1"; }
note() { say "note     $1"; }

# Prints a problem and, on lines of their own, what to do about it.
problem() {
  problems=$((problems + 1))
  say "PROBLEM  $1"
  shift
  if [ $# -gt 0 ]; then printf '         %s\n' "$@"; fi
}

# Says that AWS did not tell something. Arguments: what; the IAM action, where AWS may not name it.
unknown() {
  unknowns=$((unknowns + 1))
  say "UNKNOWN  $1"
  what_aws_said "${2:-}" | sed 's/^/         /'
}

# Tells whether a stack is as the last installation or upgrade left it. Argument: its state.
at_rest() {
  case $1 in
    CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE) ;;
    *) return 1 ;;
  esac
}

check_stack() {
  local now installed own
  now=$(stack_status "$stack")
  if at_rest "$now"; then
    good "stack $stack: $now"
  elif [[ $now == *_IN_PROGRESS ]]; then
    note "stack $stack: $now. What follows may be on its way."
  else
    problem "stack $stack: $now" "Run install.sh again, or uninstall.sh."
  fi
  own=$(version)
  installed=$(output Version)
  if [ "$installed" = "$own" ]; then
    good "version $installed, as these scripts"
  else
    problem "version ${installed:-unknown}, but these scripts are of $own" "Upgrade with install.sh."
  fi
}

# Examines one function: there, able to start, of the stack's version, not stopped.
check_function() {
  local answer state update reason reserved found
  if ! answer=$(try lambda get-function-configuration --function-name "$1" \
    --query '[State,LastUpdateStatus,StateReason]'); then
    if absent; then
      problem "function $1 is gone" "Run install.sh again; if that finds nothing to change, uninstall.sh before."
    else
      unknown "function $1" lambda:GetFunctionConfiguration
    fi
    return
  fi
  IFS=$'\t' read -r state update reason <<<"$answer"
  if [ "$state" != Active ] && [ "$state" != Inactive ] && [ "$state" != None ]; then
    problem "function $1 is $state: $reason" "Often a subnet or a KMS key is gone that it was given."
  elif [ "$update" = Failed ]; then
    problem "the last update of function $1 failed" "Run install.sh again."
  fi
  reserved=$(try lambda get-function-concurrency --function-name "$1" --query ReservedConcurrentExecutions) ||
    unknown "whether function $1 is stopped" lambda:GetFunctionConcurrency
  if [ "${reserved%.*}" = 0 ]; then
    problem "function $1 is stopped: its reserved concurrency is 0" \
      "A run of uninstall.sh that did not come to its end does that. Run uninstall.sh again; or, to go on with the" \
      "installation, install.sh with its three arguments."
  fi
  if ! found=$(function_version "$1"); then
    unknown "the version of function $1" lambda:ListTags
  elif [ "$found" != "$(output Version)" ]; then
    problem "function $1 is of version ${found:-unknown}, the stack of $(output Version)" "Run install.sh again."
  else
    good "function $1"
  fi
}

# Names the actions that a role may not take. Arguments: what is said if it may, role, actions, resources.
check_role() {
  local title=$1 role=$2 actions=$3 resources=$4
  # shellcheck disable=SC2086  # actions and ARNs have no spaces
  if ! try iam simulate-principal-policy --policy-source-arn "$role" --action-names $actions \
    --resource-arns $resources --query "EvaluationResults[?EvalDecision!='allowed'].[EvalActionName,
      OrganizationsDecisionDetail.AllowedByOrganizations,
      PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary]" >"$work/denied"; then
    if absent; then
      problem "role $role is gone" "Run install.sh again; a role of yours has to be made again."
    else
      unknown "the rights of role $role" iam:SimulatePrincipalPolicy
    fi
    return
  fi
  if [ ! -s "$work/denied" ]; then
    good "$title"
    return
  fi
  problem "role $role lacks rights:"
  awk -F '\t' '{
    why = $2 == "False" ? "a service control policy of the organization forbids it" : \
      $3 == "False" ? "its permissions boundary does not allow it" : "no policy of the role allows it"
    print "         " $1 ": " why
  }' "$work/denied"
  say "         The stack's own roles get them by install.sh, a role of yours by policies/sts-topo-cron-policy.json."
}

check_roles() {
  local actions role resources
  actions=$(sed -n 's/^ *"\([a-z0-9-]*:[A-Z][A-Za-z0-9]*\)",*$/\1/p' "$here/policies/sts-topo-cron-policy.json")
  role=$(output TopoCronRoleArn)
  check_role "rights of topo-cron to read" "$role" "$actions" "*"
  check_role "rights of topo-cron on its log" "$role" "logs:CreateLogStream logs:PutLogEvents" \
    "arn:$partition:logs:$region:$account:log-group:/aws/lambda/$cron:log-stream:x"
  resources=arn:$partition:s3:::$bucket/state/$id
  check_role "rights of topo-cron on its state" "$role" "s3:GetObject s3:PutObject s3:DeleteObject" "$resources/x"
  check_role "rights of topo-cron on its bucket" "$role" s3:ListBucket "arn:$partition:s3:::$bucket"
  if [ "$mode" = full ]; then
    check_role "rights of topo-cron on the stream" "$role" \
      "kinesis:GetRecords kinesis:GetShardIterator kinesis:ListShards kinesis:PutRecords" \
      "arn:$partition:kinesis:$region:$account:stream/$(output StreamName)"
    check_role "rights of topo-cwevents to read" "$(output TopoCwEventsRoleArn)" "$actions" "*"
  else
    check_role "rights of topo-cron on the API key" "$role" secretsmanager:GetSecretValue "$(secret)"
  fi
  if [ -n "$(parameter AccountRoleArns)" ]; then
    note "roles of further accounts are examined by the snapshot alone: see ./status.sh --region $region $id"
  fi
}

# Prints the ARN of the secret with the API key.
secret() {
  local arn
  arn=$(parameter StackStateApiKeySecretArn)
  printf '%s\n' "${arn:-$(resource ApiKeySecret)}"
}

check_secret() {
  local deleted
  if deleted=$(try secretsmanager describe-secret --secret-id "$(secret)" --query DeletedDate); then
    if [ -n "$deleted" ]; then
      problem "the secret with the API key is about to be deleted" "Run install.sh again with the API key."
    else
      good "secret with the API key"
    fi
  elif absent; then
    problem "the secret with the API key is gone" "Run install.sh again with the API key."
  else
    unknown "the secret with the API key" secretsmanager:DescribeSecret
  fi
}

# Looks whether rules in $region are there and enabled. Arguments: what they are called here, their names.
check_rules() {
  local title=$1 off missing
  # shellcheck disable=SC2016  # the quotes are JMESPath's
  if ! try events list-rules --query 'Rules[].[Name,State]' >"$work/rules"; then
    unknown "$title" events:ListRules
    return
  fi
  printf '%s\n' "$2" >"$work/wanted"
  off=$(awk -F '\t' 'FILENAME ~ /wanted$/ { wanted[$1]; next } $1 in wanted && $2 == "DISABLED" { print $1 }' \
    "$work/wanted" "$work/rules")
  missing=$(cut -f 1 "$work/rules" | grep -Fxvf - "$work/wanted" || true)
  if [ -n "$off" ]; then
    problem "$title: disabled are $(printf '%s' "$off" | tr '\n' ' ')" \
      "aws events enable-rule --region $region --name NAME"
  fi
  if [ -n "$missing" ]; then
    problem "$title: gone are $(printf '%s' "$missing" | tr '\n' ' ')" \
      "CloudFormation does not make anew what was deleted behind its back: uninstall.sh, then install.sh."
  fi
  if [ -z "$off$missing" ]; then good "$title: $(wc -l <"$work/wanted" | tr -d ' ') enabled"; fi
}

check_schedule() {
  local rule=TopoCronFunctionSchedule
  if [ "$(parameter SpreadSnapshots)" = true ]; then rule=SnapshotSchedule; fi
  check_rules "schedule of snapshots" "$(resource "$rule")"
}

# Examines an event source mapping. Arguments: what it is called here, its id.
check_mapping() {
  local state
  if ! state=$(try lambda get-event-source-mapping --uuid "$2" --query '[State,LastProcessingResult]'); then
    if absent; then
      problem "$1: the event source mapping $2 is gone" "uninstall.sh, then install.sh, make it anew."
    else
      unknown "$1" lambda:GetEventSourceMapping
    fi
    return
  fi
  case $state in
    Enabled* | Enabling* | Creating* | Updating*) good "$1" ;;
    *)
      problem "$1: the event source mapping is $(printf '%s' "$state" | tr '\t' ' ')" \
        "aws lambda update-event-source-mapping --region $region --uuid $2 --enabled"
      ;;
  esac
}

# Looks whether something is there. Arguments: what it is called here, its type in CloudFormation, its name.
check_there() {
  local status=0
  exists "$2" "$3" || status=$?
  case $status in
    0) good "$1" ;;
    1) problem "$1: $3 is gone" "uninstall.sh, then install.sh, make it anew." ;;
    *) unknown "$1: $3" s3:ListBucket ;;
  esac
}

# Looks for the trails that the change events of all regions come by.
check_trails() {
  local where found
  if [ "$(parameter TrailMode)" = none ]; then
    note "no trail is wanted (--trail none): most changes show with the next snapshot only"
    return
  fi
  for where in $region $regions; do
    if ! found=$(in_region "$where" find_trail ""); then
      unknown "the trail in $where" cloudtrail:DescribeTrails
    elif [ -n "$found" ]; then
      good "trail for change events in $where: $found"
    else
      problem "no CloudTrail trail logs write management events in $where: most changes there show late" \
        "Run install.sh again: it makes one where there is none. --trail none goes without."
    fi
  done
}

# Examines the forwarding from one region, which is $region here.
check_forwarder() {
  local name status
  name=$(forwarder_name "$id")
  status=$(stack_status "$name" 2>"$work/error") || {
    unknown "forwarding from $region" cloudformation:DescribeStacks
    return
  }
  if ! at_rest "$status"; then
    problem "forwarding from $region: stack $name is ${status:-gone}" "Run install.sh again."
    return
  fi
  if ! try cloudformation list-stack-resources --stack-name "$name" \
    --query "StackResourceSummaries[?ResourceType=='AWS::Events::Rule'].[PhysicalResourceId]" >"$work/forwarding"; then
    unknown "forwarding from $region" cloudformation:ListStackResources
    return
  fi
  check_rules "forwarding from $region" "$(cat "$work/forwarding")"
}

# Lets the function that sends do it once, by its own way and with its own key, with a message that has no topology.
check_receiver_from_inside() {
  local sender=${publisher:-$cron} failed
  printf '{"step": "probe"}' >"$work/payload"
  if ! failed=$(AWS_CLI_READ_TIMEOUT=300 try lambda invoke --function-name "$sender" \
    --payload "fileb://$work/payload" --query FunctionError "$work/answer"); then
    unknown "whether the receiver takes messages" lambda:InvokeFunction
  elif [ -n "$failed" ]; then
    problem "the receiver does not take messages from $sender:" \
      "$(sed -nE 's/.*"errorMessage": *"(([^"\\]|\\.)*)".*/\1/p' "$work/answer")" \
      "docs/operations.md has what to do about it."
  else
    good "the receiver takes messages from $sender"
  fi
}

main() {
  local where
  read_options "$@"
  take_id
  make_work_folder
  connect
  look_up_installation
  say "Configuration id $id in account $account, region $region: stack $stack ($mode)."
  check_stack
  for where in $(functions); do check_function "$where"; done
  check_roles
  check_secret
  check_there "bucket" AWS::S3::Bucket "$bucket"
  check_schedule
  if [ "$mode" = full ]; then
    check_there "stream" AWS::Kinesis::Stream "$(output StreamName)"
    check_there "queue of change events" AWS::SQS::Queue "$(output ChangeQueueUrl)"
    check_there "dead-letter queue" AWS::SQS::Queue "$(output ChangeDeadLetterQueueUrl)"
    check_mapping "stream to topo-publisher" "$(resource TopoPublisherRecords)"
    check_mapping "queue to topo-cwevents" "$(resource TopoCwEventsFunctionChanges)"
    check_rules "rules for change events" \
      "$(of_type AWS::Events::Rule | grep -Fxv -e "$(resource TopoCronFunctionSchedule)" \
        -e "$(resource SnapshotSchedule)")"
    check_trails
    for where in $regions; do in_region "$where" check_forwarder; done
  fi
  check_receiver_from_inside
  say ""
  if [ $((problems + unknowns)) -eq 0 ]; then
    say "Nothing is wrong. How it does: ./status.sh --region $region $id"
    return
  fi
  say "$problems problems; $unknowns could not be looked at."
  return 1
}

main "$@"
