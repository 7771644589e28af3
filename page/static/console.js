// Links to the pages of AWS's console.

const e = encodeURIComponent;
const last = (id) => id.split(/[:/]/).pop();
const api = ({ RestApiId: id }, region, page) => id && `apigateway/main/apis/${id}/${page}?api=${id}&region=${region}`;
const ecs = (id, kind) => {
  const [, cluster, name] = id.split(':').pop().split('/');
  return name ? `ecs/v2/clusters/${e(cluster)}/${kind}/${e(name)}` : null;
};
const balancer = (id, data, region) => `ec2/home?region=${region}#LoadBalancer:loadBalancerArn=${id}`;
const table = (name, region, more = '') => name && `dynamodbv2/home?region=${region}#table?name=${e(name)}${more}`;
const database = (name, cluster, region) => name && `rds/home?region=${region}#database:id=${e(name)};is-cluster=${cluster}`;

// Path and fragment by type, from id, data and region; null where the data do not say enough.
const PATHS = {
  'aws.ec2': (id, data, region) => `ec2/home?region=${region}#InstanceDetails:instanceId=${id}`,
  'aws.elb_v2_target_group_instance': (id, data, region) => {
    const target = data.Target?.Id ?? '';
    return target.startsWith('i-') ? `ec2/home?region=${region}#InstanceDetails:instanceId=${target}` : null;
  },
  'aws.autoscaling': (id, data, region) => `ec2/home?region=${region}#AutoScalingGroupDetails:id=${e(data.AutoScalingGroupName ?? last(id))}`,
  'aws.lambda': (id, data, region) => `lambda/home?region=${region}#/functions/${e(data.FunctionName ?? last(id))}`,
  'aws.lambda.alias': (id, data, region) => `lambda/home?region=${region}#/functions/${e(id.split(':').at(-2))}/aliases/${e(last(id))}`,
  'aws.ecs.cluster': (id, data, region) => `ecs/v2/clusters/${e(last(id))}?region=${region}`,
  'aws.ecs.service': (id) => ecs(id, 'services'),
  'aws.ecs.task': (id) => ecs(id, 'tasks'),
  'aws.vpc': (id, data, region) => `vpcconsole/home?region=${region}#VpcDetails:VpcId=${id}`,
  'aws.subnet': (id, data, region) => `vpcconsole/home?region=${region}#SubnetDetails:subnetId=${id}`,
  'aws.security-group': (id, data, region) => `ec2/home?region=${region}#SecurityGroup:groupId=${id}`,
  'aws.vpngateway': (id, data, region) => `vpcconsole/home?region=${region}#VpnGateways:VpnGatewayId=${id}`,
  'aws.elb_classic': (id, data, region) => `ec2/home?region=${region}#LoadBalancers:search=${e(data.LoadBalancerName ?? '')}`,
  'aws.elb_v2_application': balancer,
  'aws.elb_v2_network': balancer,
  'aws.elb_v2_gateway': balancer,
  'aws.elb_v2_target_group': (id, data, region) => `ec2/home?region=${region}#TargetGroup:targetGroupArn=${id}`,
  'aws.route53.hostedzone': (id) => `route53/v2/hostedzones#ListRecordSets/${last(id)}`,
  'aws.route53.domain': (id) => `route53/domains/home#/details/${e(id)}`,
  'aws.s3_bucket': (id, data, region) => `s3/buckets/${e(data.Name ?? last(id))}?region=${region}`,
  'aws.dynamodb': (id, data, region) => table(data.TableName ?? last(id), region),
  'aws.dynamodb.streams': (id, data, region) => table(id.split('/').at(-3), region, '&tab=streams'),
  'aws.rds_instance': (id, data, region) => database(data.DBInstanceIdentifier ?? last(id), false, region),
  'aws.rds_cluster': (id, data, region) => database(data.DBClusterIdentifier ?? last(id), true, region),
  'aws.redshift': (id, data, region) => `redshiftv2/home?region=${region}#/cluster-details?cluster=${e(data.ClusterIdentifier ?? last(id))}`,
  'aws.kinesis': (id, data, region) => `kinesis/home?region=${region}#/streams/details/${e(last(id))}/monitoring`,
  'aws.firehose': (id, data, region) => `firehose/home?region=${region}#/details/${e(last(id))}/monitoring`,
  'aws.apigateway.stage': (id, data, region) => api(data, region, 'stages'),
  'aws.apigateway.resource': (id, data, region) => api(data, region, 'resources'),
  'aws.apigateway.method': (id, data, region) => api(data, region, 'resources'),
  'aws.sqs': (id, data, region) => data.QueueUrl && `sqs/v3/home?region=${region}#/queues/${e(data.QueueUrl)}`,
  'aws.sns': (id, data, region) => `sns/v3/home?region=${region}#/topic/${id}`,
  'aws.cloudformation': (id, data, region) => `cloudformation/home?region=${region}#/stacks/stackinfo?stackId=${e(id)}`,
};

function host(region) {
  if (region.startsWith('cn-')) return 'console.amazonaws.cn';
  return region.startsWith('us-gov-') ? 'console.amazonaws-us-gov.com' : 'console.aws.amazon.com';
}

// The address of a component's page, or null.
export function consoleLink({ externalId, type, data, region }) {
  const place = data.BucketLocation ?? region;
  // Anything but a region's name would let data choose the host.
  if (!/^[a-z]{2}(-[a-z]+)+-\d+$/.test(place)) return null;
  const path = PATHS[type.name]?.(externalId, data, place);
  return path ? `https://${place}.${host(place)}/${path}` : null;
}
