// Talks to the control API, and shows what it refuses beside what was refused.

import { make } from "./dom.js";

const BASE = "/_mock/api";

/** A refusal in the API's words: each problem has the path of what it is about, and a message. */
export class Refused extends Error {
  constructor(problems, status = null) {
    super(problems.map((each) => each.message).join("; "));
    this.problems = problems;
    this.status = status; // null where the API was not asked
  }
}

let afterwards = () => {};

/** Have `callback` run after each change that this page made. */
export function afterChange(callback) {
  afterwards = callback;
}

/** Call the API; gives what it answers as JSON, or null if that is nothing. */
export async function call(method, path, body) {
  const answer = await reach(method, path, body);
  const text = await answer.text();
  if (!answer.ok) throw new Refused(problemsOf(answer, text), answer.status);
  if (method !== "GET") afterwards();
  return text ? JSON.parse(text) : null;
}

async function reach(method, path, body) {
  const request = { method, cache: "no-store" };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { "Content-Type": "application/json" };
  }
  try {
    return await fetch(BASE + path, request);
  } catch {
    throw new Refused([{ path: [], message: "The mock does not answer. Is it still running?" }]);
  }
}

function problemsOf(answer, text) {
  const { detail, field } = jsonOf(text);
  if (typeof detail === "string") return [{ path: field ? [field] : [], message: detail }];
  if (!Array.isArray(detail)) return [{ path: [], message: `The mock answered ${answer.status}.` }];
  return detail.map((each) => ({ path: (each.loc ?? []).slice(1).map(String), message: each.msg }));
}

function jsonOf(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Show problems in the element that is kept for them, each with its path; none hides it. */
export function showProblems(slot, problems) {
  slot.hidden = problems.length === 0;
  slot.replaceChildren(
    ...problems.map(({ path, message }) => {
      const where = path.length ? [make("code", {}, path.join(".")), " "] : [];
      return make("p", {}, ...where, message);
    }),
  );
}

/** Do something that the API may refuse, and show a refusal in `slot`; whether it was done. */
export async function attempt(slot, action, show = showProblems) {
  try {
    await action();
    show(slot, []);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    show(slot, error.problems);
    return false;
  }
}
