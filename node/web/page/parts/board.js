// One board, of any length: what is claimed, what others bear out, what was measured here.

import { asked, segment } from "../api.js";
import { element, link, plain, refill, retell, said } from "../dom.js";
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
    const told = await visit.get(asked(path, { ...wanted, offset, limit }));
    refill(faults);
    visit.entitle(told.task ? `${plain(told.task.name)} on ${plain(told.class)}` : "Leaderboard");
    retell(count, `${figures.many(told.total, "row")}, network ${plain(told.network)}`);
    refill(below, provenanceOf(told));
    return { total: told.total, items: told.rows };
  });
  pages.failed = (fault) => refill(faults, faultText(fault));
  const list = new RowList({
    caption: "Rows of the leaderboard",
    kind: "board",
    columns: COLUMNS,
    source: pages,
    empty: "No such row.",
    signal: visit.signal,
  });
  const level = (value) => {
    wanted.level = value;
    visit.remember(asked(path, wanted));
    pages.restart();
    list.toTop();
  };
  const reread = atMostEvery(REREAD_MS, () => pages.reread());
  visit.hear("record", ({ kind }) => {
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

// The three ways of knowing, which a claim's own page shows as well.
export const KNOWING = [["claimed", claimed], ["others", others], ["here", here]];

const COLUMNS = [
  { name: "rank", part: "figure rank", fill: ({ rank, tie }) => (rank === null ? "–" : `${rank}${tie ? "=" : ""}`) },
  { name: "claim", part: "title", fill: claim },
  ...KNOWING.map(([name, fill]) => ({ name, part: name, fill })),
  { name: "author", part: "author", fill: ({ author }) => element("code", {}, figures.short(author)) },
  { name: "flags", part: "flags", fill: ({ flags, unread }) => flagsOf(flags, unread) },
];

// What its author calls it, and the id by which commands take it.
function claim({ result, title: name }) {
  const id = element("code", {}, figures.short(result));
  if (name === null) return link(`records/${result}`, id);
  return [link(`records/${result}`, said(name)), element("span", { class: "more" }, id)];
}

// What its author's key signed: the gain over the task's baseline, and the least that it may be.
function claimed({ gain_anchor: gain, gain_anchor_lower: lower, metric, tries }) {
  const least = figures.isKnown(lower) ? `at least ${figures.signed(lower)}` : "no anchor";
  return [element("span", { class: "main" }, figures.signed(gain)), element("span", { class: "more" }, `${least}; ${figures.metric(metric)}, ${figures.many(tries, "try", "tries")}`)];
}

function others({ others: said }) {
  const counts = [`+${said.confirmed}`, `~${said.smaller}`, `−${said.refuted}`, said.unsupported ? `?${said.unsupported}` : null];
  const words = `${said.confirmed} confirmed, ${said.smaller} smaller, ${said.refuted} refuted, ${said.unsupported} not supported`;
  const least = figures.isKnown(said.gain_anchor_lower) ? `at least ${figures.signed(said.gain_anchor_lower)}` : "not measured";
  return [element("span", { class: "main", title: words }, counts.filter(Boolean).join(" ")), element("span", { class: "more" }, least)];
}

function here({ here: measured }) {
  if (!measured) return element("span", { class: "soft" }, "not measured");
  const gain = figures.isKnown(measured.gain) ? figures.signed(measured.gain) : "";
  return [badge(measured.recheck_pending ? "recheck_pending" : measured.verdict), element("span", { class: "more" }, `${gain} ${figures.many(measured.pairs, "pair")}`)];
}

function flagsOf(flags, unread) {
  const told = [...flags, ...(unread ?? []).map((language) => `unread: ${language}`)];
  return told.length > 0 ? said(told.join(", ")) : "";
}

function provenanceOf({ network_version: version, set_digest: set, board_digest: board, imported }) {
  const legend = "others: keys, not people, that re-ran it (+ confirmed, ~ smaller than claimed, − refuted; ? their runs do not support their verdict).";
  return [
    element("p", { class: "soft" }, legend),
    version === null ? null : element("p", { class: "soft" }, `network version ${version}, records ${figures.short(set)}, board ${figures.short(board)}(nodes with the same records show the same)`),
    importedSection(imported ?? []),
  ];
}
