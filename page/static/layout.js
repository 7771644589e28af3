// Where everything goes: connected islands are laid out in layers, or where these would be too many relaxed by forces;
// then islands and boxes are packed side by side.
// Works in short slices, so that the page stays usable however large the topology is.

import { unique } from 'page/dom.js';
import { layered } from 'page/layers.js';

export const WIDTH = 110; // a node with its label
export const HEIGHT = 80;
export const PADDING = 22; // within a box
const GAP = 44; // between islands, and between boxes
const REACH = 320; // beyond this, nodes do not push each other
const MOST_RELAXED = 3000; // nodes: forces take too long for more
const MOST_FREE = 120; // nodes that may stay where the forces left them
const WORK = 60_000; // nodes times rounds of relaxing, within limits
const SLICE_MS = 12;
const INNER_ASPECTS = [0.6, 1, 1.5, 2.2]; // of boxes: what can be shown largest is taken

// Room for the title above what is in a box, which is seen from farther away the larger the box is.
export const titleRoom = (width) => Math.max(30, 0.11 * width);

let sliceEnds = 0;
async function breathe() {
  if (performance.now() < sliceEnds) return;
  await new Promise((resolve) => setTimeout(resolve));
  sliceEnds = performance.now() + SLICE_MS;
}

// Gives Map of node to {x, y}. `nodes` come in the order that a grid of them should have; `pathOf` gives the boxes
// around a node, outermost first; `aspect` is width by height of the room.
export async function arrange(nodes, edges, pathOf, aspect) {
  const neighbours = new Map(nodes.map((node) => [node, []]));
  const targets = new Map(nodes.map((node) => [node, []]));
  for (const [source, target] of edges) {
    neighbours.get(source).push(target);
    neighbours.get(target).push(source);
    targets.get(source).push(target);
  }
  const root = tree(nodes, pathOf);
  await relaxed(root, neighbours, targets);
  let best = null;
  for (const inner of root.inner.size ? INNER_ASPECTS : [1]) {
    await breathe();
    const whole = placed(root, aspect, inner);
    const size = Math.max(whole.width, whole.height * aspect);
    if (!best || size < best.size) best = { whole, size };
  }
  return new Map(best.whole.nodes.map(([node, x, y]) => [node, { x, y }]));
}

function tree(nodes, pathOf) {
  const root = { members: [], inner: new Map() };
  for (const node of nodes) {
    let at = root;
    for (const { id } of pathOf(node)) {
      if (!at.inner.has(id)) at.inner.set(id, { members: [], inner: new Map() });
      at = at.inner.get(id);
    }
    at.members.push(node);
  }
  return root;
}

// Gives every box its islands, relaxed, and its single nodes.
async function relaxed(box, neighbours, targets) {
  const within = new Set(box.members);
  const near = new Map(box.members.map((node) => [node, neighbours.get(node).filter((other) => within.has(other))]));
  const [islands, singles] = split(box.members, near);
  box.singles = singles;
  box.blocks = [];
  for (const island of islands) box.blocks.push((await inLayers(island, targets)) ?? (island.length > MOST_RELAXED ? grid(island, 1.5) : await relax(island, near)));
  for (const inner of box.inner.values()) await relaxed(inner, neighbours, targets);
}

// The island's block in layers; null where there would be too many.
async function inLayers(island, targets) {
  const index = new Map(island.map((node, number) => [node, number]));
  const within = (node) => unique(targets.get(node).map((target) => index.get(target)).filter((target) => target !== undefined));
  await breathe();
  const places = await layered(island.map(within), WIDTH, HEIGHT, breathe);
  return places && block(island, places.x, places.y);
}

// The block of a box: what is directly in it, and the boxes in it, which have the aspect `inner`.
function placed(box, aspect, inner) {
  const blocks = [...box.blocks];
  if (box.singles.length) blocks.push(grid(box.singles, blocks.length ? 3 : aspect));
  for (const each of box.inner.values()) {
    const { nodes, width, height } = placed(each, inner, inner);
    const title = titleRoom(width);
    blocks.push({
      nodes: nodes.map(([node, x, y]) => [node, x + PADDING, y + PADDING + title]),
      width: width + 2 * PADDING,
      height: height + 2 * PADDING + title,
    });
  }
  return packed(blocks, aspect);
}

