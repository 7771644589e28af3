// The page: holds what is chosen, wires model, lists, graph, timeline and panel, and follows the topology's changes.

import { $, h, moment, number, replace, unique } from 'page/dom.js';
import { Filters } from 'page/filters.js';
import { Graph } from 'page/graph.js';
import { GROUPINGS, groups } from 'page/grouping.js';
import { renderLists } from 'page/lists.js';
import { Model } from 'page/model.js';
import { renderPanel } from 'page/panel.js';
import { embedded, follow, whole } from 'page/source.js';
import { renderTimeline } from 'page/timeline.js';
import { troubleCount } from 'page/troubles.js';
import { CATEGORIES, VIEWS, describe } from 'page/types.js';

const given = embedded();
const graph = new Graph($('graph'), (id, move) => app.choose(id, move));

const app = {
  model: new Model(),
  filters: new Filters(),
  live: !given,
  ledger: given?.ledger ?? null,
  chosen: null,
  grouping: 'vpc',

  // Chooses a component, or none; `focus` moves the graph to it.
  choose(id, focus = false) {
    this.chosen = this.model.components.has(id) ? id : null;
    history.replaceState(null, '', this.chosen ? `#${encodeURIComponent(this.chosen)}` : '#');
    render();
    $('panel').scrollTop = 0;
    if (focus && this.chosen) graph.fit([this.chosen, ...this.model.neighbours(this.chosen).map((other) => other.id)], 1.15);
  },

  // Takes over what the filters say now, and moves the graph to what they find.
  changed() {
    this.chosen = null;
    const found = render();
    if (this.filters.active) graph.fit(found.map(({ id }) => id));
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
  renderHeader(shown);
  renderLists(app, shown, found);
  renderPanel(app);
  renderTimeline(app);
  renderLegend(shown);
  $('empty').hidden = model.components.size > 0;
  graph.mark(app.chosen, filters.active ? new Set(found.map(({ id }) => id)) : null);
  return found;
}

function renderHeader(shown) {
  const { model } = app;
  $('instance').textContent = model.instances.map(({ type, url }) => `${type} · ${url}`).join(', ');
  const ids = new Set(shown.map(({ id }) => id));
  const relations = [...model.relations.values()].filter(({ source, target }) => ids.has(source) || ids.has(target)).length;
  const counts = [['components', shown.length], ['relations', relations], ['types', unique(shown.map(({ type }) => type.name)).length]];
  const troubled = troubleCount(app);
  replace($('counts'), counts.map(([name, count]) => h('div', {}, h('dt', {}, name), h('dd', {}, number(count)))),
    troubled > 0 && h('div.troubled', {}, h('dt', {}, 'not up to date'), h('dd', {}, number(troubled))));
  replace($('views'), Object.entries(VIEWS).map(([view, name]) => h(
    'button', { 'aria-pressed': String(app.filters.view === view), 'data-key': `view ${view}`, onclick: () => look({ view }) }, name,
  )));
}

function renderLegend(shown) {
  const categories = unique(shown.map(({ type }) => describe(type.name).category));
  const shades = Object.keys(CATEGORIES).filter((category) => categories.includes(category)).map((category) => CATEGORIES[category]);
  replace($('legend'), shades.map(([name, color]) => h('li', { '--color': color }, name)),
    shown.some(({ stale }) => stale) && h('li.stale', {}, 'Not up to date'));
}

// Draws the model, and gives the ids that are new in the graph.
async function draw(afresh) {
  const { model, filters, grouping } = app;
  return graph.show(filters.shown(model), model.relations.values(), groups(model, grouping), afresh);
}

// Another view or grouping: everything is laid out again.
function look({ view = app.filters.view, grouping = app.grouping }) {
  inTurn(async () => {
    app.filters.view = view;
    app.grouping = grouping;
    await draw(true);
    render();
  });
}

async function load(document) {
  app.model.load(document);
  if (app.live) setStatus('live', 'Live');
  render();
  await draw(true);
  app.chosen = null;
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (app.model.components.has(wanted)) app.choose(wanted, true);
  else render();
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
      $('empty').firstElementChild.textContent = 'Nothing was found';
      $('empty').lastElementChild.textContent = 'The account has none of the resources that are looked for, or they could not be read.';
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

let typing;
$('search').addEventListener('input', ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => app.search(target.value), 120);
});
$('grouping').addEventListener('change', ({ target }) => look({ grouping: target.value }));
$('fit').addEventListener('click', () => graph.fit());
$('arrange').addEventListener('click', () => look({}));
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
