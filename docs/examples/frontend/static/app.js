// The buttons of the page. auth.js signs in.

import { accessToken, profile, refresh, signIn, signOut } from "./auth.js";

const find = (id) => document.getElementById(id);

function showStatus(text) {
  find("status").textContent = text;
}

/** Run an action on a click, and show its error. */
function onClick(id, action) {
  find(id).addEventListener("click", async () => {
    try {
      await action();
    } catch (error) {
      showStatus(error.message);
    }
  });
}

async function showProfile() {
  const user = await profile();
  const rows = Object.entries(user).map(([name, value]) => {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = typeof value === "string" ? value : JSON.stringify(value);
    return [term, text];
  });
  find("profile").replaceChildren(...rows.flat());
  showStatus(`Signed in as ${user.user_name}.`);
}

async function call(path, options) {
  const response = await fetch(path, options);
  find("answer").textContent = `${response.status} ${await response.text()}`;
}

const bearer = () => ({
  credentials: "omit",
  headers: { Authorization: `Bearer ${accessToken()}` },
});

onClick("sign-in", async () => {
  showStatus("Signing in …");
  await signIn();
  await showProfile();
});
onClick("refresh", async () => {
  const { expires_in: seconds } = await refresh();
  await showProfile();
  showStatus(`Refreshed; the token lasts ${seconds} seconds.`);
});
onClick("sign-out", async () => {
  await signOut();
  find("profile").replaceChildren();
  showStatus("Signed out.");
});
onClick("call-bearer", () => call("/v1/me", bearer()));
onClick("call-cookie", () => call("/v1/me"));
onClick("call-audit", () => call("/v1/audit", bearer()));

if (accessToken()) showProfile().catch((error) => showStatus(error.message));
