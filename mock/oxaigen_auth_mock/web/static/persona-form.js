// The form to add or edit a persona.

import { ApiError, call } from "./api.js";
import { askToConfirm, openForm } from "./dialogs.js";
import { announce, byId, make, part, setText } from "./dom.js";
import { field, parseNumber, selectOf, showFieldProblems, textInput } from "./fields.js";

export const STATES = [
  ["ok", "ok"],
  ["rejected", "rejected: 401"],
  ["not-allowed", "not allowed: 403"],
  ["expired", "expired: 401"],
  ["slow", "slow"],
  ["never-answers", "never answers"],
];
const PROFILE = [
  ["user_name", "User name", "from the name"],
  ["email", "E-mail", "from the name"],
  ["first_name", "First name", ""],
  ["last_name", "Last name", ""],
  ["account_type", "Account type", ""],
];
const NEW = { state: "ok", delay: 2, account_type: "internal", enabled: true, roles: [], permissions: [], extra: {} };

const dialog = byId("persona-dialog");

/** Open the form; null adds a persona. */
export function openPersonaForm(persona) {
  const fields = part(dialog, "fields");
  const adding = persona === null;
  setText(byId("persona-dialog-title"), adding ? "Add a persona" : `Edit ${persona.name}`);
  fields.replaceChildren(...build(persona ?? NEW, adding));
  openForm(dialog, {
    show: showFieldProblems,
    save: async () => {
      const body = read(fields, adding);
      await (adding ? add(body) : call("PUT", "/personas", body));
      announce(`${body.name} saved`);
    },
  });
}

/** Add a persona; replacing an existing one asks for confirmation. */
async function add(body) {
  try {
    await call("POST", "/personas", body);
  } catch (error) {
    const taken = error.status === 409 && error.problems[0].path[0] === "name";
    if (!taken || !(await askToConfirm(replacing(body.name.trim())))) throw error;
    await call("PUT", "/personas", body);
  }
}

function replacing(name) {
  const message = `A persona called ${name} already exists. Its token, state, permissions and profile are replaced by those of the form.`;
  return { title: `Replace ${name}?`, message, action: "Replace" };
}

function build(persona, adding) {
  const name = textInput({ value: persona.name });
  name.readOnly = !adding;
  return [
    field({ name: "name", label: "Name", hint: adding ? "" : "The name cannot be changed." }, name),
    field(
      { name: "token", label: "Token", hint: "Visible ASCII characters." },
      textInput({ value: persona.token, placeholder: "from the name" }),
    ),
    field(
      { name: "state", label: "State", hint: "How the proxy treats the token." },
      selectOf(STATES, persona.state),
    ),
    field(
      { name: "delay", label: "Delay", hint: "Seconds that a slow persona is delayed." },
      textInput({ value: String(persona.delay), numeric: true }),
    ),
    field(
      { name: "roles", label: "Roles", hint: "One per line." },
      area(persona.roles.join("\n"), 3),
    ),
    field(
      { name: "permissions", label: "Permissions", hint: "Letters, digits, _ and -; one per line." },
      area(persona.permissions.join("\n"), 3),
    ),
    ...PROFILE.map(([key, label, placeholder]) => nullable(persona, { key, label, placeholder, adding })),
    nullable(persona, { key: "id", label: "Number", placeholder: "from the name", adding, numeric: true }),
    field(
      { name: "enabled", label: "Enabled" },
      selectOf([["true", "yes"], ["false", "no"], ["null", "null"]], String(persona.enabled)),
    ),
    field(
      { name: "extra", label: "Further fields", hint: "A JSON object; get-me returns its fields unchanged.", wide: true },
      area(JSON.stringify(persona.extra, null, 2), 4),
    ),
  ];
}

function area(text, rows) {
  const element = make("textarea", { rows: String(rows), spellcheck: "false" });
  element.value = text;
  return element;
}

/** Build a text field with a tick for null, which is something else than an empty text. */
function nullable(persona, { key, label, placeholder, adding, numeric = false }) {
  const input = textInput({ value: persona[key] ?? "", placeholder: adding ? placeholder : null, numeric });
  const tick = make("input", { type: "checkbox", name: `${key}-null`, "aria-label": `${label} is null` });
  tick.checked = !adding && persona[key] === null;
  input.disabled = tick.checked;
  tick.addEventListener("change", () => {
    input.disabled = tick.checked;
  });
  return field({ name: key, label, more: [make("label", { class: "caption" }, tick, " null")] }, input);
}

function read(fields, adding) {
  const control = (name) => fields.querySelector(`[name="${name}"]`);
  const lines = (name) => control(name).value.split("\n").map((each) => each.trim()).filter(Boolean);
  const body = {
    name: control("name").value,
    state: control("state").value,
    roles: lines("roles"),
    permissions: lines("permissions"),
    enabled: JSON.parse(control("enabled").value),
    extra: readJson(control("extra").value),
  };
  const keep = (name, value) => {
    if (value !== "" || (!adding && name !== "token")) body[name] = value;
  };
  keep("token", control("token").value.trim());
  keep("delay", readNumber(control("delay").value));
  for (const key of [...PROFILE.map(([each]) => each), "id"]) {
    const value = key === "id" ? readNumber(control(key).value) : control(key).value;
    keep(key, control(`${key}-null`).checked ? null : value);
  }
  return body;
}

const readNumber = (text) => (text.trim() === "" ? "" : parseNumber(text));

function readJson(text) {
  try {
    return text.trim() === "" ? {} : JSON.parse(text);
  } catch (error) {
    throw new ApiError([{ path: ["extra"], message: `This is not JSON: ${error.message}` }]);
  }
}
