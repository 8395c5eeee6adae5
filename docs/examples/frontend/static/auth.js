// Signs in at the proxy, which may be at another origin: all that a front end has to know of it.

const COOKIE = "OxaigenPlatformAuthAccessToken";

export const proxy = new URL(
  new URLSearchParams(location.search).get("mock") ?? "http://127.0.0.1:8765",
);
if (proxy.hostname !== location.hostname || !/^https?:$/.test(proxy.protocol)) {
  // Whoever chooses the proxy gets the token; and cookies go to this host alone.
  throw new Error(`The proxy has to be at ${location.hostname}, but it is ${proxy}.`);
}

let popup = null;
let signingIn = null;

/** Sign in through a popup; a second call while it is open brings it to the front. */
export function signIn() {
  if (popup && !popup.closed) {
    popup.focus();
    return signingIn;
  }
  // Open it before anything is awaited: only a click may open windows.
  popup = window.open("", "oxaigen-sign-in", "popup,width=480,height=640");
  if (!popup) return Promise.reject(new Error("The browser blocked the popup."));
  signingIn = goThrough(popup);
  return signingIn;
}

async function goThrough(popup) {
  try {
    const login = await ask(`login?return_to=${encodeURIComponent(location.pathname)}`);
    popup.location = new URL(login.authorize_url, proxy);
  } catch (error) {
    popup.close();
    throw error;
  }
  return outcome(popup);
}

/** Wait for the popup's message: from that window and that origin, or it is somebody else's. */
function outcome(popup) {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    let gone = false; // what it said last can arrive after it has closed
    const closed = setInterval(() => {
      if (gone) end(() => reject(new Error("The sign-in window was closed.")));
      gone = popup.closed;
    }, 300);
    function end(settle) {
      clearInterval(closed);
      listening.abort();
      settle();
    }
    function heard({ source, origin, data }) {
      if (source !== popup || origin !== proxy.origin) return;
      if (data.type === "OXA_AUTH_SUCCESS") end(() => resolve(data.return_to));
      if (data.type === "OXA_AUTH_FAILURE") end(() => reject(new Error(data.message)));
    }
    window.addEventListener("message", heard, { signal: listening.signal });
  });
}

/** Get new tokens for the refresh cookie, which no script can read. */
export const refresh = () => ask("refresh", { method: "POST" });

export const signOut = () => ask("logout", { method: "POST" });

export const profile = () =>
  ask("get-me", { headers: { Authorization: `Bearer ${accessToken()}` }, credentials: "omit" });

/** The access token, which the proxy leaves readable; "" while nobody is signed in. */
export function accessToken() {
  const cookies = document.cookie.split("; ").map((each) => each.split("="));
  return cookies.find(([name]) => name === COOKIE)?.slice(1).join("=") ?? "";
}

async function ask(path, options = {}) {
  const url = new URL(`/_oxa_auth/${path}`, proxy);
  const response = await fetch(url, { credentials: "include", ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}
