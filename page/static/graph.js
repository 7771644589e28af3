// The graph: knows where every component is drawn, follows the model, and answers to mouse, fingers and keys.

import { collate, plural } from 'page/dom.js';
import { HEIGHT, PADDING, WIDTH, arrange, titleRoom } from 'page/layout.js';
import { Painter, grown } from 'page/paint.js';
import { settle } from 'page/settle.js';
import { describe } from 'page/types.js';

const [NEAREST, FARTHEST] = [2.5, 0.01]; // zoom
const FRESH_MS = 4000;
const MOVE_MS = 350;
const UNDER_TOOLS = 48; // pixels at the top, where the buttons are
const BESIDE = 36; // pixels to the left and right, for names that are wider than their nodes
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Graph {
  #scene = { nodes: [], edges: [], boxes: [] };
  #byId = new Map();
  #paths = new Map();
  #camera = { x: 0, y: 0, zoom: 1 };
  #marks = { chosen: null, near: null, found: null, hovered: null, fresh: new Map() };
  #frame = 0;
  #motion = null;
  #pointers = new Map();
  #moved = 0;

  // onChoose(id or null, by key), onFold(id of a box)
  constructor(container, onChoose, onFold) {
    this.container = container;
    this.onChoose = onChoose;
    this.onFold = onFold;
    this.canvas = document.createElement('canvas');
    container.append(this.canvas);
    container.graph = this; // for the browser's console
    this.painter = new Painter(this.canvas);
    this.painter.resize();
    new ResizeObserver(() => this.#resized()).observe(container);
    for (const feature of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(feature).addEventListener('change', () => {
        this.painter.themed();
        this.#repaint();
      });
    }
    this.#listen();
  }

  // Shows these components. Where most are new, or `afresh`, all are laid out again; else newcomers find a free place.
  // Gives the ids that were not there before.
  async show(components, relations, paths, afresh) {
    const added = components.filter(({ id }) => !this.#byId.has(id)).map(({ id }) => id);
    const all = afresh || added.length > Math.max(20, this.#byId.size / 3);
    const next = new Map(components.map((component) => [component.id, this.#node(component)]));
    const edges = this.#edges(relations, next, paths);
    for (const { from, to } of edges) for (const node of [from, to]) node.degree += 1;
    for (const node of next.values()) node.size = node.holds ? 66 : 38 + Math.min(24, 4 * Math.sqrt(node.degree));
    if (all && components.length) await this.#arrange(next, edges, paths);
    this.#byId = next;
    this.#paths = paths;
    this.#scene = { nodes: [...next.values()], edges, boxes: [] };
    if (!all && added.length) settle(added.map((id) => next.get(id)), this.#scene, paths);
    this.#scene.boxes = boxes(this.#scene.nodes, paths);
    this.container.dataset.state = 'ready';
    if (all) this.fit();
    else this.#repaint();
    return added;
  }

  // Marks what was chosen, and what was found (a set of ids; null where nothing is looked for). `alone` lets everything
  // fade but what was chosen and its neighbours.
  mark(chosen, found, alone) {
    const known = this.#byId.has(chosen);
    const near = known && alone ? new Set([chosen]) : null;
    if (near) {
      for (const { from, to } of this.#scene.edges) {
        if (from.id === chosen) near.add(to.id);
        if (to.id === chosen) near.add(from.id);
      }
    }
    Object.assign(this.#marks, { chosen: known ? chosen : null, near, found });
    this.#repaint();
  }

  // Lets newcomers shine for a while.
  flash(ids) {
    for (const id of ids) this.#marks.fresh.set(id, performance.now() + FRESH_MS);
    setTimeout(() => {
      for (const [id, until] of this.#marks.fresh) if (until <= performance.now()) this.#marks.fresh.delete(id);
      this.#repaint();
    }, FRESH_MS + 20);
    this.#repaint();
  }

  fit(ids = null, closest = 1.1) {
    const nodes = ids ? ids.map((id) => this.#byId.get(id)).filter(Boolean) : this.#scene.nodes;
    if (!nodes.length) return;
    const area = extent(nodes, ids ? [] : this.#scene.boxes);
    const [width, height] = [this.painter.width, this.painter.height - UNDER_TOOLS];
    const zoom = limited(Math.min(closest, (width - 2 * BESIDE) / area.width, (0.97 * height) / area.height));
    const target = { zoom, x: area.x + area.width / 2 - width / zoom / 2, y: area.y + area.height / 2 - (height / 2 + UNDER_TOOLS) / zoom };
    if (ids) this.#moveTo(target);
    else this.#look(target);
  }

  zoom(factor, x = this.painter.width / 2, y = this.painter.height / 2) {
    const { camera } = this;
    const zoom = limited(camera.zoom * factor);
    this.#look({ zoom, x: camera.x + x / camera.zoom - x / zoom, y: camera.y + y / camera.zoom - y / zoom });
  }

  get camera() {
    return this.#camera;
  }

  // What is drawn, and how: for tests, and for the curious.
  drawn() {
    const { near, found } = this.#marks;
    return this.#scene.nodes.map(({ id, name, x, y }) => ({
      id, name, faded: near ? !near.has(id) : Boolean(found && !found.has(id)), boxes: this.#paths.get(id).map(({ title }) => title),
      at: [(x - this.#camera.x) * this.#camera.zoom, (y - this.#camera.y) * this.#camera.zoom],
    }));
  }

  // What is seen, as a PNG.
  picture() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, 'image/png'));
  }

  #node({ id, name, type, stale, holds = 0 }) {
    const { x = 0, y = 0 } = this.#byId.get(id) ?? {};
    return { id, name, type: type.name, stale: Boolean(stale), holds, x, y, degree: 0, size: 38 };
  }

  // A relation with the box that one is drawn in anyway says nothing new: it shows only when chosen.
  #edges(relations, nodes, paths) {
    const within = (node, other) => paths.get(node.id).some(({ id }) => id === other.id);
    const found = [];
    for (const { source, target, type } of relations) {
      const [from, to] = [nodes.get(source), nodes.get(target)];
      if (from && to && from !== to) found.push({ from, to, kind: type.name, implied: within(from, to) || within(to, from) });
    }
    return found;
  }

  async #arrange(nodes, edges, paths) {
    this.container.dataset.state = 'arranging';
    const order = [...nodes.values()].sort((a, b) => describe(a.type).rank - describe(b.type).rank || collate(a.name, b.name));
    const pairs = edges.filter(({ implied }) => !implied).map(({ from, to }) => [from.id, to.id]);
    const { width, height } = this.painter;
    const places = await arrange(order.map(({ id }) => id), pairs, (id) => paths.get(id), width / Math.max(height - UNDER_TOOLS, 1));
    for (const [id, place] of places) Object.assign(nodes.get(id), place);
  }

  #listen() {
    const { canvas, container } = this;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, event);
      this.#moved = 0;
    });
    canvas.addEventListener('pointermove', (event) => (this.#pointers.has(event.pointerId) ? this.#drag(event) : this.#hover(event)));
    canvas.addEventListener('pointerup', (event) => {
      this.#pointers.delete(event.pointerId);
      if (this.#moved < 5 && !this.#pointers.size) this.#click(event);
    });
    canvas.addEventListener('pointercancel', (event) => this.#pointers.delete(event.pointerId));
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 500), event.offsetX, event.offsetY);
    }, { passive: false });
    container.addEventListener('keydown', (event) => this.#key(event));
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    const others = [...this.#pointers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
    this.#pointers.set(event.pointerId, event);
    const [dx, dy] = [event.offsetX - before.offsetX, event.offsetY - before.offsetY];
    this.#moved += Math.abs(dx) + Math.abs(dy);
    const { x, y, zoom } = this.#camera;
    this.#look({ zoom, x: x - dx / zoom / (others.length + 1), y: y - dy / zoom / (others.length + 1) });
    if (others.length !== 1) return;
    const distance = (from) => Math.hypot(from.offsetX - others[0].offsetX, from.offsetY - others[0].offsetY);
    this.zoom(distance(event) / Math.max(1, distance(before)), (event.offsetX + others[0].offsetX) / 2, (event.offsetY + others[0].offsetY) / 2);
  }

  #click(event) {
    const node = this.#at(event);
    const box = node ? null : this.painter.titleAt(event.offsetX, event.offsetY);
    if (box) this.onFold(box.id);
    else this.onChoose(node?.id ?? null);
  }

  #hover(event) {
    const node = this.#at(event);
    const box = node ? null : this.painter.titleAt(event.offsetX, event.offsetY);
    this.canvas.style.cursor = node || box ? 'pointer' : 'grab';
    this.canvas.title = node ? `${node.name} · ${node.holds ? `${plural(node.holds, 'component')}, folded` : describe(node.type).label}` : box ? `${box.title}: fold` : '';
    if ((node?.id ?? null) === this.#marks.hovered) return;
    this.#marks.hovered = node?.id ?? null;
    this.#repaint();
  }

  #at({ offsetX, offsetY }) {
    const { x, y, zoom } = this.#camera;
    const spot = { x: x + offsetX / zoom, y: y + offsetY / zoom };
    return this.#scene.nodes.findLast((node) => Math.max(Math.abs(node.x - spot.x), Math.abs(node.y - spot.y)) <= Math.max(grown(node.size, zoom) / 2, 5 / zoom));
  }

  #key(event) {
    const acts = { '+': () => this.zoom(1.3), '=': () => this.zoom(1.3), '-': () => this.zoom(1 / 1.3), 0: () => this.fit() };
    const act = STEPS[event.key] ? () => this.#step(STEPS[event.key]) : acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  // Goes to the nearest component in a direction; from nowhere, to the one in the middle of the screen.
  #step([right, down]) {
    const { width, height } = this.painter;
    const { x, y, zoom } = this.#camera;
    const chosen = this.#byId.get(this.#marks.chosen);
    const from = chosen ?? { x: x + width / zoom / 2, y: y + height / zoom / 2 };
    const cost = (node) => {
      const [across, along] = [node.x - from.x, node.y - from.y];
      if (!chosen) return Math.hypot(across, along);
      const ahead = across * right + along * down;
      const aside = Math.abs(across * down) + Math.abs(along * right);
      return ahead > 1 && aside <= 2 * ahead ? ahead + 2 * aside : Infinity;
    };
    const { found } = this.#marks;
    const best = this.#scene.nodes.filter((node) => node !== chosen && (!found || found.has(node.id))).reduce(
      (least, node) => (cost(node) < least.cost ? { node, cost: cost(node) } : least), { node: null, cost: Infinity },
    );
    if (best.node) this.onChoose(best.node.id, true);
  }

  #resized() {
    this.painter.resize();
    this.#paint(performance.now()); // at once: a canvas that was resized is empty
  }

  #look(camera) {
    this.#motion = null;
    this.#camera = camera;
    this.#repaint();
  }

  #moveTo(camera) {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return this.#look(camera);
    this.#motion = { from: this.#camera, to: camera, began: performance.now() };
    return this.#repaint();
  }

  #repaint() {
    this.#frame ||= requestAnimationFrame((now) => this.#paint(now));
  }

  #paint(now) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#motion) {
      const { from, to, began } = this.#motion;
      const share = Math.max(0, Math.min(1, (now - began) / MOVE_MS));
      this.#camera = between(from, to, 1 - (1 - share) ** 3, this.painter);
      if (share === 1) this.#motion = null;
      else this.#repaint();
    }
    if (this.painter.width && this.painter.height) this.painter.draw(this.#scene, this.#camera, this.#marks);
  }
}

