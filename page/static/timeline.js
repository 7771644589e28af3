// The strip below the graph: one button for each snapshot, delta or comparison, oldest first.

import { $, clock, h, moment, number, replace } from 'page/dom.js';

const SHOWN = 100;
const NAMES = { snapshot: 'Snapshot', delta: 'Delta', comparison: 'Comparison' };
const STATES = { open: ', arriving', unfinished: ', never finished' };
const SIGNS = { created: '+', updated: '~', deleted: '−' };

export const title = ({ kind, state }) => `${NAMES[kind] ?? kind}${STATES[state] ?? ''}`;

export function renderTimeline(app) {
  const entries = app.model.timeline.slice(-SHOWN);
  const strip = $('timeline');
  const atEnd = strip.hidden || strip.scrollLeft + strip.clientWidth > strip.scrollWidth - 40;
  strip.hidden = !entries.length;
  replace(strip, entries.length > 0 && h('ol', {}, entries.map((entry) => h('li', {}, button(app, entry)))));
  if (atEnd) strip.scrollLeft = strip.scrollWidth;
}

function button(app, entry) {
  const counts = Object.entries(entry.components).filter(([, count]) => count);
  const unknown = entry.not_compared ? `${number(entry.not_compared)} not compared` : '';
  const words = [...counts.map(([what, count]) => `${number(count)} ${what}`), unknown].filter(Boolean).join(', ') || 'no component changed';
  return h(
    'button',
    {
      'data-key': `entry ${entry.number}`, 'data-kind': entry.kind, 'data-state': entry.state, title: `${title(entry)} ${moment(entry.time)}: ${words}`,
      'aria-pressed': String(app.filters.entry?.number === entry.number), 'aria-label': `${title(entry)} ${clock(entry.time)}: ${words}`,
      onclick: () => app.enter(app.filters.entry?.number === entry.number ? null : entry.number),
    },
    h('span', {}, h('strong', {}, title(entry)), h('small', {}, ` ${clock(entry.time)}`)),
    h('span.signs', {}, counts.map(([what, count]) => h(`span.${what}`, {}, `${SIGNS[what]}${number(count)}`)),
      unknown ? h('span', {}, unknown) : !counts.length && h('span', {}, '=')),
  );
}
