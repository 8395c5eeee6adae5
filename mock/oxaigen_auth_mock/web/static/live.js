// What the mock sends of itself: its state, and the calls as they come.

const RETRY = 2000; // milliseconds

/**
 * Listen for as long as the page is open.
 *
 * `onLive(true)` comes before the first events of a connection, `onLive(false)` when it is lost.
 */
export function listen({ onState, onCalls, onLive }) {
  const source = new EventSource("/_mock/api/events");
  source.addEventListener("open", () => onLive(true));
  source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
  source.addEventListener("calls", (event) => onCalls(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    onLive(false);
    // It tries again by itself, except after an answer that is no event stream.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen({ onState, onCalls, onLive }), RETRY);
  });
}

/** Call `render` in a coming frame, once however often it is asked for, at most ten times a second. */
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
