// What people call AWS's component types, and the colours of their families.

export const FAMILIES = {
  compute: ['Compute', '#e07a1f'],
  containers: ['Containers', '#b7791f'],
  network: ['Network', '#7c5cff'],
  storage: ['Storage', '#4f9a2f'],
  database: ['Database', '#2f6fed'],
  streams: ['Streams', '#0d9aa6'],
  integration: ['Integration', '#dd3b7f'],
  management: ['Management', '#64748b'],
};

const TYPES = [
  ['aws.ec2', 'EC2 instance', 'EC2', 'compute'],
  ['aws.autoscaling', 'Auto Scaling group', 'ASG', 'compute'],
  ['aws.lambda', 'Lambda function', 'λ', 'compute'],
  ['aws.lambda.alias', 'Lambda alias', 'λ:', 'compute'],
  ['aws.ecs.cluster', 'ECS cluster', 'ECS', 'containers'],
  ['aws.ecs.service', 'ECS service', 'SVC', 'containers'],
  ['aws.ecs.task', 'ECS task', 'TASK', 'containers'],
  ['aws.vpc', 'VPC', 'VPC', 'network'],
  ['aws.subnet', 'Subnet', 'NET', 'network'],
  ['aws.security-group', 'Security group', 'SG', 'network'],
  ['aws.vpngateway', 'VPN gateway', 'VPN', 'network'],
  ['aws.elb_classic', 'Classic load balancer', 'CLB', 'network'],
  ['aws.elb_v2_application', 'Application load balancer', 'ALB', 'network'],
  ['aws.elb_v2_network', 'Network load balancer', 'NLB', 'network'],
  ['aws.elb_v2_gateway', 'Gateway load balancer', 'GLB', 'network'],
  ['aws.elb_v2_target_group', 'Target group', 'TG', 'network'],
  ['aws.elb_v2_target_group_instance', 'Target', 'T', 'network'],
  ['aws.route53.hostedzone', 'Hosted zone', 'R53', 'network'],
  ['aws.route53.domain', 'Domain', 'DNS', 'network'],
  ['aws.apigateway.stage', 'API stage', 'API', 'network'],
  ['aws.apigateway.resource', 'API resource', '/', 'network'],
  ['aws.apigateway.method', 'API method', 'M', 'network'],
  ['aws.apigateway.method.http.integration', 'HTTP integration', 'HTTP', 'network'],
  ['aws.s3_bucket', 'S3 bucket', 'S3', 'storage'],
  ['aws.dynamodb', 'DynamoDB table', 'DDB', 'database'],
  ['aws.dynamodb.streams', 'DynamoDB stream', 'DDS', 'streams'],
  ['aws.rds_instance', 'RDS instance', 'RDS', 'database'],
  ['aws.rds_cluster', 'RDS cluster', 'RDS', 'database'],
  ['aws.redshift', 'Redshift cluster', 'RS', 'database'],
  ['aws.kinesis', 'Kinesis stream', 'KDS', 'streams'],
  ['aws.firehose', 'Firehose stream', 'KDF', 'streams'],
  ['aws.sqs', 'SQS queue', 'SQS', 'integration'],
  ['aws.sns', 'SNS topic', 'SNS', 'integration'],
  ['aws.cloudformation', 'CloudFormation stack', 'CFN', 'management'],
];
const KNOWN = new Map(TYPES.map(([type, label, glyph, family]) => [type, { label, glyph, family }]));

export function describe(type) {
  const known = KNOWN.get(type);
  const { label, glyph, family } = known ?? { label: type, glyph: '•', family: 'management' };
  return { label, glyph, family, color: FAMILIES[family][1], rank: known ? [...KNOWN.keys()].indexOf(type) : 999 };
}
