// The score against one hyperparameter: a mark for each experiment, as in the progress plot, and a band
// of one sd of noise around the working line. Far worse scores are arrows at the edge of the range, and
// counted in words. Experiments without a score are on a strip below.

import { element, plain, refill } from "../dom.js";
import * as figures from "../figures.js";
import { rangeOf } from "./axes.js";
import { chart, ink, nearestPlace, uPlot } from "./chart.js";
import { ORDER, drawArrows, drawMarks, legend, markOf } from "./marks.js";
import { pictureButton } from "./picture.js";
import { axisTitle, betterWords } from "./scale.js";
import { Tip } from "./tip.js";

const HEIGHT = 360;
const NARROW = 10; // values fit as labels below the axis
const LABEL_CHARACTERS = 14;
const BAND_ALPHA = 0.16;
const STRIP = 0.07;
const JITTER = 0.3; // of the distance of two values that are not numbers
const REACH_PX = 14;
const MARGIN = 0.04;

export class Scatter {
  #plot = null;
  #rows = [];
  #axis = null;
  #metric;
  #level = null;
  #sd = null;
  #low = 0;
  #range = [0, 1];
  #places = [];
  #pointed = null;
  #open;
  #tip;
  #place = element("div", { class: "plot", role: "img" });
  #legend = element("div", {});

