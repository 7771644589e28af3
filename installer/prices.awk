# What an installation costs in a month, by the types that its stack has (standard input: one type per line).
# Variables: runs (snapshots a month), megabytes (memory of topo-cron), arm (1 or 0), further (regions that forward).
# The prices are those of us-east-1 in 2025, written down from memory and not looked up: good for the size of the bill.
function line(what, dollars, why) {
  total += dollars
  printf "  %8.2f  %-22s %s\n", dollars, what, why
}
BEGIN { hours = 730; seconds = 60; events = 100000; metrics = 25 }
{ count[$1]++ }
END {
  gigabyte_second = arm ? 0.0000133334 : 0.0000166667
  line("topo-cron", runs * seconds * megabytes / 1024 * gigabyte_second,
    sprintf("%d snapshots of %d s with %d MB", runs, seconds, megabytes))
  if (count["AWS::Kinesis::Stream"]) {
    line("stream", hours * 0.04 + 0.5, "$0.04 an hour on demand, and 1 GB with 72 hours kept")
    line("change events", events / 100 * 2 * 0.5 * gigabyte_second + 0.30, \
      sprintf("%d events, and an SQS queue that is polled", events))
  }
  line("alarms", count["AWS::CloudWatch::Alarm"] * 0.10, count["AWS::CloudWatch::Alarm"] + 0 " at $0.10")
  line("metrics", metrics * 0.30, "about " metrics " at $0.30")
  if (count["AWS::CloudWatch::Dashboard"]) line("dashboard", 3, "nothing for the first three of an account")
  line("secret", 0.40, "the API key")
  line("logs and buckets", 0.75, "1 GB of logs, and little in S3")
  if (count["AWS::CloudTrail::Trail"]) line("trail", 0.10, "its bucket; its events are free where it is the only trail")
  if (further) line("forwarded events", events / 1000000 * further, further " further regions at $1.00 a million")
  printf "  %8.2f  in all, before the free tier\n", total
  print "  An estimate: prices of us-east-1 in 2025, from memory; other regions are up to a third dearer. What holds for"
  print "  you and today: https://calculator.aws and https://aws.amazon.com/pricing"
}
