// A record. For a claim also its pairs, its re-runs and a button to verify it here.

import { withQuery, segment } from "../api.js";
import { diffView } from "../diff.js";
import { element, facts, link, plain, quoted, section } from "../dom.js";
import * as figures from "../figures.js";
import { fill } from "../visit.js";
import { LEVELS, badge } from "../words.js";
import { KNOWING, rankText } from "./board.js";
import { pairsSection } from "./pairs.js";
import { fieldsView } from "./fields.js";
import { timelineSection } from "./timeline.js";
import { verifyingSection } from "./verifying.js";

export const title = "Record";
const NANO = 1e9;
const MOST_ROWS = 1_000;
const MOST_RELATED = 40; // one request for each
const WITH_DIFF = new Set(["result", "rerun", "patch", "adopt"]);
const CLAIMS = new Set(["result"]);

export async function show(visit) {
  const record = await visit.get(`records/${segment(visit.parameters[0])}`);
  visit.setTitle(`${plain(record.kind)} ${figures.short(record.id)}`);
  const { body } = record;
  const called = element("div", {});
  visit.show(called);
  if (body.patch) fill(called, () => calledView(visit, body.patch));
  visit.show(envelope(record));
  if (record.kind === "result" && record.level === "here") visit.show(element("p", {}, link(`experiments/${record.id}`, "Open this record as an experiment of this node")));
  if (CLAIMS.has(record.kind) && visit.maySteer) visit.show(verifyingSection(visit, record, () => costsOf(visit, body)));
  if (CLAIMS.has(record.kind)) visit.show(await standing(visit, body, record.id));
  visit.show(pairsSection(claimedPairs(body)));
  const related = element("div", {}, element("p", { class: "soft" }, "Loading …"));
  visit.show(section("Related records", related));
  fill(related, () => relatedView(visit, record));
  if (WITH_DIFF.has(record.kind)) {
    const diff = element("div", {});
    visit.show(section("Diff", diff));
    fill(diff, async () => diffView((await visit.get(`records/${segment(record.id)}/diff`)).diff));
  }
  visit.show(marksSection(record.marks), timelineSection(record.timeline), section("All fields", fieldsView(body)));
}

// The author's title of the change, which is in the patch.
async function calledView(visit, patch) {
  const { body, author } = await visit.get(`records/${segment(patch)}`);
  return element("p", {}, quoted(body.title ?? ""), " ", link(`records/${patch}`, `title by ${figures.short(author)}`));
}

function envelope({ kind, id, author, seq, ts, level, retracted, signature_ok: isSigned }) {
  return element(
    "div",
    { class: "verdict" },
    retracted ? element("p", {}, element("strong", { class: "badge worse" }, "retracted"), " ", quoted(retracted)) : null,
    facts([
      ["kind", plain(kind)],
      ["id", element("code", {}, id)],
      ["author", element("code", {}, author)],
      ["evidence", `${plain(level)}: ${LEVELS[level] ?? ""}`],
      ["sequence number", String(seq)],
      ["when", `${figures.time(ts)}, by its author's clock`],
      ["signature", isSigned ? "valid" : "invalid"],
    ]),
  );
}

// The document of the claim's leaderboard, which has the costs of re-runs; nearly without rows.
const costsOf = (visit, { task, class: hardware }) => visit.get(withQuery(`boards/${segment(task)}/${segment(hardware)}`, { limit: 1 }));

// The claim's row on its leaderboard, if it is among the first MOST_ROWS.
async function standing(visit, { task, class: hardware }, id) {
  const place = element("div", {});
  await fill(place, async () => {
    const { boards } = await visit.get("boards");
    const board = boards.find((one) => one.task.id === task && one.class === hardware);
    if (!board) return null;
    const path = withQuery(`boards/${segment(task)}/${segment(hardware)}`, { network: board.network, limit: MOST_ROWS });
    const { rows, noise, scale } = await visit.get(path);
    const row = rows.find(({ result }) => result === id);
    if (!row) return element("p", { class: "soft" }, `The claim is not among the first ${MOST_ROWS.toLocaleString()} rows of its leaderboard.`);
    const known = KNOWING.map(([name, fillCell]) => element("div", { class: "card" }, element("h3", {}, name), fillCell({ ...row, noise, scale })));
    return section(row.rank === null ? "On its leaderboard" : `Rank ${rankText(row)} on its leaderboard`, element("div", { class: "cards knowing" }, known));
  });
  return place;
}

// The pairs among a record's runs, in the metric's unit.
function claimedPairs({ runs }) {
  const pairs = new Map();
  for (const { seed, role, secret } of runs ?? []) {
    const pair = pairs.get(seed) ?? { seed, base: null, candidate: null };
    if (role === "base" || role === "candidate") pair[role] = figures.isKnown(secret) ? secret / NANO : null;
    pairs.set(seed, pair);
  }
  return [...pairs.values()].filter(({ base, candidate }) => base !== null && candidate !== null);
}

async function relatedView(visit, { related }) {
  if (related.length === 0) return element("p", { class: "soft" }, "No other record refers to this one.");
  const found = await Promise.allSettled(related.slice(0, MOST_RELATED).map((id) => visit.get(`records/${segment(id)}`)));
  const records = found.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  const item = (record) =>
    element(
      "li",
      {},
      link(`records/${record.id}`, plain(record.kind), " ", element("code", {}, figures.short(record.id))),
      record.body.verdict ? [" ", badge(record.body.verdict)] : null,
      record.retracted ? [" ", element("span", { class: "badge worse" }, "retracted")] : null,
      element("span", { class: "soft" }, ` by ${figures.short(record.author)}${record.level === "here" ? " (this node)" : ""}, ${figures.time(record.ts)}`),
      record.body.title ? [" ", quoted(record.body.title)] : null,
    );
  const left = related.length - records.length;
  return [
    element("ul", { class: "plain-list" }, records.map(item)),
    left > 0 ? element("p", { class: "soft" }, `and ${figures.many(left, "more record")}`) : null,
  ];
}

function marksSection(marks) {
  if (marks === null || marks === undefined) return null;
  const item = (mark) => element("li", {}, quoted(typeof mark === "string" ? mark : Object.values(mark).join(" · ")));
  const none = element("p", { class: "soft" }, "Beyond plain computation, the code does nothing that the task's baseline does not do.");
  return section("What the code does that the baseline does not", marks.length > 0 ? element("ul", {}, marks.map(item)) : none);
}
