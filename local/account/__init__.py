"""An AWS account on this machine, as the AWS CLI, SAM and boto3 see one."""

from local.account.server import Account, running_account

__all__ = ["Account", "running_account"]
