"""One file per AWS service, with everything about it. A resource exists once it is listed here."""

from topology.declare import Resource
from topology.resources import cloudformation, ec2, lambda_, s3, sqs

ALL: tuple[Resource, ...] = (
    *ec2.RESOURCES,
    *lambda_.RESOURCES,
    s3.BUCKET,
    sqs.QUEUE,
    # Last, as its relations point to all others.
    cloudformation.STACK,
)
