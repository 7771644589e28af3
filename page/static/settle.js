// Finds places for a few newcomers among what is drawn already, so that nothing else has to move.

import { HEIGHT, WIDTH } from 'page/layout.js';

const MOST_STEPS = 2000; // of the spiral along which a free place is looked for

// Gives each newcomer its place: near a neighbour in its own box, else near anything in its box, else near any
// neighbour, else below everything.
export function settle(newcomers, { nodes, edges }, paths) {
  const waiting = new Set(newcomers);
  const placed = nodes.filter((node) => !waiting.has(node));
  const room = new Room(placed);
  const boxOf = ({ id }) => paths.get(id).at(-1)?.id;
  const inBox = new Map(placed.map((node) => [boxOf(node), node]));
  const bottom = Math.max(0, ...placed.map(({ y }) => y));
  for (const node of newcomers) {
    const linked = edges.filter(({ from, to }) => from === node || to === node).map(({ from, to }) => (from === node ? to : from));
    const near = linked.filter((other) => !waiting.has(other));
    const box = boxOf(node);
    const start = near.find((other) => boxOf(other) === box) ?? (box ? inBox.get(box) : near[0]) ?? { x: 0, y: bottom + 3 * HEIGHT };
    room.place(node, start);
    waiting.delete(node);
    inBox.set(box, node);
  }
}

class Room {
  #cells = new Map();

  constructor(nodes) {
    nodes.forEach((node) => this.#add(node));
  }

  // Goes round and round from the start, until nothing is near.
  place(node, start) {
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const radius = 60 * Math.sqrt(step);
      node.x = start.x + radius * Math.cos(step * 2.4);
      node.y = start.y + Math.abs(radius * Math.sin(step * 2.4));
      if (this.#free(node)) break;
    }
    this.#add(node);
  }

  #add(node) {
    const cell = this.#cell(node.x, node.y);
    if (this.#cells.has(cell)) this.#cells.get(cell).push(node);
    else this.#cells.set(cell, [node]);
  }

  #free({ x, y }) {
    for (const across of [-WIDTH, 0, WIDTH]) {
      for (const down of [-HEIGHT, 0, HEIGHT]) {
        const near = this.#cells.get(this.#cell(x + across, y + down)) ?? [];
        if (near.some((other) => Math.abs(other.x - x) < WIDTH - 4 && Math.abs(other.y - y) < HEIGHT - 4)) return false;
      }
    }
    return true;
  }

  #cell(x, y) {
    return Math.floor(x / WIDTH) * 100_003 + Math.floor(y / HEIGHT);
  }
}
