// The page: holds what is chosen, wires model, lists, graph, timeline and panel, and follows the topology's changes.

import { read, written } from 'page/address.js';
import { collapsed } from 'page/collapse.js';
import { $, h, moment, number, replace, unique } from 'page/dom.js';
import { emptiness } from 'page/empty.js';
import { Filters } from 'page/filters.js';
import { Graph } from 'page/graph.js';
import { GROUPINGS, groups } from 'page/grouping.js';
import { renderLists } from 'page/lists.js';
import { Model } from 'page/model.js';
import { renderPanel } from 'page/panel.js';
import { data, saved } from 'page/save.js';
import { embedded, follow, whole } from 'page/source.js';
import { renderTimeline } from 'page/timeline.js';
import { troubleCounts } from 'page/troubles.js';
import { CATEGORIES, VIEWS, describe } from 'page/types.js';

const given = embedded();
const graph = new Graph($('graph'), (id, move) => app.choose(id, move), (box) => app.fold(box));

const app = {
  model: new Model(),
  filters: new Filters(),
  live: !given,
  ledger: given?.ledger ?? null,
  chosen: null,
  grouping: 'vpc',
  folded: new Set(), // ids of boxes
  scene: { components: [], drawnAs: (id) => id }, // what the graph was given last

  // Chooses a component, or a folded group, or none; `focus` moves the graph to it.
  choose(id, focus = false) {
    clearTimeout(typing); // what was typed just before must not take the choice away
    this.filters.query = $('search').value;
    if (this.model.components.has(id) && this.scene.drawnAs(id) !== id) {
      this.unfold(this.scene.drawnAs(id), id);
      return;
    }
    const known = this.model.components.has(id) || this.scene.components.some((each) => each.id === id);
    this.chosen = known ? id : null;
    render();
    $('panel').scrollTop = 0;
    if (this.chosen && this.filters.around) graph.fit();
    else if (focus && this.chosen) graph.fit([id, ...this.model.neighbours(id).map((other) => this.scene.drawnAs(other.id))], 1.15);
  },

  // Folds a box into one node.
  fold(box) {
    this.folded.add(box);
    look({});
  },

  // Unfolds the box that the node stands for, and goes on to a component in it.
  unfold(node, id = null) {
    this.folded.delete(this.scene.components.find((each) => each.id === node)?.box);
    this.chosen = null;
    look({});
    if (id) inTurn(() => this.choose(id, true));
  },

  // Shows nothing but the surroundings of a component; null is everything.
  around(wanted) {
    this.filters.around = wanted;
    look({});
  },

  view(view) {
    look({ view });
  },

  // Takes over what the filters say now, and moves the graph to what they find.
  changed() {
    this.chosen = null;
    const found = render();
    if (this.filters.active) graph.fit(found.map(({ id }) => this.scene.drawnAs(id)));
    else graph.fit();
  },

  search(query) {
    this.filters.query = query;
    $('search').value = query;
    this.changed();
  },

  // Looks for nothing but this.
  only({ types = [], stale = false }) {
    this.filters.clear();
    types.forEach((type) => this.filters.types.add(type));
    this.filters.stale = stale;
    this.search('');
  },

  clear() {
    this.filters.clear();
    this.search('');
  },

  // Shows what an entry of the timeline changed.
  enter(wanted) {
    this.filters.entry = this.model.timeline.find((entry) => entry.number === wanted) ?? null;
    this.changed();
  },
};

function render() {
  const { model, filters } = app;
  if (filters.entry) filters.entry = model.timeline.find((entry) => entry.number === filters.entry.number) ?? null;
  const shown = filters.shown(model);
  const found = filters.found(shown);
  if (location.hash.slice(1) !== written(app)) history.replaceState(null, '', `#${written(app)}`);
  renderHeader(shown);
  renderLists(app, shown, found);
  renderPanel(app);
  renderTimeline(app);
  renderLegend(shown);
  renderEmpty(emptiness(app, shown, found));
  graph.mark(app.chosen, filters.active ? new Set(found.map(({ id }) => app.scene.drawnAs(id))) : null, !filters.around);
  return found;
}

function renderEmpty(empty) {
  $('empty').hidden = !empty;
  if (!empty) return;
  const { title, text, act } = empty;
  replace($('empty'), h('div', {}, h('p.large', {}, title), h('p', {}, text), act && h('button.button', { onclick: act[1], 'data-key': 'empty' }, act[0])));
}

function renderHeader(shown) {
  const { model } = app;
  $('instance').textContent = model.instances.map(({ type, url }) => `${type} · ${url}`).join(', ');
  const ids = new Set(shown.map(({ id }) => id));
  const there = (id) => ids.has(id) || !model.components.has(id); // an end that nobody knows is in no view
  const relations = [...model.relations.values()].filter(({ source, target }) => there(source) && there(target) && (ids.has(source) || ids.has(target))).length;
  const counts = [['components', shown.length], ['relations', relations], ['types', unique(shown.map(({ type }) => type.name)).length]];
  const pair = (kind) => ([name, count]) => h(kind, {}, h('dt', {}, name), h('dd', {}, number(count)));
  replace($('counts'), counts.map(pair('div')), troubleCounts(app).map(pair('div.troubled')));
  replace($('views'), Object.entries(VIEWS).map(([view, name]) => h(
    'button', { 'aria-pressed': String(app.filters.view === view), 'data-key': `view ${view}`, onclick: () => app.view(view) }, name,
  )));
}

