// The progress of a line: a mark for each experiment, steps for the head and the working line, and a
// band of one sd of noise around the head. A drag zooms in, a double click shows all again.
// Experiments without a score are on a strip below. Scores outside the range are arrows at its edge, and
// a sentence counts them.

import { element, plain, refill, setText } from "../dom.js";
import * as figures from "../figures.js";
import { wording } from "../words.js";
import { chart, ink, nearestPlace, uPlot } from "./chart.js";
import { drawBand, drawIntervals, drawStrip } from "./layers.js";
import { BEHIND, ORDER, drawArrows, drawMarks, legend, markOf } from "./marks.js";
import { pictureButton } from "./picture.js";
import { axisTitle, betterWords, outsideWords, scaleOf } from "./scale.js";
import { Tip } from "./tip.js";

const HEIGHT = 300;
const CROWD = 250; // above this number the discarded experiments are drawn fainter
const FAINT = 0.45;
const DOUBLE_CLICK_MS = 250;
const REACH_PX = 14; // largest distance from the pointer to the selected mark
const DRAG_PX = 3;
const INTERVALS = 300; // above this number the intervals would hide the marks

export class Staircase {
  #progress;
  #plot;
  #scale;
  #place = element("div", { class: "plot" });
  #tip;
  #sd;
  #height;
  #opening = null;
  #reset = element("button", { type: "button", class: "quiet reset", hidden: true }, "Show all");
  #isWhole = false;
  #outside = element("span", { class: "soft" });
  #zoom = element("button", { type: "button", class: "quiet" });
  #slider;
  #legend = element("div", {});
  #pointed = null;
  #open;
  #places = [];

