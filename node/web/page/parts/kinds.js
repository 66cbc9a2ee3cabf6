// Insights, kinds of change: how many patches of each kind were tried and kept, and how many failed.

import { pictureButton } from "../charts/picture.js";
import { drawn, element, emptyState, plain, quoted, table } from "../dom.js";
import * as figures from "../figures.js";
import { ofLine, showLine } from "../line.js";

const WIDTH = 640;
const ROW = 34;
const NAMES = 180; // room for the names
const COUNTS = 60;
const BAR = 16;
const NAME_CHARACTERS = 20;
const PARTS = [["kept", "kept"], ["other", "not kept"], ["failed", "failed or rejected"]];

export const show = (visit) =>
  showLine(visit, nothing, async (line) => kindsView((await visit.get(ofLine("kinds", line))).kinds));

const nothing = () => emptyState("No patch was tried yet", "The kinds of change that this node's proposers try will be shown here, with how many were kept and how many failed.", "arnode start");

function kindsView(kinds) {
  if (kinds.length === 0) return nothing();
  const groups = new Map();
  for (const one of kinds) {
    const key = `${one.task.id}/${one.class}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [
    element("p", {}, "Patches that this node's proposers wrote, by kind of change. Those of peers are not counted."),
    [...groups.values()].map((group) => lineView(group)),
  ];
}

function lineView(kinds) {
  const [{ task, class: hardware }] = kinds;
  const name = `${plain(task.name)} on ${plain(hardware)}`;
  const bars = barsOf(kinds, name);
  const legend = element("ul", { class: "legend" }, PARTS.map(([part, words]) => element("li", {}, drawn("svg", { viewBox: "0 0 16 14", class: "sample", "aria-hidden": "true" }, drawn("rect", { class: `part ${part}`, y: 1, width: 16, height: 12 })), words)));
  const rows = kinds.map(({ kind, tried, kept, failed }) => [quoted(kind), tried.toLocaleString(), kept.toLocaleString(), figures.share(kept / tried), failed.toLocaleString()]);
  const columns = [{ name: "kind" }, { name: "tried", figure: true }, { name: "kept", figure: true }, { name: "share kept", figure: true }, { name: "failed", figure: true }];
  return element(
    "section",
    {},
    element("h2", {}, quoted(name)),
    element("figure", { class: "kinds" }, bars, element("div", { class: "below-plot" }, legend, pictureButton(`Kinds of change: ${name}`, () => bars, () => legend))),
    table(`Kinds of change of ${name}`, columns, rows),
  );
}

function barsOf(kinds, name) {
  const most = Math.max(1, ...kinds.map(({ tried }) => tried));
  const scale = (WIDTH - NAMES - COUNTS) / most;
  const height = ROW * kinds.length;
  const bar = ({ kind, tried, kept, failed }, at) => {
    const top = at * ROW + (ROW - BAR) / 2;
    let x = NAMES;
    const parts = [["kept", kept], ["other", tried - kept - failed], ["failed", failed]].filter(([, count]) => count > 0);
    const shown = parts.map(([part, count]) => {
      const made = drawn("rect", { class: `part ${part}`, x, y: top, width: Math.max(1, count * scale - 1), height: BAR });
      x += count * scale;
      return made;
    });
    const short = kind.length > NAME_CHARACTERS ? `${kind.slice(0, NAME_CHARACTERS - 1)}…` : kind;
    return [drawn("text", { class: "axis-name", x: NAMES - 10, y: top + 13, "text-anchor": "end" }, plain(short)), shown, drawn("text", { class: "tick", x: x + 6, y: top + 13 }, tried.toLocaleString())];
  };
  return drawn("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": plain(`Patches tried and kept by kind of change, ${name}; the table below has the counts`) }, kinds.map(bar));
}
