// Which box of the graph a component is drawn in, by VPC, subnet, CloudFormation stack or type.

import { key } from 'page/model.js';
import { describe } from 'page/types.js';

export const GROUPINGS = { vpc: 'VPC', subnet: 'Subnet', stack: 'Stack', type: 'Type', none: 'Nothing' };

// They have no field that names their VPC, but are where what they hold or belong to is.
const NEXT_TO_THEIRS = new Set([
  'aws.elb_v2_target_group_instance', 'aws.autoscaling', 'aws.rds_cluster', 'aws.vpngateway', 'aws.lambda.alias',
  'aws.ecs.cluster', 'aws.ecs.service', 'aws.ecs.task',
]);

const box = (component) => ({ id: component.id, title: component.name, type: component.type.name });

// For every component the boxes around it, outermost first: Map of id to [{id, title, type}].
export function groups(model, kind) {
  if (kind === 'none') return new Map([...model.components.keys()].map((id) => [id, []]));
  if (kind === 'type') return typeGroups(model);
  return kind === 'stack' ? stackGroups(model) : networkGroups(model, kind === 'subnet');
}

function typeGroups(model) {
  return new Map([...model.components.values()].map(({ id, type }) => [id, [{ id: type.name, title: describe(type.name).label, type: type.name }]]));
}

function networkGroups(model, withSubnets) {
  const vpcs = vpcOf(model);
  const outside = { id: 'outside', title: 'Outside VPCs', type: '' };
  return new Map([...model.components.values()].map((component) => {
    const vpc = vpcs.get(component.id);
    const subnet = withSubnets && subnetOf(model, component);
    return [component.id, [vpc ? box(vpc) : outside, ...(subnet ? [box(subnet)] : [])]];
  }));
}

function vpcOf(model) {
  const found = new Map();
  const known = (component, id) => model.components.get(key(component.instance, id));
  for (const component of model.components.values()) {
    const { VpcId: direct, VPCId: classic, VpcConfig: config, DBSubnetGroup: database } = component.data;
    const vpc = component.type.name === 'aws.vpc' ? component : known(component, direct ?? classic ?? config?.VpcId ?? database?.VpcId);
    if (vpc) found.set(component.id, vpc);
  }
  // Then over relations: first to VPCs, subnets and security groups, then to whatever has its place by now.
  const adopt = (may, from) => {
    for (const component of model.components.values()) {
      if (found.has(component.id) || !may(component)) continue;
      const near = model.neighbours(component.id).find((other) => found.has(other.id) && from(other));
      if (near) found.set(component.id, found.get(near.id));
    }
  };
  adopt(() => true, ({ type }) => ['aws.vpc', 'aws.subnet', 'aws.security-group'].includes(type.name));
  adopt(({ type }) => NEXT_TO_THEIRS.has(type.name), () => true);
  adopt(({ type }) => NEXT_TO_THEIRS.has(type.name), () => true);
  return found;
}

// The one subnet that a component is in; what spans several belongs to the VPC.
function subnetOf(model, component) {
  if (component.type.name === 'aws.subnet') return component;
  const direct = model.components.get(key(component.instance, component.data.SubnetId));
  if (direct) return direct;
  const near = model.relationsOf(component.id).outgoing.map(({ target }) => model.components.get(target));
  const subnets = near.filter((other) => other?.type.name === 'aws.subnet');
  return subnets.length === 1 ? subnets[0] : null;
}

function stackGroups(model) {
  const none = { id: 'no stack', title: 'In no stack', type: '' };
  const stackOf = new Map();
  for (const { type, source, target } of model.relations.values()) {
    const [from, to] = [model.components.get(source), model.components.get(target)];
    if (type.name === 'has resource' && from?.type.name === 'aws.cloudformation' && to) stackOf.set(target, from);
  }
  for (const { type, source, target } of model.relations.values()) {
    if (type.name === 'child of' && model.components.has(target)) stackOf.set(source, model.components.get(target));
  }
  const path = (component, seen = new Set()) => {
    const own = component.type.name === 'aws.cloudformation' ? [box(component)] : [];
    const stack = stackOf.get(component.id);
    if (!stack || seen.has(component.id)) return own;
    return [...path(stack, seen.add(component.id)), ...own];
  };
  return new Map([...model.components.values()].map((component) => {
    const boxes = path(component);
    return [component.id, boxes.length ? boxes : [none]];
  }));
}
