// A table of all experiments, with filters, sorting and search. Two of them can be compared.

import { withQuery } from "../api.js";
import { element, link, plain, refill, setText, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { chosenLine, lineChooser } from "../line.js";
import { RowList } from "../rows.js";
import { Pages } from "../sources.js";
import { atMostEvery, faultText } from "../visit.js";
import { DECISIONS, STAGES, badge, wording } from "../words.js";
import { importedSection } from "./imported.js";

export const title = "Experiments";
const TYPING_MS = 250;
const REREAD_MS = 700;
const SORTS = { ts: "time", metric: "metric", gain: "gain", title: "title", decision: "decision" };
const FILTERS = ["q", "decision", "stage", "origin", "sort", "order"];

export async function show(visit) {
  const { lines, line } = await chosenLine(visit);
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, visit.query.get(name) ?? ""]));
  const ofAll = lines.length > 1 && visit.query.get("all") === "1";
  const chosen = new Chosen();
  const count = element("p", { class: "soft count", role: "status" });
  const faults = element("div", {});
  const imported = element("div", {});
  const origins = element("datalist", { id: "origins" });
  let isFirst = true;
  const pages = new Pages(async (offset, limit) => {
    const scope = line === null || ofAll ? {} : { task: line.task.id, class: line.class };
    const answer = await visit.get(withQuery("experiments", { ...scope, ...wanted, offset, limit }));
    refill(faults);
    setText(count, `${figures.many(answer.total, "experiment")}${FILTERS.slice(0, 4).some((name) => wanted[name]) ? " found" : ""}`);
    if (isFirst) refill(imported, importedSection(answer.imported ?? []));
    isFirst = false;
    for (const { origin } of answer.experiments) addOrigin(origins, origin);
    return { total: answer.total, items: answer.experiments };
  });
  pages.failed = (fault) => refill(faults, faultText(fault));
  const sorted = sorting(wanted, () => again());
  const list = new RowList({
    caption: "Experiments",
    kind: "experiments",
    columns: columnsOf(chosen),
    source: pages,
    empty: "No matching experiments.",
    sorted,
    signal: visit.signal,
  });
  const again = () => {
    for (const show of sorted.shown) show({ sort: wanted.sort || "ts", order: wanted.order || "desc" });
    visit.remember(withQuery("experiments", { ...wanted, all: ofAll ? "1" : "" }));
    pages.restart();
    list.toTop();
  };
  for (const show of sorted.shown) show({ sort: wanted.sort || "ts", order: wanted.order || "desc" });
  const reread = atMostEvery(REREAD_MS, () => pages.reread());
  visit.on("experiment", reread);
  if (line !== null) visit.show(lineChooser(lines, line, () => dispatchEvent(new Event("hashchange"))));
  visit.show(filters(wanted, again), origins, faults, element("div", { class: "above-list" }, count, chosen.place), list.place, imported);
}

// The sort order, and the table headers that show it.
function sorting(wanted, again) {
  return {
    shown: [],
    by(sort) {
      const isSame = (wanted.sort || "ts") === sort;
      wanted.order = isSame && (wanted.order || "desc") === "desc" ? "asc" : "desc";
      wanted.sort = sort;
      again();
    },
  };
}

function filters(wanted, again) {
  const field = (label, control, kind = "") => element("label", { class: `field ${kind}` }, label, control);
  const choice = (name, options) =>
    element(
      "select",
      {
        name,
        on: {
          change: ({ target }) => {
            wanted[name] = target.value;
            again();
          },
        },
      },
      options.map(([value, words]) => element("option", { value, selected: wanted[name] === value }, words)),
    );
  const typed = (name, more) => {
    let timer = null;
    const input = ({ target }) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        wanted[name] = target.value.trim();
        again();
      }, TYPING_MS);
    };
    return element("input", { name, type: "search", value: wanted[name], autocomplete: "off", spellcheck: "false", on: { input }, ...more });
  };
  return element(
    "form",
    { class: "filters", role: "search", "aria-label": "Experiments", on: { submit: (event) => event.preventDefault() } },
    field("Search", typed("q", { placeholder: "title or id" })),
    field("Decision", choice("decision", [["", "all"], ...DECISIONS.map((one) => [one, wording(one).word])])),
    field("Stage", choice("stage", [["", "all"], ...STAGES.map((one) => [one, one])])),
    field("Proposed by", typed("origin", { list: "origins", placeholder: "anyone" })),
    field("Sort by", choice("sort", Object.entries(SORTS)), "narrow-only"),
    field("Order", choice("order", [["desc", "descending"], ["asc", "ascending"]]), "narrow-only"),
  );
}

function addOrigin(origins, origin) {
  const value = plain(origin);
  if (![...origins.options].some((one) => one.value === value)) origins.append(element("option", { value }));
}

function columnsOf(chosen) {
  return [
    { name: "compare", part: "chosen", fill: (item) => chosen.box(item) },
    { name: "title", part: "title", sort: "title", fill: ({ id, title: name }) => link(`experiments/${id}`, quoted(name)) },
    { name: "decision", part: "decision", sort: "decision", fill: ({ decision }) => badge(decision) },
    { name: "metric", part: "figure metric", sort: "metric", fill: ({ metric }) => figures.metric(metric) },
    { name: "gain", part: "figure gain", sort: "gain", fill: ({ gain }) => figures.signed(gain) },
    { name: "stage", part: "stage", fill: ({ stage }) => plain(stage) },
    { name: "by", part: "origin", fill: ({ origin }) => quoted(origin) },
    { name: "time", part: "time", sort: "ts", fill: ({ ts }) => figures.time(ts) },
  ];
}

// The two experiments to compare. Ticking a third drops the first.
class Chosen {
  #ids = [];
  place = element("p", { class: "chosen-two" });

  constructor() {
    this.#show();
  }

  box({ id, title: name }) {
    const change = ({ target }) => {
      this.#ids = target.checked ? [...this.#ids, id].slice(-2) : this.#ids.filter((one) => one !== id);
      for (const box of document.querySelectorAll(".chosen input")) box.checked = this.#ids.includes(box.value);
      this.#show();
    };
    return element("input", { type: "checkbox", value: id, checked: this.#ids.includes(id), "aria-label": `compare: ${plain(name)}`, on: { change } });
  }

  #show() {
    const [one, other] = this.#ids;
    if (other) refill(this.place, link(`compare/${one}/${other}`, "Compare the two"));
    else refill(this.place, element("span", { class: "soft" }, one ? "tick one more to compare" : "tick two experiments to compare"));
  }
}
