// Small tools for the page's DOM. Data becomes text here, never markup.

export const byId = (id) => document.getElementById(id);

export const part = (root, name) => root.querySelector(`[data-part="${name}"]`);

export const stamp = (templateId) => byId(templateId).content.firstElementChild.cloneNode(true);

/** Build an element; attributes that are null or false are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Writing only what changed keeps selections, and keeps screen readers silent.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Make the children of `parent` match `items`, keeping the element of each item that was there.
 *
 * Where the focus was in an item that is gone, it goes to `refuge` instead of to nowhere.
 */
export function keyed(parent, items, { key, create, update, refuge = null }) {
  const kept = (parent.kept ??= new Map());
  const keys = new Set(items.map(key));
  let orphaned = false;
  for (const [name, node] of kept) {
    if (keys.has(name)) continue;
    orphaned ||= node.contains(document.activeElement);
    node.remove();
    kept.delete(name);
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (!kept.has(name)) kept.set(name, create(item));
    const node = kept.get(name);
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  if (orphaned) refuge?.focus();
}

/** Fill a select with [value, words] pairs, keeping what is selected if it is still there. */
export function setOptions(select, pairs) {
  const wanted = JSON.stringify(pairs);
  if (select.dataset.options === wanted) return;
  const selected = select.value;
  select.dataset.options = wanted;
  select.replaceChildren(...pairs.map(([value, words]) => new Option(words, value)));
  select.value = pairs.some(([value]) => value === selected) ? selected : pairs[0][0];
}

let fading = 0;

/** Tell in a line what was done, to eyes and to screen readers. */
export function announce(words) {
  const status = byId("status");
  status.textContent = words;
  status.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.remove("shown"), 4000);
}

/** Give each name a hue of its own, so that eyes find a persona again in the journal. */
export function hueOf(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 65_521;
  return (hash * 137) % 360;
}
