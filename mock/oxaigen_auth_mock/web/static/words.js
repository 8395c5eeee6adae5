// How times, spans and numbers are written.

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const COUNT = new Intl.NumberFormat("en-US");
const UNITS = { "": 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

export const timeOf = (unix) => TIME.format(unix * 1000);
export const exactTimeOf = (unix) => EXACT.format(unix * 1000);
export const count = (number) => COUNT.format(number);
export const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

/** Write how long a call took: `0.4 ms`, `12 ms`, `2.03 s`. */
export function tookWords(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** Write a span of time: 3690 as `1 h 1 min 30 s`. */
export function spanWords(seconds) {
  let rest = Math.round(Math.abs(seconds));
  const words = [];
  for (const [unit, size] of [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const many = Math.floor(rest / size);
    if (many) words.push(`${many} ${unit}`);
    rest -= many * size;
  }
  return words.join(" ") || "0 s";
}

/** Read a span such as `90`, `-5m` or `2h` in seconds; null if it is none. */
export function readSpan(text) {
  const found = /^([+-]?)\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?$/.exec(text.trim());
  if (!found) return null;
  return (found[1] === "-" ? -1 : 1) * Number(found[2]) * UNITS[found[3] ?? ""];
}
