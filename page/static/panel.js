// The right side: the details of a component, what an entry of the timeline changed, or an overview.

import { consoleLink } from 'page/console.js';
import { REACHES } from 'page/around.js';
import { $, clock, collate, countBy, groupBy, h, moment, number, plural, replace, unique } from 'page/dom.js';
import { badge } from 'page/lists.js';
import { key, shortened, tagsOf } from 'page/model.js';
import { title } from 'page/timeline.js';
import { describe } from 'page/types.js';
import { troubles } from 'page/troubles.js';

const SHOWN = 200; // relations or changes

export function renderPanel(app) {
  const component = app.model.components.get(app.chosen);
  const folded = app.scene.components.find(({ id, holds }) => holds && id === app.chosen);
  const entry = app.filters.entry;
  const shown = component ? details(app, component) : folded ? group(app, folded) : entry ? changes(app, entry) : overview(app);
  replace($('panel'), shown);
}

// A group that is drawn as one node.
function group(app, { id, name, holds }) {
  const members = app.filters.shown(app.model).filter((each) => app.scene.drawnAs(each.id) === id);
  const byType = [...groupBy(members, ({ type }) => type.name)].sort(([a], [b]) => describe(a).rank - describe(b).rank);
  return [
    heading(app, name, `${plural(holds, 'component')}, folded into one`, () => app.choose(null)),
    h('p', {}, h('button.button', { onclick: () => app.unfold(id) }, 'Unfold')),
    h('h3', {}, 'Components by type'),
    h('dl.facts', {}, byType.flatMap(([type, all]) => [h('dt', {}, describe(type).label), h('dd', {}, number(all.length))])),
  ];
}

