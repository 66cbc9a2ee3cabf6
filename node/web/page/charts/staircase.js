// The progress of a line: a mark for each experiment, steps for the head and the working line.
// Experiments without a score are on a strip below. Scores outside the range are drawn at its edge.

import { element, plain, refill, setText } from "../dom.js";
import * as figures from "../figures.js";
import { wording } from "../words.js";
import { chart, ink, uPlot } from "./chart.js";
import { ORDER, drawMarks, legend, markOf } from "./marks.js";

const HEIGHT = 300;
const MARGIN = 0.25; // shown above and below, as a fraction of the range of both step curves
const STRIP = 0.07; // fraction of the height, for experiments without a score
const REACH_PX = 14; // largest distance from the pointer to the selected mark
const DRAG_PX = 3;
const INTERVALS = 300; // above this number the intervals would hide the marks
const FITTED = new Set(["kept", "adopted", "unconfirmed", "overfit", "baseline"]);

export class Staircase {
  #progress;
  #plot;
  #scale;
  #place = element("div", { class: "plot" });
  #tip = element("div", { class: "tip", hidden: true });
  #slider;
  #legend = element("div", {});
  #pointed = null;
  #open;
  #places = [];

  // `open(id)` is called when an experiment is chosen.
  constructor(progress, { open, signal }) {
    this.#open = open;
    this.#take(progress);
    this.#slider = element("div", { class: "chart", tabindex: "0", role: "slider", on: {
      keydown: (event) => this.#press(event),
      blur: () => this.#point(null),
    } }, this.#place, this.#tip);
    this.place = element("div", {}, this.#slider, this.#legend);
    this.#describe();
    // An element has its width only once it is on the page.
    requestAnimationFrame(() => {
      if (!signal.aborted) this.#begin(signal);
    });
  }

  put(progress) {
    this.#take(progress);
    this.#describe();
    this.#plot?.setData(this.#data());
  }

  #take(progress) {
    this.#progress = progress;
    this.#scale = scaleOf(progress);
  }

  get #points() {
    return this.#progress.points;
  }

  #describe() {
    const { metric, head_words: headWords } = this.#progress;
    const count = this.#points.id.length;
    const label = `${figures.many(count, "experiment")} in ${metric.unit}, ${metric.direction === "max" ? "more" : "less"} is better`;
    this.#slider.setAttribute("aria-label", `${label}; arrow keys move between them, Enter opens one`);
    this.#slider.setAttribute("aria-valuemin", "1");
    this.#slider.setAttribute("aria-valuemax", String(Math.max(1, count)));
    this.#slider.setAttribute("aria-valuenow", String((this.#pointed ?? count - 1) + 1));
    this.#slider.setAttribute("aria-valuetext", count ? this.#textOf(this.#pointed ?? count - 1) : "no experiments yet");
    const shown = new Set(this.#points.decision.map(markOf));
    refill(this.#legend, legend(shown, [["head", headWords], ["working", "working line"]]));
  }

  #begin(signal) {
    const steps = uPlot.paths.stepped({ align: 1 });
    this.#plot = chart(
      this.#place,
      {
        height: HEIGHT,
        scales: { x: { time: false, range: (plot, low, high) => this.#across(low, high) }, y: { range: () => this.#scale.range } },
        axes: [
          { values: (plot, splits) => splits.map((one) => (Number.isInteger(one) && one > 0 ? String(one) : "")) },
          { values: (plot, splits) => splits.map((one) => (one < this.#scale.low ? "" : figures.metric(one))) },
        ],
        series: [
          {},
          { paths: steps, stroke: () => ink("working"), width: 2, dash: [5, 3], points: { show: false } },
          { paths: steps, stroke: () => ink("head"), width: 2.6, points: { show: false } },
        ],
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
        hooks: { drawAxes: [(plot) => this.#drawStrip(plot)], draw: [(plot) => this.#draw(plot)], setCursor: [(plot) => this.#hover(plot)] },
      },
      this.#data(),
      signal,
    );
    let pressedAt = 0;
    this.#plot.over.addEventListener("mousedown", ({ clientX }) => (pressedAt = clientX));
    this.#plot.over.addEventListener("click", ({ clientX }) => {
      const isDrag = Math.abs(clientX - pressedAt) > DRAG_PX; // a drag zooms and opens nothing
      if (this.#pointed !== null && !isDrag) this.#open(this.#points.id[this.#pointed]);
    });
    this.#plot.over.addEventListener("mouseleave", () => this.#point(null));
  }

  #across(low, high) {
    const count = this.#points.id.length;
    const isWhole = high === null || high >= count;
    return [low ?? 0, isWhole ? 1.02 * count + 0.5 : Math.max(high, low + 1)];
  }

  #data() {
    const { id, working, head } = this.#points;
    return [id.map((_, at) => at + 1), working, head];
  }

  #drawStrip(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.fillStyle = ink("code");
    const share = (this.#scale.low - this.#scale.range[0]) / (this.#scale.range[1] - this.#scale.range[0]);
    plot.ctx.fillRect(left, top + height * (1 - share), width, height * share);
  }

  #draw(plot) {
    const { left, top, width, height } = plot.bbox;
    const context = plot.ctx;
    const ratio = uPlot.pxRatio;
    const { decision, metric } = this.#points;
    const groups = new Map(ORDER.map((name) => [name, []]));
    this.#places = metric.map((value, at) => [plot.valToPos(at + 1, "x", true), plot.valToPos(this.#scale.at(value), "y", true)]);
    const inSight = [];
    this.#places.forEach((place, at) => {
      if (place[0] < left - 1 || place[0] > left + width + 1) return;
      groups.get(markOf(decision[at])).push(place);
      inSight.push(at);
    });
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    if (inSight.length <= INTERVALS) this.#drawIntervals(plot, context, inSight, ratio);
    for (const [name, points] of groups) if (points.length > 0) drawMarks(context, name, points, ratio);
    context.restore();
  }

  #drawIntervals(plot, context, inSight, ratio) {
    const { metric, low, high } = this.#points;
    context.strokeStyle = ink("soft");
    context.globalAlpha = 0.5;
    context.lineWidth = ratio;
    context.beginPath();
    for (const at of inSight) {
      if (!figures.isKnown(low[at]) || !figures.isKnown(high[at]) || !this.#scale.shows(metric[at])) continue;
      const [x] = this.#places[at];
      context.moveTo(x, plot.valToPos(this.#scale.at(low[at]), "y", true));
      context.lineTo(x, plot.valToPos(this.#scale.at(high[at]), "y", true));
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #hover(plot) {
    const { left, top } = plot.cursor;
    if (left === undefined || left < 0) return;
    const ratio = uPlot.pxRatio;
    const [x, y] = [left * ratio + plot.bbox.left, top * ratio + plot.bbox.top];
    let nearest = null;
    let least = (REACH_PX * ratio) ** 2;
    const [first, last] = [-REACH_PX, REACH_PX].map((reach) => Math.round(plot.posToVal(left + reach, "x")) - 1);
    for (let at = Math.max(0, first); at <= Math.min(last, this.#places.length - 1); at++) {
      const distance = (this.#places[at][0] - x) ** 2 + (this.#places[at][1] - y) ** 2;
      if (distance < least) [nearest, least] = [at, distance];
    }
    this.#point(nearest);
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
    this.#tip.hidden = at === null;
    if (at === null || !this.#plot) return;
    this.#slider.setAttribute("aria-valuenow", String(at + 1));
    this.#slider.setAttribute("aria-valuetext", this.#textOf(at));
    setText(this.#tip, this.#textOf(at));
    const [x, y] = this.#places[at].map((one) => one / uPlot.pxRatio);
    const isRight = x > this.#place.clientWidth / 2;
    this.#tip.style.transform = `translate(${x}px, ${y}px) translate(${isRight ? "calc(-100% - 10px)" : "10px"}, -110%)`;
    this.#tip.classList.toggle("low", y < 70);
  }

  // Returns an experiment's title, decision, score and time.
  #textOf(at) {
    const { title, metric, decision, ts } = this.#points;
    const { word, meaning } = wording(decision[at]);
    const value = figures.isKnown(metric[at]) ? `${figures.metric(metric[at])} ${this.#progress.metric.unit}` : "no score";
    return `${plain(title[at])} · ${word}${meaning ? `: ${meaning}` : ""} · ${value} · ${figures.time(ts[at])}`;
  }
}

// Returns the range that fits both step curves and the FITTED experiments, with a margin.
function scaleOf({ points }) {
  const values = [...points.head, ...points.working].filter(figures.isKnown);
  points.metric.forEach((value, at) => {
    if (figures.isKnown(value) && FITTED.has(points.decision[at])) values.push(value);
  });
  if (values.length === 0) values.push(...points.metric.filter(figures.isKnown));
  const least = values.reduce((one, other) => Math.min(one, other), Infinity);
  const most = values.reduce((one, other) => Math.max(one, other), -Infinity);
  const [from, to] = values.length > 0 ? [least, most] : [0, 1];
  const margin = MARGIN * (to - from) || 0.01 * Math.abs(to) || 1;
  const [low, high] = [from - margin, to + margin];
  const strip = STRIP * (high - low);
  return {
    low,
    range: [low - strip, high],
    at: (value) => (figures.isKnown(value) ? Math.min(high, Math.max(low, value)) : low - strip / 2),
    shows: (value) => figures.isKnown(value) && value >= low && value <= high,
  };
}
