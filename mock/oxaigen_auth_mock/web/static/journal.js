// The journal: keeps the last calls, and shows as many of them as eyes can follow.

import { attempt, call } from "./api.js";
import { announce, byId, hueOf, setAttribute, setText, stamp } from "./dom.js";
import { batched } from "./live.js";
import { count, exactTimeOf, tookWords } from "./words.js";

const KEPT = 1000; // as many as the mock remembers
const ROWS = 300; // as many as the page draws

const TONES = {
  accepted: "good", granted: "good", redirected: "calm", running: "calm",
  denied: "warn", rejected: "warn", "not allowed": "warn", refused: "warn",
  failed: "bad", "no answer": "bad",
};

const calls = new Map(); // by number, ascending
const rows = new Map(); // what is drawn, by number
let newest = 0;
let frozen = null; // the calls as they were when the journal was paused
let missed = 0; // calls that began since then

const filter = byId("filter");
const render = batched(draw);

export function startJournal() {
  filter.addEventListener("input", draw);
  byId("pause").addEventListener("click", togglePause);
  byId("clear-calls").addEventListener("click", clear);
}

/** Take in calls that are new or have changed, and drop those that the mock has dropped. */
export function addCalls(news) {
  for (const each of news.calls) {
    if (each.number > newest) missed += 1;
    newest = Math.max(newest, each.number);
    calls.set(each.number, each);
  }
  const first = Math.max(news.oldest, newest - KEPT + 1);
  for (const number of calls.keys()) {
    if (number >= first) break;
    calls.delete(number);
  }
  render();
}

/** Forget all calls, as a new connection tells them again. */
export function forgetCalls() {
  calls.clear();
  newest = 0;
}

/** Show only calls with these words in them; the same words again show all. */
export function toggleFilter(words) {
  filter.value = filter.value === words ? "" : words;
  draw();
}

function togglePause() {
  frozen = frozen ? null : new Map(calls);
  missed = 0;
  setAttribute(byId("pause"), "aria-pressed", String(frozen !== null));
  draw();
}

async function clear() {
  if (!(await attempt(byId("journal-problem"), () => call("DELETE", "/calls")))) return;
  if (frozen) frozen = new Map();
  missed = 0;
  draw();
  announce("Journal cleared");
}

function draw() {
  setText(byId("missed"), frozen && missed ? `${count(missed)} more since` : "");
  for (const button of document.querySelectorAll("#by-endpoint button")) {
    setAttribute(button, "aria-pressed", String(button.dataset.endpoint === filter.value));
  }
  drawRows(wanted([...(frozen ?? calls).values()]));
}

/** Choose the newest calls that have all the words of the filter in them. */
function wanted(all) {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (let index = all.length - 1; index >= 0 && found.length < ROWS; index -= 1) {
    if (matches(all[index], words)) found.push(all[index]);
  }
  return found;
}

function matches(each, words) {
  if (!words.length) return true;
  const { endpoint, persona, verdict, status, fault, token, user_agent: agent } = each;
  const text = [endpoint, persona, verdict, status, fault, token, agent].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function drawRows(found) {
  const numbers = new Set(found.map((each) => each.number));
  for (const [number, row] of rows) {
    if (numbers.has(number)) continue;
    row.remove();
    rows.delete(number);
  }
  const body = byId("calls");
  let next = body.firstElementChild;
  for (const each of found) {
    const row = rows.get(each.number) ?? stamp("call-row");
    rows.set(each.number, row);
    if (row === next) next = row.nextElementSibling;
    else body.insertBefore(row, next);
    if (row.shown !== each) fill(row, each);
  }
  showEmptiness(found.length);
}

function showEmptiness(shown) {
  const { size } = frozen ?? calls;
  byId("no-calls").hidden = shown > 0 || size > 0;
  byId("no-matches").hidden = shown > 0 || size === 0;
}

function fill(row, each) {
  row.shown = each;
  const [time, endpoint, persona, verdict, status, seconds, fault, token, agent] = row.children;
  setText(time, exactTimeOf(each.at));
  setText(endpoint, each.endpoint);
  setText(persona, each.persona ?? "nobody");
  persona.classList.toggle("nobody", each.persona === null);
  persona.style.setProperty("--hue", hueOf(each.persona ?? ""));
  setText(verdict, each.verdict);
  setAttribute(verdict, "data-tone", TONES[each.verdict] ?? "calm");
  setText(status, each.status === null ? "" : String(each.status));
  setText(seconds, each.seconds === null ? "" : tookWords(each.seconds));
  for (const [cell, words] of [[fault, each.fault], [token, each.token], [agent, each.user_agent]]) {
    setText(cell, words ?? "");
    setAttribute(cell, "title", words ?? "");
  }
}
