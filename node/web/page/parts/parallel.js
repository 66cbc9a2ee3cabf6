// Insights, parallel coordinates: experiments as lines across their hyperparameters and the score.
// Axes and brushes are in the address.

import { withQuery } from "../api.js";
import { axisOf, rangeOf } from "../charts/axes.js";
import { Parallel, stepsOf, unscoredPlace } from "../charts/parallel.js";
import { betterWords } from "../charts/scale.js";
import { element, emptyState, plain, quoted, refill, setText } from "../dom.js";
import * as figures from "../figures.js";
import { ofLine, showLine } from "../line.js";
import { rowsOf, valueTable, valueWords } from "./value_table.js";

const USUAL = 6; // hyperparameters
const USUAL_NARROW = 2; // with the score they fit on a phone
const ROUNDING = 1e-5; // of a range in the address
const SCORE = "score"; // the last axis; hyperparameters are in capitals

const narrow = matchMedia("(max-width: 40rem)"); // as in the style sheet

export const show = (visit) =>
  showLine(visit, nothing, async (line) => {
    const found = await visit.get(ofLine("hyperparameters", line));
    return found.experiments.id.length === 0 ? nothing() : new ParallelView(visit, found, line.noise_sd ?? null).place;
  });

const nothing = () => emptyState("No hyperparameter was changed yet", "Each experiment will be a line here, across the values of its hyperparameters and its score.", "arnode start");

class ParallelView {
  #visit;
  #found;
  #sd;
  #rows;
  #axes = new Map(); // all, by name
  #names;
  #brushes; // by name, as two places
  #plot;
  #ending = new AbortController();
  #count = element("p", { class: "soft", role: "status" });
  #chips = element("div", { class: "actions" });
  #table = element("div", {});
  #choice = element("details", { class: "chooser end" });
  #choiceWords = element("summary", {});
  place;

  constructor(visit, found, sd) {
    this.#visit = visit;
    this.#found = found;
    this.#sd = sd;
    this.#rows = rowsOf(found, sd);
    for (const [name, values] of Object.entries(found.values)) {
      const axis = axisOf(name, values);
      this.#axes.set(name, { ...axis, note: axis.isLog ? "logarithmic" : null });
    }
    this.#axes.set(SCORE, this.#scoreAxis());
    const { stepOf } = this.#axes.get(SCORE).steps;
    for (const row of this.#rows) row.step = stepOf(row.metric);
    const wanted = (visit.query.get("axes") ?? "").split(",").filter((name) => name !== SCORE && this.#axes.has(name));
    this.#names = wanted.length > 0 ? wanted : this.#usual;
    this.#brushes = this.#readBrushes(visit.query.get("brushes"));
    this.#plot = new Parallel({
      name: "Hyperparameters and score",
      open: ({ id }) => (location.hash = `#/experiments/${id}`),
      onBrush: (name, ends) => this.#brush(name, ends),
      detailOf: (id) => visit.get(`experiments/${id}`),
      signal: visit.signal,
    });
    this.place = element(
      "div",
      {},
      element("div", { class: "toolbar" }, this.#count, this.#chips, this.#choice),
      this.#plot.place,
      element("p", { class: "soft" }, "Drag along an axis to select a range; click the axis to remove it. A click on a line opens the experiment. A line goes past an axis on which its value is unknown."),
      element("h2", {}, "The same as a table"),
      this.#table,
    );
    this.#putChoice();
    this.#putPlot();
    this.#filter();
  }

  get #usual() {
    const varied = this.#found.hyperparameters.map(({ name }) => name).filter((name) => this.#axes.get(name)?.ticks.length > 1);
    return varied.slice(0, narrow.matches ? USUAL_NARROW : USUAL);
  }

  // The axis of the score, whose rare, far worse values are at its end.
  #scoreAxis() {
    const { metric, experiments } = this.#found;
    const [low, high] = rangeOf(experiments.metric, metric.direction);
    const axis = axisOf(SCORE, [low, high]);
    const at = (value) => (figures.isKnown(value) ? Math.min(1, Math.max(0, axis.at(value))) : unscoredPlace);
    return { ...axis, at, isLog: false, title: metric.name || metric.unit, note: betterWords(metric), steps: stepsOf(experiments.metric, metric.direction), sd: this.#sd };
  }

