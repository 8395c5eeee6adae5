// The faults that are placed, and the buttons for the common ones.

import { attempt, call } from "./api.js";
import { announce, byId, keyed, part, setAttribute, setOptions, setText, stamp } from "./dom.js";
import { openFaultForm } from "./fault-form.js";
import { onJsonFile } from "./files.js";
import { count } from "./words.js";

export const ENDPOINTS = [
  "login", "mock-authorize", "callback", "token-exchange", "refresh",
  "test-app-token", "get-me", "test-app-permission", "logout",
];

const problem = byId("faults-problem");
const quick = byId("quick");
let personas = [];

export function startFaults() {
  setOptions(quick.elements.endpoint, [["", "any call"], ...ENDPOINTS.map((each) => [each, each])]);
  quick.addEventListener("submit", (event) => event.preventDefault());
  for (const button of quick.querySelectorAll("[data-fault]")) {
    button.addEventListener("click", () => place({ ...JSON.parse(button.dataset.fault), ...aim() }));
  }
  byId("more-faults").addEventListener("click", () => openFaultForm(aim(), personas, problem));
  byId("load-plan").addEventListener("click", () => byId("plan-file").click());
  onJsonFile(byId("plan-file"), problem, loadPlan);
  byId("clear-faults").addEventListener("click", clear);
}

export function showFaults(state) {
  personas = state.personas.map((each) => each.name);
  setOptions(quick.elements.persona, [["", "anybody"], ...personas.map((each) => [each, each])]);
  byId("no-faults").hidden = state.faults.length > 0;
  setAttribute(byId("clear-faults"), "aria-disabled", String(state.faults.length === 0));
  keyed(byId("faults"), state.faults, {
    key: (placed) => placed.id,
    create: createItem,
    update: updateItem,
    refuge: byId("faults-title"),
  });
}

/** Read which calls the quick buttons strike; what is left open is left out. */
function aim() {
  const { endpoint, persona, once } = quick.elements;
  return {
    ...(endpoint.value && { endpoint: endpoint.value }),
    ...(persona.value && { persona: persona.value }),
    ...(once.checked && { times: 1 }),
  };
}

async function place(fault) {
  if (await attempt(problem, () => call("POST", "/faults", fault))) announce("Fault added");
}

/** Have the faults of a plan and no others; a plan is a list, or an object with a list of `faults`. */
async function loadPlan(plan, name) {
  await call("PUT", "/faults", plan?.faults ?? plan);
  announce(`Faults of ${name} loaded`);
}

async function clear() {
  if (byId("clear-faults").getAttribute("aria-disabled") === "true") return;
  if (await attempt(problem, () => call("DELETE", "/faults"))) announce("All faults cleared");
}

function createItem({ id, says }) {
  const item = stamp("fault-item");
  const remove = part(item, "remove");
  item.dataset.fault = id;
  setText(part(item, "says"), says);
  remove.setAttribute("aria-label", `Remove ${says}`);
  remove.addEventListener("click", () => {
    attempt(part(item, "problem"), () => call("DELETE", `/faults/${id}`));
  });
  return item;
}

function updateItem(item, { seen, struck, spent }) {
  setText(part(item, "counts"), `struck ${count(struck)} of ${count(seen)}`);
  part(item, "spent").hidden = !spent;
  item.classList.toggle("over", spent);
}
