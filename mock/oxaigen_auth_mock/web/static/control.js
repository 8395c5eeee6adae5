// The start of the control page: passes the mock's events to the parts that show them.

import { afterChange, call, hideStaleProblems, hideUnreachable } from "./api.js";
import { byId } from "./dom.js";
import { showFaults, startFaults } from "./faults.js";
import { showHeader, showLive, startHeader } from "./header.js";
import { addCalls, forgetCalls, startJournal } from "./journal.js";
import { batched, listen } from "./live.js";
import { showPersonas, startPersonas } from "./personas.js";
import { receiveScenario, showScenario, startScenarios } from "./scenarios.js";
import { showTotals, startTotals } from "./totals.js";

let state = null;
let live = false;

const render = batched(() => {
  showPersonas(state);
  showFaults(state);
  showScenario();
  showTotals(state);
});

function onState(received) {
  state = received;
  showHeader(state); // not batched: the clock's time is that of receipt
  receiveScenario(state);
  render();
}

function onCalls(update) {
  addCalls(update);
  if (!state) return;
  state.counts = update.counts;
  render();
}

function onLive(connected) {
  if (connected) {
    forgetCalls(); // a restarted mock numbers its calls from 1 again
    hideUnreachable();
  }
  live = connected;
  showLive(connected);
}

byId("origin").textContent = location.origin;
document.addEventListener("input", hideStaleProblems);
startHeader();
startPersonas();
startFaults();
startScenarios();
startTotals();
startJournal();
listen({ onState, onCalls, onLive });
afterChange(() => {
  if (!live) call("GET", "/state").then(onState, () => {}); // the page shows that it is disconnected
});
