# shellcheck shell=bash disable=SC2154,SC2034  # variables of aws.sh, and for those who source this
# What status.sh, confirm.sh and doctor.sh look at: the last snapshot, metrics and alarms. Sourced after aws.sh and
# deploy.sh, once find_installation has found the installation.

# The scripts take at most one argument, the configuration id. Sets id.
take_id() {
  [ ${#arguments[@]} -le 1 ] || misused "one CONFIGURATION_ID at a time"
  id=${arguments[0]:-}
  if [ -n "$id" ]; then check_id "$id"; fi
}

# Finds the installation. Sets mode, cron, publisher (empty in a minimal one), bucket, and regions: those that forward
# their change events, with spaces.
look_up_installation() {
  find_installation "$id"
  mode=$(parameter TopologyMode)
  cron=$(output TopoCronFunctionName)
  publisher=$(output TopoPublisherFunctionName)
  bucket=$(output StateBucketName)
  [ -n "$cron" ] && [ -n "$bucket" ] ||
    fail "stack $stack is not complete ($(stack_status "$stack")). Run install.sh again, or uninstall.sh"
  global_events=$(stack_tag stackstate-aws-agent-global-events)
  regions=$(forwarding_regions "$(parameter Regions)" "$mode" | tr '\n' ' ')
  ask cloudformation list-stack-resources --stack-name "$stack" \
    --query 'StackResourceSummaries[].[LogicalResourceId,ResourceType,PhysicalResourceId]' >"$work/resources" ||
    fail "AWS does not tell what stack $stack consists of; what it said is above"
}

# Prints a tag of the stack.
stack_tag() {
  ask cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Tags[?Key=='$1']|[0].Value"
}

# Print the physical ids of the stack's resources of a type, or that of one resource by its logical id.
of_type() { awk -F '\t' -v type="$1" '$2 == type { print $3 }' "$work/resources"; }
resource() { awk -F '\t' -v name="$1" '$1 == name { print $3 }' "$work/resources"; }

# Fetches what the last run of topo-cron said into $work/status. Fails, with the reason in $work/error, when there is
# nothing yet (absent is true then), or AWS does not tell.
fetch_status() {
  ask s3api get-object --bucket "$bucket" --key "state/$id/status.txt" "$work/status" >/dev/null 2>"$work/error"
}

# Prints a value of the first line of $work/status, which is for scripts.
noted() { head -n 1 "$work/status" | tr ' ' '\n' | sed -n "s/^$1=//p"; }

# Prints how long ago a time was, which is given in seconds since 1970.
ago() {
  local minutes=$((($(date +%s) - $1) / 60))
  if [ "$minutes" -lt 2 ]; then
    printf 'a moment ago'
  elif [ "$minutes" -lt 120 ]; then
    printf '%s minutes ago' "$minutes"
  else
    printf '%s hours ago' $((minutes / 60))
  fi
}

# Reads metrics of the last hour into $work/metrics: id, sum, maximum, latest value.
read_metrics() {
  local now sender=topo-publisher$suffix
  now=$(date +%s)
  if [ "$mode" != full ]; then sender=topo-cron$suffix; fi
  {
    printf '['
    metric posts Sum StackState/Topology Posts service "$sender" && printf ','
    metric failures Sum StackState/Topology DeliveryFailures service "$sender" && printf ','
    metric misconfigured Sum StackState/Topology ReceiverMisconfigured service "$sender"
    if [ "$mode" = full ]; then
      printf ','
      metric events Sum StackState/Topology Events service "topo-cwevents$suffix" && printf ','
      metric lag Maximum AWS/Lambda IteratorAge FunctionName "$publisher"
    fi
    printf ']\n'
  } >"$work/queries"
  # Seconds since 1970 are what every AWS CLI takes for a time, and every date prints.
  try cloudwatch get-metric-data --metric-data-queries "file://$work/queries" \
    --start-time "$((now - 3600))" --end-time "$now" \
    --query 'MetricDataResults[].[Id,sum(Values),max(Values),Values[0]]' >"$work/metrics"
}

# Prints the query of one metric. Arguments: id, statistic, namespace, name, dimension, its value.
metric() {
  printf '{"Id":"%s","MetricStat":{"Period":300,"Stat":"%s","Metric":{"Namespace":"%s","MetricName":"%s",' \
    "$1" "$2" "$3" "$4"
  printf '"Dimensions":[{"Name":"%s","Value":"%s"}]}}}' "$5" "$6"
}

# Prints a whole number of $work/metrics: of a metric the sum (2), the maximum (3) or the latest value (4).
measured() {
  awk -F '\t' -v id="$1" -v column="$2" '$1 == id && $column != "None" { value = $column } END { printf "%d", value }' \
    "$work/metrics"
}

# Prints the names and descriptions of the alarms of the stack in $region that are on.
alarms_on() {
  local names
  names=$(try cloudformation list-stack-resources --stack-name "$1" \
    --query "StackResourceSummaries[?ResourceType=='AWS::CloudWatch::Alarm'].PhysicalResourceId") || return
  if [ -z "$names" ]; then return 0; fi
  # shellcheck disable=SC2086  # names have no spaces
  try cloudwatch describe-alarms --alarm-names $names \
    --query "MetricAlarms[?StateValue=='ALARM'].[AlarmName,AlarmDescription]"
}

# Prints how many objects there are under a key of the bucket.
count_objects() {
  try s3api list-objects-v2 --bucket "$bucket" --prefix "$1" --query 'Contents[].[Size]' >"$work/objects" &&
    awk '$1 != "None" { count++ } END { print count + 0 }' "$work/objects"
}

# Prints about how many messages a queue has.
count_messages() {
  try sqs get-queue-attributes --queue-url "$1" --attribute-names ApproximateNumberOfMessages \
    --query Attributes.ApproximateNumberOfMessages
}

# Prints the names of the installation's functions.
functions() {
  printf '%s\n' "$cron" "$(output TopoCwEventsFunctionName)" "$publisher" | sed '/^$/d'
}

# Prints the version that a function has as a tag.
function_version() {
  try lambda list-tags --resource "arn:$partition:lambda:$region:$account:function:$1" \
    --query 'Tags."stackstate-aws-agent-version"'
}
