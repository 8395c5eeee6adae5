"use strict";
(() => {
  const signIn = JSON.parse(document.getElementById("sign-in").textContent);
  const targetOrigin = signIn.origin ?? location.origin;

  const status = document.getElementById("status");

  class ApiError extends Error {}

  // Remove the code from the address before it is used, so that a reload does not exchange it again.
  const address = new URL(location);
  address.searchParams.delete("code");
  history.replaceState(null, "", address);

  async function exchange() {
    const response = await fetch(signIn.exchange, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      credentials: "same-origin",
      redirect: "error",
      body: JSON.stringify({ code: signIn.code, state: signIn.state }),
    });
    const answer = await response.json();
    if (response.ok && typeof answer?.return_to === "string") return answer.return_to;
    throw new ApiError(typeof answer?.detail === "string" ? answer.detail : "The code was rejected.");
  }

  /** Send a message to the window that opened this one, and close unless there is a warning to read.
   *  Return false if there is no such window. */
  function notifyOpener(message) {
    if (!opener || opener.closed) return false;
    opener.postMessage(message, targetOrigin);
    if (!signIn.stay) close();
    return true;
  }

  function succeed(returnTo) {
    status.textContent = "Signed in. You can close this window.";
    if (notifyOpener({ type: "OXA_AUTH_SUCCESS", return_to: returnTo })) return;
    const url = new URL(returnTo, targetOrigin);
    status.textContent = "Signed in. Returning to the app …";
    location.replace(url.origin === targetOrigin ? url : targetOrigin);
  }

  function fail(message) {
    document.title = "Sign-in failed (mock)";
    status.hidden = true;
    document.getElementById("failed").hidden = false;
    document.getElementById("message").textContent = message;
    notifyOpener({ type: "OXA_AUTH_FAILURE", message });
  }

  async function finish() {
    if (signIn.failure !== null) return fail(signIn.failure);
    status.textContent = "Signing in …";
    let returnTo;
    try {
      returnTo = await exchange();
    } catch (error) {
      return fail(error instanceof ApiError ? error.message : "The code could not be exchanged.");
    }
    succeed(returnTo);
  }

  finish();
})();