function split(nodes, neighbours) {
  const seen = new Set();
  const islands = [];
  const singles = [];
  for (const start of nodes) {
    if (seen.has(start)) continue;
    const island = [start];
    seen.add(start);
    for (const node of island) {
      for (const next of neighbours.get(node)) {
        if (!seen.has(next)) {
          seen.add(next);
          island.push(next);
        }
      }
    }
    if (island.length > 1) islands.push(island);
    else singles.push(start);
  }
  return [islands, singles];
}

async function relax(island, neighbours) {
  const index = new Map(island.map((node, number) => [node, number]));
  // Breadth-first order on a spiral: neighbours start near each other.
  const x = island.map((_, n) => 70 * Math.sqrt(n) * Math.cos(n * 2.4));
  const y = island.map((_, n) => 70 * Math.sqrt(n) * Math.sin(n * 2.4));
  const links = island.map((node) => neighbours.get(node).map((other) => index.get(other)));
  const rounds = Math.max(50, Math.min(300, Math.round(WORK / island.length)));
  const gravity = Math.min(1, Math.sqrt(120 / island.length)); // large islands need the room
  for (let round = 0; round < rounds; round += 1) {
    const heat = Math.max(0, 1 - round / (rounds * 0.75)); // the last quarter only undoes overlaps
    const cells = cellsOf(x, y);
    const dx = new Float64Array(island.length);
    const dy = new Float64Array(island.length);
    for (let n = 0; n < island.length; n += 1) {
      for (const other of links[n]) {
        const strength = (0.09 * (heat ? 1 : 0.1)) / Math.sqrt(links[n].length);
        dx[n] += (x[other] - x[n]) * strength;
        dy[n] += (y[other] - y[n]) * strength;
      }
      forNear(x[n], y[n], cells, (other) => other !== n && push(n, other, x, y, dx, dy, heat));
      dx[n] -= x[n] * 0.006 * heat * gravity;
      dy[n] -= y[n] * 0.009 * heat * gravity;
      if (n % 50 === 0) await breathe();
    }
    const most = 8 + 60 * heat;
    for (let n = 0; n < island.length; n += 1) {
      x[n] += Math.max(-most, Math.min(most, dx[n]));
      y[n] += Math.max(-most, Math.min(most, dy[n]));
    }
  }
  if (island.length > MOST_FREE) snap(x, y);
  return block(island, x, y);
}

// Moves everything to the nearest free cell of a grid, from the middle outwards: forces alone leave overlaps where
// there are many.
function snap(x, y) {
  const taken = new Set();
  const order = [...x.keys()].sort((a, b) => Math.hypot(x[a], y[a]) - Math.hypot(x[b], y[b]));
  for (const n of order) {
    const [column, row] = nearestFree(x[n] / WIDTH, y[n] / HEIGHT, taken);
    taken.add(column * 100_003 + row);
    [x[n], y[n]] = [column * WIDTH, row * HEIGHT];
  }
}

function nearestFree(x, y, taken) {
  const [column, row] = [Math.round(x), Math.round(y)];
  let best = null;
  // One ring further than where the first free cell was: a corner is farther away than the next ring's sides.
  for (let ring = 0, last = Infinity; ring <= last; ring += 1) {
    for (const [across, down] of ringOf(ring)) {
      if (taken.has((column + across) * 100_003 + row + down)) continue;
      const distance = Math.hypot(column + across - x, row + down - y);
      if (!best || distance < best.distance) best = { distance, at: [column + across, row + down] };
      last = Math.min(last, ring + 1);
    }
  }
  return best.at;
}

function* ringOf(ring) {
  for (let at = -ring; at <= ring; at += 1) {
    yield [at, -ring];
    if (ring) yield [at, ring];
    if (Math.abs(at) < ring) {
      yield [-ring, at];
      yield [ring, at];
    }
  }
}

const cell = (x, y) => Math.floor(x / REACH) * 100_003 + Math.floor(y / REACH);

function cellsOf(x, y) {
  const cells = new Map();
  for (let n = 0; n < x.length; n += 1) {
    const at = cell(x[n], y[n]);
    if (cells.has(at)) cells.get(at).push(n);
    else cells.set(at, [n]);
  }
  return cells;
}

