# shellcheck shell=bash disable=SC2154  # variables and functions of aws.sh, which sources this
# Stacks in CloudFormation: how one is, what it is at, how it goes, and what failed.

# Prints the state of a stack (its name or id), nothing when there is none; fails when AWS does not say.
stack_status() {
  local answer
  if answer=$(try cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus'); then
    printf '%s\n' "$answer"
  elif ! absent; then
    what_aws_said >&2
    return 1
  fi
}

# Waits while CloudFormation works on a stack, and shows at what. Sets status to how it ended.
wait_for_stack() {
  local shown="" line reviews=0
  while true; do
    status=$(stack_status "$1") || return
    case $status in
      # Nothing happens to a stack that has only a change set; but what was asked for just now may take a moment to show.
      REVIEW_IN_PROGRESS)
        reviews=$((reviews + 1))
        if [ "$reviews" -gt 5 ]; then return; fi
        ;;
      *_IN_PROGRESS) ;;
      *) return ;;
    esac
    line=$(progress "$1")
    if [ -n "$line" ] && [ "$line" != "$shown" ]; then say "  $line"; fi
    shown=$line
    sleep "${POLL_SECONDS:-4}"
  done
}

# Prints how many resources CloudFormation has done in its present operation on a stack, and which it is at.
progress() {
  ask cloudformation describe-stack-events --stack-name "$1" --max-items 200 \
    --query 'StackEvents[].[ResourceStatus,LogicalResourceId,ResourceStatusReason]' 2>/dev/null |
    awk -F '\t' -v stack="$1" '
      $3 == "User Initiated" { exit }
      $2 == stack { next }
      $1 ~ /_COMPLETE$/ && !seen[$2]++ { done++ }
      $1 ~ /_IN_PROGRESS$/ && !seen[$2]++ && at == "" { at = $2 }
      END { if (at != "") print done + 0 " done, at " at }'
}

# Waits for what CloudFormation does to a stack already, an earlier run's work or somebody else's. Sets status.
# Argument: stack. Fails, having said why, when AWS does not tell.
settle_stack() {
  status=$(stack_status "$1") || return
  case $status in
    REVIEW_IN_PROGRESS) ;;
    *_IN_PROGRESS)
      say "CloudFormation is still at work on stack $1 ($status). Waiting for its end."
      wait_for_stack "$1"
      ;;
  esac
}

# Deletes a stack and waits until it is gone, or until CloudFormation gives up, which is a failure.
delete_stack() {
  local status
  settle_stack "$1" || return
  if [ -z "$status" ]; then return 0; fi
  aws_ cloudformation delete-stack --stack-name "$1" 2>"$work/error" || {
    what_aws_said >&2
    return 1
  }
  wait_for_stack "$1" || return
  [ -z "$status" ] || [ "$status" = DELETE_COMPLETE ]
}

# Prints what failed in the last operation of a stack, one resource per line, without what was merely cancelled.
stack_failures() {
  ask cloudformation describe-stack-events --stack-name "$1" --max-items 300 \
    --query 'StackEvents[].[ResourceStatus,LogicalResourceId,ResourceStatusReason]' 2>"$work/error" >"$work/events" || {
    what_aws_said
    return 0
  }
  awk -F '\t' '
    $3 == "User Initiated" { exit }
    $1 ~ /_FAILED$/ && $3 !~ /^(None|Resource (creation|update) cancelled)/ { print "  " $2 ": " $3 }' \
    "$work/events" >"$work/causes"
  cat "$work/causes"
  missing_rights "$(refused_actions "$work/causes")"
}
