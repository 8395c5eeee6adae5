// The scenario that plays: its steps, and the buttons that start and stop one.

import { attempt, call } from "./api.js";
import { announce, byId, cloneTemplate, part, reconcile, setAttribute, setOptions, setText } from "./dom.js";
import { takeFiles } from "./files.js";
import { formatSpan, plural } from "./format.js";

const problem = byId("scenario-problem");
const choice = byId("scenario-choice");
let scenario = null;
let ready = [];
let ahead = 0; // seconds that the mock's clock is ahead of this machine's

const FILE = {
  path: "/scenario/file",
  title: "Play a scenario file",
  about: "What --scenario reads: it plays from now on. A file may also be dropped here, or on the scenario.",
  done: (number) => `Scenario of ${plural(number, "step")} started`,
};

export function startScenarios() {
  takeFiles(FILE, { button: byId("scenario-file"), area: document.querySelector(".scenario-section") });
  choice.addEventListener("change", describeChoice);
  byId("scenario-start").addEventListener("click", start);
  byId("scenario-stop").addEventListener("click", stop);
  setInterval(showStatus, 1000);
}

/** Note the state when it is received, and so the difference between the clocks. */
export function receiveScenario(state) {
  ahead = state.clock.now - Date.now() / 1000;
  scenario = state.scenario;
  ready = state.scenarios;
}

export function showScenario() {
  setOptions(choice, ready.map(({ name }) => [name, name]));
  describeChoice();
  showStatus();
  setAttribute(byId("scenario-stop"), "aria-disabled", String(scenario?.status !== "playing"));
  byId("scenario-steps").hidden = scenario === null;
  reconcile(byId("scenario-steps"), (scenario?.steps ?? []).map((step, index) => ({ ...step, index })), {
    key: (step) => step.index,
    create: () => cloneTemplate("scenario-step"),
    update: updateStep,
  });
}

function describeChoice() {
  setText(byId("scenario-about"), ready.find(({ name }) => name === choice.value)?.description ?? "");
}

function showStatus() {
  setText(byId("scenario-status"), scenario === null ? "none plays" : describeProgress(scenario));
}

function describeProgress({ name, status, started_at: startedAt, elapsed }) {
  if (status !== "playing") return `${name}: ${status} after ${formatSpan(elapsed)}`;
  return `${name}: playing for ${formatSpan(Math.max(0, Date.now() / 1000 + ahead - startedAt))}`;
}

function updateStep(item, { status, at, until, description }) {
  setAttribute(item, "data-status", status);
  setText(part(item, "status"), status);
  setText(part(item, "time"), until === null ? `from ${at} s` : `${at} to ${until} s`);
  setText(part(item, "description"), description);
}

async function start() {
  const name = choice.value;
  if (await attempt(problem, () => call("POST", "/scenario", { name }))) announce(`Scenario ${name} started`);
}

async function stop() {
  if (byId("scenario-stop").getAttribute("aria-disabled") === "true") return;
  if (await attempt(problem, () => call("DELETE", "/scenario"))) announce("Scenario stopped");
}
