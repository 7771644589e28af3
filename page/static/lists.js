// The left side: search, filters by region and label, and all components by type.

import { REACHES } from 'page/around.js';
import { $, collate, countBy, groupBy, h, number, plural, replace, unique } from 'page/dom.js';
import { describe } from 'page/types.js';

const SHOWN_PER_TYPE = 150;
const OPENED = 100; // a search that finds no more shows the names of all
const OFFERED_LABELS = 2000;

export const badge = (type) => {
  const { color, ink, glyph } = describe(type);
  return h('span.badge', { '--color': color, '--ink': ink, 'aria-hidden': 'true' }, glyph);
};

// app: {filters, chosen, choose(id, focus), changed()}: what the lists show and act on.
export function renderLists(app, shown, found) {
  const { filters } = app;
  $('found').textContent = filters.active ? `${number(found.length)} of ${plural(shown.length, 'component')}` : '';
  replace($('filters'), around(app), regions(app, shown), labels(app, shown), stale(app, shown), filters.active && clear(app));
  replace($('types'), types(app, shown, found));
}

function toggle(app, set, value) {
  if (!set.delete(value)) set.add(value);
  app.changed();
}

function around(app) {
  const { around: wanted } = app.filters;
  if (!wanted) return null;
  const name = app.model.components.get(wanted.id)?.name ?? 'what is gone';
  return h('ul.chips', {}, h('li', {}, h(
    'button', { 'aria-pressed': 'true', 'data-key': 'around', title: 'Show everything again', onclick: () => app.around(null) },
    `Only ${REACHES[wanted.reach](name)}`, h('span', { 'aria-hidden': 'true' }, ' ×'),
  )));
}

function regions(app, shown) {
  const counts = countBy(shown.map(({ region }) => region).filter(Boolean));
  const { regions: chosen } = app.filters;
  const names = unique([...counts.keys(), ...chosen]).sort();
  if (names.length < 2 && !chosen.size) return null;
  return h('fieldset', {}, h('legend', {}, 'Region'), h('ul.chips', {}, names.map((name) => h('li', {}, h(
    'button', { 'aria-pressed': String(chosen.has(name)), 'data-key': `region ${name}`, onclick: () => toggle(app, chosen, name) },
    name, h('span.count', {}, ` ${number(counts.get(name) ?? 0)}`),
  )))));
}

function labels(app, shown) {
  const counts = countBy(shown.flatMap((component) => component.labels));
  const { labels: chosen } = app.filters;
  if (!counts.size && !chosen.size) return null;
  const offered = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a)).slice(0, OFFERED_LABELS);
  const add = ({ target }) => {
    if (!counts.has(target.value) || chosen.has(target.value)) return;
    const { value } = target;
    target.value = '';
    toggle(app, chosen, value);
  };
  // What is being typed survives that the list is made anew.
  const typed = $('label')?.value ?? '';
  const input = h('input', { id: 'label', list: 'labels', 'aria-label': 'Filter by label', placeholder: 'name:value', autocomplete: 'off', 'data-key': 'label', oninput: add });
  input.value = typed;
  return h('fieldset', {}, h('legend', {}, 'Label'), input,
    h('datalist', { id: 'labels' }, offered.map((label) => h('option', { value: label }, plural(counts.get(label), 'component')))),
    chosen.size > 0 && h('ul.chips', {}, [...chosen].map((label) => h('li', {}, h(
      'button', { 'aria-pressed': 'true', title: 'Take this label away', 'aria-label': `${label}, take away`, 'data-key': `label ${label}`, onclick: () => toggle(app, chosen, label) }, label, h('span', { 'aria-hidden': 'true' }, ' ×'),
    )))));
}

function stale(app, shown) {
  const count = shown.filter((component) => component.stale).length;
  if (!count && !app.filters.stale) return null;
  const act = () => {
    app.filters.stale = !app.filters.stale;
    app.changed();
  };
  return h('button.type.stale', { 'aria-pressed': String(app.filters.stale), 'data-key': 'stale', onclick: act },
    h('span.badge', { 'aria-hidden': 'true' }, '!'), h('span.label', {}, 'From an earlier reading'), h('span.count', {}, number(count)));
}

function clear(app) {
  return h('button.clear', { 'data-key': 'clear', onclick: () => app.clear() }, 'Clear search and filters');
}

function types(app, shown, found) {
  const { filters } = app;
  const all = groupBy(shown, ({ type }) => type.name);
  const hits = groupBy(found, ({ type }) => type.name);
  const names = [...all.keys()].sort((a, b) => describe(a).rank - describe(b).rank || collate(a, b));
  return names.map((type) => {
    const here = hits.get(type) ?? [];
    const count = all.get(type).length;
    const open = filters.types.has(type) || (filters.active && here.length > 0 && found.length <= OPENED);
    const button = h(
      'button.type',
      { 'aria-pressed': String(filters.types.has(type)), 'data-key': `type ${type}`, title: type, onclick: () => toggle(app, filters.types, type) },
      badge(type), h('span.label', {}, describe(type).label),
      h('span.count', {}, filters.active && here.length !== count ? `${number(here.length)} / ${number(count)}` : number(count)),
    );
    return h('li', { class: filters.active && !here.length ? 'none' : null }, button, open && h('ul', {}, entries(app, here)));
  });
}

function entries(app, components) {
  const sorted = [...components].sort((a, b) => collate(a.name, b.name));
  const rest = sorted.length - SHOWN_PER_TYPE;
  return [
    ...sorted.slice(0, SHOWN_PER_TYPE).map(({ id, name, externalId }) => h('li', {}, h(
      'button.entry', { 'data-key': id, title: externalId, 'aria-current': id === app.chosen && 'true', onclick: () => app.choose(id, true) }, name,
    ))),
    rest > 0 && h('li.muted', {}, `and ${number(rest)} more: search to narrow down`),
  ];
}
