#!/usr/bin/env bash
# Removes what install.sh installed in one account and region, and proves that nothing is left.
[ -n "${BASH_VERSION:-}" ] || { echo "$0 is a script for bash. Run it as: bash $0" >&2 && exit 2; }
set -uo pipefail

# The folder that this lies in, whatever link it was called by.
here=$(CDPATH="" cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
# shellcheck source=installer/aws.sh
. "$here/installer/aws.sh"
# shellcheck source=installer/leftovers.sh
. "$here/installer/leftovers.sh"

all=""
dry_run=""
further_regions=""
failures=0

usage() {
  cat <<'END'
Usage: uninstall.sh [options] [CONFIGURATION_ID]

Removes the installation of StackState's AWS topology agent that belongs to
this configuration id: stack, functions, roles, queues, stream, trail, buckets,
logs, API key, and the forwarding of events in further regions. Buckets, roles,
secrets and trails of yours that it used stay as they are. Can be repeated:
what is gone already is no error. Without an id it lists what is there, and
asks.

  --all               remove all installations in the region
  --dry-run           show what would be removed; change nothing
  --regions LIST      further regions, with commas, to look for what forwards
                      events to here; needed only when the stack itself is gone
  --name-suffix -NAME  the installation's, if it has one; needed only when the
                      stack itself is gone

END
  common_usage
  cat <<'END'

Exit status: 0 nothing is left, 1 something is left or could not be checked,
2 wrong usage.
END
}

take_flag() {
  case $1 in
    --all) all=yes ;;
    --dry-run) dry_run=yes ;;
    *) return 1 ;;
  esac
}

take_option() {
  case $1 in
    --regions) further_regions=${2//,/ } ;;
    *) return 1 ;;
  esac
}

# Runs one step. A step that fails is told and counted, and the next one follows all the same.
step() {
  local title=$1
  shift
  : >"$work/error"
  if ! "$@"; then
    warn "FAILED: $title"
    warn "$(what_aws_said)"
    failures=$((failures + 1))
  fi
}

# Prints the documents in policies/ that this takes: one of the two, once it is known what is installed.
policy_documents() {
  case $(parameter TopologyMode) in
    full) printf 'StackStateIntegrationPolicyUninstall\n' ;;
    minimal) printf 'StackStateIntegrationPolicyTopoCronUninstall\n' ;;
    *) printf 'StackStateIntegrationPolicy%s\n' Uninstall TopoCronUninstall ;;
  esac
}

# Finds the installation's stack, whatever it is called, and what is known of it. Sets stack, status, suffix, regions.
find_stack() {
  local found others
  list_installations
  found=$(awk -F '\t' -v id="$id" '$1 == id { print $2; exit }' "$work/installations")
  stack=${found:-$(stack_name "$id")}
  # Before its end, nobody knows what it will have.
  if [ -n "$dry_run" ]; then status=$(stack_status "$stack"); else settle_stack "$stack"; fi ||
    fail "AWS does not tell how stack $stack is; what it said is above. Run this again to go on."
  regions=$(printf '%s\n' "$(global_region)" "$further_regions")
  suffix_known=$suffix
  : >"$work/parameters"
  if [ -n "$status" ]; then
    read_stack "$stack" || fail "AWS does not tell what stack $stack was made with; what it said is above"
    suffix=$(parameter NameSuffix)
    suffix_known=yes
    regions="$regions $(parameter Regions | tr ',' ' ')"
  fi
  # A name that another installation has by now is not ours any more.
  others=$(awk -F '\t' -v id="$id" -v suffix="${suffix:--}" '$1 != id && $5 == suffix' "$work/installations")
  if [ -n "$others" ]; then suffix_known=""; fi
  # shellcheck disable=SC2086  # regions are words
  regions=$(printf '%s\n' $regions | grep -Fxv "$region" | sort -u)
}

