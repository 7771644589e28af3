// The page: wires model, list, graph and details, and follows the receiver's changes.

import { Graph } from './graph.js';
import { Model, key, nameOf, tagsOf } from './model.js';
import { FAMILIES, describe } from './types.js';

const SHOWN_PER_TYPE = 150;
const OPENED = 100; // a search that finds no more shows the names of all
const $ = (id) => document.getElementById(id);
const model = new Model();
const graph = new Graph($('graph'), (id) => choose(id));
const state = { query: '', types: new Set(), chosen: null };

// Makes an element: h('p.muted', {title: 'x'}, 'text', child).
function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'color') element.style.setProperty('--color', value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const plural = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
const badge = (type) => h('span.badge', { color: describe(type).color, 'aria-hidden': 'true' }, describe(type).glyph);

function found() {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  return [...model.components.values()].filter(
    ({ text, type }) => (!state.types.size || state.types.has(type.name)) && words.every((word) => text.includes(word)),
  );
}

function render() {
  const filtered = Boolean(state.query.trim() || state.types.size);
  const components = found();
  renderTypes(components, filtered);
  renderHeader();
  renderPanel();
  $('found').textContent = filtered ? `${components.length.toLocaleString('en')} of ${plural(model.components.size, 'component')}` : '';
  $('empty').hidden = model.components.size > 0;
  graph.show(state.chosen, filtered ? new Set(components.map(({ id }) => id)) : null);
  return components;
}

function renderHeader() {
  $('instance').textContent = model.instances.map(({ type, url }) => `${type} · ${url}`).join(', ');
  const counts = [
    ['components', model.components.size],
    ['relations', model.relations.size],
    ['types', new Set([...model.components.values()].map(({ type }) => type.name)).size],
  ];
  $('counts').replaceChildren(...counts.map(([name, count]) => h('div', {}, h('dt', {}, name), h('dd', {}, count.toLocaleString('en')))));
}

function renderTypes(components, filtered) {
  const byType = Map.groupBy ? Map.groupBy(model.components.values(), ({ type }) => type.name) : new Map();
  if (!Map.groupBy) model.components.forEach((each) => byType.set(each.type.name, [...(byType.get(each.type.name) ?? []), each]));
  const matching = new Set(components.map(({ id }) => id));
  const types = [...byType.keys()].sort((a, b) => describe(a).rank - describe(b).rank || a.localeCompare(b));
  const focused = document.activeElement?.dataset?.key;
  $('types').replaceChildren(
    ...types.map((type) => {
      const all = byType.get(type);
      const hits = all.filter(({ id }) => matching.has(id)).sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
      const open = state.types.has(type) || (state.query.trim() && hits.length > 0 && components.length <= OPENED);
      const button = h(
        'button.type',
        { 'aria-pressed': state.types.has(type), 'aria-expanded': Boolean(open), 'data-key': `type ${type}`, title: type, onclick: () => toggle(type) },
        badge(type), h('span.label', {}, describe(type).label),
        h('span.count', {}, filtered && hits.length !== all.length ? `${hits.length} / ${all.length}` : `${all.length}`),
      );
      const item = h('li', filtered && !hits.length ? { class: 'none' } : {}, button);
      if (open) item.append(h('ul', {}, ...hits.slice(0, SHOWN_PER_TYPE).map(entry), more(hits)));
      return item;
    }),
  );
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  $('legend').replaceChildren(
    ...[...new Set(types.map((type) => describe(type).family))].map((family) => h('li', { color: FAMILIES[family][1] }, FAMILIES[family][0])),
  );
}

function entry({ id, name, externalId }) {
  const current = id === state.chosen ? { 'aria-current': 'true' } : {};
  return h('li', {}, h('button.entry', { 'data-key': id, title: externalId, onclick: () => choose(id, true), ...current }, name));
}

const more = (hits) => (hits.length > SHOWN_PER_TYPE ? h('li.muted', {}, `and ${hits.length - SHOWN_PER_TYPE} more: search to narrow down`) : null);

function renderPanel() {
  const component = model.components.get(state.chosen);
  $('panel').replaceChildren(...(component ? details(component) : overview()));
}

function overview() {
  const last = Math.max(0, ...model.instances.map(({ lastSnapshot }) => lastSnapshot ?? 0));
  const dangling = model.instances.reduce((sum, each) => sum + each.dangling, 0);
  const facts = [
    ['Last snapshot', last ? time(last) : 'none yet'],
    ['Snapshots', `${model.instances.reduce((sum, each) => sum + each.snapshots, 0)}`],
    ...(dangling ? [['Relations to unknown components', `${dangling}`]] : []),
  ];
  const changes = model.changes.slice(0, 40);
  return [
    h('h2', {}, 'Overview'),
    h('dl.facts', {}, ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    h('h3', {}, 'Latest changes'),
    changes.length ? h('ol.changes', {}, ...changes.map(changeEntry)) : h('p.muted', {}, 'Nothing changed yet.'),
    h('p.muted.hint', {}, 'Press / to search, Escape to step back.'),
  ];
}

function changeEntry({ time: when, what, externalId, type, instance }) {
  const component = model.components.get(key(instance, externalId));
  const name = component?.name ?? nameOf({ externalId, data: {} });
  const title = component ? h('button.link', { onclick: () => choose(component.id, true) }, name) : h('s', {}, name);
  return h('li', { 'data-what': what }, badge(type), h('div', {}, title, h('small', {}, `${describe(type).label} ${what}, ${time(when)}`)));
}

const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB');

function details(component) {
  const { outgoing, incoming } = model.relationsOf(component.id);
  const { AwsRegion: region, AwsAccount: account } = component.data.Location ?? {};
  const tags = tagsOf(component);
  const where = [region, account].filter(Boolean).join(' · ');
  return [
    h('div.title', {}, badge(component.type.name),
      h('div', {}, h('h2', {}, component.name), h('p.muted', { title: component.type.name }, describe(component.type.name).label, where && ` in ${where}`)),
      h('button.close', { 'aria-label': 'Close details', title: 'Close (Escape)', onclick: () => choose(null) }, '×')),
    h('p.id', {}, h('code', {}, component.externalId), h('button', { title: 'Copy the id', onclick: (event) => copy(event.target, component.externalId) }, 'Copy')),
    h('h3', {}, 'Tags', h('span.count', {}, `${tags.length}`)),
    tags.length ? h('ul.tags', {}, ...tags.map(([tag, value]) => h('li', {}, h('button', { title: 'Find all with this tag', onclick: () => search(`${tag}:${value}`) }, h('b', {}, tag), ` ${value}`)))) : h('p.muted', {}, 'None'),
    ...relationList('Outgoing relations', outgoing, 'target', 'targetId', '→'),
    ...relationList('Incoming relations', incoming, 'source', 'sourceId', '←'),
    h('h3', {}, 'Data'),
    h('div.data', {}, ...tree(component.data, 0)),
  ];
}

function relationList(title, relations, end, endId, arrow) {
  const sorted = relations.map((each) => [each, model.components.get(each[end])]).sort(([a, x], [b, y]) => a.type.name.localeCompare(b.type.name) || (x?.name ?? '').localeCompare(y?.name ?? ''));
  return [
    h('h3', {}, title, h('span.count', {}, `${relations.length}`)),
    relations.length
      ? h('ul.relations', {}, ...sorted.slice(0, 200).map(([relation, other]) =>
          h('li', {}, h('small', {}, `${arrow} ${relation.type.name}`),
            other ? h('button.link', { title: other.externalId, onclick: () => choose(other.id, true) }, badge(other.type.name), other.name)
              : h('span.muted', { title: 'This component is not in the topology' }, relation[endId]))))
      : h('p.muted', {}, 'None'),
  ];
}

function tree(value, depth) {
  return Object.entries(value).map(([name, inner]) => {
    if (inner === null || typeof inner !== 'object') return h('div.leaf', {}, h('span', {}, name), h('code', {}, inner === null ? 'null' : String(inner)));
    const size = Object.keys(inner).length;
    if (!size) return h('div.leaf', {}, h('span', {}, name), h('code.muted', {}, 'empty'));
    const open = depth === 0 && size < 4 ? { open: '' } : {};
    return h('details', open, h('summary', {}, name, h('span.count', {}, `${size}`)), ...tree(inner, depth + 1));
  });
}

async function copy(button, text) {
  await navigator.clipboard.writeText(text);
  button.textContent = 'Copied';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

function choose(id, focus = false) {
  state.chosen = model.components.has(id) ? id : null;
  const address = state.chosen ? `#${encodeURIComponent(state.chosen)}` : location.pathname;
  history.replaceState(null, '', address);
  render();
  $('panel').scrollTop = 0;
  if (focus && state.chosen) graph.focus([state.chosen]);
}

function toggle(type) {
  const filtered = state.types.delete(type);
  if (!filtered) state.types.add(type);
  state.chosen = null;
  const components = render();
  if (state.types.size) graph.focus(components.map(({ id }) => id));
  else graph.fit();
}

function search(query) {
  $('search').value = query;
  state.query = query;
  state.chosen = null;
  const components = render();
  if (query.trim()) graph.focus(components.map(({ id }) => id));
}

async function load() {
  const answer = await fetch('/topology.json');
  model.load(await answer.json());
  render();
  await graph.draw(model);
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (wanted) choose(wanted, true);
  else render();
}

function setStatus(name, text) {
  $('status').dataset.state = name;
  $('status').textContent = text;
}

// Whatever arrives while something else is drawn waits in this chain for its turn.
let turn = Promise.resolve();
const inTurn = (step) => {
  turn = turn.then(step).catch((error) => setStatus('lost', `Not up to date: ${error.message}`));
};

function follow() {
  const source = new EventSource('/changes');
  source.addEventListener('hello', () => inTurn(async () => {
    await load();
    setStatus('live', 'Live');
  }));
  source.addEventListener('message', ({ data }) => inTurn(() => update(JSON.parse(data))));
  source.addEventListener('error', () => setStatus('lost', 'Reconnecting'));
}

async function update(change) {
  if (!model.apply(change)) return load();
  const added = await graph.draw(model);
  if (state.chosen && !model.components.has(state.chosen)) choose(null);
  else render();
  if (added.length < 50) graph.flash(added);
  return undefined;
}

let typing;
$('search').addEventListener('input', ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(() => search(target.value), 120);
});
$('fit').addEventListener('click', () => graph.fit());
$('arrange').addEventListener('click', () => graph.arrange());
document.querySelectorAll('[data-zoom]').forEach((button) => button.addEventListener('click', () => graph.zoom(Number(button.dataset.zoom))));
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== $('search')) {
    event.preventDefault();
    $('search').select();
  } else if (event.key === 'Escape') {
    if (state.chosen) choose(null);
    else if (state.query || state.types.size) {
      state.types.clear();
      search('');
      graph.fit();
    }
  } else if (['ArrowDown', 'ArrowUp'].includes(event.key) && document.activeElement?.closest('nav')) {
    const stops = [...document.querySelectorAll('nav input, nav button')];
    const next = stops[stops.indexOf(document.activeElement) + (event.key === 'ArrowDown' ? 1 : -1)];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});
follow();
