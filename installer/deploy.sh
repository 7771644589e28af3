# shellcheck shell=bash disable=SC2154,SC2034  # variables of aws.sh and install.sh
# How stacks are brought to what the templates say, in this region and in further ones: sourced by install.sh.

# Creates the bucket that CloudFormation takes artifact and template from, or completes it after an interruption.
# Sets bucket, and bucket_created when it was not there before.
prepare_bucket() {
  local owned
  bucket_created=""
  if [ -n "$bucket" ]; then
    find_own_bucket "$bucket" ||
      fail "bucket $bucket (--topo-cron-bucket) does not exist in account $account, or may not be used:
$(what_aws_said s3:ListBucket)"
    return
  fi
  bucket=$(deployment_bucket)
  if ! find_own_bucket "$bucket"; then
    absent || fail "bucket $bucket belongs to somebody else, or may not be used. Name one of yours with --topo-cron-bucket.
$(what_aws_said s3:ListBucket)"
    say "Creating bucket $bucket for what is to be deployed."
    bucket_created=yes
    # The one region that must not be named.
    if [ "$region" = us-east-1 ]; then
      try s3api create-bucket --bucket "$bucket" >/dev/null
    else
      try s3api create-bucket --bucket "$bucket" --create-bucket-configuration "LocationConstraint=$region" >/dev/null
    fi || bucket_fails s3:CreateBucket
  fi
  # The tags are set last, so they say that the rest was done.
  owned=$(try s3api get-bucket-tagging --bucket "$bucket" --query "TagSet[?Key=='Origin'].Value") ||
    absent || bucket_fails s3:GetBucketTagging
  if [ "$owned" = Stackstate ]; then return; fi
  try s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true" ||
    bucket_fails s3:PutBucketPublicAccessBlock
  try s3api put-bucket-encryption --bucket "$bucket" --server-side-encryption-configuration \
    'Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]' || bucket_fails s3:PutEncryptionConfiguration
  try s3api put-bucket-tagging --bucket "$bucket" --tagging 'TagSet=[{Key=Origin,Value=Stackstate}]' ||
    bucket_fails s3:PutBucketTagging
}

# Looks whether a bucket is there, may be used, and belongs to this account: others could take the name of ours first.
# Older CLIs, v2 before 2.0.54, cannot say so by --expected-bucket-owner.
find_own_bucket() {
  local found
  try s3api head-bucket --bucket "$1" >/dev/null || return
  found=$(try s3api list-buckets --query "Buckets[?Name=='$1'].Name") || return
  if [ "$found" != "$1" ]; then
    printf 'It belongs to another account.\n' >"$work/error"
    return 1
  fi
}

bucket_fails() {
  fail "bucket $bucket could not be prepared. Run this again to go on.
$(what_aws_said "$1")"
}

# Writes the template that names the artifact to $work/template.yaml. Sets artifact_key: named by its content, so that
# what has not changed is not deployed again. Argument: the artifact.
name_artifact() {
  local sum
  if command -v sha256sum >/dev/null; then sum=$(sha256sum "$1"); else sum=$(shasum -a 256 "$1"); fi
  artifact_key=stackstate-topo/functions-${sum%% *}.zip
  # The artifact was built before, so it takes the place of the source folder.
  sed "s|^\( *CodeUri:\) functions/\$|\1 s3://$bucket/$artifact_key|" "$here/template.yaml" >"$work/template.yaml"
}

# Uploads the artifact, unless it is there. Argument: the artifact.
upload() {
  if try s3api head-object --bucket "$bucket" --key "$artifact_key" >/dev/null; then return; fi
  absent || fail "AWS does not tell what is in bucket $bucket:
$(what_aws_said s3:GetObject)"
  say "Uploading version $release to bucket $bucket."
  try s3api put-object --bucket "$bucket" --key "$artifact_key" --body "$1" >/dev/null ||
    fail "the upload to bucket $bucket failed. Run this again to go on.
$(what_aws_said s3:PutObject)"
}

