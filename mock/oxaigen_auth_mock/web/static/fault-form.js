// The form of any fault, built from the API's own document: kinds, fields, limits, defaults.

import { attempt, call } from "./api.js";
import { openForm } from "./dialogs.js";
import { announce, byId, part, setText } from "./dom.js";
import { field, numberIn, selectOf, showAtFields, textInput } from "./fields.js";

const PARAMETERS = { fixed: ["seconds"], uniform: ["low", "high"], "log-normal": ["median", "sigma"] };
const TRIGGER = ["endpoint", "persona", "times", "every", "probability", "seed", "when"];

const dialog = byId("fault-dialog");
let kinds = null; // schemas by kind, once they are known

/** Open the form, filled with what is known of the calls to strike; `slot` is for when it cannot. */
export async function openFaultForm(known, personas, slot) {
  if (!kinds && !(await attempt(slot, loadKinds))) return;
  const select = selectOf(Object.keys(kinds).map((kind) => [kind, wordsOf(kind)]), "status");
  select.addEventListener("change", () => showKind(select.value, typed(), personas));
  part(dialog, "kind").replaceChildren(field({ name: "kind", label: "Kind" }, select));
  showKind(select.value, known, personas);
  openForm(dialog, {
    show: (slot, problems) => showAtFields(slot, problems.map((each) => withoutKind(each, select.value))),
    save: async () => {
      await call("POST", "/faults", { kind: select.value, ...typed() });
      announce("Fault added");
    },
  });
}

/** The API tells of a fault's mistakes below its kind, which may be called like a field. */
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

/** Write `retry_after` as `Retry after`, `truncated-json` as `Truncated JSON`. */
function wordsOf(name) {
  const words = name.replaceAll(/[_-]/g, " ").replace("json", "JSON").replace("html", "HTML");
  return words[0].toUpperCase() + words.slice(1);
}

function showKind(kind, values, personas) {
  const { properties, description } = kinds[kind];
  setText(part(dialog, "about"), firstLine(description));
  const built = Object.entries(properties)
    .filter(([name]) => name !== "kind")
    .map(([name, schema]) => [name, fieldOf(name, simple(schema), values[name], personas)]);
  const effect = built.filter(([name]) => !TRIGGER.includes(name));
  const trigger = built.filter(([name]) => TRIGGER.includes(name));
  trigger.sort(([one], [other]) => TRIGGER.indexOf(one) - TRIGGER.indexOf(other));
  part(dialog, "effect").replaceChildren(...effect.map(([, element]) => element));
  part(dialog, "effect").parentElement.hidden = effect.length === 0;
  part(dialog, "trigger").replaceChildren(...trigger.map(([, element]) => element));
  if (properties.distribution) followDistribution();
}

const firstLine = (text) => (text ?? "").split("\n\n")[0].replaceAll("\n", " ");

/** Take the null out of a schema: a field that is left blank is not sent. */
function simple(schema) {
  const given = (schema.anyOf ?? []).find((each) => each.type !== "null") ?? {};
  return { ...schema, ...given };
}

function fieldOf(name, schema, value, personas) {
  const element = field({ name, label: wordsOf(name), hint: hintOf(schema) }, controlOf(name, schema, value, personas));
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
    const none = schema.default === undefined || schema.default === null;
    const all = choices.map((each) => [String(each), String(each)]);
    return selectOf(none ? [["", "any"], ...all] : all, String(preset));
  }
  const numeric = ["integer", "number"].includes(schema.type);
  return textInput({ value: String(preset), numeric, max: schema.maxLength });
}

/** Read what the fields hold, as the API wants it; a blank one is left out. */
function typed() {
  const values = {};
  for (const element of dialog.querySelectorAll(".fields [data-field]")) {
    const { name, value } = element.querySelector("input, select");
    if (element.hidden || value.trim() === "") continue;
    values[name] = element.schema.type === "string" ? value : numberIn(value);
  }
  return values;
}

// A latency takes the parameters of its distribution alone.
function followDistribution() {
  const select = dialog.querySelector("[name=distribution]");
  const follow = () => {
    for (const [distribution, names] of Object.entries(PARAMETERS)) {
      for (const name of names) {
        dialog.querySelector(`[data-field=${name}]`).hidden = distribution !== select.value;
      }
    }
  };
  select.addEventListener("change", follow);
  follow();
}
