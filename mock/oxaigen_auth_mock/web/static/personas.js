// The cards of the personas. Their controls apply at once; only the form is saved.

import { attempt, call, showProblems } from "./api.js";
import { askToConfirm, copyText } from "./dialogs.js";
import { announce, byId, hueFor, reconcile, part, setAttribute, setText, cloneTemplate } from "./dom.js";
import { takeFiles } from "./files.js";
import { STATES, openPersonaForm } from "./persona-form.js";
import { plural } from "./format.js";

const MAX_SHARED = 12; // up to this number, each card shows the permissions of all personas

const permissions = new Map(); // every permission seen, by its lower-case name

const FILE = {
  path: "/personas/file",
  title: "Load personas",
  about: "What --personas reads: it adds personas, and replaces those with the same names. A file may also be dropped here, or on the list of personas.",
  done: (number) => `${plural(number, "persona")} loaded`,
};

export function startPersonas() {
  takeFiles(FILE, { button: byId("load-personas"), area: document.querySelector(".personas-section") });
  byId("add-persona").addEventListener("click", () => openPersonaForm(null));
  for (const radio of document.querySelectorAll(".auto-login input")) {
    radio.addEventListener("change", () => signIn(radio.value === "ask" ? null : radio.value, byId("auto-login-problem")));
  }
}

export function showPersonas(state) {
  for (const persona of state.personas) {
    for (const name of persona.permissions) addPermission(name);
  }
  showAutoLogin(state);
  reconcile(byId("personas"), state.personas, {
    key: (persona) => persona.name,
    create: createCard,
    update: (card, persona) => updateCard(card, persona, state, state.counts.personas[persona.name] ?? 0),
    focusFallback: byId("personas-title"),
  });
}

function addPermission(name) {
  if (!permissions.has(name.toLowerCase())) permissions.set(name.toLowerCase(), name);
}

function showAutoLogin(state) {
  setText(byId("ask-label"), state.pick ? "Ask each time" : `The default, ${state.default}`);
  const chosen = state.auto_login ?? "ask";
  for (const radio of document.querySelectorAll(".auto-login input")) setCheckedOnChange(radio, radio.value === chosen);
}

/** Do not overwrite the user's choice until the mock sends a new value. */
function setCheckedOnChange(radio, chosen) {
  if (radio.dataset.shown === String(chosen)) return;
  radio.dataset.shown = chosen;
  radio.checked = chosen;
}

async function signIn(persona, slot) {
  if (await attempt(slot, () => call("PUT", "/auto-login", { persona }))) return;
  for (const radio of document.querySelectorAll("[name=auto-login]")) {
    radio.checked = radio.dataset.shown === "true";
  }
}

function createCard({ name }) {
  const card = cloneTemplate("persona-card");
  const slot = part(card, "problem");
  card.dataset.persona = name;
  card.style.setProperty("--hue", hueFor(name));
  setText(part(card, "name"), name);
  labelControls(card, name);
  const radio = card.querySelector("[name=auto-login]");
  radio.addEventListener("change", () => signIn(name, slot));
  part(card, "state").addEventListener("change", (event) => setState(card, event.target.value));
  part(card, "grant").addEventListener("submit", (event) => grant(event, card));
  for (const button of card.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => ACTIONS[button.dataset.action](card.latest, slot, card));
  }
  return card;
}

function labelControls(card, name) {
  const label = (element, text) => element.setAttribute("aria-label", text);
  card.setAttribute("aria-label", name);
  label(card.querySelector("[name=auto-login]"), `Next sign-in: ${name}`);
  label(part(card, "state"), `State of ${name}`);
  label(part(card, "permissions"), `Permissions of ${name}`);
  label(part(card, "grant").elements.permission, `Permission to add to ${name}`);
  label(part(card, "grant-button"), `Add permission to ${name}`);
  const labels = { token: "Copy token of", curl: "Copy curl for", edit: "Edit", delete: "Delete" };
  for (const [what, start] of Object.entries(labels)) {
    label(card.querySelector(`[data-action=${what}]`), `${start} ${name}`);
  }
}

