// The top of the page: the connection, the clock, how the mock was started, its whole state.

import { attempt, call, showProblems } from "./api.js";
import { ask } from "./dialogs.js";
import { announce, byId, make, setAttribute, setText } from "./dom.js";
import { onJsonFile } from "./files.js";
import { readSpan, spanWords, timeOf } from "./words.js";

const problem = byId("top-problem");
let ahead = 0; // seconds that the mock's clock is ahead of this machine's, as far as we see
let offset = 0; // seconds that people have moved it

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
  const words = offset ? `${spanWords(offset)} ${offset > 0 ? "ahead" : "behind"}` : "not moved";
  setText(byId("clock-offset"), words);
  setAttribute(byId("clock-back"), "aria-disabled", String(!offset));
  byId("clock-offset").classList.toggle("moved", offset !== 0);
  showNotes(state);
  tick();
}

export function showLive(live) {
  setAttribute(byId("live"), "data-live", String(live));
  setText(byId("live-words"), live ? "Live" : "Disconnected, trying again");
  document.title = live ? "Mock auth proxy" : "(disconnected) Mock auth proxy";
}

function showNotes({ strict, pick }) {
  const notes = [
    strict ? "Strict: tokens are fresh and end" : "Static tokens",
    pick ? "Asks who signs in" : "Signs in unasked",
  ];
  const list = byId("notes");
  if (list.textContent === notes.join("")) return;
  list.replaceChildren(...notes.map((words) => make("li", {}, words)));
}

function startClock() {
  for (const button of document.querySelectorAll("[data-advance]")) {
    button.addEventListener("click", () => advance(Number(button.dataset.advance)));
  }
  byId("clock-back").addEventListener("click", () => offset && advance(-offset));
  byId("clock-form").addEventListener("submit", moveBy);
  setInterval(tick, 1000);
}

function tick() {
  setText(byId("clock-now"), timeOf(Date.now() / 1000 + ahead));
}

function advance(seconds) {
  return attempt(problem, () => call("POST", "/clock", { advance: seconds }));
}

async function moveBy(event) {
  event.preventDefault();
  const input = event.target.elements.by;
  const seconds = readSpan(input.value);
  if (seconds === null) {
    const message = `“${input.value}” is no span of time; write one as 90s, -5m or 2h.`;
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
  const sure = await ask({
    title: "Reset the mock?",
    words: "Personas, faults, revoked tokens, clock and calls go back to how it was started.",
    agree: "Reset",
  });
  if (sure && (await attempt(problem, () => call("POST", "/reset")))) announce("Mock reset");
}
