// Form fields: a label, a control, a hint, and a place for what is wrong with it.

import { showProblems } from "./api.js";
import { make } from "./dom.js";

let made = 0;

/** Build a field around a control; `more` comes after the control, in the same line. */
export function field({ name, label, hint = "", wide = false, more = [] }, control) {
  const id = `field-${(made += 1)}`;
  control.id = id;
  control.setAttribute("name", name);
  control.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
  return make(
    "div", { class: wide ? "field wide" : "field", "data-field": name },
    make("label", { for: id }, label),
    make("div", { class: "line" }, control, ...more),
    make("p", { class: "caption", id: `${id}-hint` }, hint),
    make("div", { class: "problem", id: `${id}-problem`, hidden: true }),
  );
}

/** Numbers are typed as text, so that what is no number reaches the API, and gets its words. */
export function textInput({ value = "", numeric = false, placeholder = null, max = null } = {}) {
  const input = make("input", {
    type: "text", placeholder, maxlength: max, autocomplete: "off", spellcheck: "false",
    inputmode: numeric ? "decimal" : null,
  });
  input.value = value;
  return input;
}

export function selectOf(pairs, value) {
  const select = make("select", {});
  select.append(...pairs.map(([each, words]) => new Option(words, each)));
  select.value = value;
  return select;
}

/** Read a number if it is one, else what was typed. */
export function numberIn(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

/** Show problems at the fields of a form that they are about, the others in its `slot`. */
export function showAtFields(slot, problems) {
  const form = slot.closest("form");
  const placed = new Set();
  for (const each of form.querySelectorAll("[data-field]")) {
    const mine = problems.filter(({ path }) => path.includes(each.dataset.field));
    mine.forEach((problem) => placed.add(problem));
    showAtField(each, mine);
  }
  showProblems(slot, problems.filter((problem) => !placed.has(problem)));
  form.querySelector("[aria-invalid=true]")?.focus();
}

function showAtField(element, problems) {
  const place = element.querySelector(":scope > .problem");
  const name = element.dataset.field;
  const within = ({ path, message }) => ({ path: path.slice(path.indexOf(name) + 1), message });
  showProblems(place, problems.map(within));
  const control = element.querySelector("input, select, textarea");
  if (problems.length) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}
