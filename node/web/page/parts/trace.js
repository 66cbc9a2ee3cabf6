// The steps of a visit of a model or a coding agent, as a tree that opens and closes.

import { diffView } from "../diff.js";
import { element, facts, plain, quoted, quotedLines } from "../dom.js";
import * as figures from "../figures.js";

const GIST = 110; // characters of a closed step
const SHORT = 40; // lines of an edit that is open at first
const KINDS = {
  prompt: "Prompt",
  answer: "Answer",
  reply: "Reply",
  thought: "Thought",
  tool: "Tool",
  output: "Output",
  edit: "Edit",
  choice: "Choice",
  refusal: "Refused",
};

export function traceView({ visit, steps, dropped }) {
  const tree = element("ol", { class: "trace" }, grouped(steps).map(groupView));
  return [
    visitFacts(visit),
    element("p", { class: "controls" }, opener(tree, "Open all", true), opener(tree, "Close all", false)),
    tree,
    dropped > 0 ? element("p", { class: "soft" }, `${figures.many(dropped, "step")} in the middle were too many to store.`) : null,
    visit.refused ? element("p", {}, refusalBadge(visit.refused), " ", quoted(visit.reason)) : null,
  ];
}

export function refusalBadge(refused) {
  return element("span", { class: "badge bad" }, plain(refused));
}

export function dollars(usd) {
  if (!figures.isKnown(usd)) return null;
  return usd === 0 ? "$0" : `$${usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2)}`;
}

export function tokens({ tokens_in: read, tokens_out: written }) {
  if (!read && !written) return null;
  return `${(read ?? 0).toLocaleString()} + ${(written ?? 0).toLocaleString()} tokens`;
}

function visitFacts(visit) {
  return facts([
    ["asked", quoted(visit.proposer)],
    ["when", figures.time(visit.ts)],
    ["took", took(visit.ms)],
    ["questions", visit.calls.toLocaleString()],
    ["tokens read + written", `${visit.tokens_in.toLocaleString()} + ${visit.tokens_out.toLocaleString()}`],
    ["cost", dollars(visit.usd)],
  ]);
}

export function took(ms) {
  if (!figures.isKnown(ms)) return null;
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : figures.span(ms / 1000);
}

function opener(tree, name, isOpen) {
  const click = () => {
    for (const one of tree.querySelectorAll("details")) one.open = isOpen;
  };
  return element("button", { type: "button", class: "quiet", on: { click } }, name);
}

// Returns the steps in order. Those of one of several proposals are together.
function grouped(steps) {
  const groups = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (step.draft && last?.draft === step.draft) last.steps.push(step);
    else groups.push({ draft: step.draft, steps: [step] });
  }
  return groups;
}

function groupView({ draft, steps }) {
  if (!draft) return steps.map(stepView);
  const title = element("summary", {}, element("span", { class: "kind" }, `Proposal ${draft}`), element("span", { class: "soft" }, figures.many(steps.length, "step")));
  return element("li", {}, element("details", { open: true }, title, element("ol", { class: "trace" }, steps.map(stepView))));
}

function stepView(step) {
  const isEdit = step.kind === "edit";
  const isOpen = isEdit && step.text.split("\n").length <= SHORT;
  const body = isEdit ? diffView(step.text, "Edit") : quotedLines(step.text || "(empty)", { label: KINDS[step.kind] ?? "Step" });
  const cost = [tokens(step), step.usd ? dollars(step.usd) : null, took(step.ms)].filter(Boolean).join(" · ");
  const summary = element(
    "summary",
    {},
    element("span", { class: "kind" }, KINDS[step.kind] ?? plain(step.kind)),
    step.refused ? refusalBadge(step.refused) : null,
    step.who && step.who !== "user" ? quoted(step.who) : null,
    step.files.map(fileView),
    cost ? element("span", { class: "soft cost" }, cost) : null,
    isEdit ? null : element("span", { class: "gist" }, quoted(gist(step.text))),
  );
  return element("li", { class: step.refused ? "refused" : null }, element("details", { open: isOpen }, summary, body));
}

function fileView({ path, added, removed }) {
  return element("span", {}, quoted(path), " ", element("span", { class: "plus" }, `+${added}`), " ", element("span", { class: "minus" }, `−${removed}`));
}

function gist(text) {
  const line = text.trimStart().slice(0, 4 * GIST).replace(/\s+/g, " ");
  return line.length > GIST ? `${line.slice(0, GIST)}…` : line;
}
