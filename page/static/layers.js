// Lays an island out in layers, so that what needs is above what is needed: relations point downwards.

const SWEEPS = 12;
const DEEPEST = 2.2; // layers by the square root of nodes: what is deeper becomes a thread, which forces show better
const WIDEST = 1.5; // columns by the square root of nodes
const FEWEST_COLUMNS = 5;
const BETWEEN_LAYERS = 1.45; // heights of a node
const ASIDE = 0.16; // widths by which every other row of a layer is moved, for relations to pass

// `targets[n]` are the nodes that node n points to, `width` and `height` the room of a node. Gives {x, y} of each node by
// its number, or null where there would be too many layers. Lets others go on while it awaits `breathe`.
export async function layered(targets, width, height, breathe) {
  const count = targets.length;
  const layer = depths(acyclic(targets));
  const layers = [];
  layer.forEach((depth, node) => (layers[depth] ??= []).push(node));
  if (layers.length > DEEPEST * Math.sqrt(count) + 3) return null;
  const near = targets.map(() => []);
  targets.forEach((ends, node) => ends.forEach((end) => {
    near[node].push(end);
    near[end].push(node);
  }));
  const most = Math.max(FEWEST_COLUMNS, Math.ceil(WIDEST * Math.sqrt(count)));
  const x = new Float64Array(count);
  layers.forEach((nodes) => spread(nodes, most, x));
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const order = sweep % 2 ? [...layers].reverse() : layers;
    for (const nodes of order) {
      await breathe();
      const wanted = new Map(nodes.map((node) => [node, middle(near[node], x) ?? x[node]]));
      nodes.sort((a, b) => wanted.get(a) - wanted.get(b) || a - b);
      place(columns(nodes, most), wanted, x);
    }
  }
  return placed(layers, most, x, width, height);
}

// The same relations without those that close a circle.
function acyclic(targets) {
  const state = new Uint8Array(targets.length); // 1: on the way, 2: done
  const kept = targets.map(() => []);
  for (let start = 0; start < targets.length; start += 1) {
    if (state[start]) continue;
    const way = [[start, 0]];
    state[start] = 1;
    while (way.length) {
      const top = way.at(-1);
      const [node, next] = top;
      if (next === targets[node].length) {
        state[node] = 2;
        way.pop();
        continue;
      }
      top[1] += 1;
      const end = targets[node][next];
      if (state[end] === 1) continue;
      kept[node].push(end);
      if (!state[end]) {
        state[end] = 1;
        way.push([end, 0]);
      }
    }
  }
  return kept;
}

// The layer of each node: below all that point to it. What nothing points to is just above what it points to.
function depths(targets) {
  const pending = new Int32Array(targets.length);
  targets.forEach((ends) => ends.forEach((end) => (pending[end] += 1)));
  const free = [...pending.keys()].filter((node) => !pending[node]);
  const sources = [...free];
  const depth = new Int32Array(targets.length);
  for (const node of free) {
    for (const end of targets[node]) {
      depth[end] = Math.max(depth[end], depth[node] + 1);
      pending[end] -= 1;
      if (!pending[end]) free.push(end);
    }
  }
  for (const node of sources) if (targets[node].length) depth[node] = Math.min(...targets[node].map((end) => depth[end])) - 1;
  return depth;
}

// A layer of too many nodes has several rows: its columns, from left to right.
function columns(nodes, most) {
  const rows = Math.ceil(nodes.length / most);
  return Array.from({ length: Math.ceil(nodes.length / rows) }, (_, at) => nodes.slice(at * rows, (at + 1) * rows));
}

function spread(nodes, most, x) {
  const all = columns(nodes, most);
  all.forEach((column, at) => column.forEach((node) => (x[node] = at - (all.length - 1) / 2)));
}

const middle = (nodes, x) => (nodes.length ? nodes.reduce((sum, node) => sum + x[node], 0) / nodes.length : null);

// Puts columns where they want to be, as far as there is one width between any two: the mean of what pushing them apart
// from the left and from the right would give.
function place(all, wanted, x) {
  const aims = all.map((column) => column.reduce((sum, node) => sum + wanted.get(node), 0) / column.length);
  const right = [...aims];
  for (let at = 1; at < right.length; at += 1) right[at] = Math.max(right[at], right[at - 1] + 1);
  const left = [...aims];
  for (let at = left.length - 2; at >= 0; at -= 1) left[at] = Math.min(left[at], left[at + 1] - 1);
  all.forEach((column, at) => column.forEach((node) => (x[node] = (left[at] + right[at]) / 2)));
}

function placed(layers, most, x, width, height) {
  const found = x.map((across) => across * width);
  const down = new Float64Array(x.length);
  let top = 0;
  for (const nodes of layers) {
    const rows = Math.ceil(nodes.length / most);
    columns(nodes, most).forEach((column) => column.forEach((node, row) => {
      down[node] = top + row * height;
      if (rows > 1) found[node] += (row % 2 ? ASIDE : -ASIDE) * width;
    }));
    top += (rows - 1 + BETWEEN_LAYERS) * height;
  }
  return { x: found, y: down };
}
