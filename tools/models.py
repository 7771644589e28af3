"""AWS's own models of its services, as botocore ships them."""

from functools import cache

import boto3
from botocore import xform_name
from botocore.model import ServiceModel

from topology.aws import iam_action
from topology.declare import Call

_session = boto3.Session(region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


@cache
def of(service: str) -> ServiceModel:
    """Botocore's model of a service."""
    found: ServiceModel = _session.client(service).meta.service_model
    return found


@cache
def operation_name(call: Call) -> str:
    """AWS's name of the operation that the call makes."""
    names = {xform_name(name): name for name in of(call.service).operation_names}
    return names[call.operation]


def action(call: Call) -> str:
    """The IAM action that the call needs."""
    return iam_action(call, of(call.service).signing_name, operation_name(call))
