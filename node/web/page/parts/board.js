// A leaderboard: the claimed gains, peers' re-runs, and this node's own measurements.

import { withQuery, segment } from "../api.js";
import { gainBar } from "../charts/gain_bar.js";
import { element, emptyState, link, plain, refill, setText, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { RowList } from "../rows.js";
import { Pages } from "../sources.js";
import { atMostEvery, faultText } from "../visit.js";
import { LEVELS, badge } from "../words.js";
import { importedSection } from "./imported.js";
import { Verifying } from "./verifying.js";

export const title = "Leaderboard";
const REREAD_MS = 2_000;
const KINDS = new Set(["result", "rerun", "adopt", "retract", "task", "revoke"]);
const EMPTY = {
  claimed: ["No claims yet", "Each row will be a source whose gain was confirmed in a promotion trial.", "arnode start"],
  others: ["No other key found a gain yet", "Rows are shown here once another node's re-run finds a gain. A re-run of your own:", "arnode verify ID"],
  here: ["Nothing here was measured on this machine yet", "Rows are shown here once this node has re-run them.", "arnode verify ID"],
};

export async function show(visit) {
  const [task, hardware] = visit.parameters;
  const path = `boards/${segment(task)}/${segment(hardware)}`;
  const network = visit.query.get("network") ?? "";
  const asked = visit.query.get("level");
  const wanted = { network, level: Object.hasOwn(LEVELS, asked ?? "") ? asked : "claimed" };
  const count = element("p", { class: "soft count", role: "status" });
  const faults = element("div", {});
  const above = element("div", {});
  const below = element("div", {});
  const empty = element("div", {});
  const verifying = new Verifying(visit);
  const pages = new Pages(async (offset, limit) => {
    const data = await visit.get(withQuery(path, { ...wanted, offset, limit }));
    refill(faults);
    visit.setTitle(data.task ? `${plain(data.task.name)} on ${plain(data.class)}` : "Leaderboard");
    setText(count, `${figures.many(data.total, "row")}, network ${plain(data.network)}`);
    refill(empty, emptyState(...EMPTY[wanted.level]));
    refill(above, data.why_unranked ? element("p", { class: "unranked" }, `This task is ${data.why_unranked}.`) : null);
    refill(below, provenanceOf(data));
    verifying.put(data);
    const { noise, scale } = data;
    return { total: data.total, items: data.rows.map((row) => ({ ...row, noise, scale })) };
  });
  pages.failed = (fault) => refill(faults, faultText(fault, () => pages.restart()));
  const list = new RowList({
    caption: "Rows of the leaderboard",
    kind: "board",
    columns: visit.maySteer ? [...COLUMNS, { name: "verify here", part: "verify", fill: (row) => verifying.cell(row) }] : COLUMNS,
    source: pages,
    empty,
    signal: visit.signal,
  });
  if (visit.maySteer) list.place.classList.add("steers");
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
  verifying.onVerdict = reread;
  visit.show(above, levels(wanted.level, level), faults, element("div", { class: "above-list" }, count), list.place, below);
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
  return element("fieldset", { class: "levels" }, element("legend", {}, "Show rows by evidence"), Object.entries(LEVELS).map(option));
}

// The three kinds of evidence. The page of a claim shows them too.
export const KNOWING = [["claimed", claimed], ["others", others], ["here", here]];

const COLUMNS = [
  { name: "rank", part: "figure rank", fill: (row) => (refutedBy(row) === null ? rankText(row) : element("s", { class: "soft" }, rankText(row))) },
  { name: "claim", part: "title", fill: claim },
  ...KNOWING.map(([name, fill]) => ({ name, part: name, fill })),
  { name: "author", part: "author", fill: ({ author }) => element("code", {}, figures.short(author)) },
  { name: "flags", part: "flags", fill: ({ flags, unread }) => flagsOf(flags, unread) },
];

// Rows of a group of equals have all ranks of the group, such as 1–3.
export function rankText({ rank, rank_last: last }) {
  if (rank === null) return "–";
  return rank === last ? String(rank) : `${rank}–${last}`;
}

// The author's title, and the id that commands accept.
function claim(row) {
  const { result, title: name } = row;
  const id = element("code", {}, figures.short(result));
  const refuted = refutedBy(row);
  const mark = refuted === null ? null : element("span", { class: "badge worse" }, refuted);
  if (name === null) return [link(`records/${result}`, id), " ", mark];
  return [link(`records/${result}`, quoted(name)), element("span", { class: "more" }, mark, mark && " ", id)];
}

// Returns who refuted a claim, if nobody's runs support it; else null. The order of the rows is that of all
// nodes, in which refuted claims may come first.
export function refutedBy({ others: reruns, here: measured }) {
  if (measured?.verdict === "refuted") return "refuted here";
  const isRefuted = reruns.refuted > 0 && reruns.confirmed + reruns.smaller === 0 && !measured;
  return isRefuted ? `refuted by ${figures.many(reruns.refuted, "key")}` : null;
}

// The author's signed figures: the gain over the task's baseline, and its lower bound.
function claimed({ gain_anchor: gain, gain_anchor_lower: lower, metric, tries, noise, scale }) {
  const words = figures.isKnown(gain) ? leastOf(lower, noise) : "no baseline runs";
  return [
    element("span", { class: "main" }, figures.gain(gain, noise)),
    gainBar("claimed", { gain, lower, noise, scale }),
    element("span", { class: "more" }, `${words}; ${figures.metric(metric, noise)}, ${figures.many(tries, "try", "tries")}`),
  ];
}

function others({ others: reruns, noise, scale }) {
  const counts = [`+${reruns.confirmed}`, `~${reruns.smaller}`, `−${reruns.refuted}`, reruns.unsupported ? `?${reruns.unsupported}` : null];
  const words = `${reruns.confirmed} confirmed, ${reruns.smaller} smaller, ${reruns.refuted} refuted, ${reruns.unsupported} not supported by their runs`;
  const { gain_anchor: gain, gain_anchor_lower: lower } = reruns;
  const least = figures.isKnown(lower) ? `, ≥ ${figures.signed(lower, noise)}` : "";
  const known = figures.isKnown(gain) ? `${figures.gain(gain, noise)}${least}` : "no gain measured";
  return [element("span", { class: "main", title: words }, counts.filter(Boolean).join(" ")), gainBar("others", { gain, lower, noise, scale }), element("span", { class: "more" }, known)];
}

function here({ here: measured, noise, scale }) {
  if (!measured) return element("span", { class: "soft" }, "not measured");
  const { gain, gain_anchor: overBaseline, gain_anchor_lower: lower } = measured;
  const known = figures.isKnown(overBaseline) ? figures.gain(overBaseline, noise) : figures.isKnown(gain) ? `${figures.gain(gain, noise)} over its base` : null;
  return [
    badge(measured.recheck_pending ? "recheck_pending" : measured.verdict),
    element("span", { class: "soft" }, ` ${figures.many(measured.pairs, "pair")}`),
    gainBar("here", { gain: overBaseline, lower, noise, scale }),
    known === null ? null : element("span", { class: "more" }, known),
  ];
}

const leastOf = (lower, noise) => (figures.isKnown(lower) ? `at least ${figures.signed(lower, noise)}` : "no lower bound");

function flagsOf(flags, unread) {
  const words = [...flags, ...(unread ?? []).map((language) => `unread: ${language}`)];
  return words.length > 0 ? quoted(words.join(", ")) : "";
}

function provenanceOf({ network_version: version, set_digest: set, board_digest: board, imported }) {
  const legend = "Rows with the same range of ranks, such as 1–3, are equals: their intervals overlap. A bar is the interval from the lower bound to the measured gain (the tick), on one scale in all rows and columns; an arrow means that it goes on. others: how many keys (not people) re-ran the claim and found it confirmed (+), smaller than claimed (~) or refuted (−). ? counts verdicts that their own runs do not support.";
  return [
    element("p", { class: "soft" }, legend),
    version === null ? null : element("p", { class: "soft" }, `network version ${version}, records ${figures.short(set)}, leaderboard ${figures.short(board)} (nodes with the same records show the same leaderboard)`),
    importedSection(imported ?? []),
  ];
}
