// Draws a scene on a canvas: boxes, relations, nodes, and as many names as there is room for.

import { number, plural } from 'page/dom.js';
import { HEIGHT, titleRoom } from 'page/layout.js';
import { describe } from 'page/types.js';

const TILE = 96; // pixels of a node's picture, which is then drawn in any size
const FADED = 0.14;
const SMALL = 7; // pixels, below which a node is a plain square
const MOST_NAMES = 350;
const MOST_KINDS = 25; // relations of a component that are named
const MOST_FAINT = 4000; // relations that are drawn faintly behind what was found
const MOST_HEADS = 2500; // relations that have arrow heads
const HEAD = [9, 5]; // the length of a head: in the graph's units, and at least in pixels
const LINE = 14; // pixels of a name's height
const TITLE = 18; // pixels of a title's height
const CELL = 48; // pixels of the grid in which room for names is looked for

// From afar, where there is no room for names anyway, nodes are drawn larger, as far as their neighbours leave room.
export function grown(size, zoom) {
  if (HEIGHT - (LINE + 2) / zoom >= 0.95 * size) return size;
  return Math.min(size * Math.max(1, Math.min(1.6, (0.55 / zoom) ** 0.5)), HEIGHT - 14);
}

export class Painter {
  #tiles = new Map();
  #widths = new Map();
  titles = []; // where the titles of boxes were drawn last
  #context;
  #colors = {};

