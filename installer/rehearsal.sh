# shellcheck shell=bash disable=SC2154,SC2034  # variables and functions of aws.sh, deploy.sh and install.sh
# What install.sh --dry-run does: shows what would be created or changed, and what it costs. Sourced by install.sh.

# Shows what would be done, and leaves the account as it was. Only CloudFormation can tell; it wants the template in a
# bucket, and the ARN of a secret, which need not exist.
rehearse() {
  local where changed=created
  secret_arn=$(parameter StackStateApiKeySecretArn)
  secret_arn=${secret_arn:-arn:$partition:secretsmanager:$region:$account:secret:$(secret_name "$id")-000000}
  if [ -n "$status" ] && [ "$status" != REVIEW_IN_PROGRESS ]; then changed=changed; fi
  plan stackstate-topo/dry-run
  : >"$work/changes"
  say ""
  if [ -n "$change_set" ]; then
    say "Stack $stack in account $account, region $region, would be $changed:"
    changes "$stack" >"$work/changes"
    awk -F '\t' '{ printf "  %-8s %-33s %s%s\n", $1, $2, $3, ($4 == "True" ? " (made anew: what it holds is lost)" : "") }' \
      "$work/changes"
  else
    say "Stack $stack would stay as it is."
  fi
  for where in $new_regions; do say "  Forward  change events of $where, by stack $(forwarder_name "$id") there"; done
  for where in $(gone_regions); do say "  Remove   stack $(forwarder_name "$id") from $where"; done
  estimate
  drop_change_set "$stack" || fail "the change set could not be removed again:
$(what_aws_said)"
  clean_bucket
  say ""
  say "Nothing was changed."
}

# Removes the template of a rehearsal from the bucket, and a bucket that was made for it.
clean_bucket() {
  local key
  for key in $(try s3api list-objects-v2 --bucket "$bucket" --prefix stackstate-topo/dry-run --query 'Contents[].Key'); do
    try s3api delete-object --bucket "$bucket" --key "$key" >/dev/null || fail "s3://$bucket/$key could not be removed:
$(what_aws_said s3:DeleteObject)"
  done
  if [ -n "$bucket_created" ]; then
    try s3api delete-bucket --bucket "$bucket" || fail "bucket $bucket, made for this, could not be removed:
$(what_aws_said s3:DeleteBucket)"
  fi
}

# Prints what the installation would cost in a month, and the figures that this rests on.
estimate() {
  local arm=0 runs
  if [ -n "$status" ] && [ "$status" != REVIEW_IN_PROGRESS ]; then
    try cloudformation list-stack-resources --stack-name "$stack" \
      --query 'StackResourceSummaries[].[LogicalResourceId,ResourceType]' >"$work/resources" ||
      fail "AWS does not tell what stack $stack has:
$(what_aws_said)"
  else
    : >"$work/resources"
  fi
  if [ "$architecture" = arm64 ]; then arm=1; fi
  runs=$(chosen ScheduleExpression | sed -n 's/^rate(\([0-9]*\) \([a-z]*\)s*)$/\1 \2/p' |
    awk '{ minutes = $2 ~ /^day/ ? 1440 : $2 ~ /^hour/ ? 60 : 1; print int(43800 / ($1 * minutes)) }')
  say ""
  say "It would cost about, in US dollars a month:"
  awk -F '\t' -v there="$work/resources" '
    FILENAME == there { type[$1] = $2; next }
    $1 == "Remove" { delete type[$2]; next }
    { type[$2] = $3 }
    END { for (one in type) print type[one] }' "$work/resources" "$work/changes" |
    awk -v runs="${runs:-730}" -v megabytes=1024 -v arm="$arm" -v further="$(printf '%s' "$new_regions" | wc -w)" \
      -f "$here/installer/prices.awk"
}
