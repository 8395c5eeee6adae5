// Form fields: a label, a control, a hint and a place for problems.

import { showProblems } from "./api.js";
import { make } from "./dom.js";

let fieldCount = 0;

/** Build a field around a control, with the elements of `more` after it on the same line. */
export function field({ name, label, hint = "", wide = false, more = [] }, control) {
  const id = `field-${(fieldCount += 1)}`;
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

/** Numbers are text inputs, so that the API reports invalid ones. */
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
  select.append(...pairs.map(([each, label]) => new Option(label, each)));
  select.value = value;
  return select;
}

/** Return the number in a text, or the text if it is not a number. */
export function parseNumber(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

/** Show problems at the fields that they are about, and all others in `slot`. */
export function showFieldProblems(slot, problems) {
  const form = slot.closest("form");
  const placed = new Set();
  for (const each of form.querySelectorAll("[data-field]")) {
    const mine = problems.filter(({ path }) => path.includes(each.dataset.field));
    mine.forEach((problem) => placed.add(problem));
    showFieldProblem(each, mine);
  }
  showProblems(slot, problems.filter((problem) => !placed.has(problem)));
  form.querySelector("[aria-invalid=true]")?.focus();
}

function showFieldProblem(element, problems) {
  const slot = element.querySelector(":scope > .problem");
  const name = element.dataset.field;
  const within = ({ path, message }) => ({ path: path.slice(path.indexOf(name) + 1), message });
  showProblems(slot, problems.map(within));
  const control = element.querySelector("input, select, textarea");
  if (problems.length) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}