  constructor(canvas) {
    this.canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false });
    this.themed();
  }

  // Takes the colours of the page's scheme.
  themed() {
    const css = getComputedStyle(document.documentElement);
    for (const name of ['text', 'muted', 'canvas', 'line', 'box', 'edge', 'accent', 'fresh', 'lost']) {
      this.#colors[name] = css.getPropertyValue(`--${name}`).trim();
    }
    this.#tiles.clear();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    this.ratio = devicePixelRatio || 1;
    [this.width, this.height] = [clientWidth, clientHeight];
    [this.canvas.width, this.canvas.height] = [clientWidth * this.ratio, clientHeight * this.ratio];
  }

  // scene: {nodes, edges, boxes}; camera: {x, y, zoom}; marks: {chosen, near, found, fresh, hovered}: `found` null is all.
  draw(scene, camera, marks) {
    const context = this.#context;
    const { x, y, zoom } = camera;
    this.camera = camera;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = this.#colors.canvas;
    context.fillRect(0, 0, this.width, this.height);
    context.setTransform(this.ratio * zoom, 0, 0, this.ratio * zoom, -x * zoom * this.ratio, -y * zoom * this.ratio);
    const shown = scene.nodes.filter((node) => this.#visible(node.x - 60, node.y - 60, 120, 120));
    const bright = (id) => (marks.near ? marks.near.has(id) : !marks.found || marks.found.has(id));
    const boxes = scene.boxes.filter((box) => this.#visible(box.x, box.y, box.width, box.height));
    boxes.forEach((box) => this.#box(box));
    this.#edges(scene.edges, marks, bright);
    this.#nodes(shown, marks, bright);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.#names(shown, boxes, marks, bright, scene);
  }

  // The box whose title was drawn there, or undefined.
  titleAt(x, y) {
    return this.titles.find(({ left, top, right, bottom }) => x >= left && x <= right && y >= top && y <= bottom)?.box;
  }

  #visible(x, y, width, height) {
    const { camera } = this;
    return x < camera.x + this.width / camera.zoom && x + width > camera.x && y < camera.y + this.height / camera.zoom && y + height > camera.y;
  }

  #screen({ x, y }) {
    return [(x - this.camera.x) * this.camera.zoom, (y - this.camera.y) * this.camera.zoom];
  }

  #box({ x, y, width, height, depth }) {
    const context = this.#context;
    context.beginPath();
    context.roundRect(x, y, width, height, 14);
    context.fillStyle = this.#colors.box;
    context.fill();
    context.lineWidth = Math.max(1, 1 / this.camera.zoom);
    context.strokeStyle = this.#colors.line;
    context.setLineDash(depth ? [6 / this.camera.zoom, 4 / this.camera.zoom] : []);
    context.stroke();
    context.setLineDash([]);
  }

  #edges(edges, marks, bright) {
    const near = marks.near ? edges.filter(({ from, to }) => from.id === marks.chosen || to.id === marks.chosen) : [];
    const plain = edges.filter((edge) => !edge.implied && this.#crosses(edge));
    const all = !marks.near && !marks.found;
    const lit = all ? plain : plain.filter(({ from, to }) => bright(from.id) && bright(to.id));
    if (!all && plain.length < MOST_FAINT) this.#lines(plain, this.#colors.edge, 1.1, FADED);
    // Many relations seen from afar are a haze, behind which the nodes stay visible.
    this.#lines(marks.near ? [] : lit, this.#colors.edge, 1.1, Math.max(0.3, Math.min(1, (1500 * this.camera.zoom) / lit.length)));
    this.#lines(near, this.#colors.accent, 2.2, 1);
    if (this.camera.zoom > 0.2 && lit.length < MOST_HEADS) this.#heads(marks.near ? near : lit, marks.near ? this.#colors.accent : this.#colors.edge);
  }

  #crosses({ from, to }) {
    return this.#visible(Math.min(from.x, to.x), Math.min(from.y, to.y), Math.abs(from.x - to.x) + 1, Math.abs(from.y - to.y) + 1);
  }

  #lines(edges, color, width, alpha) {
    if (!edges.length) return;
    const context = this.#context;
    context.beginPath();
    for (const { from, to } of edges) {
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
    }
    context.globalAlpha = alpha;
    context.strokeStyle = color;
    context.lineWidth = width / Math.sqrt(Math.min(1, this.camera.zoom));
    context.stroke();
    context.globalAlpha = 1;
  }

  #heads(edges, color) {
    const context = this.#context;
    const long = Math.max(HEAD[0], HEAD[1] / this.camera.zoom);
    context.beginPath();
    for (const { from, to } of edges) {
      const [dx, dy] = [to.x - from.x, to.y - from.y];
      const length = Math.hypot(dx, dy);
      if (length < to.size) continue;
      const [ux, uy] = [dx / length, dy / length];
      // The tip touches the node's square.
      const back = grown(to.size, this.camera.zoom) / 2 / Math.max(Math.abs(ux), Math.abs(uy)) + 1;
      const [x, y] = [to.x - ux * back, to.y - uy * back];
      context.moveTo(x, y);
      context.lineTo(x - (ux + uy * 0.45) * long, y - (uy - ux * 0.45) * long);
      context.lineTo(x - (ux - uy * 0.45) * long, y - (uy + ux * 0.45) * long);
    }
    context.fillStyle = color;
    context.fill();
  }

  #nodes(nodes, marks, bright) {
    const context = this.#context;
    const plain = grown(40, this.camera.zoom) * this.camera.zoom < SMALL;
    for (const lit of [false, true]) {
      context.globalAlpha = lit ? 1 : FADED;
      for (const node of nodes) {
        if (bright(node.id) !== lit) continue;
        const size = grown(node.size, this.camera.zoom);
        if (plain) {
          context.fillStyle = node.stale ? this.#colors.lost : describe(node.type).color;
          context.fillRect(node.x - size / 2, node.y - size / 2, size, size);
        } else {
          const whole = (size * TILE) / (TILE - 14); // the picture has a margin
          context.drawImage(this.#tile(node), node.x - whole / 2, node.y - whole / 2, whole, whole);
        }
      }
    }
    context.globalAlpha = 1;
    for (const node of nodes) {
      if (marks.fresh.has(node.id)) this.#ring(node, this.#colors.fresh, 5);
      if (node.id === marks.hovered) this.#ring(node, this.#colors.muted, 2);
      if (node.id === marks.chosen) this.#ring(node, this.#colors.accent, 4);
    }
  }

  #ring({ x, y, size }, color, width) {
    const context = this.#context;
    const half = grown(size, this.camera.zoom) / 2 + 3 + width / 2;
    context.beginPath();
    context.roundRect(x - half, y - half, 2 * half, 2 * half, 12);
    context.strokeStyle = color;
    context.lineWidth = Math.max(width, width / 2 / this.camera.zoom);
    context.stroke();
  }

  // The picture of a type; of what was not read lately, with a dashed frame and stripes.
  #tile({ type, stale, holds }) {
    const name = `${type}|${stale}|${holds}`;
    const described = describe(type);
    if (!this.#tiles.has(name)) this.#tiles.set(name, this.#painted(holds ? { ...described, glyph: number(holds) } : described, stale));
    return this.#tiles.get(name);
  }

  #painted({ color, ink, glyph }, stale) {
    const tile = document.createElement('canvas');
    [tile.width, tile.height] = [TILE, TILE];
    const context = tile.getContext('2d');
    context.beginPath();
    context.roundRect(7, 7, TILE - 14, TILE - 14, 16);
    context.fillStyle = color;
    context.fill();
    if (stale) {
      context.save();
      context.clip();
      context.strokeStyle = '#00000055';
      context.lineWidth = 6;
      for (let at = -TILE; at < TILE; at += 18) {
        context.moveTo(at, TILE);
        context.lineTo(at + TILE, 0);
      }
      context.stroke();
      context.restore();
      context.beginPath();
      context.roundRect(4, 4, TILE - 8, TILE - 8, 18);
      context.setLineDash([12, 7]);
      context.strokeStyle = this.#colors.lost;
      context.stroke();
    }
    context.fillStyle = ink;
    context.font = `700 ${glyph.length > 3 ? 26 : glyph.length > 2 ? 31 : 38}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.fillText(glyph, TILE / 2, TILE / 2 + 2);
    return tile;
  }

  // Names keep their size whatever the zoom, and never cover each other: the important ones come first.
  #names(nodes, boxes, marks, bright, scene) {
    const taken = new Taken(this.width, this.height);
    this.titles = [];
    boxes.forEach((box) => this.#title(box, taken));
    const room = this.camera.zoom * 40 >= 5;
    const lit = nodes.filter(({ id }) => bright(id));
    const few = (marks.near || marks.found) && lit.length <= 60;
    const wanted = room || few ? lit : [];
    const weight = (node) => (node.id === marks.chosen ? 1e6 : 0) + (node.id === marks.hovered ? 1e5 : 0) + node.size;
    wanted.sort((a, b) => weight(b) - weight(a)).slice(0, 4 * MOST_NAMES);
    if (room) {
      for (const { x, y, size } of nodes) {
        const wide = grown(size, this.camera.zoom);
        taken.add(...this.#screen({ x: x - wide / 2, y: y - wide / 2 }), wide * this.camera.zoom, wide * this.camera.zoom - 2);
      }
    }
    let left = MOST_NAMES;
    for (const node of wanted) {
      if (!left) break;
      if (this.#name(node, taken, node.id === marks.chosen)) left -= 1;
    }
    if (marks.near?.size <= MOST_KINDS) this.#kinds(scene.edges, marks, taken);
  }

  #name(node, taken, bold) {
    const font = `${bold ? 700 : 500} 11.5px system-ui, sans-serif`;
    const [x, y] = this.#screen({ x: node.x, y: node.y + grown(node.size, this.camera.zoom) / 2 });
    for (const most of bold ? [60] : [26, 12]) {
      const text = clipped(node.name, most);
      const width = this.#width(text, font);
      // A name that would stick out of the picture is moved in, as far as its node is still beside it.
      const left = Math.max(Math.min(x - width / 2, this.width - width - 4), 4);
      if (Math.abs(left + width / 2 - x) < width / 2 && taken.take(left, y + 1, width, LINE)) {
        this.#text(text, left, y + 2, font, this.#colors.text, 'left');
        return true;
      }
    }
    return false;
  }

  // What the relations of the chosen component are called.
  #kinds(edges, marks, taken) {
    const font = '500 10.5px system-ui, sans-serif';
    for (const { from, to, kind } of edges) {
      if (from.id !== marks.chosen && to.id !== marks.chosen) continue;
      const [x, y] = this.#screen({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 });
      const width = this.#width(kind, font);
      if (taken.take(x - width / 2, y - 7, width, LINE)) this.#text(kind, x, y - 6, font, this.#colors.muted, 'center');
    }
  }

  #title(box, taken) {
    const [x, y] = this.#screen(box);
    const left = Math.max(x + 10, 8);
    const wide = x + box.width * this.camera.zoom - left - 6;
    if (wide < 60 || y + 22 < 0 || y > this.height) return;
    const font = `650 ${box.depth ? 11.5 : 13}px system-ui, sans-serif`;
    const whole = `${box.title} · ${plural(box.count, 'component')}`;
    const text = this.#width(whole, font) <= wide ? whole : this.#fitting(box.title, font, wide);
    // From afar it would hide all that is in a small box.
    const top = titleRoom(box.width) * this.camera.zoom < TITLE / 2 ? y - TITLE - 1 : y + 5;
    if (!text || !taken.take(left, top, this.#width(text, font), TITLE)) return;
    this.#heading(text, left, top + 2, font);
    this.titles.push({ box, left, top, right: left + this.#width(text, font), bottom: top + TITLE });
  }

  // On a ground of its own, since from afar a title is larger than the room for it.
  #heading(text, x, y, font) {
    const context = this.#context;
    context.globalAlpha = 0.85;
    context.fillStyle = this.#colors.box;
    context.fillRect(x - 4, y - 3, this.#width(text, font) + 8, 19);
    context.globalAlpha = 1;
    this.#text(text, x, y, font, this.#colors.text, 'left');
  }

  #fitting(text, font, wide) {
    let length = text.length;
    while (length > 2 && this.#width(clipped(text, length), font) > wide) length -= 1;
    return length > 2 ? clipped(text, length) : '';
  }

  #text(text, x, y, font, color, align) {
    const context = this.#context;
    context.font = font;
    context.textAlign = align;
    context.textBaseline = 'top';
    context.lineWidth = 3;
    context.lineJoin = 'round';
    context.strokeStyle = this.#colors.canvas;
    context.strokeText(text, x, y);
    context.fillStyle = color;
    context.fillText(text, x, y);
  }

  #width(text, font) {
    const name = `${font}|${text}`;
    if (!this.#widths.has(name)) {
      this.#context.font = font;
      this.#widths.set(name, this.#context.measureText(text).width);
    }
    return this.#widths.get(name);
  }
}

const clipped = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

// Where on the screen there is something already: rectangles, by the cells of a grid that they touch.
class Taken {
  #cells = new Map();

  constructor(width, height) {
    [this.width, this.height] = [width, height];
  }

  add(x, y, width, height) {
    const spot = { left: x, top: y, right: x + width, bottom: y + height };
    this.#touched(spot, (cell) => {
      if (this.#cells.has(cell)) this.#cells.get(cell).push(spot);
      else this.#cells.set(cell, [spot]);
    });
  }

  // Takes the place, unless some of it is taken or it is off the screen.
  take(x, y, width, height) {
    const [right, bottom] = [x + width, y + height];
    if (right < 0 || bottom < 0 || x > this.width || y > this.height) return false;
    let free = true;
    this.#touched({ left: x, top: y, right, bottom }, (cell) => {
      free &&= !this.#cells.get(cell)?.some((spot) => spot.left < right && spot.right > x && spot.top < bottom && spot.bottom > y);
    });
    if (free) this.add(x, y, width, height);
    return free;
  }

  #touched({ left, top, right, bottom }, act) {
    for (let across = Math.floor(left / CELL); across <= Math.floor(right / CELL); across += 1) {
      for (let down = Math.floor(top / CELL); down <= Math.floor(bottom / CELL); down += 1) act(across * 10_000 + down);
    }
  }
}
