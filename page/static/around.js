// The surroundings of a component: a number of steps along relations, or all that it needs, or all that needs it.

export const REACHES = {
  1: (name) => `1 step around ${name}`,
  2: (name) => `2 steps around ${name}`,
  3: (name) => `3 steps around ${name}`,
  needs: (name) => `what ${name} needs`,
  needed: (name) => `what needs ${name}`,
};

const ENDS = {
  needs: ({ outgoing }) => outgoing.map(({ target }) => target),
  needed: ({ incoming }) => incoming.map(({ source }) => source),
  both: ({ outgoing, incoming }) => [...outgoing.map(({ target }) => target), ...incoming.map(({ source }) => source)],
};

// The ids within reach of a component, its own included.
export function surroundings(model, { id, reach }) {
  const ends = ENDS[reach] ?? ENDS.both;
  const found = new Set(model.components.has(id) ? [id] : []);
  let edge = [...found];
  for (let steps = ENDS[reach] ? Infinity : Number(reach); steps > 0 && edge.length; steps -= 1) {
    edge = [...new Set(edge.flatMap((each) => ends(model.relationsOf(each))))].filter((each) => !found.has(each) && model.components.has(each));
    edge.forEach((each) => found.add(each));
  }
  return found;
}
