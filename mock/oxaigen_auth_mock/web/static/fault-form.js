// The form for all kinds of faults, built from their JSON schemas in the API's OpenAPI document.

import { attempt, call } from "./api.js";
import { openForm } from "./dialogs.js";
import { announce, byId, part, setText } from "./dom.js";
import { field, parseNumber, selectOf, showFieldProblems, textInput } from "./fields.js";

const MATCH_FIELDS = ["endpoint", "persona", "times", "every", "probability", "seed", "when"];

const dialog = byId("fault-dialog");
let kinds = null; // schemas by kind, once they are loaded

/** Open the form with initial values; `slot` shows the problem if it cannot be opened. */
export async function openFaultForm(initial, personas, slot) {
  if (!kinds && !(await attempt(slot, loadKinds))) return;
  const select = selectOf(Object.keys(kinds).map((kind) => [kind, labelFor(kind)]), "status");
  select.addEventListener("change", () => showKind(select.value, formValues(), personas));
  part(dialog, "kind").replaceChildren(field({ name: "kind", label: "Kind" }, select));
  showKind(select.value, initial, personas);
  openForm(dialog, {
    show: (slot, problems) => showFieldProblems(slot, problems.map((each) => withoutKind(each, select.value))),
    save: async () => {
      await call("POST", "/faults", { kind: select.value, ...formValues() });
      announce("Fault added");
    },
  });
}

/** Remove the kind from the path of a problem, as a field may have the same name. */
function withoutKind({ path, message }, kind) {
  return { path: path[0] === kind ? path.slice(1) : path, message };
}

async function loadKinds() {
  const { components, paths } = await call("GET", "/openapi.json");
  const body = paths["/_mock/api/faults"].post.requestBody.content["application/json"].schema;
  const union = body.$ref ? components.schemas[nameIn(body.$ref)] : body;
  const schemas = Object.entries(union.discriminator.mapping);
  kinds = Object.fromEntries(schemas.map(([kind, ref]) => [kind, components.schemas[nameIn(ref)]]));
}

const nameIn = (ref) => ref.split("/").pop();

/** Format `retry_after` as `Retry after`, `truncated-json` as `Truncated JSON`. */
function labelFor(name) {
  const label = name.replaceAll(/[_-]/g, " ").replace("json", "JSON").replace("html", "HTML");
  return label[0].toUpperCase() + label.slice(1);
}

function showKind(kind, values, personas) {
  const { properties, description } = kinds[kind];
  setText(part(dialog, "about"), firstParagraph(description));
  const built = Object.entries(properties)
    .filter(([name]) => name !== "kind")
    .map(([name, schema]) => [name, fieldOf(name, withoutNull(schema), values[name], personas)]);
  const effect = built.filter(([name]) => !MATCH_FIELDS.includes(name));
  const match = built.filter(([name]) => MATCH_FIELDS.includes(name));
  match.sort(([one], [other]) => MATCH_FIELDS.indexOf(one) - MATCH_FIELDS.indexOf(other));
  part(dialog, "effect").replaceChildren(...effect.map(([, element]) => element));
  part(dialog, "effect").parentElement.hidden = effect.length === 0;
  part(dialog, "match").replaceChildren(...match.map(([, element]) => element));
  part(dialog, "effect").onchange = hideInapplicable;
  hideInapplicable();
}

const firstParagraph = (text) => (text ?? "").split("\n\n")[0].replaceAll("\n", " ");

/** Remove null from a schema: a blank field is not sent. */
function withoutNull(schema) {
  const given = (schema.anyOf ?? []).find((each) => each.type !== "null") ?? {};
  return { ...schema, ...given };
}

function fieldOf(name, schema, value, personas) {
  const element = field({ name, label: labelFor(name), hint: hintOf(schema) }, controlOf(name, schema, value, personas));
  element.schema = schema;
  return element;
}

function hintOf({ description = "", minimum, maximum }) {
  if (minimum === undefined || maximum === undefined) return description;
  const limits = maximum === 2 ** 31 - 1 ? `${minimum} or more.` : `${minimum} to ${maximum}.`;
  return `${description} ${limits}`.trim();
}

function controlOf(name, schema, value, personas) {
  const preset = value ?? schema.default ?? "";
  const choices = name === "persona" ? personas : schema.enum;
  if (choices) {
    const optional = schema.default === undefined || schema.default === null;
    const all = choices.map((each) => [String(each), String(each)]);
    return selectOf(optional ? [["", "any"], ...all] : all, String(preset));
  }
  const numeric = ["integer", "number"].includes(schema.type);
  return textInput({ value: String(preset), numeric, max: schema.maxLength });
}

/** Return the values of the fields for the API; blank and hidden ones are left out. */
function formValues() {
  const values = {};
  for (const element of dialog.querySelectorAll(".fields [data-field]")) {
    const { name, value } = element.querySelector("input, select");
    if (element.hidden || value.trim() === "") continue;
    values[name] = element.schema.type === "string" ? value : parseNumber(value);
  }
  return values;
}

/** Hide the fields whose schema says `x-only-if: {field: value}` while that field has another value. */
function hideInapplicable() {
  for (const element of part(dialog, "effect").querySelectorAll("[data-field]")) {
    const conditions = Object.entries(element.schema["x-only-if"] ?? {});
    element.hidden = conditions.some(([name, value]) => dialog.querySelector(`[name=${name}]`).value !== value);
  }
}
