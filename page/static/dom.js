// Makes elements, and words for numbers and times.

export const $ = (id) => document.getElementById(id);

// h('p.muted', {title: 'x', onclick: f}, 'text', child): attributes that are null or false are left out, so are children.
export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name.startsWith('--')) element.style.setProperty(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Puts new children in the place of the old ones; what had the focus keeps it, by its data-key.
export function replace(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// Compares texts as people sort them: node-2 before node-10.
export const collate = new Intl.Collator('en', { numeric: true }).compare;

export const number = (value) => value.toLocaleString('en');
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? '' : 's'}`;
export const unique = (values) => [...new Set(values)];

export function countBy(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

export function groupBy(values, keyOf) {
  const groups = new Map();
  for (const value of values) {
    const key = keyOf(value);
    if (groups.has(key)) groups.get(key).push(value);
    else groups.set(key, [value]);
  }
  return groups;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB');

// The time, with its date unless that is today.
export function moment(time) {
  const date = new Date(typeof time === 'number' ? time * 1000 : time);
  if (Number.isNaN(date.getTime())) return String(time);
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString('en-GB') : date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}
