// Keeps what is seen in files: the picture, and the data.

import { h } from 'page/dom.js';

export function saved(name, blob) {
  const address = URL.createObjectURL(blob);
  h('a', { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

// Components and their relations as the receiver takes them.
export function data(components, relations) {
  const ids = new Set(components.map(({ id }) => id));
  const element = ({ externalId, type, data: own, instance }) => ({ externalId, type, data: own, instance });
  const document = {
    components: components.map(element),
    relations: relations.filter(({ source, target }) => ids.has(source) && ids.has(target))
      .map((each) => ({ ...element(each), sourceId: each.sourceId, targetId: each.targetId })),
  };
  return new Blob([JSON.stringify(document, null, 2)], { type: 'application/json' });
}
