// Elements. A child that is none becomes a text node, so that nobody's words are ever markup.

const SVG = "http://www.w3.org/2000/svg";
// Controls, formatting (bidi overrides), surrogates, private use, and line separators.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const PILE = /(\p{M}{3})\p{M}+/gu;
const UNSEEN_BUT_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

// `on` is a map of listeners; an attribute that is null or false is left out.
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [kind, heard] of Object.entries(on)) made.addEventListener(kind, heard);
  append(made, ...children);
  return made;
}

// Adds children; lists are opened, and what is null is left out.
export function append(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

export function refill(parent, ...children) {
  parent.replaceChildren();
  return append(parent, ...children);
}

// Changes a text only where it differs: what is read aloud is then said once.
export function retell(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// What is invisible spelt out, as the terminal has it: \u202e.
// Of marks that pile up above and below a letter a few are left: a pile covers other lines.
export function plain(text, { lines = false } = {}) {
  return String(text ?? "").replace(lines ? UNSEEN_BUT_LINES : UNSEEN, spelt).replace(PILE, "$1");
}

function spelt(character) {
  const code = character.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

// Somebody's words within a sentence of ours: their direction of writing stays with them.
export function said(text) {
  return element("bdi", { class: "said" }, plain(text));
}

// Somebody's words that have lines of their own; as prose they are set like the rest of the page.
export function saidInLines(text, { label = null, isProse = false } = {}) {
  const made = element("pre", { class: `said lines${isProse ? " prose" : ""}` }, plain(text, { lines: true }));
  return label === null ? made : scrollable(made, label);
}

const edges = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const isCut = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (isCut) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

// Lets keys reach a place that scrolls by itself, as long as it does.
export function scrollable(place, label) {
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", plain(label));
  edges.observe(place);
  return place;
}

export function link(to, ...children) {
  return element("a", { href: `#/${to}` }, ...children);
}

// A heading with what belongs below it.
export function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

// Names and what they are, as pairs; a pair without a value is left out.
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    ),
  );
}

// A small table; a column is {name, figure}: figures are aligned to the right.
export function table(caption, columns, rows) {
  const kind = ({ figure }) => (figure ? "figure" : null);
  const heading = (one) => (one.name === "" ? element("td") : element("th", { class: kind(one), scope: "col" }, one.name));
  const cell = (value, at) => element("td", { class: kind(columns[at]) }, value);
  const made = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, columns.map(heading))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell)))),
  );
  made.setAttribute("aria-label", plain(caption));
  return scrollable(element("div", { class: "wide" }, made), caption);
}
