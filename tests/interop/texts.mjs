// The lines and texts of each kind: neither holds what docs/protocol.md calls control and hidden
// characters, but that a text may have tabs and newlines.

const RUNS = ["runs", "*", "reason"];
const ENV = ["env", "*"];
const LINES = {
  profile: [["name"], ["version"]],
  task: [
    ["metric", "unit"],
    ["program", "run", "*"],
    ["program", "build", "*"],
    ["program", "instances", "fixed", "*"],
    ["program", "llm", "models", "*"],
  ],
  patch: [["title"], ["origin", "model"]],
  result: [ENV, RUNS],
  rerun: [ENV, RUNS, ["again", "reason"]],
  noise: [ENV, RUNS],
  intent: [["title"]],
  retract: [["reason"]],
  report: [["title"]],
  proposals: [["counts", "*", "model"]],
};
const TEXTS = { patch: [["why"]], result: [["note"]], insight: [["text"]] };

const CONTROL = /[\0-\x1f\x7f-\x9f]/;
const HIDDEN = new RegExp(
  "[" +
    "\\u00ad\\u034f\\u061c\\u115f-\\u1160\\u17b4-\\u17b5\\u200b\\u200e-\\u200f\\u2028-\\u202e" +
    "\\u2060-\\u206f\\u3164\\ue000-\\uf8ff\\ufdd0-\\ufdef\\ufeff\\uffa0\\ufff0-\\ufffc\\ufffe-\\uffff" +
    "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{10ffff}" +
    "]",
  "u",
);
const isLastOfPlane = (character) => (character.codePointAt(0) & 0xfffe) === 0xfffe;

export function checkTexts(kind, body) {
  for (const path of LINES[kind] ?? []) at(path, body).forEach((text) => check(text, text));
  for (const path of TEXTS[kind] ?? []) {
    at(path, body).forEach((text) => check(text, text.replace(/[\t\n]/g, "")));
  }
}

function check(text, rest) {
  if (CONTROL.test(rest)) throw new Error("a control character");
  if (HIDDEN.test(text) || [...text].some(isLastOfPlane)) throw new Error("a hidden character");
}

// The strings at a path, with `*` for every entry of a list or map.
function at(path, value) {
  const [name, ...rest] = path;
  if (path.length === 0) return typeof value === "string" ? [value] : [];
  if (value === null || typeof value !== "object") return [];
  const entries = name === "*" ? Object.values(value) : [value[name]];
  return entries.flatMap((entry) => at(rest, entry));
}
