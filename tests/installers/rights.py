"""What each right of the documents is taken away from, to see that it is missed: scripts, or CloudFormation's work."""

import os

from tests.installers.gated import actions

# What the scripts call themselves, by document that it is taken from and by what is run: see test_rights_of_scripts.py.
# The smallest document that has a right stands for the others: the script that is refused is the same.
INSTALLING = {
    "TopoCronMinimal": {
        "new": "cloudformation:CreateChangeSet cloudformation:DescribeChangeSet cloudformation:DescribeStacks "
        "cloudformation:ExecuteChangeSet cloudformation:TagResource "
        "lambda:GetAccountSettings lambda:GetFunctionConfiguration lambda:InvokeFunction s3:GetObject "
        "s3:ListAllMyBuckets s3:ListBucket s3:PutObject secretsmanager:CreateSecret secretsmanager:DescribeSecret "
        "secretsmanager:TagResource kms:Decrypt kms:GenerateDataKey",
        "broken": "cloudformation:DescribeStackEvents",
        "failed": "cloudformation:DeleteStack",
        "named": "lambda:ListTags",
        "forgotten": "secretsmanager:RestoreSecret",
        "rehearsed": "cloudformation:DeleteChangeSet s3:DeleteObject",
        "again": "cloudformation:GetTemplateSummary cloudformation:ListStackResources lambda:GetFunction "
        "secretsmanager:PutSecretValue",
        "stopped": "lambda:PutFunctionConcurrency",
    },
    "TopoCronInstall": {
        "new": "s3:CreateBucket s3:GetBucketTagging s3:PutBucketPublicAccessBlock s3:PutBucketTagging "
        "s3:PutEncryptionConfiguration",
        "rehearsed": "s3:DeleteBucket",
    },
    "Install": {
        "new": "cloudtrail:DescribeTrails cloudtrail:GetEventSelectors cloudtrail:GetTrailStatus",
        "stopped": "cloudtrail:StartLogging lambda:DeleteFunctionConcurrency",
    },
    "Spread": {"new": "states:StartExecution"},
}
UNINSTALLING = {
    "TopoCronUninstall": "cloudformation:DeleteStack cloudformation:DescribeStacks cloudformation:ListStackResources "
    "cloudwatch:DescribeAlarms cloudwatch:GetDashboard events:ListRules iam:GetPolicy iam:GetRole iam:ListPolicies "
    "iam:ListRoles lambda:GetFunctionConfiguration lambda:PutFunctionConcurrency logs:DescribeLogGroups "
    "s3:AbortMultipartUpload s3:DeleteBucket s3:DeleteObject s3:DeleteObjectVersion s3:GetBucketTagging "
    "s3:ListAllMyBuckets s3:ListBucket s3:ListBucketMultipartUploads s3:ListBucketVersions "
    "secretsmanager:DeleteSecret secretsmanager:DescribeSecret states:DescribeStateMachine tag:GetResources "
    "cloudformation:DescribeStackEvents",
    "Uninstall": "cloudtrail:GetTrail cloudtrail:StopLogging events:DescribeEventBus kinesis:DescribeStreamSummary "
    "lambda:GetEventSourceMapping sqs:GetQueueUrl",
}
# What no run is refused for the lack of, and why it is there all the same.
NEVER_MISSED = {
    "sts:GetCallerIdentity": "AWS refuses it to nobody; listed for those who read the document (STS API Reference, "
    "GetCallerIdentity: no permissions are required)",
    "iam:SimulatePrincipalPolicy": "asks AWS beforehand which rights are missing; who may not ask goes on unasked, and "
    "is told by the call that fails",
}


# Whether each document is tried with every right, though a smaller one has it as well (make test-deep).
ALL = os.environ.get("RIGHTS") == "all"


def of_scripts(document: str) -> set[str]:
    """The rights of a document that scripts are seen to miss."""
    listed = [*INSTALLING[document].values()] if document in INSTALLING else [UNINSTALLING[document]]
    return {action for text in listed for action in text.split()}


def of_stacks(document: str) -> list[str]:
    """The rights of a document that CloudFormation needs for whoever has it, unless a smaller document has them."""
    documents = [*(UNINSTALLING if document in UNINSTALLING else INSTALLING)]
    tried = {action for one in documents for action in of_scripts(one)} | NEVER_MISSED.keys()
    if not ALL:
        tried.update(*(actions(one) for one in documents[: documents.index(document)]))
    return sorted(actions(document) - tried)