# Makes the change set of a stack. Sets change_set to its ARN, empty when there is nothing to change.
# Arguments: stack, template, then further arguments of "cloudformation deploy".
make_change_set() {
  local stack=$1 template=$2
  shift 2
  aws_ cloudformation deploy --template-file "$template" --stack-name "$stack" --capabilities CAPABILITY_IAM \
    --no-execute-changeset --no-fail-on-empty-changeset \
    --tags Origin=Stackstate "stackstate-lightweight-agent=$id" "stackstate-aws-agent-version=$release" \
    "stackstate-aws-agent-global-events=$global_events" "$@" >"$work/said" 2>"$work/error" || {
    # Who may not look at the change set hears of no right, only "'Status'". Any other one is as good to ask for.
    if grep -Fxq "'Status'" "$work/error"; then
      try cloudformation describe-change-set --stack-name "$stack" --change-set-name none || true
    fi
    fail "CloudFormation does not take stack $stack. Nothing of it was changed.
$(what_aws_said)"
  }
  change_set=$(grep -o 'arn:[^ ]*:changeSet/[^ ]*' "$work/said" || true)
}

# Prints the changes of the change set: what happens, logical id, type, whether it is replaced.
changes() {
  try cloudformation describe-change-set --stack-name "$1" --change-set-name "$change_set" \
    --query 'Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]' ||
    fail "AWS does not tell what would be changed:
$(what_aws_said)"
}

# Executes the change set and shows how it goes; ends with the cause when CloudFormation takes it back.
execute_change_set() {
  local status
  [ -n "$change_set" ] || {
    say "Stack $1 is up to date."
    return 0
  }
  try cloudformation execute-change-set --stack-name "$1" --change-set-name "$change_set" ||
    fail "CloudFormation does not begin with stack $1:
$(what_aws_said)"
  wait_for_stack "$1" || fail "AWS does not tell how stack $1 comes along. Run this again: it waits for its end."
  case $status in
    CREATE_COMPLETE | UPDATE_COMPLETE) ;;
    *) failed_deployment "$1" "$status" ;;
  esac
}

# Lets work again what a run of uninstall.sh stopped that did not come to its end. CloudFormation knows nothing of that,
# so that deploying the stack anew would change none of it.
start_what_was_stopped() {
  local type name reserved
  try cloudformation list-stack-resources --stack-name "$stack" \
    --query 'StackResourceSummaries[?PhysicalResourceId].[ResourceType,PhysicalResourceId]' >"$work/stopped" ||
    fail "AWS does not tell what stack $stack has:
$(what_aws_said)"
  while IFS=$'\t' read -r type name; do
    case $type in
      AWS::Lambda::Function)
        # A function that is gone is for the deployment to tell.
        reserved=$(try lambda get-function --function-name "$name" \
          --query Concurrency.ReservedConcurrentExecutions </dev/null) || absent || not_started "$name"
        if [ "${reserved%.*}" = 0 ]; then start_function "$name" </dev/null || not_started "$name"; fi
        ;;
      AWS::CloudTrail::Trail)
        try cloudtrail start-logging --name "$name" </dev/null || absent || not_started "$name"
        ;;
    esac
  done <"$work/stopped"
}

# Gives a stopped function back the concurrency that the template means it to have.
start_function() {
  say "Function $1 was stopped by a run of uninstall.sh that did not come to its end. It may run again now."
  if [ "$1" = "stackstate-topo-cron$suffix" ] && [ "$(parameter ReserveConcurrency)" = true ]; then
    try lambda put-function-concurrency --function-name "$1" --reserved-concurrent-executions 1 >/dev/null
  else
    try lambda delete-function-concurrency --function-name "$1"
  fi
}

not_started() {
  fail "$1 may have been stopped by a run of uninstall.sh, and could not be looked at or started. Run this again to go on.
$(what_aws_said)"
}

# Says which resource was the cause, and ends.
failed_deployment() {
  local causes after
  causes=$(stack_failures "$1")
  case $2 in
    UPDATE_ROLLBACK_COMPLETE) after="What was installed before runs on unchanged." ;;
    UPDATE_ROLLBACK_FAILED) after="What was installed before could not be restored. $(rollback_advice "$1")" ;;
    ROLLBACK_COMPLETE) after="What had been created is removed again." ;;
    *) after="Stack $1 is as CloudFormation left it." ;;
  esac
  if [[ $causes == *"already exist"* ]]; then
    after="$after
