# shellcheck shell=bash disable=SC2154,SC2034  # variables of aws.sh, and for install.sh
# What is looked at before anything is changed, each with a plain answer: sourced by install.sh, after aws.sh and
# connect. Each check ends the script with what to do, or prints a note.

# Refuses another installation that speaks for the same instance: each would delete what the other one sent. Other
# regions of the account count as well; the deployment buckets say where to look.
# Arguments: own stack, instance type, instance url.
check_same_instance() {
  local own=$1 kind=$2 url=$3 here_=$region where
  try s3api list-buckets --query \
    "Buckets[?starts_with(Name, 'stackstate-topo-deploy-$account-')].Name" >"$work/buckets" ||
    fail "AWS does not tell in which regions there are installations:
$(what_aws_said s3:ListAllMyBuckets)"
  {
    printf '%s\n' "$here_"
    tr '\t' '\n' <"$work/buckets" | sed "s/^stackstate-topo-deploy-$account-//"
  } | sort -u >"$work/regions"
  while IFS= read -r where; do
    in_region "$where" installations >"$work/installations" 2>"$work/error" </dev/null ||
      fail "AWS does not tell which installations there are in $where:
$(what_aws_said)"
    awk -F '\t' -v stack="$own" -v own="$([ "$where" = "$here_" ] && echo yes)" -v kind="$kind" -v url="$url" \
      -v account="$account" '
        ($4 == "-" ? account : $4) == url && $3 == kind && !(own && $2 == stack) { print $1, $2; exit }
      ' "$work/installations" >"$work/rival"
    if [ -s "$work/rival" ]; then same_instance "$where" "$kind" "$url"; fi
  done <"$work/regions"
}

same_instance() {
  local id stack
  read -r id stack <"$work/rival"
  fail "stack $stack in $1 sends to the same instance ($2, $3), for configuration id $id. Two installations would delete
each other's components in StackState. Nothing was changed. Either
  remove that one:               ./uninstall.sh --region $1 $id
  let it read more regions:      ./install.sh --region $1 --regions LIST ... $id
  or give this one another instance, as its StackPack expects it:  --instance-url URL"
}

# Refuses to take the names of another installation in this region.
check_names() {
  local function=stackstate-topo-cron$suffix arn owner
  arn=$(try lambda get-function-configuration --function-name "$function" --query FunctionArn) || {
    absent || fail "AWS does not tell whether function $function exists:
$(what_aws_said lambda:GetFunctionConfiguration)"
    return 0
  }
  owner=$(try lambda list-tags --resource "$arn" --query 'Tags."stackstate-lightweight-agent"') ||
    fail "function $function exists already, and AWS does not tell whose it is:
$(what_aws_said lambda:ListTags)"
  fail "function $function exists already, for ${owner:+configuration id }${owner:-something else}. Nothing was changed.
Either remove that installation${owner:+ (./uninstall.sh $owner)}, or give this one names of its own: --name-suffix -NAME
${owner:+(To upgrade that one, give its configuration id.)}"
}

