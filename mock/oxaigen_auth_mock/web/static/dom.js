// Functions for the page's DOM. They insert data as text, never as markup.

export const byId = (id) => document.getElementById(id);

export const part = (root, name) => root.querySelector(`[data-part="${name}"]`);

export const cloneTemplate = (templateId) => byId(templateId).content.firstElementChild.cloneNode(true);

/** Build an element; attributes that are null or false are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Writing only changes preserves selections and does not trigger screen readers.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Make the children of `parent` match `items`, keeping the elements of existing items.
 *
 * If a removed element had the focus, `focusFallback` receives it.
 */
export function reconcile(parent, items, { key, create, update, focusFallback = null }) {
  const elements = (parent.elementsByKey ??= new Map());
  const keys = new Set(items.map(key));
  let focusLost = false;
  for (const [name, node] of elements) {
    if (keys.has(name)) continue;
    focusLost ||= node.contains(document.activeElement);
    node.remove();
    elements.delete(name);
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (!elements.has(name)) elements.set(name, create(item));
    const node = elements.get(name);
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  if (focusLost) focusFallback?.focus();
}

/** Fill a select with [value, label] pairs, keeping the selected value if it still exists. */
export function setOptions(select, pairs) {
  const options = JSON.stringify(pairs);
  if (select.dataset.options === options) return;
  const selected = select.value;
  select.dataset.options = options;
  select.replaceChildren(...pairs.map(([value, label]) => new Option(label, value)));
  select.value = pairs.some(([value]) => value === selected) ? selected : pairs[0][0];
}

let hideTimer = 0;

/** Show a short message, and announce it to screen readers. */
export function announce(message) {
  const status = byId("status");
  status.textContent = message;
  status.classList.add("shown");
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => status.classList.remove("shown"), 4000);
}

/** Return the hue of a name, by which a persona is recognized in the journal. */
export function hueFor(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 65_521;
  return (hash * 137) % 360;
}