function updateCard(card, persona, state, calls) {
  card.latest = persona;
  card.revoked = state.revoked.includes(persona.fingerprint);
  setAttribute(card, "data-state", card.revoked ? "revoked" : persona.state);
  setText(part(card, "email"), persona.email ?? "no email");
  setText(part(card, "roles"), persona.roles.join(", "));
  setText(part(card, "fingerprint"), persona.fingerprint);
  setText(part(card, "calls"), plural(calls, "call"));
  setCheckedOnChange(card.querySelector("[name=auto-login]"), state.auto_login === persona.name);
  showState(part(card, "state"), persona);
  showRevoked(card, persona);
  showPermissions(card, persona);
}

function showState(select, { state, delay }) {
  if (!select.length) select.append(...STATES.map(([value, label]) => new Option(label, value)));
  setText(select.querySelector("[value=slow]"), `slow: ${delay} s`);
  // Do not change an open list until the mock sends a new value.
  if (select.dataset.shown === state) return;
  select.dataset.shown = state;
  select.value = state;
}

function showRevoked(card, { name }) {
  const button = card.querySelector("[data-action=revoke]");
  part(card, "revoked").hidden = !card.revoked;
  setText(button, card.revoked ? "Restore" : "Revoke");
  setAttribute(button, "aria-label", `${button.textContent} token of ${name}`);
}

function showPermissions(card, persona) {
  const granted = new Map(persona.permissions.map((each) => [each.toLowerCase(), each]));
  card.permissions ??= new Set();
  for (const each of granted.keys()) card.permissions.add(each); // stays after it is withdrawn
  const common = permissions.size <= MAX_SHARED ? permissions.keys() : [];
  const shown = [...new Set([...common, ...card.permissions])].sort();
  reconcile(part(card, "toggles"), shown, {
    key: (each) => each,
    create: (each) => createToggle(card, each),
    update: (item, each) => setAttribute(item.firstElementChild, "aria-pressed", String(granted.has(each))),
    focusFallback: part(card, "state"),
  });
}

function createToggle(card, name) {
  const item = cloneTemplate("permission-toggle");
  const button = item.firstElementChild;
  setText(button, permissions.get(name));
  button.addEventListener("click", () => {
    const granted = button.getAttribute("aria-pressed") !== "true";
    attempt(part(card, "problem"), () => permit(card, button.textContent, granted));
  });
  return item;
}

function permit(card, permission, granted) {
  return call("PUT", "/permissions", { persona: card.latest.name, permission, granted });
}

async function grant(event, card) {
  event.preventDefault();
  const input = event.target.elements.permission;
  const permission = input.value.trim();
  const done = await attempt(part(card, "problem"), () => permit(card, permission, true));
  if (!done) return;
  if (input.value.trim() === permission) input.value = ""; // unless it was edited meanwhile
  announce(`${permission} granted to ${card.latest.name}`);
}

async function setState(card, state) {
  const { fingerprint, ...persona } = card.latest;
  const done = await attempt(part(card, "problem"), () => call("PUT", "/personas", { ...persona, state }));
  if (!done) part(card, "state").value = card.latest.state;
}

function curlOf(token) {
  const header = `Authorization: Bearer ${token}`.replaceAll("'", String.raw`'\''`);
  return `curl -H '${header}' ${location.origin}/_oxa_auth/get-me`;
}

const ACTIONS = {
  token: ({ name, token }) => copyText(token, `Token of ${name} copied`),
  curl: ({ name, token }) => copyText(curlOf(token), `curl command for ${name} copied`),
  revoke: ({ fingerprint }, slot, card) => attempt(slot, () => setRevoked(fingerprint, !card.revoked)),
  edit: (persona) => openPersonaForm(persona),
  async delete({ name }, slot) {
    const message = "Its token becomes invalid. Faults that only apply to its calls are removed.";
    if (!(await askToConfirm({ title: `Delete ${name}?`, message, action: "Delete" }))) return;
    const path = `/personas/${encodeURIComponent(name)}`;
    if (await attempt(slot, () => call("DELETE", path))) announce(`${name} deleted`);
  },
};

/** Revoke or restore the token with this fingerprint. */
export function setRevoked(fingerprint, revoked) {
  if (revoked) return call("POST", "/revocations", { fingerprint });
  return call("DELETE", `/revocations/${encodeURIComponent(fingerprint)}`);
}