# Writes down, "type<tab>id" per line and before it goes, what the installation consists of (what may be touched), and
# together with what has its tag or name (what is looked up at the end).
take_inventory() {
  : >"$work/held"
  : >"$work/inventory"
  if [ -n "$status" ]; then
    try cloudformation list-stack-resources --stack-name "$stack" \
      --query 'StackResourceSummaries[?PhysicalResourceId].[ResourceType,PhysicalResourceId]' >"$work/held" || return
  fi
  tagged >"$work/tagged" || return
  named >"$work/named" || return
  # The stack knows a queue by its URL, the tags by its name.
  # What has both the tag and a name of ours is left of a stack that went by other means.
  sed 's|https*://.*/||' "$work/held" >"$work/known"
  grep 'stackstate-topo-' "$work/tagged" | grep -Fxvf "$work/known" >"$work/outside"
  # Lambda makes logs again, without tags, for a function that still ran.
  if [ -n "$suffix_known" ]; then
    for name in cron cwevents publisher; do
      printf 'AWS::Logs::LogGroup\t/aws/lambda/stackstate-topo-%s%s\n' "$name" "$suffix"
    done >"$work/logs"
    while IFS=$'\t' read -r type name; do
      if exists "$type" "$name"; then printf '%s\t%s\n' "$type" "$name" >>"$work/outside"; fi
    done <"$work/logs"
  fi
  sort -u "$work/known" "$work/outside" "$work/tagged" "$work/named" >"$work/inventory"
}

# Prints the ids of one type that the stack holds.
held() {
  awk -F '\t' -v type="$1" '$1 == type { print $2 }' "$work/held" | sort -u
}

# Removes the stacks that forward events from other regions, whose rules would otherwise go on sending.
remove_forwarders() {
  local where failed=0
  for where in $regions; do
    in_region "$where" remove_forwarder </dev/null || failed=1
  done
  return "$failed"
}

remove_forwarder() {
  local name
  name=$(forwarder_name "$id")
  [ -n "$(stack_status "$name")" ] || return 0
  printf 'forwarder\t%s\n' "$region" >>"$work/inventory"
  say "Deleting stack $name in $region."
  delete_stack "$name" || {
    warn "$(stack_failures "$name")"
    return 1
  }
}

# Keeps rules and event source mappings from doing anything more: with no concurrency left, no function starts, and
# nothing is written anew that is about to be removed.
stop_functions() {
  local function
  for function in $(held AWS::Lambda::Function); do
    try lambda put-function-concurrency --function-name "$function" --reserved-concurrent-executions 0 >/dev/null ||
      absent || return
  done
}

# Keeps the trail from writing into the bucket that is about to be emptied.
stop_trail() {
  local name
  for name in $(held AWS::CloudTrail::Trail); do
    try cloudtrail stop-logging --name "$name" || absent || return
  done
}

# Empties the stack's own buckets. One of the user's is no resource of the stack.
empty_stack_buckets() {
  local name failed=0
  for name in $(held AWS::S3::Bucket); do
    if exists AWS::S3::Bucket "$name"; then
      say "Emptying bucket $name."
      empty_bucket "$name" || failed=1
    fi
  done
  return "$failed"
}

# Removes the stack. A function that was still running may have written to the bucket meanwhile: hence more than once.
remove_stack() {
  local attempt
  for attempt in 1 2 3; do
    say "Deleting stack $stack. This takes a few minutes."
    if delete_stack "$stack"; then return 0; fi
    [ "$(stack_status "$stack")" = DELETE_FAILED ] || break
    if [ "$attempt" -lt 3 ]; then empty_stack_buckets; fi
  done
  warn "Stack $stack could not be deleted. Its functions stay stopped until it is, or install.sh starts them again:"
  warn "$(stack_failures "$stack")"
  return 1
}