  #putChoice() {
    const box = ({ name, count }) =>
      element("label", {}, element("input", { type: "checkbox", value: name, checked: this.#names.includes(name), on: { change: ({ target }) => this.#choose(name, target.checked) } }), " ", quoted(name), element("span", { class: "soft" }, ` ${figures.many(count, "patch", "patches")}`));
    const known = this.#found.hyperparameters.filter(({ name }) => this.#axes.has(name));
    refill(this.#choice, this.#choiceWords, element("div", { class: "card" }, element("div", { class: "choices" }, element("fieldset", {}, element("legend", {}, "Hyperparameters"), known.map(box)))));
    this.#choice.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.#choice.open) return;
      this.#choice.open = false;
      this.#choiceWords.focus();
    });
  }

  #choose(name, isOn) {
    const order = this.#found.hyperparameters.map((one) => one.name);
    const names = order.filter((one) => (one === name ? isOn : this.#names.includes(one)));
    this.#names = names.length > 0 ? names : this.#usual;
    this.#brushes.delete(name);
    this.#putPlot();
    this.#changed();
  }

  #putPlot() {
    const axes = [...this.#names, SCORE].map((name) => this.#axes.get(name));
    for (const row of this.#rows) row.places = axes.map((axis) => axis.at(axis.name === SCORE ? row.metric : (row.values.get(axis.name) ?? null)));
    setText(this.#choiceWords, `${this.#names.length} of ${figures.many(this.#axes.size - 1, "changed hyperparameter")}`);
    const label = `${figures.many(this.#rows.length, "experiment")} across ${figures.many(this.#names.length, "hyperparameter")} and the score; the table below lists them`;
    this.#plot.put({ axes, rows: this.#rows, label });
  }

  #brush(name, ends) {
    if (ends === null) this.#brushes.delete(name);
    else this.#brushes.set(name, ends);
    this.#brushes = this.#readBrushes(this.#brushesText); // rounded as in the address
    this.#changed();
  }

  #changed() {
    const usual = this.#names.join(",") === this.#usual.join(",");
    this.#visit.remember(withQuery("insights/parallel", { axes: usual ? "" : this.#names.join(","), brushes: this.#brushesText }));
    this.#filter();
  }

  #filter() {
    const tests = [...this.#brushes].map(([name, [low, high]]) => [[...this.#names, SCORE].indexOf(name), low, high]);
    const shown = this.#rows.map(({ places }) => tests.every(([at, low, high]) => places[at] !== null && places[at] >= low && places[at] <= high));
    this.#plot.filter(this.#brushes, shown);
    const left = this.#rows.filter((row, at) => shown[at]);
    const { total } = this.#found;
    const all = total > this.#rows.length ? `the latest ${this.#rows.length.toLocaleString()} of ${figures.many(total, "experiment")}` : figures.many(total, "experiment");
    setText(this.#count, this.#brushes.size > 0 ? `${left.length.toLocaleString()} of ${all}` : all[0].toUpperCase() + all.slice(1));
    refill(this.#chips, [...this.#brushes.keys()].map((name) => this.#chip(name)));
    this.#ending.abort();
    this.#ending = new AbortController();
    const signal = AbortSignal.any([this.#visit.signal, this.#ending.signal]);
    refill(this.#table, valueTable({ caption: "Experiments within the selected ranges", rows: left.reverse(), names: this.#names, metric: this.#found.metric, signal }));
  }

  #chip(name) {
    const { title, isNumeric } = this.#axes.get(name);
    const values = this.#valuesOf(name);
    const range = isNumeric ? `${valueWords(values[0])} to ${valueWords(values[1])}` : values.map(valueWords).join(", ") || "none";
    const words = `${plain(title ?? name)}: ${range}`;
    return element("button", { type: "button", class: "chip", "aria-label": `Remove the range of ${words}`, on: { click: () => this.#brush(name, null) } }, quoted(words), " ✕");
  }

  // The values of a brush: the two ends of numbers, or all other values inside.
  #valuesOf(name) {
    const axis = this.#axes.get(name);
    const [low, high] = this.#brushes.get(name);
    if (axis.isNumeric) return [low, high].map((place) => Number(axis.valueAt(place).toPrecision(6)));
    return axis.ticks.filter(({ place }) => place >= low && place <= high).map(({ words }) => words);
  }

  get #brushesText() {
    const found = Object.fromEntries([...this.#brushes.keys()].map((name) => [name, this.#valuesOf(name)]));
    return this.#brushes.size > 0 ? JSON.stringify(found) : "";
  }

  // Reads brushes from the address, where anything may be written.
  #readBrushes(text) {
    const brushes = new Map();
    let given;
    try {
      given = Object.entries(JSON.parse(text || "{}") ?? {});
    } catch {
      return brushes;
    }
    for (const [name, values] of given) {
      const axis = this.#axes.get(name);
      if (axis === undefined || !Array.isArray(values) || !(name === SCORE || this.#names.includes(name))) continue;
      const words = values.map(String);
      const places = axis.isNumeric ? values.map((one) => axis.at(one)) : axis.ticks.filter((one) => words.includes(one.words)).map(({ place }) => place);
      if (places.length === 0 || places.some((place) => !figures.isKnown(place))) continue;
      const ends = [Math.min(...places), Math.max(...places)].map((place) => Math.min(1, Math.max(0, place)));
      brushes.set(name, [ends[0] - ROUNDING, ends[1] + ROUNDING]);
    }
    return brushes;
  }
}
