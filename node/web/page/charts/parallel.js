// Parallel coordinates: an axis for each hyperparameter and one for the score; a line is an experiment.
// A drag along an axis selects a range (a brush); a click there removes it. Colours are steps of the
// score. Lines without a score are dashed.

import { drawn, element, plain, refill, scrollable } from "../dom.js";
import * as figures from "../figures.js";
import { pictureButton } from "./picture.js";
import { Tip } from "./tip.js";

const HEIGHT = 380;
const TOP = 56;
const BOTTOM = 34;
const APART = 108; // least distance of two axes
const EDGE = 70;
const CROWD = 300; // above this number lines are fainter
const REACH = 9; // largest distance from the pointer to the line under it
const GRIP = 14; // half the width in which an axis is dragged
const DRAG = 4;
const STEPS = 5;
const TICK_CHARACTERS = 13;
const NAME_CHARACTERS = 18;
const CHARACTER = 7.5; // the width of one in a name
const UNSCORED = 1.06; // the place of experiments without a score, below the axis

export class Parallel {
  #axes = [];
  #rows = [];
  #brushes = new Map();
  #lines = [];
  #marks = new Map();
  #shown = [];
  #pointed = null;
  #drag = null;
  #open;
  #onBrush;
  #tip;
  #svg = drawn("svg", { role: "img", class: "parallel" });
  #box = element("div", { class: "parallel-box" });
  #legend = element("div", {});

