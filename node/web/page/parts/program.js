// program.md, what proposers are told to aim at, and what it said before.

import { diffView } from "../diff.js";
import { element, refill, saidInLines } from "../dom.js";
import * as figures from "../figures.js";

export async function programView(visit) {
  const { text, history } = await visit.get("program");
  const now = text ? saidInLines(text, { label: "program.md" }) : element("p", { class: "soft" }, "There is none; proposers see only the task.");
  return [now, historyView(history ?? [])];
}

// Each version, compared with the one before it of its name. Built only when somebody opens it.
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

// The lines of two texts as a diff: what both begin and end with, and between them what went and came.
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