function overview(app) {
  const { model } = app;
  const last = Math.max(0, ...model.instances.map(({ lastSnapshot }) => lastSnapshot ?? 0));
  const dangling = model.instances.reduce((sum, each) => sum + (each.dangling ?? 0), 0);
  const facts = [
    ...(app.live ? [['Last snapshot', last ? clock(last) : 'none yet'], ['Snapshots', number(model.instances.reduce((sum, each) => sum + each.snapshots, 0))]] : []),
    ...ledgerFacts(app.ledger),
    ...(dangling ? [['Relations to unknown components', number(dangling)]] : []),
  ];
  return [
    h('h2', {}, 'Overview'),
    h('dl.facts', {}, facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    ...troubles(app),
    ...(model.timeline.length ? latest(app) : []),
    ...counts(model),
    ...calls(app.ledger),
    h('p.muted.hint', {}, 'Press / to search, Escape to step back.'),
  ];
}

function ledgerFacts(ledger) {
  if (!ledger) return [];
  return [
    ['Read at', moment(ledger.ended)],
    ['Took', `${number(Math.round((ledger.ended - ledger.began) * 10) / 10)} s`],
    ...(ledger.calls ? [['API calls', number(ledger.calls.total)]] : []),
    ['Read to the end', `${number(ledger.scopes.filter(({ complete }) => complete).length)} of ${plural(ledger.scopes.length, 'service')}`],
    ...(ledger.identity ? [['Read as', h('code', {}, ledger.identity)]] : []),
  ];
}

function latest(app) {
  const shown = app.model.timeline.slice(-3).reverse().flatMap((entry) => entry.changes.slice(-15).reverse().map((change) => [entry, change]));
  return [
    h('h3', {}, 'Latest changes'),
    shown.length ? h('ol.changes', {}, shown.slice(0, 15).map(([entry, change]) => changed(app, entry, change, true))) : h('p.muted', {}, 'Nothing changed lately.'),
  ];
}

function counts(model) {
  const components = [...model.components.values()];
  if (!components.length) return [];
  const regions = unique(components.map(({ region }) => region || 'elsewhere')).sort();
  const byType = groupBy(components, ({ type }) => type.name);
  const names = [...byType.keys()].sort((a, b) => describe(a).rank - describe(b).rank);
  const row = (head, all) => {
    const by = countBy(all.map(({ region }) => region || 'elsewhere'));
    return h('tr', {}, h('th', { scope: 'row' }, head), regions.map((region) => h('td', {}, number(by.get(region) ?? 0))), regions.length > 1 && h('td', {}, number(all.length)));
  };
  return table('Counts by type and region', ['Type', ...regions, ...(regions.length > 1 ? ['all'] : [])],
    [...names.map((type) => row(describe(type).label, byType.get(type))), row('all', components)]);
}

function table(title, columns, rows) {
  return [
    h('h3', {}, title),
    h('div.wide', { tabindex: '0', role: 'region', 'aria-label': title }, h('table', {},
      h('thead', {}, h('tr', {}, columns.map((name) => h('th', { scope: 'col' }, name)))), h('tbody', {}, rows))),
  ];
}

// What reading took: API calls by service and region, and the seconds in which they were read, all side by side.
function calls(ledger) {
  if (!ledger?.calls) return [];
  const made = Object.entries(ledger.calls.by_region).flatMap(([region, services]) => Object.entries(services).map(([service, count]) => ({
    region, service, count, seconds: ledger.scopes.find((scope) => scope.region === region && scope.service === service)?.seconds,
  })));
  made.sort((a, b) => b.count - a.count);
  const row = (head, { region, count, seconds }) => h('tr', {}, h('th', { scope: 'row' }, head), h('td', {}, region), h('td', {}, number(count)),
    h('td', {}, seconds === undefined ? '' : seconds.toFixed(1)));
  const all = { region: '', count: ledger.calls.total, seconds: ledger.ended - ledger.began };
  return table('API calls and time', ['Service', 'Region', 'Calls', 'Seconds'], [...made.map((one) => row(one.service, one)), row('all', all)]);
}

function changes(app, entry) {
  const told = entry.changes.length;
  const all = entry.components.created + entry.components.updated + entry.components.deleted;
  const relations = Object.entries(entry.relations).filter(([, count]) => count).map(([what, count]) => `${number(count)} ${what}`);
  return [
    heading(app, title(entry), `${entry.instance ? `${entry.instance} · ` : ''}${moment(entry.time)}`, () => app.enter(null)),
    h('dl.facts', {},
      Object.entries(entry.components).flatMap(([what, count]) => [h('dt', {}, `Components ${what}`), h('dd', {}, number(count))]),
      h('dt', {}, 'Relations'), h('dd', {}, relations.join(', ') || 'none'),
      entry.not_compared > 0 && [h('dt', {}, 'Not compared'), h('dd', {}, number(entry.not_compared))]),
    h('h3', {}, 'What changed'),
    all ? h('ol.changes', {}, entry.changes.slice(0, SHOWN).map((change) => changed(app, entry, change))) : h('p.muted', {}, 'No component changed.'),
    all > Math.min(told, SHOWN) && h('p.muted', {}, `and ${number(all - Math.min(told, SHOWN))} more`),
  ];
}

function changed(app, { instance, time }, { what, externalId, type, name, fields = [] }, dated = false) {
  const component = app.model.components.get(key(instance, externalId));
  const shown = component?.name ?? shortened(name);
  const label = component ? h('button.link', { onclick: () => app.choose(component.id, true) }, shown) : h('s', {}, shown);
  return h('li', { 'data-what': what }, badge(type), h('div', {}, label,
    h('small', {}, `${describe(type).label} ${what}${dated ? `, ${moment(time)}` : ''}`),
    fields.length > 0 && h('ul.fields', {}, fields.map(difference))));
}

function difference({ name, old, new: now }) {
  return h('li', {}, h('span', {}, name), ' ', old === null ? h('em', {}, 'new') : h('del', {}, old), ' → ', now === null ? h('em', {}, 'gone') : h('ins', {}, now));
}

function heading(app, text, below, close, before = null) {
  return h('div.title', {}, before, h('div', {}, h('h2', {}, text), h('p.muted', {}, below)),
    h('button.close', { 'aria-label': 'Close details', title: 'Close (Escape)', onclick: close }, '×'));
}

function details(app, component) {
  const { outgoing, incoming } = app.model.relationsOf(component.id);
  const type = component.type.name;
  const where = [component.region, component.data.Location?.AwsAccount].filter(Boolean).join(' · ');
  const tags = tagsOf(component);
  const link = consoleLink(component);
  return [
    heading(app, component.name, `${describe(type).label}${where && ` in ${where}`}`, () => app.choose(null), badge(type)),
    component.stale && h('p.warning', {}, `Not read since ${component.stale.since ? moment(component.stale.since) : 'an earlier run'}. ${component.stale.because ?? ''}`),
    link && h('p', {}, h('a.button', { href: link, target: '_blank', rel: 'noopener noreferrer' }, 'Open in the AWS console ↗')),
    reach(app, component),
    h('h3', {}, 'Identifiers'),
    ...identifiers(component).map(identifier),
    h('h3', {}, 'Tags', h('span.count', {}, `${tags.length}`)),
    tags.length ? h('ul.tags', {}, tags.map(([tag, value]) => h('li', {}, h('button', { title: 'Find all with this tag', onclick: () => app.search(`${tag}:${value}`) }, h('b', {}, tag), ` ${value}`)))) : h('p.muted', {}, 'None'),
    ...relationList(app, 'Outgoing relations', outgoing, 'target', 'targetId', '→'),
    ...relationList(app, 'Incoming relations', incoming, 'source', 'sourceId', '←'),
    h('h3', {}, 'Data'),
    h('div.data', {}, tree(component.data, 0)),
  ];
}

// What else is to be seen beside it.
function reach(app, { id }) {
  const { around } = app.filters;
  const now = around?.id === id ? around.reach : '';
  const options = [['', 'everything'], ...Object.entries(REACHES).map(([value, name]) => [value, name('it')])];
  const act = ({ target: { value } }) => app.around(value ? { id, reach: value } : null);
  return h('p.reach', {}, h('label', {}, 'Show ', h('select', { 'data-key': 'reach', onchange: act },
    options.map(([value, name]) => h('option', { value, selected: value === now && '' }, name)))));
}

// The id, and the further ones by which StackState merges components.
function identifiers({ externalId, data }) {
  const further = Array.isArray(data.URN) ? data.URN : [];
  return unique([externalId, ...further]);
}

function identifier(id) {
  return h('p.id', {}, h('code', {}, id), h('button', { title: 'Copy', 'aria-label': `Copy ${id}`, onclick: ({ target }) => copy(target, id) }, 'Copy'));
}

async function copy(button, text) {
  await navigator.clipboard.writeText(text);
  button.textContent = 'Copied';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}

function relationList(app, name, relations, end, endId, arrow) {
  const sorted = relations.map((each) => [each, app.model.components.get(each[end])])
    .sort(([a, x], [b, y]) => collate(a.type.name, b.type.name) || collate(x?.name ?? '', y?.name ?? ''));
  const one = ([relation, other]) => h('li', {}, h('small', {}, `${arrow} ${relation.type.name}`),
    other ? h('button.link', { title: other.externalId, onclick: () => app.choose(other.id, true) }, badge(other.type.name), h('span', {}, other.name))
      : h('span.muted', { title: 'This component is not in the topology' }, relation[endId]));
  return [
    h('h3', {}, name, h('span.count', {}, number(relations.length))),
    relations.length ? h('ul.relations', {}, sorted.slice(0, SHOWN).map(one)) : h('p.muted', {}, 'None'),
    relations.length > SHOWN && h('p.muted', {}, `and ${plural(relations.length - SHOWN, 'more relation')}`),
  ];
}

function tree(value, depth) {
  return Object.entries(value).map(([name, inner]) => {
    if (inner === null || typeof inner !== 'object') return h('div.leaf', {}, h('span', {}, name), h('code', {}, inner === null ? 'null' : String(inner)));
    const size = Object.keys(inner).length;
    if (!size) return h('div.leaf', {}, h('span', {}, name), h('code.muted', {}, 'empty'));
    return h('details', { open: depth === 0 && size < 4 && '' }, h('summary', {}, name, h('span.count', {}, `${size}`)), tree(inner, depth + 1));
  });
}
