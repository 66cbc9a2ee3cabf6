// Builds elements. A child that is not a node becomes a text node, so text is never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";
// Controls, formatting (bidi overrides), surrogates, private use, and line separators.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const BACKTICKS = /`([^`\n]+)`/;
const COPIED_MS = 2_000;
const PILE = /(\p{M}{3})\p{M}+/gu;
const UNSEEN_BUT_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

// `on` maps events to listeners. Attributes that are null or false are left out.
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
  for (const [kind, listener] of Object.entries(on)) made.addEventListener(kind, listener);
  append(made, ...children);
  return made;
}

// Appends children. Nested lists are flattened; null and false are left out.
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

// Sets a text only if it differs, so that screen readers read it once.
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// Escapes invisible characters as the terminal does, such as \u202e. Keeps at most three combining
// marks on a letter, since a pile of them covers other lines of text.
export function plain(text, { lines = false } = {}) {
  return String(text ?? "").replace(lines ? UNSEEN_BUT_LINES : UNSEEN, spelt).replace(PILE, "$1");
}

function spelt(character) {
  const code = character.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

// Returns text as nodes, with what is between two backticks as code. No other markup is known.
export function marked(text, { lines = false } = {}) {
  const parts = plain(text, { lines }).split(BACKTICKS);
  return parts.map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));
}

// Returns untrusted text inside a sentence of the page, with its writing direction isolated.
export function quoted(text) {
  return element("bdi", { class: "quoted" }, marked(text));
}

// Returns untrusted text of several lines. Prose is in the page's font, other text in a fixed width.
export function quotedLines(text, { label = null, isProse = false } = {}) {
  const words = isProse ? marked(text, { lines: true }) : plain(text, { lines: true });
  const made = element("pre", { class: `quoted lines${isProse ? " prose" : ""}` }, words);
  return label === null ? made : scrollable(made, label);
}

const edges = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const isCut = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (isCut) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

// Makes an element reachable with Tab while its content overflows and scrolls.
export function scrollable(place, label) {
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", plain(label));
  edges.observe(place);
  return place;
}

export function link(to, ...children) {
  return element("a", { href: `#/${to}` }, ...children);
}

// Returns a section with a heading.
export function section(title, ...children) {
  return element("section", {}, element("h2", {}, title), ...children);
}

// Returns a list of names and values. Entries without a value are left out.
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

// Returns a small table. A column is {name, figure}; figures are aligned to the right.
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

// Returns gray bars in place of content that is being loaded.
export function skeleton(lines = 3) {
  const bars = Array.from({ length: lines }, () => element("span", { "aria-hidden": "true" }));
  return element("div", { class: "skeleton" }, element("span", { class: "unseen" }, "Loading …"), bars);
}

// Returns what is shown where nothing is there yet: what will be there, and the command that fills it.
export function emptyState(title, text, command = null) {
  // While a node runs, a second start would fail.
  if (command?.startsWith("arnode start") && document.documentElement.dataset.kind === "node") command = null;
  return element("div", { class: "empty" }, element("strong", {}, title), element("p", {}, typeof text === "string" ? marked(text) : text), command === null ? null : commandLine(command));
}

// Returns a command with a button that copies it.
export function commandLine(command) {
  const code = element("code", {}, command);
  const button = copyButton("Copy", () => command, () => getSelection().selectAllChildren(code));
  button.setAttribute("aria-label", `Copy ${command}`);
  return element("div", { class: "command" }, code, button);
}

// Returns a button that copies a text. Without the permission it calls `select` instead.
export function copyButton(words, textOf, select = null) {
  const button = element("button", { type: "button", class: "quiet" }, words);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(textOf());
      setText(button, "Copied");
    } catch {
      select?.();
      setText(button, select === null ? "This browser does not allow copying" : "Selected");
    }
    setTimeout(() => setText(button, words), COPIED_MS);
  });
  return button;
}

// Returns a term of the glossary, explained on hover and on keyboard focus (glossary.js). `shown` are
// the words of the sentence if they differ. Not for use inside links and buttons.
export function term(word, shown = word) {
  return element("dfn", { class: "term", tabindex: "0", "data-term": word }, shown);
}
