// The journal: stores the most recent calls and shows a part of them.

import { attempt, call } from "./api.js";
import { announce, byId, cloneTemplate, hueFor, reconcile, setAttribute, setText } from "./dom.js";
import { batched } from "./live.js";
import { formatDuration, formatExactTime, plural } from "./format.js";

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
let pausedAt = 0; // the number of the newest call then

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
  pausedAt = newest;
  setAttribute(byId("pause"), "aria-pressed", String(paused !== null));
  draw();
}

async function clear() {
  if (!(await attempt(byId("journal-problem"), () => call("DELETE", "/calls")))) return;
  if (paused) paused = new Map();
  pausedAt = newest;
  draw();
  announce("Journal cleared");
}

function draw() {
  const missed = newest < pausedAt ? newest : newest - pausedAt; // a restarted mock begins at 1
  setText(byId("missed"), paused && missed ? plural(missed, "new call") : "");
  for (const button of document.querySelectorAll("#by-endpoint button")) {
    setAttribute(button, "aria-pressed", String(button.dataset.endpoint === filter.value));
  }
  drawRows(filteredCalls([...(paused ?? calls).values()]));
}

/** Return the calls that contain all words of the filter, newest first. */
function filteredCalls(all) {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((each) => matches(each, words)).reverse();
}

function matches(each, words) {
  if (!words.length) return true;
  const { endpoint, persona, verdict, status, fault, warning, token, user_agent: agent } = each;
  const text = [endpoint, persona, verdict, status, fault, warning, token, agent].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function drawRows(found) {
  reconcile(byId("calls"), found.slice(0, MAX_ROWS), {
    key: (each) => each.number,
    create: () => cloneTemplate("call-row"),
    update: (row, each) => row.shown === each || fill(row, each),
  });
  showEmptyNote(found.length);
  const hidden = Math.max(0, found.length - MAX_ROWS);
  byId("more-calls").hidden = hidden === 0;
  setText(byId("more-calls"), `${plural(hidden, "older call")} not shown. Filter the journal to find them.`);
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
