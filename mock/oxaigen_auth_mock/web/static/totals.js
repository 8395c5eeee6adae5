// The totals over the journal: calls altogether, per endpoint, per token.

import { attempt } from "./api.js";
import { byId, keyed, part, setAttribute, setText, stamp } from "./dom.js";
import { toggleFilter } from "./journal.js";
import { setRevoked } from "./personas.js";
import { count } from "./words.js";

const TOKENS = 50; // rows of tokens, those with the most calls

let latest = null;

export function startTotals() {
  byId("by-token").addEventListener("toggle", () => latest && showTokens(latest));
}

export function showTotals(state) {
  latest = state;
  const { total, endpoints, most_at_once: most, tokens } = state.counts;
  setText(byId("total"), count(total));
  setText(byId("most"), count(most));
  setText(byId("token-count"), count(Object.keys(tokens).length));
  const busiest = Object.entries(endpoints).sort(([one], [other]) => one.localeCompare(other));
  keyed(byId("by-endpoint"), busiest, {
    key: ([endpoint]) => endpoint,
    create: createEndpoint,
    update: (item, [, calls]) => setText(part(item, "count"), count(calls)),
    refuge: byId("journal-title"),
  });
  if (byId("by-token").open) showTokens(state);
}

function createEndpoint([endpoint]) {
  const item = stamp("endpoint-total");
  const button = item.firstElementChild;
  button.dataset.endpoint = endpoint;
  setText(part(item, "endpoint"), endpoint);
  button.addEventListener("click", () => toggleFilter(endpoint));
  return item;
}

function showTokens({ counts, revoked }) {
  const none = { persona: null, total: 0, most_at_once: 0 };
  const called = Object.entries(counts.tokens).sort(([, one], [, other]) => other.total - one.total);
  const uncalled = revoked.filter((each) => !(each in counts.tokens)).map((each) => [each, none]);
  keyed(byId("tokens"), [...called.slice(0, TOKENS), ...uncalled], {
    key: ([token]) => token,
    create: createToken,
    update: (row, [token, tally]) => updateToken(row, tally, revoked.includes(token)),
    refuge: byId("journal-title"),
  });
}

function createToken([token]) {
  const row = stamp("token-row");
  const button = part(row, "revoke");
  row.dataset.token = token;
  setText(part(row, "token"), token);
  button.hidden = token === "none"; // calls without a token
  button.addEventListener("click", () => {
    attempt(byId("tokens-problem"), () => setRevoked(token, row.dataset.revoked !== "true"));
  });
  return row;
}

function updateToken(row, { persona, total, most_at_once: most }, revoked) {
  const button = part(row, "revoke");
  setAttribute(row, "data-revoked", String(revoked));
  part(row, "revoked").hidden = !revoked;
  setText(part(row, "persona"), persona ?? "nobody");
  setText(part(row, "total"), count(total));
  setText(part(row, "most"), count(most));
  setText(button, revoked ? "Restore" : "Revoke");
  setAttribute(button, "aria-label", `${button.textContent} ${row.dataset.token}`);
}
