// The visits of models and coding agents: all of them, or one with its steps.

import { append, element, link, quoted, refill, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { attempt } from "../visit.js";
import { dollars, refusalBadge, took, traceView } from "./trace.js";

const PAGE = 50;
const COLUMNS = [
  { name: "when" },
  { name: "asked" },
  { name: "result" },
  { name: "questions", figure: true },
  { name: "tokens", figure: true },
  { name: "cost", figure: true },
  { name: "took", figure: true },
];

export const title = "Visits";

export async function show(visit) {
  const [number] = visit.parameters;
  await (number === undefined ? showAll(visit) : showOne(visit, number));
}

async function showOne(visit, number) {
  const data = await visit.get(`traces/${number}`);
  const { title: name, experiments } = data.visit;
  visit.setTitle(`Visit ${number}`);
  const links = experiments.map((id) => [" ", link(`experiments/${id}`, figures.short(id))]);
  visit.show(
    name ? element("p", {}, "It proposed ", quoted(name), experiments.length > 0 ? [", tried in", links] : ".") : null,
    traceView(data),
    element("p", {}, link("visits", "All visits")),
  );
}

async function showAll(visit) {
  visit.show(element("p", { class: "soft" }, "What language models and coding agents were asked for a proposal, what they said and changed, and what it cost. Only you can see this: it never leaves this machine. The latest 300 are kept."));
  const isOpen = visit.query.get("without") === "experiments";
  const only = element("input", { type: "checkbox" });
  only.checked = isOpen;
  const list = element("div", { class: "visits" });
  only.addEventListener("change", () => {
    visit.remember(only.checked ? "visits?without=experiments" : "visits");
    read(visit, list, only.checked);
  });
  visit.show(element("p", { class: "filters" }, element("label", {}, only, " Only those without an experiment")), list);
  await read(visit, list, isOpen);
}

async function read(visit, list, isOpen) {
  const get = (offset) => visit.get(`traces?limit=${PAGE}&offset=${offset}${isOpen ? "&without=experiments" : ""}`);
  const first = await get(0);
  if (first.total === 0) {
    refill(list, empty(isOpen));
    return;
  }
  refill(list, tableOf("Visits", first.visits));
  let shown = first.visits.length;
  if (shown >= first.total) return;
  const outcome = element("div", {});
  const more = element("button", { type: "button", class: "quiet" }, "Show more");
  more.addEventListener("click", () => attempt(more, outcome, async () => {
    const { visits, total } = await get(shown);
    more.before(tableOf(`Visits after ${shown}`, visits));
    shown += visits.length;
    if (shown >= total) more.remove();
  }));
  append(list, more, outcome);
}

function empty(isOpen) {
  if (isOpen) return element("p", { class: "soft" }, "Every stored visit led to an experiment.");
  return section(
    "No visits yet",
    element("p", {}, "They appear once a language model or a coding agent is asked for a proposal: ", element("code", {}, "arnode start --agent claude"), "."),
  );
}

function tableOf(caption, visits) {
  return table(caption, COLUMNS, visits.map(row));
}

function row(one) {
  return [
    link(`visits/${one.id}`, figures.time(one.ts)),
    quoted(one.proposer),
    [
      one.title ? quoted(one.title) : null,
      one.experiments.map((id) => [" ", link(`experiments/${id}`, figures.short(id))]),
      one.refused ? [" ", refusalBadge(one.refused)] : null,
    ],
    one.calls.toLocaleString(),
    (one.tokens_in + one.tokens_out).toLocaleString(),
    dollars(one.usd),
    took(one.ms),
  ];
}
