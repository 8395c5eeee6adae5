// The formats of times, durations and numbers.

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const COUNT = new Intl.NumberFormat("en-US");
const UNITS = { "": 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

export const formatTime = (unix) => TIME.format(unix * 1000);
export const formatExactTime = (unix) => EXACT.format(unix * 1000);
export const formatCount = (number) => COUNT.format(number);
export const plural = (number, one) => `${formatCount(number)} ${one}${number === 1 ? "" : "s"}`;

/** Format a duration in seconds: `0.4 ms`, `12 ms`, `2.03 s`. */
export function formatDuration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** Format a number of seconds: 3690 as `1 h 1 min 30 s`. */
export function formatSpan(seconds) {
  let rest = Math.round(Math.abs(seconds));
  const parts = [];
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const amount = Math.floor(rest / size);
    if (amount) parts.push(`${amount} ${unit}`);
    rest -= amount * size;
  }
  return parts.join(" ") || "0 s";
}

/** Parse a span such as `90`, `-5m` or `2h` into seconds; return null if it is invalid. */
export function parseSpan(text) {
  const found = /^([+-]?)\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?$/.exec(text.trim());
  if (!found) return null;
  return (found[1] === "-" ? -1 : 1) * Number(found[2]) * UNITS[found[3] ?? ""];
}