# Removes what the installation has outside the stack: what Lambda made again, and what outlived a stack that went by
# other means. Rules and roles of such a stack are left to a person: the message in the end names them. What a stack has
# that is still there stays with it: install.sh could not bring it back.
remove_leftovers() {
  local type name remains failed=0
  remains=$(stack_status "$stack") || return
  while IFS=$'\t' read -r type name; do
    if [ -n "$remains" ] && grep -Fxq "$type"$'\t'"$name" "$work/known"; then continue; fi
    case $type in
      AWS::SecretsManager::Secret | AWS::IAM::* | AWS::Events::*) continue ;; # have a step of their own, or stay
    esac
    exists "$type" "$name" </dev/null || continue
    say "Deleting $type $name."
    remove "$type" "$name" </dev/null || {
      warn "$(what_aws_said)"
      failed=1
    }
  done <"$work/outside"
  return "$failed"
}

# Deletes the secret that install.sh made, and no other of that name. One that waits for its deletion goes at once, too.
delete_secret() {
  local name owner
  name=$(secret_name "$id")
  if ! owner=$(try secretsmanager describe-secret --secret-id "$name" \
    --query "Tags[?Key=='stackstate-lightweight-agent']|[0].Value"); then
    absent
  elif [ "$owner" = "$id" ]; then
    say "Deleting secret $name."
    printf 'AWS::SecretsManager::Secret\t%s\n' "$name" >>"$work/inventory"
    remove AWS::SecretsManager::Secret "$name"
  fi
}

# Deletes the deployment bucket, unless another installation in this region deploys from it.
delete_deployment_bucket() {
  local name owner others
  name=$(deployment_bucket)
  exists AWS::S3::Bucket "$name" || { [ $? -eq 1 ] && return 0 || return 1; }
  owner=$(try s3api get-bucket-tagging --bucket "$name" --query "TagSet[?Key=='Origin'].Value") || absent || return
  [ "$owner" = Stackstate ] || return 0
  others=$(installations) || return
  others=$(printf '%s\n' "$others" | awk -F '\t' -v stack="$stack" '$2 != "" && $2 != stack { print $1 }')
  if [ -n "$others" ]; then
    say "Bucket $name stays: other installations use it ($(printf '%s' "$others" | tr '\n' ' '))."
    return
  fi
  say "Deleting bucket $name."
  printf 'AWS::S3::Bucket\t%s\n' "$name" >>"$work/inventory"
  remove AWS::S3::Bucket "$name"
}

# Names what the installation used and did not make, so that nobody looks for it in vain.
tell_what_stays() {
  local secret
  if [ -n "$(parameter StateBucketName)" ]; then
    say "Bucket $(parameter StateBucketName) is yours and stays. What was written there begins with state/$id/,"
    say "dead-letters/$id/, aws/lambda/ and stackstate-topo/."
  fi
  if [ -n "$(parameter TopoCronRoleArn)" ]; then say "Role $(parameter TopoCronRoleArn) is yours and stays."; fi
  secret=$(parameter StackStateApiKeySecretArn)
  if [ -n "$secret" ] && [[ $secret != *":secret:$(secret_name "$id")-"* ]]; then
    say "Secret $secret is yours and stays."
  fi
}

# Says that there was nothing to do, and what else there is: the id may have been mistyped.
report_nothing() {
  local others
  say "There is no installation of configuration id $id in account $account, region $region: nothing is left to remove."
  others=$(awk -F '\t' '{ print "  " $1 }' "$work/installations")
  if [ -n "$others" ]; then
    say "Installed here are:"$'\n'"$others"
  else
    say "If it is in another region, name that with --region."
  fi
}

# Shows what would go.
rehearse() {
  local where
  if [ ! -s "$work/inventory" ]; then report_nothing && return; fi
  say "Of configuration id $id in account $account, region $region, this would be removed:"
  awk -F '\t' '{ printf "  %-32s %s\n", $1, $2 }' "$work/inventory"
  for where in $regions; do
    if [ -n "$(in_region "$where" stack_status "$(forwarder_name "$id")" </dev/null)" ]; then
      say "  stack $(forwarder_name "$id") in $where"
    fi
  done
  say "Besides, secret $(secret_name "$id"), and bucket $(deployment_bucket) if no other installation uses it."
  tell_what_stays
  say "Nothing was changed."
}