const limited = (zoom) => Math.max(FARTHEST, Math.min(NEAREST, zoom));

// The middle of the view moves evenly, and so does the zoom.
function between(from, to, share, { width, height }) {
  const zoom = from.zoom * (to.zoom / from.zoom) ** share;
  const middle = (start, end, size) => {
    const [first, last] = [start + size / from.zoom / 2, end + size / to.zoom / 2];
    return first + (last - first) * share - size / zoom / 2;
  };
  return share === 1 ? to : { zoom, x: middle(from.x, to.x, width), y: middle(from.y, to.y, height) };
}

function extent(nodes, around) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  const add = (x1, y1, x2, y2) => {
    [left, top, right, bottom] = [Math.min(left, x1), Math.min(top, y1), Math.max(right, x2), Math.max(bottom, y2)];
  };
  for (const { x, y } of nodes) add(x - WIDTH / 2, y - HEIGHT / 2, x + WIDTH / 2, y + HEIGHT / 2);
  for (const { x, y, width, height } of around) add(x, y, x + width, y + height);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

// The boxes around nodes, outer ones first: as large as what is in them.
function boxes(nodes, paths) {
  const found = new Map();
  for (const node of nodes) {
    paths.get(node.id).forEach((box, depth) => {
      const all = found.get(box.id) ?? { ...box, depth, nodes: [], inner: new Set() };
      found.set(box.id, all);
      all.nodes.push(node);
      all.parent = depth ? paths.get(node.id)[depth - 1].id : null;
    });
  }
  const sized = [...found.values()].sort((a, b) => b.depth - a.depth);
  for (const box of sized) {
    const inner = sized.filter(({ parent }) => parent === box.id).map(({ area }) => area);
    const direct = box.nodes.filter(({ id }) => paths.get(id).length === box.depth + 1);
    const area = extent(direct, inner);
    const title = titleRoom(area.width);
    box.area = { x: area.x - PADDING, y: area.y - PADDING - title, width: area.width + 2 * PADDING, height: area.height + 2 * PADDING + title };
  }
  return sized.reverse().map(({ id, area, title, type, depth, nodes }) => ({ ...area, id, title, type, depth, count: nodes.reduce((sum, { holds }) => sum + (holds || 1), 0) }));
}
