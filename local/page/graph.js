// The graph: draws the model with cytoscape, follows its changes, and shows what is selected or filtered.

/* global cytoscape */
import { arrange } from './layout.js';
import { describe } from './types.js';

const LARGE = 600; // nodes, from which on drawing is simplified while the view moves

const ROOM_FOR_NAME = 170; // length of an edge that its name fits on

function length(edge) {
  const [source, target] = [edge.source().position(), edge.target().position()];
  return Math.hypot(source.x - target.x, source.y - target.y);
}

const glyphs = new Map();
function glyph(type) {
  if (!glyphs.has(type)) {
    const text = describe(type).glyph.replace('&', '&amp;');
    const size = text.length > 3 ? 13 : text.length > 2 ? 16 : 20;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="48" height="48"><text x="24" y="${24 + size * 0.36}" fill="#fff" font-family="system-ui,sans-serif" font-weight="700" font-size="${size}" text-anchor="middle">${text}</text></svg>`;
    glyphs.set(type, `data:image/svg+xml,${encodeURIComponent(svg)}`);
  }
  return glyphs.get(type);
}

function style(large) {
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  return [
    {
      selector: 'node',
      style: {
        shape: 'round-rectangle', width: 'data(size)', height: 'data(size)',
        'background-color': 'data(color)', 'background-image': 'data(glyph)', 'background-fit': 'contain',
        label: 'data(name)', color: color('--text'), 'font-family': 'system-ui, sans-serif', 'font-size': 12,
        'text-valign': 'bottom', 'text-margin-y': 5, 'text-wrap': 'ellipsis', 'text-max-width': 116,
        'text-outline-color': color('--canvas'), 'text-outline-width': 2, 'min-zoomed-font-size': 6,
      },
    },
    {
      selector: 'edge',
      style: {
        width: 1.4, 'line-color': color('--edge'), 'target-arrow-color': color('--edge'), 'target-arrow-shape': 'triangle',
        'arrow-scale': 0.8, 'curve-style': large ? 'haystack' : 'bezier', 'font-size': 10, color: color('--muted'),
        'text-outline-color': color('--canvas'), 'text-outline-width': 2, 'text-rotation': 'autorotate',
      },
    },
    { selector: '.faded', style: { opacity: 0.14, 'text-opacity': 0.1, events: 'no' } },
    { selector: 'node.found', style: { 'border-width': 3, 'border-color': color('--canvas'), 'outline-width': 2, 'outline-color': 'data(color)' } },
    { selector: 'edge.near', style: { width: 2.2, 'line-color': color('--accent'), 'target-arrow-color': color('--accent'), 'z-index': 5 } },
    { selector: 'edge.named', style: { label: 'data(kind)' } },
    { selector: 'node.chosen', style: { 'outline-width': 4, 'outline-color': color('--accent'), 'outline-offset': 3, 'font-weight': 700, 'z-index': 9 } },
    { selector: 'node.fresh', style: { 'outline-width': 8, 'outline-color': color('--fresh'), 'outline-opacity': 0.8, 'outline-offset': 2 } },
    { selector: 'node:active, edge:active', style: { 'overlay-opacity': 0 } },
  ];
}

export class Graph {
  constructor(container, onSelect) {
    this.cy = cytoscape({
      container, style: style(false), minZoom: 0.03, maxZoom: 2.5,
      hideEdgesOnViewport: false, textureOnViewport: false, boxSelectionEnabled: false, autounselectify: true,
    });
    this.container = container;
    container.cy = this.cy; // for the browser's console
    this.large = false;
    this.cy.on('tap', (event) => {
      if (event.target === this.cy) onSelect(null);
      else if (event.target.isNode()) onSelect(event.target.id());
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.cy.style(style(this.large)));
    addEventListener('resize', () => this.cy.resize());
  }

  // Draws what is in the model now, and gives the ids that were not there before.
  async draw(model) {
    const { cy } = this;
    const edges = [...model.relations.values()].filter(({ source, target }) => model.components.has(source) && model.components.has(target));
    const degree = new Map();
    for (const end of edges.flatMap(({ source, target }) => [source, target])) degree.set(end, (degree.get(end) ?? 0) + 1);
    const added = [...model.components.keys()].filter((id) => !cy.getElementById(id).length);
    // Many newcomers: all places are worked out before anything is drawn, since drawing costs most.
    const many = added.length > 0 && (!cy.nodes().length || added.length > Math.max(20, cy.nodes().length / 3));
    const positions = many ? await this.#positions([...model.components.keys()], edges) : new Map();
    cy.batch(() => {
      const wanted = new Set([...model.components.keys(), ...edges.map((edge) => edge.id)]);
      cy.elements().filter((element) => !wanted.has(element.id())).remove();
      const fresh = [];
      for (const { id, name, type } of model.components.values()) {
        const data = { name, color: describe(type.name).color, glyph: glyph(type.name), size: 38 + Math.min(26, 4 * Math.sqrt(degree.get(id) ?? 0)) };
        const known = cy.getElementById(id);
        if (!known.length) fresh.push({ data: { id, ...data }, position: { ...positions.get(id) } });
        else if (known.data('name') !== name || known.data('size') !== data.size) known.data(data);
      }
      for (const { id, source, target, type } of edges) {
        if (!cy.getElementById(id).length) fresh.push({ group: 'edges', data: { id, source, target, kind: type.name } });
      }
      cy.add(fresh);
    });
    if (many) this.#move(positions);
    else added.forEach((id) => this.#place(cy.getElementById(id)));
    this.container.dataset.state = 'ready';
    return added;
  }

  async arrange() {
    const edges = this.cy.edges().map((edge) => ({ source: edge.data('source'), target: edge.data('target') }));
    this.#move(await this.#positions(this.cy.nodes().map((node) => node.id()), edges));
    this.container.dataset.state = 'ready';
  }

  #positions(ids, edges) {
    this.container.dataset.state = 'arranging';
    return arrange(ids, edges.map(({ source, target }) => [source, target]), this.cy.width() / Math.max(this.cy.height(), 1));
  }

  #move(positions) {
    const { cy } = this;
    cy.batch(() => positions.forEach((position, id) => {
      const node = cy.getElementById(id);
      if (node.length && node.position('x') !== position.x) node.position(position);
    }));
    const large = cy.nodes().length > LARGE;
    if (large !== this.large) {
      this.large = large;
      cy.renderer().hideEdgesOnViewport = large;
      cy.style(style(large));
    }
    this.fit();
  }

  // Marks what was chosen and its surroundings; without a choice, what was found by search and filter.
  show(chosen, found) {
    const { cy } = this;
    cy.batch(() => {
      cy.elements().removeClass('faded near named chosen found');
      const node = chosen ? cy.getElementById(chosen) : cy.collection();
      if (node.length) {
        const around = node.closedNeighborhood();
        cy.elements().not(around).addClass('faded');
        around.edges().addClass('near').filter((edge) => length(edge) > ROOM_FOR_NAME).addClass('named');
        node.addClass('chosen');
      } else if (found) {
        const nodes = cy.nodes().filter((each) => found.has(each.id()));
        nodes.addClass('found');
        cy.elements().not(nodes).not(nodes.edgesWith(nodes)).addClass('faded');
      }
    });
  }

  focus(ids) {
    const nodes = this.cy.collection(ids.map((id) => this.cy.getElementById(id)[0]).filter(Boolean));
    if (!nodes.length) return;
    const around = nodes.length === 1 ? nodes.closedNeighborhood() : nodes;
    const box = around.boundingBox();
    const zoom = Math.min(1.15, 0.85 * Math.min(this.cy.width() / box.w, this.cy.height() / box.h));
    this.cy.stop().animate({ center: { eles: nodes.length === 1 ? nodes : around }, zoom: Math.max(zoom, 0.05) }, { duration: this.#calm() ? 0 : 350 });
  }

  flash(ids) {
    const nodes = this.cy.collection(ids.map((id) => this.cy.getElementById(id)[0]).filter(Boolean)).addClass('fresh');
    setTimeout(() => nodes.removeClass('fresh'), 4000);
  }

  // Shows everything. Counted here, since cytoscape measures every label for it.
  fit() {
    const places = this.cy.nodes().map((node) => node.position());
    if (!places.length) return;
    const [xs, ys] = [places.map(({ x }) => x), places.map(({ y }) => y)];
    const box = { x: Math.min(...xs) - 60, y: Math.min(...ys) - 40, w: Math.max(...xs) - Math.min(...xs) + 120, h: Math.max(...ys) - Math.min(...ys) + 110 };
    const zoom = Math.min(1.1, this.cy.width() / box.w, this.cy.height() / box.h);
    const pan = { x: (this.cy.width() - box.w * zoom) / 2 - box.x * zoom, y: (this.cy.height() - box.h * zoom) / 2 - box.y * zoom };
    this.cy.stop().viewport({ zoom, pan });
  }

  zoom(factor) {
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: { x: this.cy.width() / 2, y: this.cy.height() / 2 } });
  }

  // A newcomer goes near its first neighbour, or below everything, where there is room.
  #place(node) {
    const others = this.cy.nodes().not(node);
    const neighbour = node.neighborhood().nodes().filter((each) => each.position('x') || each.position('y'))[0];
    const box = others.boundingBox({ includeLabels: false });
    const start = neighbour ? neighbour.position() : { x: box.x1 + 64, y: box.y2 + 110 };
    for (let step = 0; step < 400; step += 1) {
      const radius = 105 * Math.sqrt(step);
      const spot = { x: start.x + radius * Math.cos(step * 2.4), y: start.y + Math.abs(radius * Math.sin(step * 2.4)) };
      const free = others.every((each) => Math.abs(each.position('x') - spot.x) > 120 || Math.abs(each.position('y') - spot.y) > 80);
      if (free) return node.position(spot);
    }
    return node.position(start);
  }

  #calm() {
    return matchMedia('(prefers-reduced-motion: reduce)').matches;
  }
}
