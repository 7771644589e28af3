"""One file per AWS service, with everything about it. A resource exists once it is listed here."""

from topology.declare import Resource
from topology.resources import (
    apigateway,
    autoscaling,
    cloudformation,
    dynamodb,
    ec2,
    ecs,
    elb,
    elbv2,
    firehose,
    kinesis,
    lambda_,
    rds,
    redshift,
    route53,
    route53domains,
    s3,
    sns,
    sqs,
)

ALL: tuple[Resource, ...] = (
    apigateway.REST_API,
    autoscaling.GROUP,
    dynamodb.TABLE,
    *ec2.RESOURCES,
    ecs.CLUSTER,
    elb.BALANCER,
    *elbv2.RESOURCES,
    firehose.DELIVERY_STREAM,
    kinesis.STREAM,
    *lambda_.RESOURCES,
    *rds.RESOURCES,
    redshift.CLUSTER,
    route53.HOSTED_ZONE,
    route53domains.DOMAIN,
    s3.BUCKET,
    sns.TOPIC,
    sqs.QUEUE,
    # Last, as its relations point to all others.
    cloudformation.STACK,
)
