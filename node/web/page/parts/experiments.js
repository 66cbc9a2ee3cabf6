// The list of all experiments: filters, columns, sorting, selection, tags and export. The address has
// the whole state.

import { withQuery } from "../api.js";
import { append, element, emptyState, refill, setText } from "../dom.js";
import * as figures from "../figures.js";
import { chosenLine, lineChooser } from "../line.js";
import { RowList } from "../rows.js";
import { Pages } from "../sources.js";
import { atMostEvery, faultText } from "../visit.js";
import { briefColumn, columnOf, firstColumns, forgetColumns, rememberColumns, shownColumns } from "./experiment_columns.js";
import { ColumnChoice, Filters } from "./experiment_filters.js";
import { exportButtons } from "./export.js";
import { importedSection } from "./imported.js";
import { Selection } from "./selection.js";
import { starOf } from "./tags.js";

export const title = "Experiments";
const REREAD_MS = 700;
const FILTERS = ["q", "decision", "stage", "origin", "tag", "since"];
const STATE = [...FILTERS, "sort", "order"];
const GAP_REM = 0.9;
const narrow = matchMedia("(max-width: 40rem)"); // as in the style sheet

export async function show(visit) {
  const { lines, line } = await chosenLine(visit);
  const view = new View(visit, line, lines);
  await view.begin(lines);
}

class View {
  #visit;
  #line;
  #ofAll;
  #scope;
  #wanted;
  #names;
  #found = { total: 0, hyperparameters: [] };
  #total = null;
  #count = element("p", { class: "soft count", role: "status" });
  #kinds = element("p", { class: "soft kinds" });
  #faults = element("div", {});
  #imported = element("div", {});
  #tagNames = element("datalist", { id: "tags" });
  #empty = element("div", {});
  #pages;
  #list;
  #filters;
  #choice;
  #selection;
  #sorted;

  constructor(visit, line, lines) {
    this.#visit = visit;
    this.#line = line;
    this.#ofAll = lines.length > 1 && visit.query.get("all") === "1";
    this.#scope = line === null || this.#ofAll ? {} : { task: line.task.id, class: line.class };
    this.#wanted = Object.fromEntries(STATE.map((name) => [name, visit.query.get(name) ?? ""]));
  }

