// The topology as the receiver tells it, and what can be asked about it.

const NAMES = [
  'Name', 'StackName', 'FunctionName', 'TableName', 'BucketName', 'QueueName', 'TopicName', 'StreamName', 'ServiceName',
  'DeliveryStreamName', 'ClusterName', 'LoadBalancerName', 'AutoScalingGroupName', 'DBInstanceIdentifier',
  'DBClusterIdentifier', 'ClusterIdentifier', 'DomainName', 'TargetGroupName', 'GroupName', 'InstanceId',
];
const KEPT_ENTRIES = 200; // of the timeline

export const key = (instance, externalId) => `${instance ?? ''}|${externalId}`;

export function tagsOf({ data }) {
  const tags = data.Tags;
  return tags && typeof tags === 'object' && !Array.isArray(tags) ? Object.entries(tags) : [];
}

// The StackPack names some things by their ARN or URL; people know them by the end of it.
export const shortened = (name) => (/^arn:|:\/\/|^\//.test(name) ? name.split(/[:/]/).filter(Boolean).pop() : name) || name;

// What is one of many, and called like all of them, is known by what it belongs to.
const OWN_NAMES = {
  'aws.apigateway.stage': (id, { RestApiName: api, StageName: stage }) => api && stage && `${api} ${stage}`,
  'aws.apigateway.resource': (id, { Path: path }) => path,
  'aws.apigateway.method': (id, { HttpMethod: method, Path: path }) => method && path && `${method} ${path}`,
  'aws.lambda.alias': (id) => id.split(':').slice(-2).join(':'),
  'aws.dynamodb.streams': (id) => id.split('/').at(-3),
};

export function nameOf({ externalId, type, data }) {
  const field = NAMES.find((name) => typeof data[name] === 'string' && data[name]);
  return OWN_NAMES[type.name]?.(externalId, data) || data.Tags?.Name || shortened((field && data[field]) || externalId.replace(/^urn:.*\//, ''));
}

export class Model {
  components = new Map();
  relations = new Map();
  instances = [];
  timeline = [];
  errors = [];
  revision = -1;
  #around = null;

  load(document) {
    this.components = new Map(document.components.map((each) => this.#component(each)));
    this.relations = new Map(document.relations.map((each) => this.#relation(each)));
    this.instances = document.instances ?? [];
    this.timeline = document.timeline ?? [];
    this.errors = document.errors ?? [];
    this.revision = document.revision ?? 0;
    this.#around = null;
  }

  // Gives false where a change was missed, and everything has to be loaded again.
  apply(change) {
    if (change.revision > this.revision + 1) return false;
    if (change.revision < this.revision) return true; // came before what was loaded
    this.instances = change.instances;
    this.errors = change.errors;
    for (const entry of change.timeline) this.#tell(entry);
    if (change.revision === this.revision) return true;
    this.revision = change.revision;
    for (const component of change.components) this.components.set(...this.#component(component));
    for (const relation of change.relations) this.relations.set(...this.#relation(relation));
    for (const { instance, externalId } of change.removed) {
      this.components.delete(key(instance, externalId));
      this.relations.delete(key(instance, externalId));
    }
    this.#around = null;
    return true;
  }

  // The relations of a component: {outgoing, incoming}.
  relationsOf(id) {
    if (!this.#around) {
      this.#around = new Map();
      const at = (end) => this.#around.get(end) ?? this.#around.set(end, { outgoing: [], incoming: [] }).get(end);
      for (const relation of this.relations.values()) {
        at(relation.source).outgoing.push(relation);
        at(relation.target).incoming.push(relation);
      }
    }
    return this.#around.get(id) ?? { outgoing: [], incoming: [] };
  }

  // The components at the other ends of a component's relations.
  neighbours(id) {
    const { outgoing, incoming } = this.relationsOf(id);
    const ends = [...outgoing.map(({ target }) => target), ...incoming.map(({ source }) => source)];
    return ends.map((end) => this.components.get(end)).filter(Boolean);
  }

  // Components that were not read lately, but are told again from an earlier reading.
  replayed() {
    return [...this.components.values()].filter(({ stale }) => stale);
  }

  #tell(entry) {
    const at = this.timeline.findIndex(({ number }) => number === entry.number);
    if (at >= 0) this.timeline[at] = entry;
    else this.timeline.push(entry);
    this.timeline = this.timeline.slice(-KEPT_ENTRIES);
  }

  #component(element) {
    const id = key(element.instance, element.externalId);
    const name = nameOf(element);
    const { NotReadSince: since, NotReadBecause: because, Location: place } = element.data;
    const labels = tagsOf(element).map(([tag, value]) => `${tag}:${value}`);
    const text = [name, element.externalId, element.type.name, ...labels].join('\n').toLowerCase();
    const stale = since || because ? { since, because } : null;
    return [id, { ...element, id, name, labels, text, stale, region: place?.AwsRegion ?? '' }];
  }

  #relation(element) {
    const [id, source, target] = [element.externalId, element.sourceId, element.targetId].map((each) => key(element.instance, each));
    return [id, { ...element, id, source, target }];
  }
}
