// What is looked for: words, types, regions, labels, a view of the whole, and what an entry of the timeline changed.

import { surroundings } from 'page/around.js';
import { key } from 'page/model.js';
import { inView } from 'page/types.js';

export class Filters {
  view = 'all';
  query = '';
  types = new Set();
  regions = new Set();
  labels = new Set();
  stale = false;
  entry = null;
  around = null; // {id, reach}: nothing but the surroundings of a component

  // True where some components may be left out of what is found.
  get active() {
    return Boolean(this.query.trim() || this.types.size || this.regions.size || this.labels.size || this.stale || this.entry);
  }

  clear() {
    this.query = '';
    for (const chosen of [this.types, this.regions, this.labels]) chosen.clear();
    this.stale = false;
    this.entry = null;
  }

  // The components of the view, or of some surroundings.
  shown(model) {
    const within = this.around && surroundings(model, this.around);
    return [...model.components.values()].filter(({ id, type }) => inView(type.name, this.view) && (!within || within.has(id)));
  }

  // Those of them that were looked for: all words, and one of the chosen of each kind.
  found(components) {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const changed = this.entry && new Set(this.entry.changes.map(({ externalId }) => key(this.entry.instance, externalId)));
    return components.filter(({ id, text, type, region, labels, stale }) =>
      (!this.types.size || this.types.has(type.name))
      && (!this.regions.size || this.regions.has(region))
      && (!this.labels.size || labels.some((label) => this.labels.has(label)))
      && (!this.stale || stale)
      && (!changed || changed.has(id))
      && words.every((word) => text.includes(word)));
  }
}
