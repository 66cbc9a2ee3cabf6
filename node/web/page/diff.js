// A unified diff. Lines of text keep their sign, since not everyone sees the colours.

import { element, plain, scrollable } from "./dom.js";
import * as figures from "./figures.js";

const KINDS = { "+": "added", "-": "removed", "@": "hunk" };
const SHOWN = 2_000; // lines of text; a button shows the rest

export function diffView(text, label = "Diff") {
  if (!text) return element("p", { class: "soft" }, "There are no changes, or their files are not stored here.");
  const lines = text.trimEnd().split("\n");
  const place = scrollable(element("div", { class: "diff" }, lines.slice(0, SHOWN).map(lineView)), label);
  if (lines.length <= SHOWN) return place;
  const more = element("button", { type: "button", on: { click: () => {
    place.append(...lines.slice(SHOWN).map(lineView));
    more.remove();
  } } }, `Show ${figures.many(lines.length - SHOWN, "more line")}`);
  return element("div", {}, place, more);
}

function lineView(line) {
  const isName = line.startsWith("+++") || line.startsWith("---");
  return element("div", { class: isName ? "hunk" : (KINDS[line[0]] ?? null) }, plain(line, { lines: true }) || " ");
}
