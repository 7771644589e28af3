#!/usr/bin/env bash
# Closes a snapshot that was held back, after a person has looked. Needs bash and the AWS CLI.
[ -n "${BASH_VERSION:-}" ] || { echo "$0 is a script for bash. Run it as: bash $0" >&2 && exit 2; }
set -euo pipefail

# The folder that this lies in, whatever link it was called by.
here=$(CDPATH="" cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
# shellcheck source=installer/aws.sh
. "$here/installer/aws.sh"
# shellcheck source=installer/deploy.sh
. "$here/installer/deploy.sh"
# shellcheck source=installer/health.sh
. "$here/installer/health.sh"

# How many ids of components are shown.
most_shown=20

usage() {
  cat <<'END'
Usage: confirm.sh [options] [CONFIGURATION_ID]

Closes a snapshot that was held back: because it would remove much from
StackState at once, or because a part of the account cannot be read and there
is nothing to show in its place. Shows what it is about, asks, takes a new
snapshot that is closed in any case, and shows what came of it. The
configuration id may be left out where there is one installation.

END
  common_usage
  cat <<'END'

Exit status: 0 the snapshot is closed, or none was held back; 1 it is not
closed, 2 wrong usage.
END
}

# There are no options but the common ones.
take_flag() { return 1; }
take_option() { return 1; }

# Fetches what the last run said, or ends.
read_last_run() {
  fetch_status && return
  absent && fail "no snapshot was finished yet, so there is nothing to confirm"
  fail "AWS does not tell what the last snapshot said:
$(what_aws_said s3:GetObject)"
}

# Shows why the last snapshot was not closed, and which components a confirmed one removes.
show_what_is_held() {
  sed 1d "$work/status"
  [ -n "$(noted held)" ] || return 0
  say ""
  say "The brake held back that $(noted held | sed 's|/| of |') components go. A confirmed snapshot removes those that are"
  say "still missing then. As of the last run they are:"
  ask s3api get-object --bucket "$bucket" --key "state/$id/held.json" "$work/held" >/dev/null 2>"$work/error" ||
    fail "AWS does not tell which components these are:
$(what_aws_said s3:GetObject)"
  # One id a line, as topo-cron writes it.
  sed -n 's/^ *"\(.*\)",*$/\1/p' "$work/held" >"$work/ids"
  head -n "$most_shown" "$work/ids" | sed 's/^/  /'
  awk -v most="$most_shown" 'END { if (NR > most) print "  and " NR - most " more: s3://" }' "$work/ids" |
    sed "s|s3://|s3://$bucket/state/$id/held.json has them all|"
}

# Waits until the snapshot of this name is over: its words are in $work/status then.
await() {
  local snapshot=$1 before=$2 deadline how
  deadline=$(($(date +%s) + ${WAIT_SECONDS:-1800}))
  while [ "$(date +%s)" -lt "$deadline" ]; do
    sleep "${POLL_SECONDS:-5}"
    how=RUNNING
    if [ -n "$execution" ]; then
      how=$(try stepfunctions describe-execution --execution-arn "$execution" --query status) || how=RUNNING
    fi
    case $how in
      FAILED | TIMED_OUT | ABORTED)
        fail "the snapshot ended as $how. Its history: aws stepfunctions get-execution-history --reverse-order
--region $region --execution-arn $execution"
        ;;
    esac
    read_last_run
    if [ "$(noted snapshot)" = "$snapshot" ]; then return; fi
    # An execution that finds another run under way leaves it alone, and succeeds.
    if [ "$(noted snapshot)" != "$before" ] || [ "$how" = SUCCEEDED ]; then
      fail "another snapshot was under way. When it has ended (./status.sh --region $region $id), run this again."
    fi
  done
  fail "the snapshot is not over yet. ./status.sh --region $region $id shows it when it is; the log:
  $(log_of "$cron")"
}

main() {
  local before snapshot execution
  read_options "$@"
  take_id
  make_work_folder
  connect
  look_up_installation
  read_last_run
  if [ "$(noted closed)" = yes ]; then
    say "The last snapshot ($(ago "$(noted ended)")) was closed: there is nothing to confirm."
    return
  fi
  say "The last snapshot ended $(ago "$(noted ended)"), and was not closed."
  show_what_is_held
  say ""
  confirm "Take a snapshot now that is closed all the same?" || fail "nothing was changed"
  before=$(noted snapshot)
  snapshot=confirmed-$(date +%s)
  take_snapshot "$snapshot" || fail "the snapshot could not be started:
$(what_aws_said)"
  say "Taking snapshot $snapshot. This takes a minute, or several."
  await "$snapshot" "$before"
  say ""
  sed 1d "$work/status"
  [ "$(noted closed)" = yes ] || fail "the snapshot is not closed even so; the reasons are above"
}

main "$@"
