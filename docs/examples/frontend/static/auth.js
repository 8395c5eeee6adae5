// Signs in at the proxy, which may have another origin.

const COOKIE = "OxaigenPlatformAuthAccessToken";

export const proxy = new URL(
  new URLSearchParams(location.search).get("mock") ?? "http://127.0.0.1:8765",
);
if (proxy.hostname !== location.hostname || !/^https?:$/.test(proxy.protocol)) {
  // The proxy receives the token, so it must not be chosen freely. Cookies are sent to this host only.
  throw new Error(`The proxy has to be at ${location.hostname}, but it is ${proxy}.`);
}

let popup = null;
let signingIn = null;

/** Sign in with a popup. Another call while it is open brings it to the front. */
export function signIn() {
  if (popup && !popup.closed) {
    popup.focus();
    return signingIn;
  }
  // Open it before the first await: browsers block popups that a click does not open directly.
  popup = window.open("", "oxaigen-sign-in", "popup,width=480,height=640");
  if (!popup) return Promise.reject(new Error("The browser blocked the popup."));
  signingIn = startSignIn(popup);
  return signingIn;
}

async function startSignIn(popup) {
  try {
    const login = await request(`login?return_to=${encodeURIComponent(location.pathname)}`);
    popup.location = new URL(login.authorize_url, proxy);
  } catch (error) {
    popup.close();
    throw error;
  }
  return waitForMessage(popup);
}

/** Wait for the popup's message. Messages of other windows and origins are ignored. */
function waitForMessage(popup) {
  return new Promise((resolve, reject) => {
    const listeners = new AbortController();
    let wasClosed = false; // its last message can arrive after it was closed
    const timer = setInterval(() => {
      if (wasClosed) end(() => reject(new Error("The sign-in window was closed.")));
      wasClosed = popup.closed;
    }, 300);
    function end(settle) {
      clearInterval(timer);
      listeners.abort();
      settle();
    }
    function onMessage({ source, origin, data }) {
      if (source !== popup || origin !== proxy.origin) return;
      if (data.type === "OXA_AUTH_SUCCESS") end(() => resolve(data.return_to));
      if (data.type === "OXA_AUTH_FAILURE") end(() => reject(new Error(data.message)));
    }
    window.addEventListener("message", onMessage, { signal: listeners.signal });
  });
}

/** Exchange the refresh cookie, which scripts cannot read, for new tokens. */
export const refresh = () => request("refresh", { method: "POST" });

export const signOut = () => request("logout", { method: "POST" });

export const profile = () =>
  request("get-me", { headers: { Authorization: `Bearer ${accessToken()}` }, credentials: "omit" });

/** Return the access token, which scripts can read; "" while nobody is signed in. */
export function accessToken() {
  const cookies = document.cookie.split("; ").map((each) => each.split("="));
  return cookies.find(([name]) => name === COOKIE)?.slice(1).join("=") ?? "";
}

async function request(path, options = {}) {
  const url = new URL(`/_oxa_auth/${path}`, proxy);
  const response = await fetch(url, { credentials: "include", ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}