# Removes one installation, and says how it ended. Arguments: configuration id.
uninstall() {
  id=$1
  find_stack
  step "list what the installation consists of" take_inventory
  if [ -n "$dry_run" ]; then
    rehearse
    return "$failures"
  fi
  step "stop forwarding events from other regions" remove_forwarders
  if [ -n "$status" ]; then
    say "Removing configuration id $id from account $account, region $region."
    tell_what_stays
    step "stop the functions" stop_functions
    step "stop the trail" stop_trail
    step "empty the buckets of the stack" empty_stack_buckets
    step "delete the stack" remove_stack
  fi
  step "delete what no stack holds" remove_leftovers
  step "delete the secret" delete_secret
  step "delete the deployment bucket" delete_deployment_bucket
  step "prove that nothing is left" prove
  conclude
}

conclude() {
  local number
  if [ "$failures" -gt 0 ]; then
    fail "$failures of the steps failed, see above. When the cause is mended, run this again: it goes on where it is."
  fi
  if [ -s "$work/inventory" ]; then
    number=$(wc -l <"$work/inventory" | tr -d ' ')
    say "Nothing of configuration id $id is left: $number resources were looked up one by one."
  else
    report_nothing
  fi
}

# Lists the installations in the region, and lets a person choose. Sets chosen to their ids.
choose() {
  local answer=""
  list_installations
  chosen=$(cut -f 1 "$work/installations")
  if [ -z "$chosen" ]; then
    say "There is no installation in account $account, region $region. If only its stack is gone, name its id."
    exit 0
  fi
  say "Installed in account $account, region $region:"
  awk -F '\t' '{ printf "  %-20s stack %s, instance %s %s\n", $1, $2, $3, ($4 == "-" ? "" : $4) }' "$work/installations"
  if [ -n "$all" ]; then
    if [ -z "$assume_yes" ] && [ ! -t 0 ]; then
      fail "nothing was changed: nobody can be asked here. Give --yes with --all to remove all of them"
    fi
    confirm "Remove all of them?" || fail "nothing was changed"
    return
  fi
  printf 'Configuration id of the one to remove: '
  read -r answer || true
  say ""
  [ -n "$answer" ] || misused "nothing was chosen. Name a configuration id, or all of them with --all"
  printf '%s\n' "$chosen" | grep -Fx -- "$answer" >/dev/null || misused "'$answer' is none of them"
  chosen=$answer
}

interrupted() {
  warn ""
  if [ -n "$dry_run" ]; then
    warn "Interrupted. Nothing was changed."
  else
    warn "Interrupted. What is removed stays removed, and CloudFormation may still be at work. Run the same command again: it
goes on where this was. To keep the installation instead, run install.sh with its three arguments."
  fi
}

main() {
  local one failed=0
  read_options "$@"
  [ ${#arguments[@]} -le 1 ] || misused "one configuration id at a time"
  [ ${#arguments[@]} -eq 0 ] || check_id "${arguments[0]}"
  [ ${#arguments[@]} -eq 0 ] || [ -z "$all" ] || misused "--all and a configuration id contradict each other"
  make_work_folder
  connect
  chosen=${arguments[0]:-}
  if [ -z "$chosen" ]; then choose; fi
  # Here, so that a signal ends it at once.
  if [ "$(printf '%s\n' "$chosen" | wc -l)" -eq 1 ]; then
    uninstall "$chosen" </dev/null
    return
  fi
  # Each in a process of its own: what one cannot, the next one may.
  for one in $chosen; do
    (uninstall "$one") </dev/null || failed=1
  done
  return "$failed"
}

main "$@"
