// The personas: a card each, on which everything but the form applies at once.

import { attempt, call, showProblems } from "./api.js";
import { ask, copy } from "./dialogs.js";
import { announce, byId, hueOf, keyed, part, setAttribute, setText, stamp } from "./dom.js";
import { STATES, editPersona } from "./persona-form.js";
import { plural } from "./words.js";

const FEW = 12; // permissions that every card may show, whoever has them

const permissions = new Map(); // every permission seen, as first written, by its lower case

export function startPersonas() {
  byId("add-persona").addEventListener("click", () => editPersona(null));
  for (const radio of document.querySelectorAll(".next input")) {
    radio.addEventListener("change", () => signIn(radio.value === "ask" ? null : radio.value, byId("next-problem")));
  }
}

export function showPersonas(state) {
  for (const persona of state.personas) {
    for (const name of persona.permissions) remember(name);
  }
  showNext(state);
  const calls = callsPerPersona(state.counts.tokens);
  keyed(byId("personas"), state.personas, {
    key: (persona) => persona.name,
    create: createCard,
    update: (card, persona) => updateCard(card, persona, state, calls.get(persona.name) ?? 0),
    refuge: byId("personas-title"),
  });
}

function remember(name) {
  if (!permissions.has(name.toLowerCase())) permissions.set(name.toLowerCase(), name);
}

function callsPerPersona(tokens) {
  const calls = new Map();
  for (const { persona, total } of Object.values(tokens)) {
    calls.set(persona, (calls.get(persona) ?? 0) + total);
  }
  return calls;
}

function showNext(state) {
  setText(byId("ask-words"), state.pick ? "Ask each time" : `The default, ${state.default}`);
  const chosen = state.auto_login ?? "ask";
  for (const radio of document.querySelectorAll(".next input")) showChosen(radio, radio.value === chosen);
}

/** What was just chosen is left alone until the mock itself says something new. */
function showChosen(radio, chosen) {
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
  const card = stamp("persona-card");
  const slot = part(card, "problem");
  card.dataset.persona = name;
  card.style.setProperty("--hue", hueOf(name));
  setText(part(card, "name"), name);
  nameControls(card, name);
  const radio = card.querySelector("[name=auto-login]");
  radio.addEventListener("change", () => signIn(name, slot));
  part(card, "state").addEventListener("change", (event) => setState(card, event.target.value));
  part(card, "grant").addEventListener("submit", (event) => grant(event, card));
  for (const button of card.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => ACTIONS[button.dataset.do](card.latest, slot, card));
  }
  return card;
}

function nameControls(card, name) {
  const label = (element, words) => element.setAttribute("aria-label", words);
  card.setAttribute("aria-label", name);
  label(card.querySelector("[name=auto-login]"), `${name} signs in next`);
  label(part(card, "state"), `State of ${name}`);
  label(part(card, "permissions"), `Permissions of ${name}`);
  label(part(card, "grant").elements.permission, `Permission to add to ${name}`);
  label(part(card, "grant-button"), `Add permission to ${name}`);
  const words = { token: "Copy token of", curl: "Copy curl for", edit: "Edit", delete: "Delete" };
  for (const [what, start] of Object.entries(words)) {
    label(card.querySelector(`[data-do=${what}]`), `${start} ${name}`);
  }
}

function updateCard(card, persona, state, calls) {
  card.latest = persona;
  card.revoked = state.revoked.includes(persona.fingerprint);
  setAttribute(card, "data-state", card.revoked ? "revoked" : persona.state);
  setText(part(card, "email"), persona.email ?? "no e-mail");
  setText(part(card, "roles"), persona.roles.join(", "));
  setText(part(card, "fingerprint"), persona.fingerprint);
  setText(part(card, "calls"), plural(calls, "call"));
  showChosen(card.querySelector("[name=auto-login]"), state.auto_login === persona.name);
  showState(part(card, "state"), persona);
  showRevoked(card, persona);
  showPermissions(card, persona);
}

function showState(select, { state, delay }) {
  if (!select.length) select.append(...STATES.map(([value, words]) => new Option(words, value)));
  setText(select.querySelector("[value=slow]"), `slow: ${delay} s`);
  // An open list is left alone until the mock itself says something new.
  if (select.dataset.shown === state) return;
  select.dataset.shown = state;
  select.value = state;
}

function showRevoked(card, { name }) {
  const button = card.querySelector("[data-do=revoke]");
  part(card, "revoked").hidden = !card.revoked;
  setText(button, card.revoked ? "Restore" : "Revoke");
  setAttribute(button, "aria-label", `${button.textContent} token of ${name}`);
}

function showPermissions(card, persona) {
  const granted = new Map(persona.permissions.map((each) => [each.toLowerCase(), each]));
  card.permissions ??= new Set();
  for (const each of granted.keys()) card.permissions.add(each); // stays after it is taken away
  const common = permissions.size <= FEW ? permissions.keys() : [];
  const shown = [...new Set([...common, ...card.permissions])].sort();
  keyed(part(card, "toggles"), shown, {
    key: (each) => each,
    create: (each) => createToggle(card, each),
    update: (item, each) => setAttribute(item.firstElementChild, "aria-pressed", String(granted.has(each))),
    refuge: part(card, "state"),
  });
}

function createToggle(card, name) {
  const item = stamp("permission-toggle");
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
  if (input.value.trim() === permission) input.value = ""; // unless more was typed meanwhile
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
  token: ({ name, token }) => copy(token, `Token of ${name} copied`),
  curl: ({ name, token }) => copy(curlOf(token), `curl line for ${name} copied`),
  revoke: ({ fingerprint }, slot, card) => attempt(slot, () => setRevoked(fingerprint, !card.revoked)),
  edit: (persona) => editPersona(persona),
  async delete({ name }, slot) {
    const words = "Its token is unknown from then on. Faults that strike only its calls are removed.";
    if (!(await ask({ title: `Delete ${name}?`, words, agree: "Delete" }))) return;
    const path = `/personas/${encodeURIComponent(name)}`;
    if (await attempt(slot, () => call("DELETE", path))) announce(`${name} deleted`);
  },
};

/** Revoke or restore the token of a fingerprint. */
export function setRevoked(fingerprint, revoked) {
  if (revoked) return call("POST", "/revocations", { fingerprint });
  return call("DELETE", `/revocations/${encodeURIComponent(fingerprint)}`);
}