  get #task() {
    return this.#scope.task ?? "all";
  }

  async begin(lines) {
    const visit = this.#visit;
    this.#found = await visit.get(withQuery("experiments/filters", this.#scope));
    if (visit.signal.aborted) return;
    this.#names = shownColumns(visit.query.get("columns"), this.#task, this.#found);
    this.#make();
    if (this.#line !== null) visit.show(lineChooser(lines, this.#line));
    visit.show(
      this.#filters.place,
      this.#tagNames,
      this.#faults,
      element("div", { class: "above-list" }, element("div", {}, this.#count, this.#kinds), element("div", { class: "actions" }, this.#buttons())),
      this.#selection.place,
      this.#list.place,
      this.#imported,
    );
    this.#putFound();
    this.#setWidths();
    this.#showOrder();
    this.#keys();
    narrow.addEventListener("change", () => this.#putColumns(), { signal: visit.signal });
    const reread = atMostEvery(REREAD_MS, () => this.#reread());
    visit.on("experiment", reread);
  }

  #make() {
    const failed = (fault) => refill(this.#faults, fault);
    this.#filters = new Filters(this.#wanted, () => this.#again());
    this.#choice = new ColumnChoice({ shown: () => this.#names, choose: (names) => this.#choose(names) });
    this.#selection = new Selection(this.#visit, { changed: () => this.#reread(), failed });
    this.#sorted = { shown: [], by: (sort) => this.#sortBy(sort) };
    this.#pages = new Pages((offset, limit) => this.#read(offset, limit));
    this.#pages.failed = (fault) => failed(faultText(fault, () => this.#again()));
    this.#list = new RowList({
      caption: "Experiments",
      kind: "experiments",
      columns: this.#columns(),
      source: this.#pages,
      empty: this.#empty,
      sorted: this.#sorted,
      isSelected: (item) => this.#selection.has(item),
      signal: this.#visit.signal,
    });
  }

  #buttons() {
    const query = () => ({ ...this.#scope, ...this.#wanted });
    return [this.#choice.place, exportButtons(this.#visit, { wanted: query, columns: () => this.#names, message: this.#faults })];
  }

  #keys() {
    const visit = this.#visit;
    visit.key("j", "next experiment", () => this.#list.move(1));
    visit.key("k", "previous experiment", () => this.#list.move(-1));
    visit.key("x", "select the experiment", () => this.#selection.toggle(this.#list.active));
    visit.key("c", "compare the selected experiments", () => this.#selection.compare());
  }

  async #read(offset, limit) {
    const answer = await this.#visit.get(withQuery("experiments", { ...this.#scope, ...this.#wanted, offset, limit }));
    refill(this.#faults);
    this.#total = answer.total;
    this.#showCount();
    if (offset === 0 && answer.imported?.length > 0 && this.#imported.childElementCount === 0) refill(this.#imported, importedSection(answer.imported));
    return { total: answer.total, items: answer.experiments };
  }

  async #reread() {
    this.#pages.reread();
    try {
      this.#found = await this.#visit.get(withQuery("experiments/filters", this.#scope));
      this.#putFound();
    } catch {
      // the list shows the same fault
    }
  }

  #putFound() {
    this.#filters.put(this.#found);
    this.#choice.put(this.#found.hyperparameters);
    refill(this.#tagNames, this.#found.tags.map(({ value }) => element("option", { value })));
    this.#showCount();
  }

  // Returns whether a filter is set.
  get #isFiltered() {
    return FILTERS.some((name) => this.#wanted[name]);
  }

  #showCount() {
    if (this.#total === null) return;
    const all = Math.max(this.#found.total, this.#total);
    setText(this.#count, this.#isFiltered ? `${this.#total.toLocaleString()} of ${figures.many(all, "experiment")}` : figures.many(this.#total, "experiment"));
    setText(this.#kinds, kindWords(this.#found.stages ?? []));
    if (this.#total === 0) refill(this.#empty, this.#isFiltered ? this.#noMatch() : emptyState("No experiments yet", "Each run of a patch will be listed here with its decision, score and changed hyperparameters.", "arnode start"));
  }

  #noMatch() {
    const clear = () => {
      for (const name of FILTERS) this.#wanted[name] = "";
      this.#filters.show();
      this.#again();
    };
    return append(emptyState("No experiment matches these filters", "Remove one of them, or all."), element("button", { type: "button", class: "quiet", on: { click: clear } }, "Clear the filters"));
  }

  #columns() {
    const sd = this.#ofAll ? null : (this.#line?.noise_sd ?? null);
    const failed = (fault) => refill(this.#faults, fault);
    const first = firstColumns({ box: (item) => this.#selection.box(item), star: (item) => starOf(this.#visit, item, failed) });
    if (narrow.matches) return [...first, briefColumn(this.#names, sd)];
    return [...first, ...this.#names.map(columnOf).map((one) => ({ ...one, fill: (item) => one.fill(item, sd) }))];
  }

  #putColumns() {
    this.#list.setColumns(this.#columns());
    this.#setWidths();
    this.#showOrder();
  }

  #sortBy(sort) {
    const isSame = (this.#wanted.sort || "ts") === sort;
    this.#wanted.order = isSame && (this.#wanted.order || "desc") === "desc" ? "asc" : "desc";
    this.#wanted.sort = sort;
    this.#filters.show();
    this.#again();
  }

  #choose(names) {
    if (names === null) forgetColumns(this.#task);
    else rememberColumns(names.length > 0 ? names : ["title"], this.#task);
    this.#names = shownColumns(null, this.#task, this.#found);
    if (names === null) this.#choice.put(this.#found.hyperparameters);
    this.#putColumns();
    this.#remember();
  }

  #showOrder() {
    for (const show of this.#sorted.shown) show({ sort: this.#wanted.sort || "ts", order: this.#wanted.order || "desc" });
  }

  #setWidths() {
    const columns = this.#columns();
    const tracks = columns.map(({ part, width }) => (part === "title" ? `minmax(${width}rem, 1fr)` : `${width}rem`));
    const total = columns.reduce((sum, { width }) => sum + width + GAP_REM, 1);
    this.#list.place.style.setProperty("--wide-columns", tracks.join(" "));
    this.#list.place.style.setProperty("--wide", `${total}rem`);
  }

  #remember() {
    const usual = shownColumns(null, this.#task, this.#found).join(",");
    const columns = this.#names.join(",");
    const isUsual = columns === usual && localStorage.getItem(`arnode.columns.${this.#task}`) === null;
    this.#visit.remember(withQuery("experiments", { ...this.#wanted, all: this.#ofAll ? "1" : "", columns: isUsual ? "" : columns || "title" }));
  }

  #again() {
    this.#showOrder();
    this.#remember();
    this.#pages.restart();
    this.#list.toTop();
  }
}

// Returns what all experiments of the line are. Only patches count as tried on the other tabs.
function kindWords(stages) {
  const counts = new Map(stages.map(({ value, count }) => [value, count]));
  const sum = (...names) => names.reduce((total, name) => total + (counts.get(name) ?? 0), 0);
  const kinds = [[sum("screen", "keep"), "patch", "patches"], [sum("confirm"), "promotion trial"], [sum("baseline"), "baseline"]];
  return kinds.filter(([count]) => count > 0).map((one) => figures.many(...one)).join(", ");
}
