// Files that the page makes itself and the browser saves: tables and pictures.

const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// Returns rows of values as CSV (RFC 4180).
export function csvOf(rows) {
  return rows.map((row) => `${row.map(cellOf).join(",")}\r\n`).join("");
}

// A spreadsheet takes a text that begins with one of = + - @ for a formula, so it gets an apostrophe.
function cellOf(value) {
  if (value === null || value === undefined) return "";
  const text = String(value);
  const isFormula = FORMULA.test(text) && !NUMBER.test(text);
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Returns a name for a file, from words of which some may be untrusted.
export function fileName(words, ending) {
  const safe = words.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80);
  return `${safe || "arnode"}.${ending}`;
}