# Asks AWS whether the policies of whoever installs allow all that a document of policies/ has, with names such as ours.
# Says nothing where that may not be asked: what is missing then shows in the call that fails.
# Argument: the document.
check_rights() {
  local who=$identity missing context
  [ -r "$1" ] || fail "$1 is missing. Unpack the release archive again."
  # The policies belong to the role, and a session of it has another ARN. Its path is not in there, so roles that have
  # one (those of IAM Identity Center) cannot be asked about.
  if [[ $who == *:assumed-role/* ]]; then
    who="arn:$partition:iam::$account:role/$(printf '%s' "$who" | cut -d / -f 2)"
  fi
  sed -n 's/^ *"\(arn:[^"]*\)",*$/\1/p; s/.*"Resource": "\(arn:[^"]*\)".*/\1/p' "$1" | sort -u |
    awk -F : -v OFS=: -v partition="$partition" -v region="$region" -v account="$account" '{
      $2 = partition
      if ($4 == "*") $4 = region
      if ($5 == "*") $5 = account
      gsub(/\*/, "x", $6); gsub(/\*/, "x", $7)
      print
    }' >"$work/resources"
  sed -n 's/^ *"\([a-z0-9-]*:[A-Z][A-Za-z]*\)",*$/\1/p; s/.*"Action": "\([a-z0-9-]*:[A-Z][A-Za-z]*\)".*/\1/p' "$1" |
    sort -u >"$work/actions"
  # One question for all: an action is allowed when it is on any of the resources, since each is meant for one of them.
  context="ContextKeyName=iam:PassedToService,ContextKeyValues=lambda.amazonaws.com,ContextKeyType=string
ContextKeyName=lambda:FunctionArn,ContextKeyValues=arn:$partition:lambda:$region:$account:function:stackstate-topo-x"
  # shellcheck disable=SC2046,SC2086  # actions, ARNs and entries have no spaces
  try iam simulate-principal-policy --policy-source-arn "$who" --action-names $(cat "$work/actions") \
    --resource-arns $(cat "$work/resources") "*" --context-entries $context,ContextKeyType=string \
    --query "EvaluationResults[].[EvalActionName, EvalDecision,
      length(ResourceSpecificResults[?EvalResourceDecision=='allowed'] || \`[]\`)]" >"$work/decisions" || return 0
  missing=$(awk -F '\t' '
    { asked[$1] } $2 == "allowed" || $3 > 0 { allowed[$1] }
    END { for (action in asked) if (!(action in allowed)) print "  " action }' "$work/decisions" | sort)
  if [ -n "$missing" ]; then
    fail "$identity has not all the rights that this takes. Nothing was changed. AWS says that these are missing:
$missing
policies/$(basename "$1") has all of them. If AWS is wrong here, --skip-rights-check goes on without asking."
  fi
}

# Sets reserve to whether the account can spare topo-cron a reservation: AWS keeps 100 concurrent executions unreserved.
check_concurrency() {
  local unreserved
  unreserved=$(try lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions) ||
    fail "AWS does not tell how many functions may run at once in this account:
$(what_aws_said lambda:GetAccountSettings)"
  reserve=true
  if [ "${unreserved%.*}" -le 100 ]; then
    reserve=false
    say "Note: Lambda has ${unreserved%.*} unreserved concurrent executions here, and lets nobody reserve any of the last 100. So"
    say "  topo-cron goes without a reservation, and may have to wait when other functions take them all. To raise it, ask"
    say "  Service Quotas for more of Lambda's \"Concurrent executions\", and run this again."
  fi
}

# Finds the trail that brings the change events of $region, and prints its name; nothing when there is none.
# Argument: the trail of one's own, which does not count.
find_trail() {
  local name arn home custom logging
  try cloudtrail describe-trails --include-shadow-trails \
    --query 'trailList[].[Name,TrailARN,HomeRegion,HasCustomEventSelectors]' >"$work/trails" || return
  while IFS=$'\t' read -r name arn home custom; do
    if [ -z "$name" ] || [ "$name" = "$1" ]; then continue; fi
    # The trail of an organization may not be looked into by all its accounts; that it is there, it mostly logs.
    logging=$(in_region "$home" try cloudtrail get-trail-status --name "$arn" --query IsLogging </dev/null) ||
      { [[ $arn != *":$account:"* ]] && logging=True; } || return
    [ "$logging" = True ] || continue
    if in_region "$home" logs_writes "$arn"; then
      printf '%s\n' "$name"
      return
    fi
    # The same of its selectors. Without any of its own, a trail logs all management events.
    if [ -s "$work/error" ]; then
      [[ $arn != *":$account:"* ]] || return 1
      [ "$custom" = True ] || printf '%s\n' "$name"
      [ "$custom" = True ] || return 0
    fi
  done <"$work/trails"
}

# Tells whether the selectors of a trail take in write management events; $work/error says so when AWS does not tell.
logs_writes() {
  local found basic advanced
  basic="EventSelectors[?IncludeManagementEvents && ReadWriteType!='ReadOnly']"
  advanced="AdvancedEventSelectors[?
    FieldSelectors[?Field=='eventCategory' && contains(Equals || \`[]\`, 'Management')]
    && !(FieldSelectors[?Field=='readOnly' && contains(Equals || \`[]\`, 'true')])]"
  found=$(try cloudtrail get-event-selectors --trail-name "$1" --query "length([$basic, $advanced][][])" </dev/null) ||
    return
  [ "${found:-0}" -gt 0 ]
}

# Decides where change events come from: sets trail to existing, create or none, and trail_everywhere.
# Arguments: what was asked for (may be empty), what an installation has (may be empty), regions.
check_trail() {
  local asked=$1 had=$2 where found missing="" present=""
  shift 2
  trail=${asked:-$had}
  trail_everywhere=false
  if [ $# -gt 1 ]; then trail_everywhere=true; fi
  if [ "$trail" = none ] || [ "$asked" = create ] || { [ "$had" = create ] && [ -z "$asked" ]; }; then return 0; fi
  for where in "$@"; do
    found=$(in_region "$where" find_trail "stackstate-topo-trail$suffix") ||
      fail "AWS does not tell whether a CloudTrail trail logs in $where:
$(what_aws_said)
Change events come by a trail. --trail existing goes on with what there is, unseen; --trail create makes one."
    if [ -n "$found" ]; then
      say "Change events in $where come by trail $found."
      present=yes
    else
      missing="$missing $where"
    fi
  done
  trail=existing
  if [ -n "$missing" ] && [ "$asked" = existing ]; then
    warn "Note: no CloudTrail trail logs write management events in$missing. Until one does, most changes there show with"
    warn "  the next snapshot only. --trail create makes one."
  elif [ -n "$missing" ]; then
    trail=create
    say "No CloudTrail trail logs write management events in$missing, so the stack gets one of its own, with a bucket."
    say "  Costs: the events are free where no other trail logs them, the bucket takes about \$0.10 a month."
    if [ -n "$present" ]; then
      say "  In the other regions it is a second trail, where CloudTrail takes \$2 for 100,000 events. --trail existing"
      say "  goes without it, and without the change events of$missing."
    fi
  fi
}

# Sends the receiver a message without topology. Key and settings go by curl's config file: arguments show in ps. Ends
# with what is wrong: the address, the key, or the way there.
# Arguments: base URL, key, whether it may well be out of reach from here, then settings for curl.
check_receiver() {
  local base=${1%/} key=$2 private=$3 status=0 answer code location type
  shift 3
  command -v curl >/dev/null || {
    say "Note: there is no curl here, so the receiver's address and key go unchecked."
    return 0
  }
  base=${base%/stsAgent}
  printf '{"collection_timestamp":%s,"internalHostname":"install.sh","events":{},"metrics":[],%s}' "$(date +%s)" \
    '"service_checks":[],"health":[],"topologies":[]' >"$work/message"
  {
    printf 'url = "%s/stsAgent/intake/?api_key=%s"\n' "$base" "$(percent_encoded "$key")"
    printf 'header = "Content-Type: application/json"\ndata-binary = "@%s"\noutput = "%s"\n' "$work/message" "$work/answer"
    printf 'silent\nshow-error\nconnect-timeout = 10\nmax-time = 30\n'
    printf 'write-out = "%%{http_code}\\n%%{redirect_url}\\n%%{content_type}"\n'
    printf '%s\n' "$@"
  } >"$work/curl"
  : >"$work/answer"
  answer=$(curl --disable --config "$work/curl" 2>"$work/error") || status=$?
  rm -f "$work/curl"
  { read -r code && read -r location && read -r type; } <<<"$answer" || true
  if [ "$status" -ne 0 ]; then
    unreachable "$base" "$status" "$private"
  else
    judge_answer "$base" "$code" "$location" "$type"
  fi
}

# Prints a text as it may stand in a URL.
percent_encoded() {
  local LC_ALL=C text=$1 number
  for ((number = 0; number < ${#text}; number++)); do
    case ${text:number:1} in
      [A-Za-z0-9._~-]) printf '%s' "${text:number:1}" ;;
      *) printf '%%%02X' "'${text:number:1}" ;;
    esac
  done
}

# Says what curl's exit status means. Arguments: base URL, status, whether that was to be expected.
unreachable() {
  local why
  case $2 in
    5) why="the proxy's name is not known" ;;
    6) why="its name is not known" ;;
    7) why="nothing answers at its port" ;;
    28) why="it does not answer in time" ;;
    35) why="it does not speak TLS there; perhaps the address begins with http://" ;;
    51 | 60) why="its certificate cannot be verified. With a certificate authority of your own, use --ca-bundle FILE" ;;
    77) why="the file of --ca-bundle has no certificates that curl can read" ;;
    *) why="curl ends with status $2" ;;
  esac
  if [ -n "$3" ]; then
    say "Note: the receiver $1 cannot be reached from here: $why."
    say "  The functions go by their VPC or proxy, so that may be as it should."
    return
  fi
  receiver_fails "the receiver $1 cannot be reached from here: $why.
curl says: $(cat "$work/error")
If it can be reached from Lambda all the same, --skip-receiver-check goes on without asking."
}

# Says what an answer means. Arguments: base URL, HTTP status, where it sends to, content type.
judge_answer() {
  local place="A receiver's address mostly ends in /receiver, or has port 7077; StackState's AWS StackPack shows it."
  case $2 in
    2??)
      if [[ $4 == *html* ]]; then
        receiver_fails "$1 answers with a web page: that is StackState's user interface, or a proxy.
$place"
      fi
      say "The receiver at $1 takes the API key."
      ;;
    3??) receiver_fails "$1 sends on to $3. Give the address that it ends at, which may be https:// for http://." ;;
    401 | 403)
      receiver_fails "$1 does not take the API key (HTTP $2). StackState's AWS StackPack shows the right one. If the key
is right, then what answers there is no receiver. $place"
      ;;
    404 | 405) receiver_fails "$1 is no receiver (HTTP $2). $place" ;;
    407) receiver_fails "the proxy wants a password (HTTP 407), and the functions have none for it." ;;
    429) say "The receiver at $1 is there, and busy (HTTP 429)." ;;
    *)
      receiver_fails "$1 answers with HTTP $2: $(head -c 300 "$work/answer" | tr '\n' ' ')
If it will be mended later, --skip-receiver-check goes on without asking; what it misses is kept for 70 hours."
      ;;
  esac
}

receiver_fails() {
  fail "$*
Nothing was changed."
}
