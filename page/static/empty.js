// What stands where the graph would be, if there is nothing to show: what is the case, and what to do about it.

import { unique } from 'page/dom.js';
import { VIEWS } from 'page/types.js';

// Gives {title, text, act}, or null where there is something; `act` is [label, what a click does], or null.
export function emptiness(app, shown, found) {
  const { model, filters } = app;
  if (!model.components.size) return { act: null, ...(app.live ? liveEmptiness(model) : fileEmptiness(app.ledger)) };
  if (!shown.length && filters.around) {
    return { title: 'It is gone', text: 'The component whose surroundings were to be shown is no longer there.', act: ['Show everything', () => app.around(null)] };
  }
  if (!shown.length) {
    return { title: `Nothing belongs to the view ${VIEWS[filters.view]}`, text: 'All components of the account are in other views.', act: ['Show all', () => app.view('all')] };
  }
  if (!found.length && filters.entry) {
    return { title: 'Nothing of this is left to show', text: 'What it changed is no longer there, or changed no component; the details tell what it was.', act: ['Show everything', () => app.clear()] };
  }
  if (!found.length) {
    const filtered = filters.types.size || filters.regions.size || filters.labels.size || filters.stale;
    return {
      title: 'Nothing found',
      text: filters.query.trim()
        ? `No component has “${filters.query.trim()}” in its name, id, type or tags${filtered ? ', and fits the filters' : ''}. Fewer words or letters find more.`
        : 'No component fits all of the filters.',
      act: [filters.query.trim() ? 'Clear search and filters' : 'Clear filters', () => app.clear()],
    };
  }
  return null;
}

function liveEmptiness({ instances }) {
  if (instances.some(({ snapshots }) => snapshots)) {
    return { title: 'The topology is empty', text: 'A snapshot arrived, and there was nothing in it. The log of topo-cron says what it read.' };
  }
  if (instances.some(({ snapshotOpen }) => snapshotOpen)) {
    return { title: 'A snapshot is arriving', text: 'It has begun; its components appear here as they come.' };
  }
  return {
    title: 'No topology yet',
    text: 'Nothing was received. It appears here as soon as the first snapshot arrives: topo-cron takes one when it is installed, and then every hour.',
  };
}

function fileEmptiness(ledger) {
  if (!ledger) return { title: 'Nothing was found', text: 'There is no component in this file.' };
  const regions = unique(ledger.scopes.map(({ region }) => region)).join(', ');
  const unread = ledger.scopes.filter(({ complete }) => !complete);
  const causes = unique(unread.flatMap((scope) => scope.causes).map(({ cause }) => cause)).join(', ');
  if (!unread.length) {
    return { title: 'There is nothing', text: `Everything in ${regions} was read to its end, and the account has none of the resources that are looked for. Other regions may have some: --regions names them.` };
  }
  if (unread.length === ledger.scopes.length) {
    return { title: 'Nothing could be read', text: `Whether there is anything in ${regions} is not known (${causes}). The overview says why, and what to do.` };
  }
  return { title: 'Nothing was found, but not everything was read', text: `${unread.length} of ${ledger.scopes.length} services could not be read to the end (${causes}). The overview says which, and what to do.` };
}
