#!/usr/bin/env bash
# Shows how an installation of StackState's AWS topology agent does. Needs bash and the AWS CLI.
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

concerns=0

usage() {
  cat <<'END'
Usage: status.sh [options] [CONFIGURATION_ID]

Shows how an installation of StackState's AWS topology agent does: its last
snapshot, what could not be read and what to do about that, change events,
what waits, what was set aside, alarms and versions. Changes nothing. The
configuration id may be left out where there is one installation.

END
  common_usage
  cat <<'END'

Exit status: 0 all is well, 1 something needs a person or could not be looked
up, 2 wrong usage.
END
}

# There are no options but the common ones.
take_flag() { return 1; }
take_option() { return 1; }

# Prints a line that a person should see to.
concern() {
  concerns=$((concerns + 1))
  say "$1"
}

# Says that something could not be looked up, and why.
unknown() {
  concern "$1 is not known: $(what_aws_said "$2" | tr '\n' ' ')"
}

show_installation() {
  say "Configuration id $id in account $account, region $region: stack $stack ($mode)."
  if [ -n "$regions" ]; then say "Change events are forwarded from: ${regions% }"; fi
}

# Compares what is installed with these scripts.
show_versions() {
  local name found installed own
  own=$(version)
  installed=$(output Version)
  for name in $(functions); do
    if ! found=$(function_version "$name"); then
      unknown "The version of $name" lambda:ListTags
    elif [ "$found" != "$installed" ]; then
      concern "$name is of version ${found:-unknown}, the stack of ${installed:-unknown}: run install.sh again."
    fi
  done
  if [ "$installed" = "$own" ]; then
    say "Version $installed."
  else
    say "Version ${installed:-unknown}; these scripts are of version $own. install.sh upgrades."
  fi
}

show_snapshot() {
  say ""
  if fetch_status; then
    say "The last snapshot ended $(ago "$(noted ended)")."
    sed 1d "$work/status"
    if [ "$(noted closed)" != yes ] || [ "$(noted incomplete)" != 0 ]; then concerns=$((concerns + 1)); fi
  elif absent; then
    concern "No snapshot was finished yet. If that stays so, see the log: $(log_of "$cron")"
  else
    unknown "The last snapshot" s3:GetObject
  fi
}

show_delivery() {
  say ""
  if ! read_metrics; then
    unknown "What was sent" cloudwatch:GetMetricData
    return
  fi
  say "In the last hour the receiver took $(measured posts 2) messages; $(measured failures 2) deliveries failed."
  if [ "$(measured misconfigured 4)" != 0 ]; then
    concern "The receiver's address or the API key is wrong. See the log: $(log_of "${publisher:-$cron}")"
  fi
  if [ "$mode" != full ]; then return; fi
  say "Change events in the last hour: $(measured events 2)."
  say "The oldest record of the stream waited $(($(measured lag 4) / 1000)) s lately, and at most" \
    "$(($(measured lag 3) / 1000)) s in the last hour."
}

# Shows what waits, and what was set aside.
show_queues() {
  local count dead=0 mapping key
  if [ "$mode" = full ]; then
    if count=$(count_messages "$(output ChangeQueueUrl)"); then
      say "Change events that wait: $count."
    else
      unknown "How many change events wait" sqs:GetQueueAttributes
    fi
    if count=$(count_messages "$(output ChangeDeadLetterQueueUrl)"); then
      dead=$((dead + count))
    else
      unknown "What is in the dead-letter queue" sqs:GetQueueAttributes
    fi
  fi
  mapping=$(resource TopoPublisherRecords)
  # Releases up to 0.1.0 put no configuration id into the keys.
  for key in "dead-letters/$id/" dead-letters/refused/ dead-letters/unreadable/ ${mapping:+"aws/lambda/$mapping/"}; do
    if count=$(count_objects "$key"); then
      dead=$((dead + count))
    else
      unknown "What was set aside in s3://$bucket/$key" s3:ListBucket
    fi
  done
  if [ "$dead" -gt 0 ]; then
    concern "Set aside: $dead. See ./dead-letters.sh --region $region list $id"
  else
    say "Nothing was set aside."
  fi
}

show_alarms() {
  local where name
  alarms_on "$stack" >"$work/alarms" || unknown "Which alarms are on" cloudwatch:DescribeAlarms
  for where in $regions; do
    name=$(forwarder_name "$id")
    in_region "$where" alarms_on "$name" >>"$work/alarms" ||
      unknown "Which alarms of stack $name are on in $where" cloudwatch:DescribeAlarms
  done
  say ""
  if [ -s "$work/alarms" ]; then
    concern "Alarms that are on:"
    awk -F '\t' '{ print "  " $1 "\n    " $2 }' "$work/alarms"
  else
    say "No alarm is on."
  fi
}

main() {
  read_options "$@"
  take_id
  make_work_folder
  connect
  look_up_installation
  show_installation
  show_versions
  show_snapshot
  show_delivery
  show_queues
  show_alarms
  [ "$concerns" -eq 0 ]
}

main "$@"
