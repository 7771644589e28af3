// The topology as the receiver tells it, and what can be asked about it.

const NAMES = [
  'Name', 'StackName', 'FunctionName', 'TableName', 'BucketName', 'QueueName', 'TopicName', 'StreamName', 'ServiceName',
  'DeliveryStreamName', 'ClusterName', 'LoadBalancerName', 'AutoScalingGroupName', 'GroupName', 'DBInstanceIdentifier',
  'DBClusterIdentifier', 'ClusterIdentifier', 'DomainName', 'TargetGroupName', 'StageName', 'InstanceId',
];

export const key = (instance, externalId) => `${instance}|${externalId}`;

export function tagsOf(component) {
  const tags = component.data.Tags;
  return tags && typeof tags === 'object' && !Array.isArray(tags) ? Object.entries(tags) : [];
}

export function nameOf({ externalId, data }) {
  const tag = data.Tags?.Name;
  const field = NAMES.find((name) => typeof data[name] === 'string' && data[name]);
  // The StackPack names some things by their ARN or URL; people know them by the end of it.
  const name = (field && data[field]) || externalId;
  return tag || (/^arn:|:\/\//.test(name) || name === externalId ? name.split(/[:/]/).filter(Boolean).pop() : name) || name;
}

export class Model {
  components = new Map();
  relations = new Map();
  instances = [];
  changes = [];
  revision = -1;

  load(document) {
    this.components = new Map(document.components.map((each) => this.#component(each)));
    this.relations = new Map(document.relations.map((each) => this.#relation(each)));
    this.instances = document.instances;
    this.changes = document.changes.slice(-60).reverse();
    this.revision = document.revision;
  }

  // Gives false where a change was missed, and everything has to be loaded again.
  apply(change) {
    if (change.revision <= this.revision) {
      this.instances = change.instances;
      return true;
    }
    if (change.revision !== this.revision + 1) return false;
    this.revision = change.revision;
    this.instances = change.instances;
    for (const component of change.components) {
      const [id, prepared] = this.#component(component);
      this.#note(this.components.has(id) ? 'updated' : 'created', component);
      this.components.set(id, prepared);
    }
    for (const relation of change.relations) this.relations.set(...this.#relation(relation));
    for (const { instance, externalId } of change.removed) {
      const id = key(instance, externalId);
      if (this.components.has(id)) this.#note('deleted', this.components.get(id));
      this.components.delete(id);
      this.relations.delete(id);
    }
    return true;
  }

  relationsOf(id) {
    const all = [...this.relations.values()];
    return { outgoing: all.filter((each) => each.source === id), incoming: all.filter((each) => each.target === id) };
  }

  #component(element) {
    const id = key(element.instance, element.externalId);
    const name = nameOf(element);
    const tags = tagsOf(element).map(([tag, value]) => `${tag}:${value}`);
    const text = [name, element.externalId, element.type.name, ...tags].join('\n').toLowerCase();
    return [id, { ...element, id, name, text }];
  }

  #relation(element) {
    const [id, source, target] = [element.externalId, element.sourceId, element.targetId].map((each) => key(element.instance, each));
    return [id, { ...element, id, source, target }];
  }

  #note(what, { externalId, type, instance }) {
    this.changes.unshift({ time: Date.now() / 1000, what, externalId, type: type.name, instance });
    this.changes.length = Math.min(this.changes.length, 60);
  }
}
