// Calls to the control API, and the display of its errors.

import { make } from "./dom.js";

const BASE = "/_mock/api";

/** An error of the API: each problem has a message, and the path of the value it is about. */
export class ApiError extends Error {
  constructor(problems, { status = null, unreachable = false } = {}) {
    super(problems.map((each) => each.message).join("; "));
    this.problems = problems;
    this.status = status;
    this.unreachable = unreachable;
  }
}

let changeCallback = () => {};

/** Run `callback` after each change that this page makes. */
export function afterChange(callback) {
  changeCallback = callback;
}

/** Call the API and return its JSON, or null for an empty response. */
export async function call(method, path, body) {
  const response = await fetchApi(method, path, body);
  const text = await response.text();
  if (!response.ok) throw new ApiError(problemsOf(response, text), { status: response.status });
  if (method !== "GET") changeCallback();
  return text ? JSON.parse(text) : null;
}

async function fetchApi(method, path, body) {
  const request = { method, cache: "no-store" };
  if (body !== undefined) {
    const isFile = body instanceof Blob;
    request.body = isFile ? body : JSON.stringify(body);
    request.headers = { "Content-Type": isFile ? "application/octet-stream" : "application/json" };
  }
  try {
    return await fetch(BASE + path, request);
  } catch {
    throw new ApiError([{ path: [], message: "The mock does not respond. Is it still running?" }], { unreachable: true });
  }
}

function problemsOf(response, text) {
  const { detail, field } = jsonOf(text);
  if (typeof detail === "string") return [{ path: field ? [field] : [], message: detail }];
  if (!Array.isArray(detail)) return [{ path: [], message: `The mock responded with status ${response.status}.` }];
  return detail.map((each) => ({ path: (each.loc ?? []).slice(1).map(String), message: each.msg }));
}

function jsonOf(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Show problems in an element, each with its path; hide the element if there are none. */
export function showProblems(slot, problems) {
  delete slot.dataset.unreachable;
  slot.hidden = problems.length === 0;
  slot.replaceChildren(
    ...problems.map(({ path, message }) => {
      const location = path.length ? [make("code", {}, path.join(".")), " "] : [];
      return make("p", {}, ...location, message);
    }),
  );
}

/** Run an action and show an API error in `slot`. Return whether the action succeeded. */
export async function attempt(slot, action, show = showProblems) {
  try {
    await action();
    show(slot, []);
    return true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    show(slot, error.problems);
    if (error.unreachable) slot.dataset.unreachable = "";
    return false;
  }
}

/** Hide the errors of calls that did not reach the mock, once it is there again. */
export function hideUnreachable() {
  for (const slot of document.querySelectorAll("[data-unreachable]")) showProblems(slot, []);
}

/** Hide the error of a form when its input changes, and that of a field when the field does. */
export function hideStaleProblems(event) {
  const field = event.target.closest("[data-field]");
  if (field) {
    field.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
    showProblems(field.querySelector(":scope > .problem"), []);
  }
  const form = event.target.form;
  const slot = form?.dataset.problem ? document.getElementById(form.dataset.problem) : form?.querySelector(":scope > .problem");
  const own = slot ?? form?.closest(".persona")?.querySelector(":scope > .problem");
  if (own) showProblems(own, []);
}