function renderLegend(shown) {
  const categories = unique(shown.map(({ type }) => describe(type.name).category));
  const shades = Object.keys(CATEGORIES).filter((category) => categories.includes(category)).map((category) => CATEGORIES[category]);
  replace($('legend'), shown.length > 0 && h('li.arrow', {}, '→ needs'), shades.map(([name, color]) => h('li', { '--color': color }, name)),
    shown.some(({ stale }) => stale) && h('li.stale', {}, 'From an earlier reading'));
}

// Draws the model, and gives the ids that are new in the graph.
async function draw(afresh) {
  const { model, filters, grouping, folded } = app;
  app.scene = collapsed(filters.shown(model), [...model.relations.values()], groups(model, grouping), folded);
  const { components, relations, paths } = app.scene;
  return graph.show(components, relations, paths, afresh);
}

// All boxes that are outermost, by id: what there is to fold.
const outermost = () => unique([...groups(app.model, app.grouping).values()].map(([box]) => box?.id).filter(Boolean));

// Another view, grouping or part: everything is laid out again.
function look({ view = app.filters.view, grouping = app.grouping }) {
  inTurn(async () => {
    app.filters.view = view;
    if (grouping !== app.grouping) app.folded.clear();
    app.grouping = grouping;
    await draw(true);
    if (!app.model.components.has(app.chosen) || !app.filters.shown(app.model).some(({ id }) => id === app.chosen)) app.chosen = null;
    render();
  });
}

// Looks at what the address says.
async function visit() {
  const { grouping, chosen } = read(location.hash, app.filters);
  app.grouping = grouping;
  $('grouping').value = grouping;
  $('search').value = app.filters.query;
  app.chosen = app.model.components.has(chosen) ? chosen : null;
  render(); // first, since lists and timeline take their room from the graph
  await draw(true);
  if (app.chosen) app.choose(chosen, true);
  else render();
}

async function load(document) {
  app.model.load(document);
  if (app.live) setStatus('live', 'Live');
  if (!app.scene.components.length) {
    await visit();
    return;
  }
  await draw(true);
  if (!app.model.components.has(app.chosen)) app.chosen = null;
  render();
}

// Takes in all changes that arrived meanwhile, and draws once.
const arrived = [];
async function update() {
  const changes = arrived.splice(0);
  if (!changes.length) return;
  if (!changes.every((change) => app.model.apply(change))) {
    await load(await whole());
    return;
  }
  const added = await draw(false);
  if (app.chosen && !app.model.components.has(app.chosen)) app.choose(null);
  else render();
  if (added.length < 50) graph.flash(added);
}

function setStatus(state, text) {
  $('status').dataset.state = state;
  $('status').textContent = text;
}

let typing; // until what is typed is looked for

// Whatever arrives while something else is drawn waits in this chain for its turn.
let turn = Promise.resolve();
function inTurn(step) {
  turn = turn.then(step).catch((error) => {
    setStatus('lost', `Not up to date: ${error.message}`);
    throw error;
  });
}

function start() {
  replace($('grouping'), Object.entries(GROUPINGS).map(([value, name]) => h('option', { value }, name)));
  if (given) {
    inTurn(async () => {
      await load(given.topology);
      setStatus('file', app.ledger ? `Read ${moment(app.ledger.ended)}` : 'Not live');
    });
    return;
  }
  follow({
    connected: () => inTurn(async () => load(await whole())),
    changed: (change) => {
      arrived.push(change);
      inTurn(update);
    },
    lost: () => setStatus('lost', 'Reconnecting'),
  });
}

$('search').addEventListener('input', ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => app.search(target.value), 120);
});
$('grouping').addEventListener('change', ({ target }) => look({ grouping: target.value }));
$('fit').addEventListener('click', () => graph.fit());
$('arrange').addEventListener('click', () => look({}));
$('fold').addEventListener('click', () => {
  const all = app.folded.size ? [] : outermost();
  app.folded = new Set(all);
  look({});
});
$('picture').addEventListener('click', async () => saved('topology.png', await graph.picture()));
$('data').addEventListener('click', () => {
  const { model, filters } = app;
  saved('topology.json', data(filters.found(filters.shown(model)), [...model.relations.values()]));
});
window.addEventListener('hashchange', () => inTurn(visit));
$('zoom-in').addEventListener('click', () => graph.zoom(1.3));
$('zoom-out').addEventListener('click', () => graph.zoom(1 / 1.3));

// Arrow keys go along the lists and the timeline, in the order in which their buttons are seen.
const NEXT = { ArrowDown: ['nav', 1], ArrowUp: ['nav', -1], ArrowRight: ['#timeline', 1], ArrowLeft: ['#timeline', -1] };

document.addEventListener('keydown', (event) => {
  const { activeElement: active } = document;
  const writing = active?.matches('input, select');
  if (event.key === '/' && !writing) {
    event.preventDefault();
    $('search').select();
  } else if (event.key === 'Escape') {
    if (app.chosen) app.choose(null);
    else if (app.filters.active) app.clear();
    else if (app.filters.around) app.around(null);
  } else if (NEXT[event.key]) {
    const [within, step] = NEXT[event.key];
    const stops = [...document.querySelectorAll(`${within} input:not(#label), ${within} button`)];
    const next = stops[stops.indexOf(active) + step];
    if (stops.includes(active) && next) {
      event.preventDefault();
      next.focus();
    }
  }
});
start();
