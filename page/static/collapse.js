// Groups that are folded: each is drawn as one node, and its relations as one line to each neighbour.

import { key } from 'page/model.js';

export const FOLDED = 'group';
const idOf = (box) => key(FOLDED, box.id);

// What is drawn of these components, relations and boxes, if the boxes with these ids are folded: {components, relations,
// paths, drawnAs}; `drawnAs` gives the id of the node that stands for a component.
export function collapsed(components, relations, paths, folded) {
  if (!folded.size) return { components, relations, paths, drawnAs: (id) => id };
  const standsFor = new Map();
  const nodes = new Map();
  const ways = new Map();
  for (const component of components) {
    const path = paths.get(component.id);
    const depth = path.findIndex((box) => folded.has(box.id));
    if (depth < 0) {
      nodes.set(component.id, component);
      ways.set(component.id, path);
      continue;
    }
    const box = path[depth];
    const id = idOf(box);
    if (!nodes.has(id)) {
      nodes.set(id, { id, name: box.title, type: { name: box.type }, stale: null, box: box.id, holds: 0 });
      ways.set(id, path.slice(0, depth));
    }
    nodes.get(id).holds += 1;
    nodes.get(id).stale ||= component.stale;
    standsFor.set(component.id, id);
  }
  const drawnAs = (id) => standsFor.get(id) ?? id;
  return { components: [...nodes.values()], relations: joined(relations, drawnAs), paths: ways, drawnAs };
}

function joined(relations, drawnAs) {
  const found = new Map();
  for (const relation of relations) {
    const [source, target] = [drawnAs(relation.source), drawnAs(relation.target)];
    if (source === relation.source && target === relation.target) found.set(relation.id, relation);
    else if (source !== target) found.set(`${source} ${target}`, { ...relation, source, target });
  }
  return [...found.values()];
}
