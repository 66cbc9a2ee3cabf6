// Formats of metrics, gains with their sign, times, durations, sizes and ids.

import { element, setText } from "./dom.js";

const NOTHING = "–";
const MINUS = "−";
const ID_DIGITS = 8;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const COUNT = new Intl.NumberFormat(); // toLocaleString makes one at each call
const MINUTE_S = 60;
export const HOUR_S = 3600;
const DAY_S = 86_400;
const RECENT_S = 14 * DAY_S; // older times are shown in full
const GAP_DIGITS = 9; // decimals of a metric
const SMALL_GAP = 1e-3;

export const isKnown = (value) => value !== null && value !== undefined && Number.isFinite(value);

// Formats a metric. `sd`, its noise (0 if scores are exact, null if it is unknown), limits the decimals: they end one place after the sd's first digit.
export function metric(value, sd = null) {
  return isKnown(value) ? withMinus(value.toFixed(digitsOf(value, sd))) : NOTHING;
}

export function signed(value, sd = null) {
  if (!isKnown(value)) return NOTHING;
  const text = isTiny(value, sd) ? value.toExponential(1) : value.toFixed(digitsOf(value, sd));
  return withMinus(value < 0 ? text : `+${text}`);
}

// Returns true for an exact gain that its digits would round to zero.
function isTiny(value, sd) {
  return sd === 0 && value !== 0 && Number(value.toFixed(digitsOf(value, sd))) === 0;
}

// Formats a gain with its size in standard deviations of one run: `+0.0123 (+4.1 sd)`.
export function gain(value, sd = null) {
  return isKnown(value) && sd > 0 ? `${signed(value, sd)} (${deviations(value / sd, 1)})` : signed(value, sd);
}

// Formats the noise of a metric, one standard deviation, with two digits.
export function noise(sd) {
  if (!isKnown(sd) || sd <= 0) return NOTHING;
  return sd.toFixed(Math.min(GAP_DIGITS, Math.max(0, 1 - Math.floor(Math.log10(sd)))));
}

// Formats a number of unknown noise, such as a loss, with four significant digits.
export function rounded(value) {
  return isKnown(value) ? withMinus(String(Number(value.toPrecision(4)))) : NOTHING;
}

// The distance of a metric from the best known value. Small distances are not rounded to zero.
export function gap(value) {
  const size = Math.abs(Number(value.toFixed(GAP_DIGITS)));
  if (size === 0) return "reached";
  const figure = size >= SMALL_GAP ? metric(size) : size.toExponential(1);
  return value > 0 ? `${figure} to go` : `${figure} beyond it`;
}

// A gain in standard deviations of one run.
export function deviations(value, digits = 2) {
  if (!isKnown(value)) return NOTHING;
  const text = value.toFixed(digits);
  return `${withMinus(value < 0 ? text : `+${text}`)} sd`;
}

function digitsOf(value, sd) {
  if (sd > 0) return Math.min(GAP_DIGITS, Math.max(0, 1 - Math.round(Math.log10(sd))));
  const size = Math.abs(value);
  if (size >= 10_000) return 1;
  return size >= 100 ? 3 : 6;
}

const withMinus = (text) => text.replace("-", MINUS);

// The interval of a gain. Without width it is "exact": the task has no noise.
export function interval(lower, upper, sd = null) {
  if (!isKnown(lower) || !isKnown(upper)) return "too few pairs for an interval";
  if (lower === upper) return "exact";
  return `95 % interval ${signed(lower, sd)} to ${signed(upper, sd)}`;
}

export function share(value) {
  return isKnown(value) ? `${Math.round(100 * value)} %` : NOTHING;
}

export function many(count, one, several = `${one}s`) {
  return `${COUNT.format(count)} ${count === 1 ? one : several}`;
}

export function short(id) {
  return id ? id.slice(0, ID_DIGITS) : NOTHING;
}

export function size(bytes) {
  if (!isKnown(bytes)) return NOTHING;
  let left = bytes;
  let unit = 0;
  for (; left >= 1024 && unit < UNITS.length - 1; unit++) left /= 1024;
  return `${unit === 0 ? left : left.toFixed(1)} ${UNITS[unit]}`;
}

export function time(ts) {
  return isKnown(ts) ? DAY_AND_TIME.format(ts) : NOTHING;
}

// Returns a time as "3 min ago", with the full time on hover. `refreshTimes` keeps it true.
export function ago(ts) {
  if (!isKnown(ts)) return NOTHING;
  return element("time", { class: "ago", datetime: new Date(ts).toISOString(), title: time(ts) }, agoWords(ts));
}

export function refreshTimes() {
  for (const one of document.querySelectorAll("time.ago")) setText(one, agoWords(Date.parse(one.dateTime)));
}

function agoWords(ts) {
  const seconds = Math.max(0, (Date.now() - ts) / 1000);
  if (seconds < MINUTE_S) return "just now";
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)} min ago`;
  if (seconds < DAY_S) return `${Math.floor(seconds / HOUR_S)} h ago`;
  if (seconds < RECENT_S) return `${many(Math.floor(seconds / DAY_S), "day")} ago`;
  return time(ts);
}

export function span(seconds) {
  if (!isKnown(seconds)) return NOTHING;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < MINUTE_S) return `${whole} s`;
  if (whole < HOUR_S) return `${Math.floor(whole / MINUTE_S)} min ${two(whole % MINUTE_S)} s`;
  if (whole < DAY_S) return `${Math.floor(whole / HOUR_S)} h ${two(Math.floor((whole % HOUR_S) / MINUTE_S))} min`;
  return `${Math.floor(whole / DAY_S)} d ${Math.floor((whole % DAY_S) / HOUR_S)} h`;
}

export function milliseconds(ms) {
  return isKnown(ms) ? `${(ms / 1000).toFixed(2)} s` : NOTHING;
}

const two = (number) => String(number).padStart(2, "0");
