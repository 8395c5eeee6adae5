// The list of faults, and the buttons that add common ones.

import { attempt, call } from "./api.js";
import { announce, byId, cloneTemplate, part, reconcile, setAttribute, setOptions, setText } from "./dom.js";
import { openFaultForm } from "./fault-form.js";
import { takeFiles } from "./files.js";
import { formatCount, plural } from "./format.js";

const problem = byId("faults-problem");
const form = byId("quick-faults");
let personas = [];

const PLAN = {
  path: "/faults/file",
  title: "Load a fault plan",
  about: "What --faults reads: it replaces all faults. A file may also be dropped here, or on the list of faults.",
  done: (number) => `${plural(number, "fault")} loaded`,
};

export function startFaults() {
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-fault]")) {
    button.addEventListener("click", () => addFault({ ...JSON.parse(button.dataset.fault), ...matchedCalls() }));
  }
  byId("more-faults").addEventListener("click", () => openFaultForm(matchedCalls(), personas, problem));
  takeFiles(PLAN, { button: byId("load-plan"), area: document.querySelector(".faults-section") });
  byId("clear-faults").addEventListener("click", clear);
}

export function showFaults(state) {
  personas = state.personas.map((each) => each.name);
  setOptions(form.elements.persona, [["", "any persona"], ...personas.map((each) => [each, each])]);
  byId("no-faults").hidden = state.faults.length > 0;
  setAttribute(byId("clear-faults"), "aria-disabled", String(state.faults.length === 0));
  reconcile(byId("faults"), state.faults, {
    key: (fault) => fault.id,
    create: createItem,
    update: updateItem,
    focusFallback: byId("faults-title"),
  });
}

/** Return the fields of a fault that the form above the buttons sets; empty ones are left out. */
function matchedCalls() {
  const { endpoint, persona, once } = form.elements;
  return {
    ...(endpoint.value && { endpoint: endpoint.value }),
    ...(persona.value && { persona: persona.value }),
    ...(once.checked && { times: 1 }),
  };
}

async function addFault(fault) {
  if (await attempt(problem, () => call("POST", "/faults", fault))) announce("Fault added");
}

async function clear() {
  if (byId("clear-faults").getAttribute("aria-disabled") === "true") return;
  if (await attempt(problem, () => call("DELETE", "/faults"))) announce("All faults removed");
}

function createItem({ id, description }) {
  const item = cloneTemplate("fault-item");
  const remove = part(item, "remove");
  item.dataset.fault = id;
  setText(part(item, "description"), description);
  remove.setAttribute("aria-label", `Remove ${description}`);
  remove.addEventListener("click", () => {
    attempt(part(item, "problem"), () => call("DELETE", `/faults/${id}`));
  });
  return item;
}

function updateItem(item, { matched, hits, exhausted }) {
  setText(part(item, "counts"), `hit ${formatCount(hits)} of ${formatCount(matched)}`);
  part(item, "exhausted").hidden = !exhausted;
  item.classList.toggle("exhausted", exhausted);
}