  // `open(id)` is called when an experiment is chosen. `sd` is the noise of the metric, if it is known.
  // `detailOf(id)` loads an experiment for the box at its mark.
  constructor(progress, { open, signal, sd = null, detailOf = null, height = HEIGHT }) {
    this.#open = open;
    this.#sd = sd;
    this.#height = height;
    this.#tip = new Tip(detailOf);
    this.#take(progress);
    this.#slider = element("div", { class: "chart", tabindex: "0", role: "slider", on: {
      keydown: (event) => this.#press(event),
      blur: () => this.#point(null),
    } }, this.#place, this.#tip.place);
    this.#reset.addEventListener("click", () => this.#showAll());
    this.#zoom.addEventListener("click", () => this.#switchRange());
    const save = pictureButton("Progress", () => this.#plot, () => this.#legend);
    const outside = element("p", { class: "outside" }, this.#outside, this.#zoom);
    this.place = element("div", { class: "staircase" }, this.#slider, this.#reset, outside, element("div", { class: "below-plot" }, this.#legend, save));
    this.#describe();
    // An element has its width only once it is on the page.
    requestAnimationFrame(() => {
      if (!signal.aborted) this.#begin(signal);
    });
  }

  put(progress, sd = this.#sd) {
    this.#sd = sd;
    this.#take(progress);
    this.#describe();
    this.#plot?.setData(this.#data(), this.#reset.hidden); // a zoom stays
    if (!this.#reset.hidden) this.#plot?.redraw(false);
  }

  #showAll() {
    const [min, max] = this.#across(null, null);
    this.#plot.setScale("x", { min, max });
  }

  #take(progress) {
    this.#progress = progress;
    this.#scale = scaleOf(progress, this.#isWhole);
  }

  // Shows all scores, or only the range of the recent progress again.
  #switchRange() {
    this.#isWhole = !this.#isWhole;
    this.#take(this.#progress);
    this.#describe();
    const { min, max } = this.#plot.scales.x;
    this.#plot.setData(this.#data(), false);
    this.#plot.setScale("x", { min, max });
  }

  get #points() {
    return this.#progress.points;
  }

  #describe() {
    const { metric, head_words: headWords } = this.#progress;
    const count = this.#points.id.length;
    const label = `${figures.many(count, "experiment")} in ${plain(metric.unit)}, ${betterWords(metric)}`;
    this.#slider.setAttribute("aria-label", `${label}; arrow keys move between them, Enter opens one`);
    this.#slider.setAttribute("aria-valuemin", "1");
    this.#slider.setAttribute("aria-valuemax", String(Math.max(1, count)));
    this.#slider.setAttribute("aria-valuenow", String((this.#pointed ?? count - 1) + 1));
    this.#slider.setAttribute("aria-valuetext", count ? this.#textOf(this.#pointed ?? count - 1) : "no experiments yet");
    setText(this.#outside, outsideWords(this.#progress, this.#scale));
    setText(this.#zoom, this.#isWhole ? "Zoom in on the recent progress" : "Zoom out to all scores");
    this.#zoom.hidden = !this.#scale.mayZoom;
    const shown = new Set(this.#points.decision.map(markOf));
    refill(this.#legend, legend(shown, [["head", headWords], ["working", "working line"], ...(this.#sd > 0 ? [["band", `${headWords} ± 1 sd of a run`]] : [])]));
  }

  #begin(signal) {
    const steps = uPlot.paths.stepped({ align: 1 });
    this.#plot = chart(
      this.#place,
      {
        height: this.#height,
        scales: { x: { time: false, range: (plot, low, high) => this.#across(low, high) }, y: { range: () => this.#scale.range } },
        axes: [
          { label: "experiment", size: 30, values: (plot, splits) => splits.map((one) => (Number.isInteger(one) && one > 0 ? one.toLocaleString() : "")) },
          { label: axisTitle(this.#progress.metric), size: 64, values: (plot, splits) => splits.map((one) => (one < this.#scale.low ? "" : figures.metric(one, splits[1] - splits[0]))) },
        ],
        series: [
          {},
          { paths: steps, stroke: () => ink("working"), width: 2, dash: [5, 3], points: { show: false } },
          { paths: steps, stroke: () => ink("head"), width: 2.6, points: { show: false } },
        ],
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
        hooks: { drawAxes: [(plot) => this.#drawBehind(plot)], setScale: [() => this.#mark()], draw: [(plot) => this.#draw(plot)], setCursor: [(plot) => this.#hover(plot)] },
      },
      this.#data(),
      signal,
    );
    let pressedAt = 0;
    this.#plot.over.addEventListener("mousedown", ({ clientX }) => (pressedAt = clientX));
    this.#plot.over.addEventListener("click", ({ clientX }) => {
      const isDrag = Math.abs(clientX - pressedAt) > DRAG_PX; // a drag zooms and opens nothing
      if (this.#pointed === null || isDrag) return;
      const id = this.#points.id[this.#pointed];
      clearTimeout(this.#opening);
      // While zoomed, this may be the first half of a double click.
      if (this.#reset.hidden) this.#open(id);
      else this.#opening = setTimeout(() => signal.aborted || this.#open(id), DOUBLE_CLICK_MS);
    });
    this.#plot.over.addEventListener("dblclick", () => clearTimeout(this.#opening));
    this.#plot.over.addEventListener("mouseleave", () => this.#point(null));
  }

  // Shows the button that ends a zoom.
  #mark() {
    const { min, max } = this.#plot?.scales.x ?? {};
    this.#reset.hidden = this.#plot === undefined || (min <= 1 && max >= this.#points.id.length);
  }

  #across(low, high) {
    const count = this.#points.id.length;
    const isWhole = high === null || high >= count;
    const isFromStart = low === null || low <= 1;
    return [isFromStart ? 1 - Math.max(0.5, 0.01 * count) : low, isWhole ? 1.02 * count + 0.5 : Math.max(high, low + 1)];
  }

  // The corners of the two step curves, since most experiments change neither.
  #data() {
    const { id, working, head } = this.#points;
    const corners = [];
    for (let at = 0; at < id.length; at++) {
      const isCorner = at === 0 || at === id.length - 1 || working[at] !== working[at - 1] || head[at] !== head[at - 1];
      if (isCorner) corners.push(at);
    }
    return [corners.map((at) => at + 1), corners.map((at) => working[at]), corners.map((at) => head[at])];
  }

  // Places all marks. Draws what is behind the curves: strip, band, intervals and some marks.
  #drawBehind(plot) {
    const { metric, head } = this.#points;
    drawStrip(plot, this.#scale);
    this.#places = metric.map((value, at) => [plot.valToPos(at + 1, "x", true), plot.valToPos(this.#scale.at(value), "y", true)]);
    this.#drawClipped(plot, (context, inSight, ratio) => {
      if (this.#sd > 0) drawBand(plot, head, this.#sd);
      if (inSight.length <= INTERVALS) drawIntervals(plot, this.#points, this.#scale, inSight);
      this.#drawGroups(context, inSight, ratio, (name) => BEHIND.has(name));
    });
  }

  #draw(plot) {
    this.#drawClipped(plot, (context, inSight, ratio) => this.#drawGroups(context, inSight, ratio, (name) => !BEHIND.has(name)));
  }

  // Calls `draw` with the experiments in sight. What it draws outside the plot is not shown.
  #drawClipped(plot, draw) {
    const { left, top, width, height } = plot.bbox;
    const inSight = [];
    this.#places.forEach(([x], at) => {
      if (x >= left - 1 && x <= left + width + 1) inSight.push(at);
    });
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(left, top, width, height);
    plot.ctx.clip();
    draw(plot.ctx, inSight, uPlot.pxRatio);
    plot.ctx.restore();
  }

  #drawGroups(context, inSight, ratio, isDrawn) {
    const { decision, metric } = this.#points;
    const groups = new Map(ORDER.filter(isDrawn).map((name) => [name, { within: [], above: [], below: [] }]));
    for (const at of inSight) {
      const side = this.#scale.side(metric[at]);
      groups.get(markOf(decision[at]))?.[side > 0 ? "above" : side < 0 ? "below" : "within"].push(this.#places[at]);
    }
    for (const [name, { within, above, below }] of groups) {
      context.globalAlpha = name === "discarded" && within.length > CROWD ? FAINT : 1;
      if (within.length > 0) drawMarks(context, name, within, ratio);
      context.globalAlpha = 1;
      drawArrows(context, name, above, ratio, { isUp: true });
      drawArrows(context, name, below, ratio, { isUp: false });
    }
  }

  #hover(plot) {
    const range = [-REACH_PX, REACH_PX].map((reach) => Math.round(plot.posToVal(plot.cursor.left + reach, "x")) - 1);
    const at = nearestPlace(plot, this.#places, REACH_PX, range);
    if (at !== undefined) this.#point(at);
  }

  #press(event) {
    const count = this.#points.id.length;
    const at = this.#pointed ?? count - 1;
    const steps = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 20, PageUp: at + 20, Home: 0, End: count - 1 };
    if (count === 0) return;
    if (event.key === "Enter") this.#open(this.#points.id[at]);
    else if (Object.hasOwn(steps, event.key)) this.#point(Math.min(count - 1, Math.max(0, steps[event.key])));
    else return;
    event.preventDefault();
  }

  #point(at) {
    if (at === this.#pointed) return;
    this.#pointed = at;
    if (at === null || !this.#plot) {
      this.#tip.hide();
      return;
    }
    this.#slider.setAttribute("aria-valuenow", String(at + 1));
    this.#slider.setAttribute("aria-valuetext", this.#textOf(at));
    const { id, title, decision, metric, ts } = this.#points;
    const [x, y] = this.#places[at].map((one) => one / uPlot.pxRatio);
    const shown = { id: id[at], title: title[at], decision: decision[at], metric: metric[at], ts: ts[at], unit: this.#progress.metric.unit, sd: this.#sd };
    this.#tip.show(shown, [x, y], this.#place.clientWidth);
  }

  // Returns an experiment's title, decision, score and time.
  #textOf(at) {
    const { title, metric, decision, ts } = this.#points;
    const { word, meaning } = wording(decision[at]);
    const value = figures.isKnown(metric[at]) ? `${figures.metric(metric[at], this.#sd)} ${plain(this.#progress.metric.unit)}` : "no score";
    return `${plain(title[at])} · ${word}${meaning ? `: ${meaning}` : ""} · ${value} · ${figures.time(ts[at])}`;
  }
}
