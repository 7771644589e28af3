// The page's address tells what is looked at, so that it can be kept, or sent to somebody.

import { REACHES } from 'page/around.js';
import { GROUPINGS } from 'page/grouping.js';
import { VIEWS } from 'page/types.js';

const SETS = { type: 'types', region: 'regions', label: 'labels' };

// The part after # for what is chosen; what is as it is at first is left out.
export function written({ filters, grouping, chosen }) {
  const told = new URLSearchParams();
  if (filters.view !== 'all') told.set('view', filters.view);
  if (grouping !== 'vpc') told.set('group', grouping);
  if (filters.query.trim()) told.set('q', filters.query.trim());
  for (const [name, set] of Object.entries(SETS)) for (const value of filters[set]) told.append(name, value);
  if (filters.stale) told.set('earlier', '1');
  if (filters.around) {
    told.set('around', filters.around.id);
    told.set('reach', filters.around.reach);
  }
  if (chosen) told.set('id', chosen);
  return String(told);
}

// Puts into the filters what the address says; gives {grouping, chosen}. What it does not know, it passes over.
export function read(hash, filters) {
  const told = new URLSearchParams(hash.replace(/^#/, ''));
  filters.clear();
  filters.view = told.get('view') in VIEWS ? told.get('view') : 'all';
  filters.query = told.get('q') ?? '';
  for (const [name, set] of Object.entries(SETS)) told.getAll(name).forEach((value) => filters[set].add(value));
  filters.stale = told.has('earlier');
  const [id, reach] = [told.get('around'), told.get('reach')];
  filters.around = id && reach in REACHES ? { id, reach } : null;
  return { grouping: told.get('group') in GROUPINGS ? told.get('group') : 'vpc', chosen: told.get('id') };
}
