// A leaderboard: the claimed gains, peers' re-runs, and this node's own measurements.

import { withQuery, segment } from "../api.js";
import { element, link, plain, refill, setText, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { RowList } from "../rows.js";
import { Pages } from "../sources.js";
import { atMostEvery, faultText } from "../visit.js";
import { LEVELS, badge } from "../words.js";
import { importedSection } from "./imported.js";

export const title = "Leaderboard";
const REREAD_MS = 2_000;
const KINDS = new Set(["result", "rerun", "adopt", "retract", "task", "revoke"]);

export async function show(visit) {
  const [task, hardware] = visit.parameters;
  const path = `boards/${segment(task)}/${segment(hardware)}`;
  const network = visit.query.get("network") ?? "";
  const wanted = { network, level: visit.query.get("level") ?? "claimed" };
  const count = element("p", { class: "soft count", role: "status" });
  const faults = element("div", {});
  const below = element("div", {});
  const pages = new Pages(async (offset, limit) => {
    const data = await visit.get(withQuery(path, { ...wanted, offset, limit }));
    refill(faults);
    visit.setTitle(data.task ? `${plain(data.task.name)} on ${plain(data.class)}` : "Leaderboard");
    setText(count, `${figures.many(data.total, "row")}, network ${plain(data.network)}`);
    refill(below, provenanceOf(data));
    return { total: data.total, items: data.rows };
  });
  pages.failed = (fault) => refill(faults, faultText(fault));
  const list = new RowList({
    caption: "Rows of the leaderboard",
    kind: "board",
    columns: COLUMNS,
    source: pages,
    empty: "No matching rows.",
    signal: visit.signal,
  });
  const level = (value) => {
    wanted.level = value;
    visit.remember(withQuery(path, wanted));
    pages.restart();
    list.toTop();
  };
  const reread = atMostEvery(REREAD_MS, () => pages.reread());
  visit.on("record", ({ kind }) => {
    if (KINDS.has(kind)) reread();
  });
  visit.show(levels(wanted.level, level), faults, element("div", { class: "above-list" }, count), list.place, below);
}

function levels(chosen, changed) {
  const option = ([name, meaning]) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name: "level", value: name, checked: name === chosen, on: { change: () => changed(name) } }),
      " ",
      element("strong", {}, name),
      element("span", { class: "soft" }, `: ${meaning}`),
    );
  return element("fieldset", { class: "levels" }, element("legend", {}, "Show rows that are"), Object.entries(LEVELS).map(option));
}

// The three kinds of evidence. The page of a claim shows them too.
export const KNOWING = [["claimed", claimed], ["others", others], ["here", here]];

const COLUMNS = [
  { name: "rank", part: "figure rank", fill: ({ rank, tie }) => (rank === null ? "–" : `${rank}${tie ? "=" : ""}`) },
  { name: "claim", part: "title", fill: claim },
  ...KNOWING.map(([name, fill]) => ({ name, part: name, fill })),
  { name: "author", part: "author", fill: ({ author }) => element("code", {}, figures.short(author)) },
  { name: "flags", part: "flags", fill: ({ flags, unread }) => flagsOf(flags, unread) },
];

// The author's title, and the id that commands accept.
function claim({ result, title: name }) {
  const id = element("code", {}, figures.short(result));
  if (name === null) return link(`records/${result}`, id);
  return [link(`records/${result}`, quoted(name)), element("span", { class: "more" }, id)];
}

// The author's signed figures: the gain over the task's baseline, and its lower bound.
function claimed({ gain_anchor: gain, gain_anchor_lower: lower, metric, tries }) {
  const least = figures.isKnown(lower) ? `at least ${figures.signed(lower)}` : "no baseline runs";
  return [element("span", { class: "main" }, figures.signed(gain)), element("span", { class: "more" }, `${least}; ${figures.metric(metric)}, ${figures.many(tries, "try", "tries")}`)];
}

function others({ others: reruns }) {
  const counts = [`+${reruns.confirmed}`, `~${reruns.smaller}`, `−${reruns.refuted}`, reruns.unsupported ? `?${reruns.unsupported}` : null];
  const words = `${reruns.confirmed} confirmed, ${reruns.smaller} smaller, ${reruns.refuted} refuted, ${reruns.unsupported} not supported by their runs`;
  const least = figures.isKnown(reruns.gain_anchor_lower) ? `at least ${figures.signed(reruns.gain_anchor_lower)}` : "not measured";
  return [element("span", { class: "main", title: words }, counts.filter(Boolean).join(" ")), element("span", { class: "more" }, least)];
}

function here({ here: measured }) {
  if (!measured) return element("span", { class: "soft" }, "not measured");
  const gain = figures.isKnown(measured.gain) ? figures.signed(measured.gain) : "";
  return [badge(measured.recheck_pending ? "recheck_pending" : measured.verdict), element("span", { class: "more" }, `${gain} ${figures.many(measured.pairs, "pair")}`)];
}

function flagsOf(flags, unread) {
  const words = [...flags, ...(unread ?? []).map((language) => `unread: ${language}`)];
  return words.length > 0 ? quoted(words.join(", ")) : "";
}

function provenanceOf({ network_version: version, set_digest: set, board_digest: board, imported }) {
  const legend = "others: how many keys (not people) re-ran the claim and found it confirmed (+), smaller than claimed (~) or refuted (−). ? counts verdicts that their own runs do not support.";
  return [
    element("p", { class: "soft" }, legend),
    version === null ? null : element("p", { class: "soft" }, `network version ${version}, records ${figures.short(set)}, leaderboard ${figures.short(board)} (nodes with the same records show the same leaderboard)`),
    importedSection(imported ?? []),
  ];
}
