
"use strict";
(() => {
  const signIn = JSON.parse(document.getElementById("sign-in").textContent);
  const target = signIn.origin ?? location.origin;

  const status = document.getElementById("status");

  class Refused extends Error {}

  // The code leaves the address before it is used: no reload exchanges it again.
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
    throw new Refused(typeof answer?.detail === "string" ? answer.detail : "The code was not taken.");
  }

  function tell(message) {
    if (!opener || opener.closed) return false;
    opener.postMessage(message, target);
    close();
    return true;
  }

  function succeed(returnTo) {
    status.textContent = "Signed in. This window can be closed.";
    if (tell({ type: "OXA_AUTH_SUCCESS", return_to: returnTo })) return;
    const goal = new URL(returnTo, target);
    status.textContent = "Signed in. Going back to the app …";
    location.replace(goal.origin === target ? goal : target);
  }

  function fail(message) {
    document.title = "The sign-in failed (mock)";
    status.hidden = true;
    document.getElementById("failed").hidden = false;
    document.getElementById("message").textContent = message;
    tell({ type: "OXA_AUTH_FAILURE", message });
  }

  async function finish() {
    if (signIn.failure !== null) return fail(signIn.failure);
    status.textContent = "Signing in …";
    let returnTo;
    try {
      returnTo = await exchange();
    } catch (error) {
      return fail(error instanceof Refused ? error.message : "The code could not be exchanged.");
    }
    succeed(returnTo);
  }

  finish();
})();
