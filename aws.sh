# shellcheck shell=bash
# What install.sh and uninstall.sh share: how AWS is called, and what things are called there. Sourced, not run.

# Filled by the scripts' options, and by connect and make_work_folder below.
profile=""
region=""
account=""
identity=""
work=""

# No pager and no prompt may wait for somebody in an unattended run.
export AWS_PAGER="" AWS_CLI_AUTO_PROMPT=off

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# Ends the script with a message.
fail() {
  warn "$(basename "$0"): $*"
  exit 1
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

# Tells by the error text of a call whether the thing does not exist, in contrast to: nobody may look.
means_absent() {
  local codes='\((404|NoSuch[A-Za-z]+|[A-Za-z]*NotFound[A-Za-z]*|[A-Za-z.]*NonExistentQueue|QueueDoesNotExist)\)'
  printf '%s' "$1" | grep -Eq "$codes|Stack with id .* does not exist"
}

# Makes a private folder for what must be passed in files; it goes when the script ends, however it ends.
make_work_folder() {
  umask 077
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# Sets region, account and identity, or says what is missing.
connect() {
  command -v aws >/dev/null || fail "the AWS CLI is needed: https://aws.amazon.com/cli/"
  if [ -z "$region" ]; then region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}; fi
  if [ -z "$region" ]; then
    region=$(aws ${profile:+--profile "$profile"} configure get region 2>/dev/null) ||
      fail "no region: name it with --region, in AWS_REGION or in the profile"
  fi
  local answer
  answer=$(ask sts get-caller-identity --query '[Account,Arn]' 2>"$work/error") ||
    fail "AWS does not know who is asking. Check the credentials (AWS_PROFILE, or --profile). It says:
$(cat "$work/error")"
  # shellcheck disable=SC2034  # the scripts say who they act as
  read -r account identity <<<"$answer"
}

stack_name() { printf 'stackstate-topo-%s' "$1"; }
secret_name() { printf 'stackstate-topo-%s' "$1"; }
deployment_bucket() { printf 'stackstate-topo-deploy-%s-%s' "$account" "$region"; }

# Prints the state of a stack (its name or id), nothing when there is none; fails when AWS does not say.
stack_status() {
  local answer
  if answer=$(ask cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' \
    2>"$work/error"); then
    printf '%s\n' "$answer"
  elif ! means_absent "$(cat "$work/error")"; then
    warn "$(cat "$work/error")"
    return 1
  fi
}

# Deletes a stack and waits until it is gone, or until CloudFormation gives up, which is a failure.
delete_stack() {
  local status
  aws_ cloudformation delete-stack --stack-name "$1" || return
  while true; do
    status=$(stack_status "$1") || return
    case $status in
      "" | DELETE_COMPLETE) return 0 ;;
      *_IN_PROGRESS) sleep 5 ;;
      *) return 1 ;;
    esac
  done
}

# Prints what failed in the last operation of a stack, one resource per line, without what was merely cancelled.
stack_failures() {
  ask cloudformation describe-stack-events --stack-name "$1" --max-items 300 \
    --query 'StackEvents[].[ResourceStatus,LogicalResourceId,ResourceStatusReason]' 2>/dev/null |
    awk -F '\t' '
      $3 == "User Initiated" { exit }
      $1 ~ /_FAILED$/ && $3 !~ /^(None|Resource (creation|update) cancelled)/ { print "  " $2 ": " $3 }'
}

# Prints id and name of the installations in this region, one per line.
installations() {
  local ours="Stacks[?Tags[?Key=='Origin' && Value=='Stackstate']]"
  ask cloudformation describe-stacks --query "$ours.[Tags[?Key=='stackstate-lightweight-agent']|[0].Value,StackName]"
}

# Removes everything in a bucket: objects, their versions, delete markers and unfinished uploads.
empty_bucket() {
  local bucket=$1 refused key upload
  while true; do
    # One page at a time: DeleteObjects takes as many keys as a page has, a thousand.
    # shellcheck disable=SC2016  # the quotes around true are JMESPath's
    aws_ s3api list-object-versions --bucket "$bucket" --max-items 1000 --output json \
      --query '{Objects: [Versions, DeleteMarkers][][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' \
      >"$work/objects" || return
    grep -q '"Key"' "$work/objects" || break
    refused=$(ask s3api delete-objects --bucket "$bucket" --delete "file://$work/objects" \
      --query 'Errors[0].[Key,Message]') || return
    if [ -n "$refused" ]; then
      warn "S3 does not delete from $bucket: $refused"
      return 1
    fi
  done
  ask s3api list-multipart-uploads --bucket "$bucket" --query 'Uploads[].[Key,UploadId]' >"$work/uploads" || return
  while IFS=$'\t' read -r key upload; do
    aws_ s3api abort-multipart-upload --bucket "$bucket" --key "$key" --upload-id "$upload" || return
  done <"$work/uploads"
}
