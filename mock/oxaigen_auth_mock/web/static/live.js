// The events that the mock sends: its state, and calls.

const RETRY_DELAY = 2000; // milliseconds

/**
 * Listen while the page is open.
 *
 * `onLive(true)` is called before the first events of a connection, `onLive(false)` when it is lost.
 */
export function listen({ onState, onCalls, onLive }) {
  const source = new EventSource("/_mock/api/events");
  source.addEventListener("open", () => onLive(true));
  source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
  source.addEventListener("calls", (event) => onCalls(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    onLive(false);
    // It reconnects by itself, except after a response that is not an event stream.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen({ onState, onCalls, onLive }), RETRY_DELAY);
  });
}

/** Return a function that calls `render` in a later frame, at most once per `pause` milliseconds. */
export function batched(render, pause = 100) {
  let waiting = false;
  let last = 0;
  const run = () => {
    waiting = false;
    last = performance.now();
    render();
  };
  return () => {
    if (waiting) return;
    waiting = true;
    const rest = last + pause - performance.now();
    if (rest <= 0) requestAnimationFrame(run);
    else setTimeout(() => requestAnimationFrame(run), rest);
  };
}