function forNear(x, y, cells, act) {
  for (let across = -1; across <= 1; across += 1) {
    for (let down = -1; down <= 1; down += 1) cells.get(cell(x + across * REACH, y + down * REACH))?.forEach(act);
  }
}

function push(n, other, x, y, dx, dy, heat) {
  const across = x[n] - x[other] || (n - other) * 0.01;
  const down = y[n] - y[other] || (other - n) * 0.01;
  const distance = Math.hypot(across, down);
  if (distance > REACH) return;
  const force = heat ? (310 * (0.35 + heat)) / (distance * distance + 40) : 0;
  dx[n] += across * force;
  dy[n] += down * force;
  const [overX, overY] = [WIDTH - Math.abs(across), HEIGHT - Math.abs(down)];
  if (overX > 0 && overY > 0) {
    if (overX / WIDTH < overY / HEIGHT) dx[n] += Math.sign(across) * overX * 0.35;
    else dy[n] += Math.sign(down) * overY * 0.35;
  }
}

// A block's nodes keep half their room to each side.
function block(nodes, x, y) {
  const [left, top] = [Math.min(...x) - WIDTH / 2, Math.min(...y) - HEIGHT / 2];
  return {
    nodes: nodes.map((node, n) => [node, x[n] - left, y[n] - top]),
    width: Math.max(...x) - left + WIDTH / 2,
    height: Math.max(...y) - top + HEIGHT / 2,
  };
}

function grid(nodes, aspect) {
  const across = Math.max(1, Math.ceil(Math.sqrt((nodes.length * aspect * HEIGHT) / WIDTH)));
  return block(nodes, nodes.map((_, n) => (n % across) * WIDTH), nodes.map((_, n) => Math.floor(n / across) * HEIGHT));
}

// Blocks side by side, in the best of several widths: the one that can be shown largest.
function packed(blocks, aspect) {
  if (blocks.length === 1) return blocks[0];
  const sorted = [...blocks].sort((a, b) => b.width * b.height - a.width * a.height);
  const area = sorted.reduce((sum, { width, height }) => sum + (width + GAP) * (height + GAP), 0);
  const least = Math.max(...sorted.map(({ width }) => width + GAP));
  const factors = blocks.length > 200 ? [1.1] : [0.9, 1, 1.1, 1.2, 1.35, 1.5, 1.8];
  const tries = unique(factors.map((factor) => Math.max(least, factor * Math.sqrt(area * aspect)))).map((most) => packedWithin(sorted, most));
  const size = ({ width, height }) => Math.max(width, height * aspect);
  const { spots, width, height } = tries.reduce((best, each) => (size(each) < size(best) ? each : best));
  const nodes = sorted.flatMap((block, n) => block.nodes.map(([node, x, y]) => [node, x + spots[n].x, y + spots[n].y]));
  return { nodes, width, height };
}

// Skyline packing: each block, largest first, goes where the outline of those before it is lowest.
function packedWithin(sorted, most) {
  let [right, bottom] = [0, 0];
  let skyline = [{ x: 0, y: 0, width: most }];
  const spots = sorted.map(({ width, height }) => {
    const { x, y } = lowest(skyline, width + GAP, most);
    [right, bottom] = [Math.max(right, x + width), Math.max(bottom, y + height)];
    skyline = raised(skyline, { x, y: y + height + GAP, width: width + GAP });
    return { x, y };
  });
  return { spots, width: right, height: bottom };
}

function lowest(skyline, wide, most) {
  let best = null;
  for (const { x } of skyline) {
    if (x + wide > most + 0.5) continue;
    const y = Math.max(...skyline.filter((part) => part.x < x + wide && part.x + part.width > x).map((part) => part.y));
    if (!best || y < best.y) best = { x, y };
  }
  return best;
}

function raised(skyline, step) {
  const end = step.x + step.width;
  const rest = skyline.flatMap(({ x, y, width }) => [
    { x, y, width: Math.min(x + width, step.x) - x },
    { x: Math.max(x, end), y, width: x + width - Math.max(x, end) },
  ]);
  return [...rest.filter(({ width }) => width > 0.5), step].sort((a, b) => a.x - b.x);
}
