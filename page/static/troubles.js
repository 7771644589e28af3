// What the page must not hide: scopes that were not read to the end, and what is shown from an earlier reading.

import { groupBy, h, moment, number, plural, unique } from 'page/dom.js';
import { describe } from 'page/types.js';

// How many things there are to say, for the head of the page.
export function troubleCount({ model, ledger, live }) {
  const scopes = live ? model.errors.length : (ledger?.scopes ?? []).filter(({ complete }) => !complete).length;
  return Math.max(scopes, replayedGroups(model).length);
}

export function troubles(app) {
  return [...ledgerTroubles(app), ...errors(app.model), ...replayed(app)].filter(Boolean);
}

function section(title, items) {
  return items.length ? [h('h3', {}, title), h('ul.troubles', {}, items.map((item) => h('li', {}, item)))] : [];
}

function ledgerTroubles({ ledger }) {
  if (!ledger) return [];
  const { not_closed_because: reasons = [], held_back: held, missing_permissions: missing = [], drift = {}, advice = [] } = ledger;
  const drifted = Object.entries(drift).map(([type, count]) => `${describe(type).label}: ${number(count)}`);
  return [
    ...section('Not closed', reasons),
    ...section('Held back', held ? [`This run would have removed ${number(held.removed)} of ${plural(held.of, 'component')}: nothing was removed.`] : []),
    ...section('Not read to the end', ledger.scopes.filter(({ complete }) => !complete).map(scope)),
    ...section('Missing IAM actions', missing.map((action) => h('code', {}, action))),
    ...section('Changed without an event', drifted),
    ...section('Advice', advice),
  ];
}

function scope({ region, account, service, causes = [], replayed: shown = 0, read_at: readAt }) {
  const earlier = shown ? `${plural(shown, 'element')} shown as read ${readAt ? `at ${moment(readAt)}` : 'earlier'}` : 'nothing to show from an earlier reading';
  return [
    h('strong', {}, `${service} in ${region}`), h('small', {}, ` ${account}`),
    causes.map(({ cause, action, error }) => h('p', {}, `${cause.replaceAll('_', ' ')}: `, h('code', {}, action), error && h('small', {}, error))),
    h('p.muted', {}, earlier),
  ];
}

// The agent's events about what it could not read, since the last snapshot began.
function errors({ errors: told }) {
  const place = (tags) => unique(tags.filter((tag) => tag.startsWith('aws_region:'))).map((tag) => tag.slice('aws_region:'.length)).join(', ');
  return section('Not read to the end', told.map(({ msg_title: title, msg_text: text, tags = [] }) => [
    h('strong', {}, title), h('small', {}, ` ${place(tags)}`), h('p', {}, text),
  ]));
}

const replayedGroups = (model) => [...groupBy(model.replayed(), ({ type, region, stale }) => JSON.stringify([type.name, region, stale])).values()];

function replayed(app) {
  const line = (components) => {
    const [{ type, region, stale }] = components;
    const act = () => app.only({ types: [type.name], stale: true });
    return [
      h('button.link', { onclick: act }, `${describe(type.name).label}${region && ` in ${region}`}: ${number(components.length)}`),
      h('p', {}, stale.because ?? ''), h('p.muted', {}, `as of ${stale.since ? moment(stale.since) : 'an earlier run'}`),
    ];
  };
  return section('Not up to date', replayedGroups(app.model).map(line));
}
