// The journal: stores the most recent calls and shows a part of them.

import { attempt, call } from "./api.js";
import { announce, byId, cloneTemplate, hueFor, reconcile, setAttribute, setText } from "./dom.js";
import { batched } from "./live.js";
import { formatCount, formatDuration, formatExactTime } from "./format.js";

const MAX_CALLS = 1000; // as many as the mock stores
const MAX_ROWS = 300; // as many as the page shows

const TONES = {
  accepted: "good", granted: "good", redirected: "calm", running: "calm",
  denied: "warn", rejected: "warn", "not allowed": "warn", refused: "warn",
  failed: "bad", "no answer": "bad",
};

const calls = new Map(); // by number, ascending
let newest = 0;
let paused = null; // the calls at the time when the journal was paused
let missed = 0; // number of calls that began since then

const filter = byId("filter");
const render = batched(draw);

export function startJournal() {
  filter.addEventListener("input", draw);
  byId("pause").addEventListener("click", togglePause);
  byId("clear-calls").addEventListener("click", clear);
}

/** Store new and changed calls, and drop those that the mock has dropped. */
export function addCalls(update) {
  for (const each of update.calls) {
    if (each.number > newest) missed += 1;
    newest = Math.max(newest, each.number);
    calls.set(each.number, each);
  }
  const first = Math.max(update.oldest, newest - MAX_CALLS + 1);
  for (const number of calls.keys()) {
    if (number >= first) break;
    calls.delete(number);
  }
  render();
}

/** Forget all calls; a new connection sends them again. */
export function forgetCalls() {
  calls.clear();
  newest = 0;
}

/** Filter the calls by a text, or remove the filter if it is that text already. */
export function toggleFilter(text) {
  filter.value = filter.value === text ? "" : text;
  draw();
}

function togglePause() {
  paused = paused ? null : new Map(calls);
  missed = 0;
  setAttribute(byId("pause"), "aria-pressed", String(paused !== null));
  draw();
}

async function clear() {
  if (!(await attempt(byId("journal-problem"), () => call("DELETE", "/calls")))) return;
  if (paused) paused = new Map();
  missed = 0;
  draw();
  announce("Journal cleared");
}

function draw() {
  setText(byId("missed"), paused && missed ? `${formatCount(missed)} new calls` : "");
  for (const button of document.querySelectorAll("#by-endpoint button")) {
    setAttribute(button, "aria-pressed", String(button.dataset.endpoint === filter.value));
  }
  drawRows(filteredCalls([...(paused ?? calls).values()]));
}

/** Return the newest calls that contain all words of the filter. */
function filteredCalls(all) {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (let index = all.length - 1; index >= 0 && found.length < MAX_ROWS; index -= 1) {
    if (matches(all[index], words)) found.push(all[index]);
  }
  return found;
}

function matches(each, words) {
  if (!words.length) return true;
  const { endpoint, persona, verdict, status, fault, warning, token, user_agent: agent } = each;
  const text = [endpoint, persona, verdict, status, fault, warning, token, agent].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function drawRows(found) {
  reconcile(byId("calls"), found, {
    key: (each) => each.number,
    create: () => cloneTemplate("call-row"),
    update: (row, each) => row.shown === each || fill(row, each),
  });
  showEmptyNote(found.length);
}

function showEmptyNote(shown) {
  const { size } = paused ?? calls;
  byId("no-calls").hidden = shown > 0 || size > 0;
  byId("no-matches").hidden = shown > 0 || size === 0;
}

function faultAndWarning({ fault, warning }) {
  return [fault, warning && `Warning: ${warning}`].filter(Boolean).join("; ");
}

function fill(row, each) {
  row.shown = each;
  const [time, endpoint, persona, verdict, status, seconds, fault, token, agent] = row.children;
  setText(time, formatExactTime(each.at));
  setText(endpoint, each.endpoint);
  setText(persona, each.persona ?? "none");
  persona.classList.toggle("no-persona", each.persona === null);
  persona.style.setProperty("--hue", hueFor(each.persona ?? ""));
  setText(verdict, each.verdict);
  setAttribute(verdict, "data-tone", TONES[each.verdict] ?? "calm");
  setText(status, each.status === null ? "" : String(each.status));
  setText(seconds, each.seconds === null ? "" : formatDuration(each.seconds));
  for (const [cell, text] of [[fault, faultAndWarning(each)], [token, each.token], [agent, each.user_agent]]) {
    setText(cell, text ?? "");
    setAttribute(cell, "title", text ?? "");
  }
}
