// Where the nodes go: every connected island is relaxed by forces, then the islands are packed side by side.
// Works in short slices, so that the page stays usable however large the topology is.

const WIDTH = 122; // a node with its label
const HEIGHT = 82;
const GAP = 56; // between islands
const REACH = 320; // beyond this, nodes do not push each other
const SLICE_MS = 12;

let sliceEnds = 0;
async function breathe() {
  if (performance.now() < sliceEnds) return;
  await new Promise((resolve) => setTimeout(resolve));
  sliceEnds = performance.now() + SLICE_MS;
}

export async function arrange(nodes, edges, aspect) {
  const neighbours = new Map(nodes.map((node) => [node, []]));
  for (const [source, target] of edges) {
    neighbours.get(source).push(target);
    neighbours.get(target).push(source);
  }
  const [islands, singles] = split(nodes, neighbours);
  const blocks = [];
  for (const island of islands) blocks.push(await relax(island, neighbours));
  blocks.sort((a, b) => b.width * b.height - a.width * a.height);
  if (singles.length) blocks.push(grid(singles, Math.sqrt(nodes.length * aspect)));
  return pack(blocks, aspect);
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
  const rounds = island.length > 500 ? 140 : 300;
  for (let round = 0; round < rounds; round += 1) {
    const heat = Math.max(0, 1 - round / (rounds * 0.75)); // the last quarter only undoes overlaps
    const cells = new Map();
    const cell = (n) => `${Math.floor(x[n] / REACH)},${Math.floor(y[n] / REACH)}`;
    island.forEach((_, n) => cells.set(cell(n), [...(cells.get(cell(n)) ?? []), n]));
    const dx = new Float64Array(island.length);
    const dy = new Float64Array(island.length);
    for (let n = 0; n < island.length; n += 1) {
      for (const other of links[n]) {
        const strength = (0.09 * (heat ? 1 : 0.1)) / Math.sqrt(links[n].length);
        dx[n] += (x[other] - x[n]) * strength;
        dy[n] += (y[other] - y[n]) * strength;
      }
      for (const other of near(x[n], y[n], cells)) {
        if (other !== n) push(n, other, x, y, dx, dy, heat);
      }
      dx[n] -= x[n] * 0.006 * heat;
      dy[n] -= y[n] * 0.009 * heat;
      if (n % 50 === 0) await breathe();
    }
    const most = 8 + 60 * heat;
    for (let n = 0; n < island.length; n += 1) {
      x[n] += Math.max(-most, Math.min(most, dx[n]));
      y[n] += Math.max(-most, Math.min(most, dy[n]));
    }
  }
  return block(island, x, y);
}

function near(x, y, cells) {
  const found = [];
  for (let across = -1; across <= 1; across += 1) {
    for (let down = -1; down <= 1; down += 1) {
      const here = cells.get(`${Math.floor(x / REACH) + across},${Math.floor(y / REACH) + down}`);
      if (here) found.push(...here);
    }
  }
  return found;
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

function block(nodes, x, y) {
  const [left, top] = [Math.min(...x), Math.min(...y)];
  return {
    nodes: nodes.map((node, n) => [node, x[n] - left, y[n] - top]),
    width: Math.max(...x) - left + WIDTH,
    height: Math.max(...y) - top + HEIGHT,
  };
}

function grid(nodes, columns) {
  const across = Math.max(1, Math.round(columns));
  return block(nodes, nodes.map((_, n) => (n % across) * WIDTH), nodes.map((_, n) => Math.floor(n / across) * HEIGHT));
}

// Skyline packing: each block, largest first, goes where the outline of those before it is lowest.
function pack(blocks, aspect) {
  const area = blocks.reduce((sum, { width, height }) => sum + (width + GAP) * (height + GAP), 0);
  const most = Math.max(Math.sqrt(area * aspect * 1.1), ...blocks.map(({ width }) => width + GAP));
  const positions = new Map();
  let skyline = [{ x: 0, y: 0, width: most }];
  for (const { nodes, width, height } of blocks) {
    const wide = width + GAP;
    let best = null;
    for (const { x } of skyline) {
      const under = skyline.filter((part) => part.x < x + wide && part.x + part.width > x);
      const y = Math.max(...under.map((part) => part.y));
      if (x + wide <= most + 0.5 && (!best || y < best.y)) best = { x, y };
    }
    for (const [node, x, y] of nodes) positions.set(node, { x: best.x + x, y: best.y + y });
    const end = best.x + wide;
    skyline = skyline
      .flatMap(({ x, y, width: w }) => [{ x, y, width: Math.min(x + w, best.x) - x }, { x: Math.max(x, end), y, width: x + w - Math.max(x, end) }])
      .filter((part) => part.width > 0.5);
    skyline.push({ x: best.x, y: best.y + height + GAP, width: wide });
    skyline.sort((a, b) => a.x - b.x);
  }
  return positions;
}
