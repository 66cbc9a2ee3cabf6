// The instructions in program.md, and their earlier versions.

import { diffView } from "../diff.js";
import { element, refill, quotedLines } from "../dom.js";
import * as figures from "../figures.js";

export async function programView(visit) {
  const { text, history } = await visit.get("program");
  const now = text ? quotedLines(text, { label: "program.md" }) : element("p", { class: "soft" }, "No instructions (program.md) are set; proposers see only the task.");
  return [now, historyView(history ?? [])];
}

// Each version with its diff to the previous one of the same name. Opening a version makes its diff.
function historyView(history) {
  if (history.length === 0) return null;
  const ordered = [...history].sort((one, other) => other.ts - one.ts);
  const before = (name, at) => ordered.slice(at + 1).find((one) => one.name === name)?.text ?? "";
  const item = ({ ts, name, hash, text }, at) => {
    const place = element("div", {});
    const open = ({ target }) => {
      if (target.open && place.childNodes.length === 0) refill(place, diffView(changes(before(name, at), text), "What changed"));
    };
    return element("li", {}, element("details", { on: { toggle: open } }, element("summary", {}, figures.time(ts), " ", name ? `${name} ` : "", element("code", {}, figures.short(hash))), place));
  };
  return element("ol", { class: "plain-list" }, ordered.map(item));
}

// Returns a diff of two texts: their common first and last lines, and everything between as changed.
function changes(before, after) {
  const [old, made] = [before, after].map((text) => text.split("\n"));
  let head = 0;
  while (head < Math.min(old.length, made.length) && old[head] === made[head]) head++;
  let tail = 0;
  while (tail < Math.min(old.length, made.length) - head && old.at(-1 - tail) === made.at(-1 - tail)) tail++;
  const lines = [
    ...old.slice(0, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...made.slice(head, made.length - tail).map((line) => `+${line}`),
    ...made.slice(made.length - tail).map((line) => ` ${line}`),
  ];
  return lines.join("\n");
}
