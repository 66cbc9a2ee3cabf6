// The ancestry graph of sources, of this node and all peers, with a row for each source.

import { drawn, element, emptyState, link, plain, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { rowsOf } from "../graph.js";
import { ofLine, showLine } from "../line.js";
import { RowList } from "../rows.js";
import { Listed } from "../sources.js";
import { badge } from "../words.js";

const LANE = 12;
const ROW = 36;
const MOST_LANES = 10; // further columns are drawn at the last one

export const show = (visit) => showLine(visit, nothing, async (line) => lineageView(visit, await visit.get(ofLine("lineage", line))));

function lineageView(visit, data) {
  const patches = new Map(data.edges.map(({ to, patch }) => [to, patch]));
  const rows = rowsOf(data.nodes, data.edges).map((node) => ({ ...node, patch: patches.get(node.tree) ?? null }));
  const places = { [data.baseline]: "baseline", [data.working]: "working line", [data.head]: "head" };
  const list = new RowList({
    caption: "Sources and their ancestors, newest first",
    kind: "lineage",
    columns: [
      { name: "graph", part: "lanes", fill: lanesOf },
      { name: "patch", part: "title", fill: (node) => stepOf(node, places) },
      { name: "decision", part: "decision", fill: ({ decision, own }) => (own ? badge(decision) : element("span", { class: "badge soft" }, plain(decision))) },
      { name: "gain", part: "figure gain", fill: ({ gain }) => figures.signed(gain) },
      { name: "by", part: "author", fill: ({ own, author }) => (own ? "this node" : element("code", {}, figures.short(author))) },
      { name: "time", part: "time", fill: ({ ts }) => figures.time(ts) },
    ],
    source: new Listed(rows),
    empty: nothing(),
    signal: visit.signal,
  });
  return [element("p", { class: "soft" }, `${figures.many(rows.length, "source")}: this node's kept patches and peers' claims. A peer's gain is the claimed one.`), list.place];
}

const nothing = () => emptyState("No patch was kept yet", "Kept patches and peers' claims will be drawn here, each below the sources that build on it.", "arnode start");

function stepOf({ tree, title, patch }, places) {
  const name = quoted(title || "untitled");
  const place = Object.hasOwn(places, tree) ? [" ", element("strong", { class: "place" }, places[tree])] : null;
  return [patch ? link(`records/${patch}`, name) : name, " ", element("code", { class: "soft" }, figures.short(tree)), place];
}

// One row of the graph: passing edges, the node, and edges to its bases.
function lanesOf({ lane, isAwaited, joins, passing, own }) {
  const x = (number) => LANE / 2 + LANE * Math.min(number, MOST_LANES - 1);
  const middle = ROW / 2;
  const paths = [
    ...passing.map((one) => `M${x(one)} 0V${ROW}`),
    ...(isAwaited ? [`M${x(lane)} 0V${middle}`] : []),
    ...joins.map((one) => (one === lane ? `M${x(lane)} ${middle}V${ROW}` : `M${x(lane)} ${middle}C${x(lane)} ${ROW} ${x(one)} ${middle} ${x(one)} ${ROW}`)),
  ];
  return drawn(
    "svg",
    { viewBox: `0 0 ${LANE * MOST_LANES} ${ROW}`, class: "lanes", "aria-hidden": "true" },
    drawn("path", { d: paths.join("") }),
    drawn("circle", { class: own ? "own" : "peer", cx: x(lane), cy: middle, r: "4" }),
  );
}
