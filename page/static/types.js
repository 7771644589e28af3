// What people call AWS's component types, the colours that AWS gives their services, and the views they belong to.

// Purple, magenta and pink are a trace darker than AWS's, for white letters to have the contrast of 4.5 to 1.
export const CATEGORIES = {
  compute: ['Compute and containers', '#ed7100'],
  network: ['Networking', '#8a4dfd'],
  storage: ['Storage', '#7aa116'],
  database: ['Databases', '#c824d0'],
  integration: ['Integration and management', '#e3147a'],
  analytics: ['Analytics', '#8a4dfd'],
  unknown: ['Other', '#64748b'],
};

// Infrastructure: networking, storage and machines. Serverless: what applications without machines are made of, and the
// balancers in front of them.
const [I, S, BOTH, NONE] = [['infrastructure'], ['serverless'], ['infrastructure', 'serverless'], []];
export const VIEWS = { all: 'All', infrastructure: 'Infrastructure', serverless: 'Serverless' };

const TYPES = [
  ['aws.ec2', 'EC2 instance', 'EC2', 'compute', I],
  ['aws.autoscaling', 'Auto Scaling group', 'ASG', 'compute', I],
  ['aws.lambda', 'Lambda function', 'λ', 'compute', S],
  ['aws.lambda.alias', 'Lambda alias', 'λ:', 'compute', S],
  ['aws.ecs.cluster', 'ECS cluster', 'ECS', 'compute', I],
  ['aws.ecs.service', 'ECS service', 'SVC', 'compute', I],
  ['aws.ecs.task', 'ECS task', 'TASK', 'compute', I],
  ['aws.vpc', 'VPC', 'VPC', 'network', I],
  ['aws.subnet', 'Subnet', 'NET', 'network', I],
  ['aws.security-group', 'Security group', 'SG', 'network', I],
  ['aws.vpngateway', 'VPN gateway', 'VPN', 'network', I],
  ['aws.elb_classic', 'Classic load balancer', 'CLB', 'network', I],
  ['aws.elb_v2_application', 'Application load balancer', 'ALB', 'network', BOTH],
  ['aws.elb_v2_network', 'Network load balancer', 'NLB', 'network', I],
  ['aws.elb_v2_gateway', 'Gateway load balancer', 'GLB', 'network', I],
  ['aws.elb_v2_target_group', 'Target group', 'TG', 'network', I],
  ['aws.elb_v2_target_group_instance', 'Target', 'T', 'network', I],
  ['aws.route53.hostedzone', 'Hosted zone', 'R53', 'network', I],
  ['aws.route53.domain', 'Domain', 'DNS', 'network', I],
  ['aws.s3_bucket', 'S3 bucket', 'S3', 'storage', BOTH],
  ['aws.rds_instance', 'RDS instance', 'RDS', 'database', I],
  ['aws.rds_cluster', 'RDS cluster', 'RDS', 'database', I],
  ['aws.dynamodb', 'DynamoDB table', 'DDB', 'database', S],
  ['aws.dynamodb.streams', 'DynamoDB stream', 'DDS', 'database', S],
  ['aws.redshift', 'Redshift cluster', 'RS', 'analytics', I],
  ['aws.kinesis', 'Kinesis stream', 'KDS', 'analytics', S],
  ['aws.firehose', 'Firehose stream', 'KDF', 'analytics', S],
  ['aws.apigateway.stage', 'API stage', 'API', 'integration', S],
  ['aws.apigateway.resource', 'API resource', '/', 'integration', S],
  ['aws.apigateway.method', 'API method', 'M', 'integration', S],
  ['aws.apigateway.method.http.integration', 'HTTP integration', 'HTTP', 'integration', S],
  ['aws.sqs', 'SQS queue', 'SQS', 'integration', S],
  ['aws.sns', 'SNS topic', 'SNS', 'integration', S],
  ['aws.cloudformation', 'CloudFormation stack', 'CFN', 'integration', NONE],
];

// Letters on AWS's orange and green are dark, on its purples and pink white: whatever has more contrast.
function ink(color) {
  const [red, green, blue] = [1, 3, 5]
    .map((start) => parseInt(color.slice(start, start + 2), 16) / 255)
    .map((part) => (part <= 0.04 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.055 ? '#ffffff' : '#10141b';
}

function described([type, label, glyph, category, views], rank) {
  const color = CATEGORIES[category][1];
  return [type, { type, label, glyph, category, views, color, ink: ink(color), rank }];
}

const KNOWN = new Map(TYPES.map(described));

// A type that is not known here shows under its own name, in all views.
export function describe(type) {
  if (!KNOWN.has(type)) KNOWN.set(...described([type, type, '•', 'unknown', Object.keys(VIEWS)], 999));
  return KNOWN.get(type);
}

export const inView = (type, view) => view === 'all' || describe(type).views.includes(view);
