// The totals of calls: overall, per endpoint and per token.

import { attempt } from "./api.js";
import { byId, reconcile, part, setAttribute, setText, cloneTemplate } from "./dom.js";
import { toggleFilter } from "./journal.js";
import { setRevoked } from "./personas.js";
import { formatCount, plural } from "./format.js";

const MAX_ROWS = 50; // of the tokens that the mock sends, those with the most calls

let latest = null;

export function startTotals() {
  byId("by-token").addEventListener("toggle", () => latest && showTokens(latest));
}

export function showTotals(state) {
  latest = state;
  const { total, endpoints, max_concurrency: maxConcurrency, token_count: tokenCount } = state.counts;
  setText(byId("total"), formatCount(total));
  setText(byId("max-concurrency"), formatCount(maxConcurrency));
  setText(byId("token-count"), formatCount(tokenCount));
  const perEndpoint = Object.entries(endpoints).sort(([one], [other]) => one.localeCompare(other));
  reconcile(byId("by-endpoint"), perEndpoint, {
    key: ([endpoint]) => endpoint,
    create: createEndpoint,
    update: (item, [, calls]) => setText(part(item, "count"), formatCount(calls)),
    focusFallback: byId("journal-title"),
  });
  if (byId("by-token").open) showTokens(state);
}

function createEndpoint([endpoint]) {
  const item = cloneTemplate("endpoint-total");
  const button = item.firstElementChild;
  button.dataset.endpoint = endpoint;
  setText(part(item, "endpoint"), endpoint);
  button.addEventListener("click", () => toggleFilter(endpoint));
  return item;
}

function showTokens({ counts, revoked }) {
  const none = { persona: null, total: 0, max_concurrency: 0 };
  const called = Object.entries(counts.tokens).sort(([, one], [, other]) => other.total - one.total);
  const uncalled = revoked.filter((each) => !(each in counts.tokens)).map((each) => [each, none]);
  reconcile(byId("tokens"), [...called.slice(0, MAX_ROWS), ...uncalled], {
    key: ([token]) => token,
    create: createToken,
    update: (row, [token, tally]) => updateToken(row, tally, revoked.includes(token)),
    focusFallback: byId("journal-title"),
  });
  const hidden = counts.token_count - Math.min(called.length, MAX_ROWS);
  byId("more-tokens").hidden = hidden === 0;
  setText(byId("more-tokens"), `${plural(hidden, "more token")} not shown.`);
}

function createToken([token]) {
  const row = cloneTemplate("token-row");
  const button = part(row, "revoke");
  row.dataset.token = token;
  setText(part(row, "token"), token);
  button.hidden = token === "none"; // calls without a token
  button.addEventListener("click", () => {
    attempt(byId("tokens-problem"), () => setRevoked(token, row.dataset.revoked !== "true"));
  });
  return row;
}

function updateToken(row, { persona, total, max_concurrency: maxConcurrency }, revoked) {
  const button = part(row, "revoke");
  setAttribute(row, "data-revoked", String(revoked));
  part(row, "revoked").hidden = !revoked;
  setText(part(row, "persona"), persona ?? "none");
  setText(part(row, "total"), formatCount(total));
  setText(part(row, "max-concurrency"), formatCount(maxConcurrency));
  setText(button, revoked ? "Restore" : "Revoke");
  setAttribute(button, "aria-label", `${button.textContent} ${row.dataset.token}`);
}
