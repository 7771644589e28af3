// What the page must not hide: what was not read, what is shown from an earlier reading, and what that is due to.

import { groupBy, h, moment, number, plural, unique } from 'page/dom.js';
import { describe } from 'page/types.js';

const MOST_PLACES = 6; // regions that are named

// What the head of the page says: how much was not read, and how much is shown as of when.
export function troubleCounts(app) {
  const stale = app.model.replayed();
  const oldest = stale.map(({ stale: { since } }) => since).filter(Boolean).sort()[0];
  const unread = app.live ? app.model.errors.length : unreadScopes(app.ledger).length;
  return [
    ['not read', unread],
    [oldest ? `as of ${moment(oldest)}` : 'as of an earlier run', stale.length],
  ].filter(([, count]) => count);
}

export function troubles(app) {
  return [...ledgerTroubles(app.ledger), ...errors(app.model), ...replayed(app)];
}

function section(title, items) {
  return items.length ? [h('h3', {}, title), h('ul.troubles', {}, items.map((item) => h('li', {}, item)))] : [];
}

// Where AWS does not offer a service, there is nothing to read.
const absent = ({ causes }) => causes.every(({ cause }) => cause === 'service not in region');
const incomplete = (ledger) => (ledger?.scopes ?? []).filter(({ complete }) => !complete);
const unreadScopes = (ledger) => incomplete(ledger).filter((scope) => !scope.replayed && !absent(scope));

function ledgerTroubles(ledger) {
  if (!ledger) return [];
  const { not_closed_because: reasons = [], held_back: held, missing_permissions: missing = [], left_out: details = [], drift = {}, advice = [] } = ledger;
  const drifted = Object.entries(drift).map(([type, count]) => `${describe(type).label}: ${number(count)}`);
  // What is the same in several regions is told once.
  const alike = (scopes) => [...groupBy(scopes, ({ service, causes, read_at: at }) => JSON.stringify([service, causes.map(({ cause, action }) => [cause, action]), at])).values()];
  return [
    ...section('What to do', advice),
    ...section('Not read', alike(unreadScopes(ledger)).map(unread)),
    ...section('Shown as of an earlier reading', alike(incomplete(ledger).filter(({ replayed: shown }) => shown)).map(shownAgain)),
    ...section('Not offered by AWS there', alike(incomplete(ledger).filter(absent)).map(place)),
    ...section('IAM actions that are missing', missing.map((action) => h('code', {}, action))),
    ...section('Details left out', leftOut(details)),
    ...section('Not closed', reasons),
    ...section('Held back', held ? [`This run would have removed ${number(held.removed)} of ${plural(held.of, 'component')}: nothing was removed.`] : []),
    ...section('Changed without an event', drifted),
  ];
}

const sum = (scopes, field) => scopes.reduce((all, scope) => all + (scope[field] ?? 0), 0);

function places(regions) {
  const all = unique(regions);
  const more = all.length - MOST_PLACES;
  return all.slice(0, MOST_PLACES).join(', ') + (more > 0 ? ` and ${plural(more, 'more region')}` : '');
}

function place(scopes) {
  const [{ service, account }] = scopes;
  const what = service === '*' ? 'All services' : service;
  return [h('strong', {}, `${what} in ${places(scopes.map(({ region }) => region))}`), h('small', {}, ` ${account}`)];
}

const because = ([{ causes = [] }]) => causes.map(({ cause, action, error }) =>
  h('p', {}, `${cause}: `, h('code', {}, action), error && h('small', {}, error.replace(`${action}: `, ''))));

function unread(scopes) {
  const found = sum(scopes, 'components');
  return [place(scopes), because(scopes), h('p.muted', {}, found
    ? `Read in part: ${plural(found, 'component')} shown, and there may be more.`
    : 'Nothing of it is shown here; whether there is anything is not known.')];
}

function shownAgain(scopes) {
  const [{ read_at: at }] = scopes;
  return [place(scopes), because(scopes), h('p.muted', {}, `${plural(sum(scopes, 'replayed'), 'component')} shown as of ${at ? moment(at) : 'an earlier run'}.`)];
}

// Calls for details that were refused: the components are there, and lack something.
function leftOut(details) {
  return [...groupBy(details, ({ action, cause }) => JSON.stringify([action, cause])).values()].map((alike) => [
    h('code', {}, alike[0].action),
    h('p.muted', {}, `${alike[0].cause}; for ${unique(alike.map(({ service }) => service)).join(', ')} in ${places(alike.map(({ region }) => region))}`),
  ]);
}

// The agent's events about what it could not read, since the last snapshot began.
function errors({ errors: told }) {
  const region = (tags) => unique(tags.filter((tag) => tag.startsWith('aws_region:'))).map((tag) => tag.slice('aws_region:'.length)).join(', ');
  return section('Not read', told.map(({ msg_title: title, msg_text: text, tags = [] }) => [
    h('strong', {}, title), h('small', {}, ` ${region(tags)}`), h('p', {}, text),
  ]));
}

function replayed(app) {
  const groups = groupBy(app.model.replayed(), ({ type, region, stale }) => JSON.stringify([type.name, region, stale]));
  const line = (components) => {
    const [{ type, region, stale }] = components;
    const act = () => app.only({ types: [type.name], stale: true });
    return [
      h('button.link', { onclick: act }, `${describe(type.name).label}${region && ` in ${region}`}: ${number(components.length)}`),
      h('p', {}, stale.because ?? ''), h('p.muted', {}, `as of ${stale.since ? moment(stale.since) : 'an earlier run'}`),
    ];
  };
  return section('Shown as of an earlier reading', [...groups.values()].map(line));
}
