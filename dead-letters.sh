#!/usr/bin/env bash
# Lists, shows and replays what an installation could not deliver. Needs bash and the AWS CLI.
[ -n "${BASH_VERSION:-}" ] || { echo "$0 is a script for bash. Run it as: bash $0" >&2 && exit 2; }
set -euo pipefail

# The folder that this lies in, whatever link it was called by.
here=$(CDPATH="" cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
# shellcheck source=installer/aws.sh
. "$here/installer/aws.sh"

# The key of what is in the queue, since a queue has no names for its messages.
events=change-events

usage() {
  cat <<'END'
Usage: dead-letters.sh [options] list [CONFIGURATION_ID]
       dead-letters.sh [options] show KEY [CONFIGURATION_ID]
       dead-letters.sh [options] replay KEY [CONFIGURATION_ID]

What StackState's AWS topology agent could not deliver, whole and with the
reason. The configuration id may be left out where there is one installation.

  list    everything that was set aside, with its KEY
  show    the payload, and why it is there
  replay  send it again, and forget it here; what fails once more comes back.
          A KEY that ends in / stands for all that begin with it.

  dead-letters/.../refused/     elements that the receiver refused. They go on
                                the stream again, as a change.
  dead-letters/.../unreadable/  records that this version cannot read. They go
                                on the stream again as they are.
  aws/lambda/...                records that grew too old, since the receiver
                                was away for days. Newer snapshots hold what
                                they held; to replay one takes a snapshot.
  change-events                 events that could not be handled. They go back
                                to their queue.

A snapshot is taken after whatever goes on the stream, so that nothing older
than what AWS has now stays in StackState.

END
  common_usage
  cat <<'END'

Exit status: 0 done, 1 failed, 2 wrong usage.
END
}

# There are no options but the common ones.
take_flag() { return 1; }
take_option() { return 1; }

# Checks the arguments. Sets command, key and id.
check_arguments() {
  [ ${#arguments[@]} -gt 0 ] || misused "what to do? list, show or replay"
  command=${arguments[0]} key="" id=""
  case $command in
    list)
      id=${arguments[1]:-}
      [ ${#arguments[@]} -le 2 ] || misused "list takes a configuration id, and nothing else"
      ;;
    show | replay)
      key=${arguments[1]:-} id=${arguments[2]:-}
      [ ${#arguments[@]} -le 3 ] || misused "one KEY at a time"
      [ -n "$key" ] || misused "$command needs a KEY, as list prints it"
      ;;
    *) misused "unknown command $command" ;;
  esac
  case $key in
    "" | dead-letters/ | dead-letters/*/* | aws/lambda/* | "$events") ;;
    *) misused "'$key' is no KEY that list prints" ;;
  esac
}

# Finds what the installation consists of. Sets stack, bucket, stream, queue, dead_queue, cron, mapping.
find_places() {
  find_installation "$id"
  bucket=$(output StateBucketName)
  stream=$(output StreamName)
  queue=$(output ChangeQueueUrl)
  dead_queue=$(output ChangeDeadLetterQueueUrl)
  cron=$(output TopoCronFunctionName)
  mapping=$(ask cloudformation list-stack-resources --stack-name "$stack" \
    --query "StackResourceSummaries[?LogicalResourceId=='TopoPublisherRecords']|[0].PhysicalResourceId")
}

# Prints key, bytes and time of the objects whose keys begin so. Of dead-letters/ only those of this installation, since
# others may use the same bucket; releases up to 0.1.0 put no configuration id into their keys.
objects() {
  ask s3api list-objects-v2 --bucket "$bucket" --prefix "$1" --query 'Contents[].[Key,Size,LastModified]' |
    awk -F '\t' -v own="dead-letters/$id/" '
      $1 ~ /^dead-letters\// && $1 !~ /^dead-letters\/(refused|unreadable)\// && index($1, own) != 1 { next }
      $1 != "None"'
}

# Prints how many change events wait in the dead-letter queue.
count_events() {
  ask sqs get-queue-attributes --queue-url "$dead_queue" --attribute-names ApproximateNumberOfMessages \
    --query Attributes.ApproximateNumberOfMessages
}

list() {
  local number=0
  {
    objects dead-letters/
    if [ -n "$mapping" ]; then objects "aws/lambda/$mapping/"; fi
  } >"$work/list"
  if [ -n "$dead_queue" ]; then number=$(count_events); fi
  awk -F '\t' '{ print $1 "\t" $2 " bytes\t" $3 }' "$work/list"
  if [ "$number" != 0 ]; then printf '%s\tabout %s events\n' "$events" "$number"; fi
  if [ ! -s "$work/list" ] && [ "$number" = 0 ]; then
    say "Nothing was set aside in the installation of configuration id $id."
  fi
}

# Fetches an object into $work/object, and prints the reason that was noted with it.
fetch() {
  ask s3api get-object --bucket "$bucket" --key "$1" --query Metadata.reason "$work/object" 2>"$work/error" || {
    means_absent "$(cat "$work/error")" && fail "there is no $1"
    fail "$1 cannot be read:
$(cat "$work/error")"
  }
}

show() {
  local reason
  if [ "$key" = "$events" ]; then
    [ -n "$dead_queue" ] || fail "a minimal installation has no change events"
    # They stay visible: this is a look, not a receipt.
    ask sqs receive-message --queue-url "$dead_queue" --max-number-of-messages 10 --visibility-timeout 0 \
      --query 'Messages[].[Body]'
    return
  fi
  reason=$(fetch "$key")
  case $key in
    dead-letters/unreadable/* | dead-letters/*/unreadable/*)
      say "$reason"
      say "$(wc -c <"$work/object") bytes, which begin with:"
      head -c 500 "$work/object" | LC_ALL=C tr -cd '[:print:]\n'
      say ""
      ;;
    *) cat "$work/object" && say "" ;;
  esac
}

# Puts the file on the stream, under the key that all records of the installation have.
put_on_stream() {
  local partition
  partition=$(ask lambda get-function-configuration --function-name "$cron" \
    --query "join('/', [Environment.Variables.STACKSTATE_INSTANCE_TYPE, Environment.Variables.STACKSTATE_INSTANCE_URL])")
  aws_ kinesis put-record --stream-name "$stream" --partition-key "$partition" --data "fileb://$1" >/dev/null
}

# Sends one object again, and deletes it.
replay_object() {
  say "Replaying $1"
  case $1 in
    dead-letters/refused/* | dead-letters/*/refused/*)
      fetch "$1" >/dev/null
      sed -n 's/^ *"record": *"\([A-Za-z0-9+/=]*\)".*/\1/p' "$work/object" | base64 --decode >"$work/record"
      [ -s "$work/record" ] || fail "$1 holds no record"
      if [ -n "$stream" ]; then put_on_stream "$work/record"; fi
      ;;
    dead-letters/unreadable/* | dead-letters/*/unreadable/*)
      fetch "$1" >/dev/null
      if [ -n "$stream" ]; then put_on_stream "$work/object"; fi
      ;;
  esac
  aws_ s3api delete-object --bucket "$bucket" --key "$1" >/dev/null
}

replay() {
  local one rest
  if [ "$key" = "$events" ]; then
    replay_events
    return
  fi
  if [[ $key == */ ]]; then
    objects "$key" >"$work/list"
  else
    fetch "$key" >/dev/null
    objects "$key" | awk -F '\t' -v key="$key" '$1 == key' >"$work/list"
  fi
  [ -s "$work/list" ] || fail "there is nothing under $key, or it is not of configuration id $id"
  while IFS=$'\t' read -r one rest; do replay_object "$one" </dev/null; done <"$work/list"
  take_snapshot || fail "what was replayed is on its way, but no snapshot could be started; the schedule will take it:
$(what_aws_said)"
  say "A snapshot is being taken, so that StackState has what AWS has now."
}

replay_events() {
  local from to
  [ -n "$dead_queue" ] || fail "a minimal installation has no change events"
  from=$(ask sqs get-queue-attributes --queue-url "$dead_queue" --attribute-names QueueArn --query Attributes.QueueArn)
  to=$(ask sqs get-queue-attributes --queue-url "$queue" --attribute-names QueueArn --query Attributes.QueueArn)
  # Named, since what EventBridge itself put aside was never in the queue, and would not know where to go.
  aws_ sqs start-message-move-task --source-arn "$from" --destination-arn "$to" >/dev/null
  say "The change events go back to their queue."
}

main() {
  read_options "$@"
  check_arguments
  make_work_folder
  connect
  find_places
  "$command"
}

main "$@"