  // `rows` are experiments with `value`; `axis` is that of axes.js; `level` is the working line's score.
  constructor({ rows, axis, metric, level, sd, open, detailOf, signal }) {
    this.#rows = rows;
    this.#axis = axis;
    this.#metric = metric;
    this.#level = level;
    this.#sd = sd;
    this.#open = open;
    this.#tip = new Tip(detailOf);
    const name = `${metric.name || metric.unit} by ${axis.name}`;
    this.#place.setAttribute("aria-label", plain(`${name}: ${figures.many(rows.length, "experiment")}, ${betterWords(metric)}; the table below lists them`));
    const save = pictureButton(name, () => this.#plot, () => this.#legend);
    this.#measure();
    const outside = element("p", { class: "soft" }, this.#outsideWords);
    this.place = element("div", { class: "scatter" }, element("div", { class: "chart" }, this.#place, this.#tip.place), outside, element("div", { class: "below-plot" }, this.#legend, save));
    const lines = figures.isKnown(level) ? [["working", "working line"], ...(sd > 0 ? [["band", "working line ± 1 sd of a run"]] : [])] : [];
    refill(this.#legend, legend(new Set(rows.map(({ decision }) => markOf(decision))), lines));
    // An element has its width only once it is on the page.
    requestAnimationFrame(() => {
      if (!signal.aborted) this.#begin(signal);
    });
  }

  #measure() {
    const [low, high] = rangeOf([...this.#rows.map(({ metric }) => metric), this.#level], this.#metric.direction);
    const strip = this.#rows.every(({ metric }) => figures.isKnown(metric)) ? 0 : STRIP * (high - low);
    this.#low = low;
    this.#range = [low - strip, high];
  }

  #isOutside({ metric }) {
    return figures.isKnown(metric) && (metric < this.#low || metric > this.#range[1]);
  }

  // The scores outside the range are all worse than those inside.
  get #outsideWords() {
    const found = this.#rows.filter((row) => this.#isOutside(row)).map(({ metric }) => metric);
    if (found.length === 0) return "";
    const worst = figures.metric(found.reduce((one, other) => (this.#isWorseUp ? Math.max(one, other) : Math.min(one, other))), this.#sd);
    return `Outside the plot: ${figures.many(found.length, "score")} ${this.#isWorseUp ? "above (▲), up" : "below (▼), down"} to ${worst}.`;
  }

  get #isWorseUp() {
    return this.#metric.direction !== "max";
  }

  // Values that are not numbers get a small fixed offset, so that marks do not hide each other.
  #x({ id, value }) {
    const place = this.#axis.at(value);
    if (place === null || this.#axis.isNumeric) return place;
    const part = parseInt(id.slice(-4), 16) / 0xffff - 0.5;
    return place + (part * JITTER) / Math.max(2, this.#axis.ticks.length);
  }

  #y({ metric }) {
    const [bottom, top] = this.#range;
    return figures.isKnown(metric) ? Math.min(top, Math.max(this.#low, metric)) : (bottom + this.#low) / 2;
  }

  #begin(signal) {
    const { ticks, name, isLog } = this.#axis;
    const isLong = ticks.length > NARROW || ticks.some(({ words }) => words.length > LABEL_CHARACTERS);
    const labels = ticks.map(({ words }) => (words.length > LABEL_CHARACTERS ? `${words.slice(0, LABEL_CHARACTERS - 1)}…` : words));
    this.#plot = chart(
      this.#place,
      {
        height: HEIGHT,
        scales: { x: { time: false, range: () => [-MARGIN, 1 + MARGIN] }, y: { range: () => this.#range } },
        axes: [
          { label: `${plain(name)}${isLog ? ", logarithmic" : ""}`, size: isLong && !this.#axis.isNumeric ? 84 : 30, rotate: isLong && !this.#axis.isNumeric ? -35 : 0, splits: () => ticks.map(({ place }) => place), values: () => labels },
          { label: axisTitle(this.#metric), size: 64, values: (plot, splits) => splits.map((one) => (one < this.#low ? "" : figures.metric(one, splits[1] - splits[0]))) },
        ],
        series: [{}, { show: true, paths: () => null, points: { show: false } }],
        cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
        hooks: { drawAxes: [(plot) => this.#drawBelow(plot)], draw: [(plot) => this.#draw(plot)], setCursor: [(plot) => this.#hover(plot)] },
      },
      [[0, 1], [null, null]],
      signal,
    );
    this.#plot.over.addEventListener("click", () => this.#pointed !== null && this.#open(this.#rows[this.#pointed]));
    this.#plot.over.addEventListener("mouseleave", () => this.#point(null));
  }

  #drawBelow(plot) {
    const { left, top, width, height } = plot.bbox;
    const context = plot.ctx;
    const share = (this.#low - this.#range[0]) / (this.#range[1] - this.#range[0]);
    context.fillStyle = ink("code");
    context.fillRect(left, top + height * (1 - share), width, height * share);
    if (!figures.isKnown(this.#level)) return;
    const y = (value) => plot.valToPos(value, "y", true);
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    if (this.#sd > 0) {
      context.globalAlpha = BAND_ALPHA;
      context.fillStyle = ink("head");
      context.fillRect(left, y(this.#level + this.#sd), width, y(this.#level - this.#sd) - y(this.#level + this.#sd));
      context.globalAlpha = 1;
    }
    context.strokeStyle = ink("working");
    context.lineWidth = 2 * uPlot.pxRatio;
    context.setLineDash([5 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
    context.beginPath();
    context.moveTo(left, y(this.#level));
    context.lineTo(left + width, y(this.#level));
    context.stroke();
    context.restore();
  }

  #draw(plot) {
    const [groups, outside] = [0, 1].map(() => new Map(ORDER.map((name) => [name, []])));
    this.#places = this.#rows.map((row) => {
      const x = this.#x(row);
      if (x === null) return null;
      const place = [plot.valToPos(x, "x", true), plot.valToPos(this.#y(row), "y", true)];
      (this.#isOutside(row) ? outside : groups).get(markOf(row.decision)).push(place);
      return place;
    });
    for (const [name, points] of groups) if (points.length > 0) drawMarks(plot.ctx, name, points, uPlot.pxRatio);
    for (const [name, points] of outside) drawArrows(plot.ctx, name, points, uPlot.pxRatio, { isUp: this.#isWorseUp });
  }

  #hover(plot) {
    const at = nearestPlace(plot, this.#places, REACH_PX);
    if (at !== undefined) this.#point(at);
  }

  #point(at) {
    if (at === this.#pointed) return;
    this.#pointed = at;
    this.#plot?.over.classList.toggle("over", at !== null);
    if (at === null) this.#tip.hide();
    else this.#tip.show({ ...this.#rows[at], unit: this.#metric.unit, sd: this.#sd }, this.#places[at].map((one) => one / uPlot.pxRatio), this.#place.clientWidth);
  }
}
