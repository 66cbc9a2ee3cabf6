// Formats of metrics, gains with their sign, times, durations, sizes and ids.

const NOTHING = "–";
const MINUS = "−";
const ID_DIGITS = 8;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const MINUTE_S = 60;
export const HOUR_S = 3600;
const DAY_S = 86_400;
const GAP_DIGITS = 9; // decimals of a metric
const SMALL_GAP = 1e-3;

export const isKnown = (value) => value !== null && value !== undefined && Number.isFinite(value);

export function metric(value) {
  return isKnown(value) ? withMinus(value.toFixed(digitsOf(value))) : NOTHING;
}

export function signed(value) {
  if (!isKnown(value)) return NOTHING;
  const text = value.toFixed(digitsOf(value));
  return withMinus(value < 0 ? text : `+${text}`);
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

function digitsOf(value) {
  const size = Math.abs(value);
  if (size >= 10_000) return 1;
  return size >= 100 ? 3 : 6;
}

const withMinus = (text) => text.replace("-", MINUS);

export function interval(lower, upper) {
  if (!isKnown(lower) || !isKnown(upper)) return "too few pairs for an interval";
  return `95 % interval ${signed(lower)} to ${signed(upper)}`;
}

export function share(value) {
  return isKnown(value) ? `${Math.round(100 * value)} %` : NOTHING;
}

export function many(count, one, several = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : several}`;
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