What exists already may be left of an earlier installation; this removes what is: ./uninstall.sh --region $region $id"
  fi
  fail "stack $1 could not be deployed ($2)${causes:+, because of
$causes}
$after
When that is mended, run this again."
}

rollback_advice() {
  printf 'Look at the events of the stack in the CloudFormation console, then run:\n  %s\n' \
    "aws cloudformation continue-update-rollback --region $region --stack-name $1"
}

# Removes a change set, and the empty stack that CloudFormation made for it.
drop_change_set() {
  if [ -n "$change_set" ]; then
    try cloudformation delete-change-set --stack-name "$1" --change-set-name "$change_set" || return
  fi
  if [ "$(stack_status "$1")" = REVIEW_IN_PROGRESS ]; then delete_stack "$1"; fi
}

# Prints the regions, one per line, whose events are to be forwarded: those that are read, and that of the global
# services. Arguments: regions with commas, whether there are change events at all.
forwarding_regions() {
  [ "$2" = full ] || return 0
  {
    printf '%s\n' "$1" | tr ',' '\n'
    if [ "$global_events" = yes ]; then printf '%s\n' "$(global_region)"; fi
  } | awk -v home="$region" 'NF && $0 != home && !seen[$0]++'
}

# Brings the forwarding stacks to the regions that are wanted, after removing them where they are not wanted any more.
# Arguments: regions to remove them from, and regions to have them in, both with spaces.
forward() {
  local where
  for where in $1; do
    in_region "$where" remove_forwarder ||
      fail "the forwarding of events in $where could not be removed; the cause is above. Run this again."
  done
  for where in $2; do
    in_region "$where" deploy_forwarder "$region"
  done
}

remove_forwarder() {
  local name
  name=$(forwarder_name "$id")
  [ -n "$(stack_status "$name")" ] || return 0
  say "Removing the forwarding of events from $region."
  delete_stack "$name"
}

# Deploys the forwarding stack of $region. Argument: the home region.
deploy_forwarder() {
  local name key change_set="" status="" alone=true
  local -a values
  name=$(forwarder_name "$id")
  clear_stack "$name"
  say "Forwarding change events from $region."
  values=("StackStateConfigurationId=$id" "HomeEventBusArn=arn:$partition:events:$1:$account:event-bus/default")
  if [[ ",$(chosen Regions)," == *",$region,"* ]]; then alone=false; fi
  values+=("GlobalServicesOnly=$alone")
  for key in NameSuffix RolePath PermissionsBoundaryArn; do
    if [ -n "$(chosen "$key")" ]; then values+=("$key=$(chosen "$key")"); fi
  done
  make_change_set "$name" "$here/forwarding.yaml" --parameter-overrides "${values[@]}"
  execute_change_set "$name"
}

# Brings a stack into a state that can be built upon: waits for an earlier run, removes a failed beginning. Sets status.
clear_stack() {
  settle_stack "$1" || fail "AWS does not tell how stack $1 is; what it said is above. Run this again to go on."
  case $status in
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | CREATE_FAILED)
      [ -z "$dry_run" ] ||
        fail "an earlier installation did not come to an end ($status). What is left of it has to go before anything can be
shown: install.sh without --dry-run, or ./uninstall.sh --region $region $id, removes it. Nothing was changed."
      say "An earlier installation did not come to an end ($status). Removing what is left of it first."
      delete_stack "$1" || fail "stack $1 could not be removed. Run: ./uninstall.sh --region $region $id"
      status=""
      ;;
    DELETE_FAILED) fail "stack $1 was being removed, and that failed. Run ./uninstall.sh --region $region $id first." ;;
    UPDATE_ROLLBACK_FAILED) fail "an earlier upgrade could not be taken back. $(rollback_advice "$1")" ;;
  esac
}