  // `open(row)` is called by a click on a line, `onBrush(name, ends)` by a new brush or null.
  constructor({ name, open, onBrush, detailOf, signal }) {
    this.#open = open;
    this.#onBrush = onBrush;
    this.#tip = new Tip(detailOf);
    this.#box.append(this.#svg);
    const scroller = scrollable(element("div", { class: "wide" }, this.#box), `${name}, which scrolls sideways`);
    const save = pictureButton(name, () => this.#svg, () => this.#legend);
    this.place = element("div", { class: "chart" }, scroller, this.#tip.place, element("div", { class: "below-plot" }, this.#legend, save));
    this.#svg.addEventListener("pointermove", (event) => this.#move(event));
    this.#svg.addEventListener("pointerdown", (event) => this.#press(event));
    this.#svg.addEventListener("pointerup", (event) => this.#release(event));
    this.#svg.addEventListener("pointercancel", () => (this.#drag = null));
    this.#svg.addEventListener("pointerleave", () => this.#drag ?? this.#point(null));
    const watcher = new ResizeObserver(() => this.#draw());
    watcher.observe(this.place);
    signal.addEventListener("abort", () => watcher.disconnect());
  }

  // `axes` are those of axes.js, the last is the score's with its `steps` (stepsOf) and `title`. A row
  // has `places`, its places on the axes (null: unknown), and `step`, that of its score (null: none).
  put({ axes, rows, label }) {
    this.#axes = axes;
    this.#rows = rows;
    this.#svg.setAttribute("aria-label", plain(label));
    this.#svg.classList.toggle("crowd", rows.length > CROWD);
    refill(this.#legend, legendOf(axes.at(-1), rows.some(({ step }) => step === null)));
    this.#draw();
  }

  // `brushes` maps names of axes to two places. `shown` says for each row if it is within all of them.
  filter(brushes, shown) {
    this.#brushes = brushes;
    this.#shown = shown;
    this.#lines.forEach((line, at) => line.classList.toggle("faint", !shown[at]));
    for (const [name, mark] of this.#marks) this.#setBrush(mark, brushes.get(name) ?? null);
  }

  get #width() {
    return Math.max(this.place.clientWidth, 2 * EDGE + APART * (this.#axes.length - 1));
  }

  #x(at) {
    return this.#axes.length === 1 ? this.#width / 2 : EDGE + this.#gap * at;
  }

  // The distance of two axes.
  get #gap() {
    return (this.#width - 2 * EDGE) / Math.max(1, this.#axes.length - 1);
  }

  #draw() {
    if (this.#axes.length === 0 || this.place.clientWidth === 0) return;
    const width = this.#width;
    this.#box.style.width = `${width}px`;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.#svg.setAttribute("height", HEIGHT);
    this.#marks.clear();
    this.#lines = this.#rows.map((row) => drawn("path", { class: row.step === null ? "run unscored" : `run step${row.step}`, d: this.#outline(row) }));
    // The best lines come last, on top.
    const order = this.#rows.map((row, at) => at).sort((one, other) => (this.#rows[one].step ?? -1) - (this.#rows[other].step ?? -1));
    refill(this.#svg, drawn("g", {}, order.map((at) => this.#lines[at])), this.#axes.map((axis, at) => this.#axisView(axis, this.#x(at))));
    this.#pointed = null;
    this.filter(this.#brushes, this.#shown.length === this.#rows.length ? this.#shown : this.#rows.map(() => true));
  }

  // Unknown values are left out: the line goes on from the next known one.
  #outline({ places }) {
    let text = "";
    places.forEach((place, at) => {
      if (place !== null) text += `${text ? "L" : "M"}${this.#x(at).toFixed(1)} ${down(place).toFixed(1)}`;
    });
    return text;
  }

  #axisView(axis, x) {
    const brush = drawn("rect", { class: "brush", x: x - GRIP / 2, width: GRIP });
    this.#marks.set(axis.name, brush);
    const name = cut(plain(axis.title ?? axis.name), Math.min(NAME_CHARACTERS, Math.floor(this.#gap / CHARACTER)));
    return drawn(
      "g",
      { class: "dimension" },
      drawn("rect", { class: "grip", x: x - GRIP, y: TOP - 8, width: 2 * GRIP, height: HEIGHT - TOP - BOTTOM + 16 }),
      drawn("path", { class: "stem", d: `M${x} ${down(1)}V${down(0)}` }),
      axis.ticks.map(({ place, words }) => [drawn("path", { class: "stem", d: `M${x - 4} ${down(place)}h8` }), drawn("text", { class: "tick", x: x + 7, y: down(place) + 4 }, cut(words, TICK_CHARACTERS))]),
      drawn("text", { class: "axis-name", x, y: 18, "text-anchor": "middle" }, name, drawn("title", {}, plain(axis.title ?? axis.name))),
      axis.note ? drawn("text", { class: "tick", x, y: 36, "text-anchor": "middle" }, plain(axis.note)) : null,
      brush,
    );
  }

  #setBrush(mark, ends) {
    mark.toggleAttribute("hidden", ends === null);
    if (ends === null) return;
    mark.setAttribute("y", down(ends[1]) - 2);
    mark.setAttribute("height", down(ends[0]) - down(ends[1]) + 4);
  }

  #at({ clientX, clientY }) {
    const box = this.#svg.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  #axisAt(x) {
    return this.#axes.findIndex((axis, at) => Math.abs(this.#x(at) - x) <= GRIP);
  }

  #press(event) {
    const [x, y] = this.#at(event);
    const axis = this.#axisAt(x);
    this.#drag = { axis, from: y, to: y, x };
    if (axis >= 0) this.#svg.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const [x, y] = this.#at(event);
    if (this.#drag === null || this.#drag.axis < 0) {
      this.#point(this.#nearest(x, y), [x, y]);
      return;
    }
    this.#drag.to = y;
    if (Math.abs(y - this.#drag.from) >= DRAG) this.#setBrush(this.#marks.get(this.#axes[this.#drag.axis].name), this.#ends);
  }

  #release(event) {
    const drag = this.#drag;
    if (drag === null) return;
    const [x, y] = this.#at(event);
    const isClick = Math.abs(y - drag.from) < DRAG && Math.abs(x - drag.x) < DRAG;
    if (drag.axis >= 0) this.#onBrush(this.#axes[drag.axis].name, isClick ? null : this.#ends);
    else if (isClick && this.#pointed !== null) this.#open(this.#rows[this.#pointed]);
    this.#drag = null;
  }

  get #ends() {
    const places = [this.#drag.from, this.#drag.to].map((y) => Math.min(1, Math.max(0, up(y))));
    return places.sort((one, other) => one - other);
  }

  // Returns the index of the nearest line that the brushes leave.
  #nearest(x, y) {
    let after = this.#axes.findIndex((axis, at) => this.#x(at) >= x);
    if (after === 0) after = 1;
    if (after < 0) after = this.#axes.length - 1;
    let nearest = null;
    let least = REACH;
    this.#rows.forEach(({ places }, row) => {
      if (!this.#shown[row]) return;
      let before = after - 1;
      let next = after;
      while (before > 0 && places[before] === null) before--;
      while (next < places.length - 1 && places[next] === null) next++;
      if (places[before] === null || places[next] === null) return;
      const part = (x - this.#x(before)) / (this.#x(next) - this.#x(before));
      if (part < -0.1 || part > 1.1) return;
      const height = down(places[before] + part * (places[next] - places[before]));
      const distance = Math.abs(height - y);
      if (distance < least) [nearest, least] = [row, distance];
    });
    return nearest;
  }

  #point(at, [x, y] = [0, 0]) {
    if (at !== this.#pointed) {
      this.#lines[this.#pointed]?.classList.remove("pointed");
      this.#pointed = at;
      const line = this.#lines[at];
      line?.classList.add("pointed");
      line?.parentNode.append(line);
      this.#svg.classList.toggle("over", at !== null);
      if (at === null) this.#tip.hide();
      else this.#tip.show(this.#rows[at], [x - this.#box.parentNode.scrollLeft, y], this.place.clientWidth);
    }
  }
}

const down = (place) => TOP + (1 - place) * (HEIGHT - TOP - BOTTOM);
const up = (y) => 1 - (y - TOP) / (HEIGHT - TOP - BOTTOM);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// The place of experiments without a score.
export const unscoredPlace = 1 - UNSCORED;

// Returns the bounds between equally large groups of scores, the worst first, and the step of a score.
export function stepsOf(metrics, direction) {
  const isMax = direction === "max";
  const sorted = metrics.filter(figures.isKnown).sort((one, other) => (isMax ? one - other : other - one));
  const bounds = Array.from({ length: STEPS + 1 }, (_, at) => sorted[Math.round((at * (sorted.length - 1)) / STEPS)]);
  const isBetter = (one, other) => (isMax ? one > other : one < other);
  const stepOf = (metric) => (figures.isKnown(metric) ? bounds.slice(1, STEPS).filter((bound) => isBetter(metric, bound)).length : null);
  return { bounds, stepOf, count: sorted.length };
}

function legendOf({ steps, sd }, hasUnscored) {
  const sample = (name) => drawn("svg", { viewBox: "0 0 16 14", class: "sample", "aria-hidden": "true" }, drawn("path", { class: `run ${name}`, d: "M0 7H16" }));
  const ranges = steps.count === 0 ? [] : Array.from({ length: STEPS }, (_, at) => `${figures.metric(steps.bounds[at], sd)} to ${figures.metric(steps.bounds[at + 1], sd)}`);
  const item = (words, at) => (ranges.indexOf(words) === at ? element("li", {}, sample(`step${at}`), words, at === 0 ? " (worst)" : at === STEPS - 1 ? " (best)" : "") : null);
  return element("ul", { class: "legend" }, ranges.map(item), hasUnscored ? element("li", {}, sample("unscored"), "no score") : null);
}
