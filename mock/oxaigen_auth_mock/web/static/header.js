// The top of the page: the connection, the clock, the mode, and export, import and reset.

import { attempt, call, showProblems } from "./api.js";
import { askToConfirm } from "./dialogs.js";
import { announce, byId, make, setAttribute, setText } from "./dom.js";
import { onJsonFile } from "./files.js";
import { parseSpan, formatSpan, formatTime } from "./format.js";

const problem = byId("top-problem");
let ahead = 0; // seconds that the mock's clock is ahead of this machine's, measured on receipt
let offset = 0; // seconds by which the mock's clock was moved

export function startHeader() {
  startClock();
  byId("export").addEventListener("click", () => attempt(problem, exportState));
  byId("import").addEventListener("click", () => byId("import-file").click());
  onJsonFile(byId("import-file"), problem, importState);
  byId("reset").addEventListener("click", reset);
}

export function showHeader(state) {
  ahead = state.clock.now - Date.now() / 1000;
  offset = state.clock.offset;
  const label = offset ? `${formatSpan(offset)} ${offset > 0 ? "ahead" : "behind"}` : "real time";
  setText(byId("clock-offset"), label);
  setAttribute(byId("clock-reset"), "aria-disabled", String(!offset));
  byId("clock-offset").classList.toggle("moved", offset !== 0);
  showNotes(state);
  tick();
}

export function showLive(live) {
  setAttribute(byId("live"), "data-live", String(live));
  setText(byId("live-label"), live ? "Live" : "Disconnected, reconnecting");
  document.title = live ? "Mock auth proxy" : "(disconnected) Mock auth proxy";
}

function showNotes({ strict, pick }) {
  const notes = [
    strict ? "Strict: tokens expire" : "Static tokens",
    pick ? "Persona picker" : "Automatic sign-in",
  ];
  const list = byId("notes");
  if (list.textContent === notes.join("")) return;
  list.replaceChildren(...notes.map((note) => make("li", {}, note)));
}

function startClock() {
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => advance(Number(button.dataset.advance)));
  }
  byId("clock-reset").addEventListener("click", () => offset && advance(-offset));
  byId("clock-form").addEventListener("submit", moveBy);
  setInterval(tick, 1000);
}

function tick() {
  setText(byId("clock-now"), formatTime(Date.now() / 1000 + ahead));
}

function advance(seconds) {
  return attempt(problem, () => call("POST", "/clock", { advance: seconds }));
}

async function moveBy(event) {
  event.preventDefault();
  const input = event.target.elements.by;
  const seconds = parseSpan(input.value);
  if (seconds === null) {
    const message = `“${input.value}” is not a span of time; examples are 90s, -5m and 2h.`;
    showProblems(problem, [{ path: [], message }]);
    return;
  }
  if (await advance(seconds)) input.value = "";
}

async function exportState() {
  const snapshot = JSON.stringify(await call("GET", "/snapshot"), null, 2);
  const url = URL.createObjectURL(new Blob([snapshot], { type: "application/json" }));
  make("a", { href: url, download: "oxaigen-auth-mock.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  announce("State exported");
}

async function importState(snapshot, name) {
  await call("PUT", "/snapshot", snapshot);
  announce(`State of ${name} imported`);
}

async function reset() {
  const confirmed = await askToConfirm({
    title: "Reset the mock?",
    message: "Personas, faults, revoked tokens and the clock return to their initial state. The journal is cleared.",
    action: "Reset",
  });
  if (confirmed && (await attempt(problem, () => call("POST", "/reset")))) announce("Mock reset");
}
