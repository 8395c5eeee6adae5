// Starts the control page: hands what the mock sends to the parts that show it.

import { afterChange, call } from "./api.js";
import { byId } from "./dom.js";
import { showFaults, startFaults } from "./faults.js";
import { showHeader, showLive, startHeader } from "./header.js";
import { addCalls, forgetCalls, startJournal } from "./journal.js";
import { batched, listen } from "./live.js";
import { showPersonas, startPersonas } from "./personas.js";
import { showTotals, startTotals } from "./totals.js";

let state = null;
let live = false;

const render = batched(() => {
  showPersonas(state);
  showFaults(state);
  showTotals(state);
});

function onState(fresh) {
  state = fresh;
  showHeader(state); // not batched: the clock says what time it was when this came
  render();
}

function onCalls(news) {
  addCalls(news);
  if (!state) return;
  state.counts = news.counts;
  render();
}

function onLive(now) {
  if (now) forgetCalls(); // a mock that was started anew counts its calls from one
  live = now;
  showLive(now);
}

byId("origin").textContent = location.origin;
startHeader();
startPersonas();
startFaults();
startTotals();
startJournal();
listen({ onState, onCalls, onLive });
afterChange(() => {
  if (!live) call("GET", "/state").then(onState, () => {}); // the page says that it is disconnected
});
