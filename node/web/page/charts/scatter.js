// The score of each experiment by the value of one hyperparameter, with a band of one sd of noise
// around the verified head. Scores far worse than the others are drawn at the edge.

import { element, plain } from "../dom.js";
import { sizedCanvas, pointOn } from "./canvas.js";
import { ink } from "./chart.js";
import { ORDER, drawMarks, legend, markOf } from "./marks.js";
import { pictureButton } from "./picture.js";
import { axisTitle } from "./scale.js";
import { Tip } from "./tip.js";
import { valueScale } from "./values.js";

const HEIGHT = 340;
const [LEFT, RIGHT, TOP, BOTTOM] = [84, 18, 12, 46];
const FONT = "12px system-ui, sans-serif";
const BAND_ALPHA = 0.16;
const WORST = 0.05; // the fraction of the worst scores that may lie outside the range
const MARGIN = 0.06;
const REACH_PX = 14;

export class Scatter {
  #rows;
  #options;
  #tip;
  #plot;
  #points = [];

  // `rows` are {id, ts, title, decision, score, value}. `head` is the verified head's score.
  constructor(rows, options) {
    this.#rows = rows;
    this.#options = options;
    this.#tip = new Tip(options.detailOf);
    const { name, metric, signal } = options;
    const picture = element("div", { class: "plot", role: "img", "aria-label": `${axisTitle(metric)}, by ${plain(name)}: ${rows.length} experiments; the table below lists them` });
    const chart = element("div", { class: "chart", on: {
      pointermove: (event) => this.#point(event),
      pointerleave: () => this.#tip.hide(),
      click: (event) => this.#open(event),
    } }, picture, this.#tip.place);
    this.#plot = sizedCanvas(picture, HEIGHT, (...where) => this.#draw(...where), signal);
    const shown = legend(new Set(rows.map(({ decision }) => markOf(decision))), [["head", "verified head ± 1 sd of a run"]]);
    this.place = element("div", {}, chart, element("div", { class: "below-plot" }, shown, pictureButton(`Score by ${plain(name)}`, () => this.#plot, () => shown)));
  }

  #draw(context, width, height) {
    const { name, metric, sd, head } = this.#options;
    const x = valueScale(this.#rows.map(({ value }) => value), LEFT + 8, width - RIGHT - 8);
    const [low, high] = rangeOf(this.#rows.map(({ score }) => score), metric, head);
    const y = valueScale([low, high], height - BOTTOM, TOP, { isLinear: true });
    const inside = (score) => y.at(Math.min(high, Math.max(low, score)));
    context.font = FONT;
    context.lineWidth = 1;
    context.strokeStyle = ink("rule");
    context.fillStyle = ink("soft");
    for (const [text, at] of y.ticks) {
      line(context, LEFT, at, width - RIGHT, at);
      write(context, text, LEFT - 8, at + 4, "right");
    }
    for (const [text, at] of x.ticks) write(context, text, at, height - BOTTOM + 18, "center");
    write(context, plain(name), (LEFT + width - RIGHT) / 2, height - 8, "center");
    context.save();
    context.translate(14, (TOP + height - BOTTOM) / 2);
    context.rotate(-Math.PI / 2);
    write(context, axisTitle(metric), 0, 0, "center");
    context.restore();
    if (head !== null && sd > 0) {
      const [top, bottom] = [inside(head + sd), inside(head - sd)].sort((one, other) => one - other);
      context.globalAlpha = BAND_ALPHA;
      context.fillStyle = ink("head");
      context.fillRect(LEFT, top, width - LEFT - RIGHT, Math.max(1, bottom - top));
      context.globalAlpha = 1;
    }
    if (head !== null) {
      context.strokeStyle = ink("head");
      line(context, LEFT, inside(head), width - RIGHT, inside(head));
    }
    this.#points = this.#rows.map((row) => [x.at(row.value), inside(row.score), row]);
    for (const mark of ORDER) {
      const own = this.#points.filter(([, , { decision }]) => markOf(decision) === mark);
      if (own.length > 0) drawMarks(context, mark, own, 1);
    }
  }

  #nearest(event) {
    const [x, y] = pointOn(this.#plot.root, event);
    let found = null;
    let least = REACH_PX;
    for (const point of this.#points) {
      const away = Math.hypot(point[0] - x, point[1] - y);
      if (away < least) [found, least] = [point, away];
    }
    return found;
  }

  #point(event) {
    const found = this.#nearest(event);
    if (found === null) {
      this.#tip.hide();
      return;
    }
    const [x, y, { id, ts, title, decision, score }] = found;
    const { metric, sd } = this.#options;
    this.#tip.show({ id, ts, title, decision, metric: score, unit: metric.unit, sd }, [x, y], this.#plot.root.clientWidth);
  }

  #open(event) {
    const found = this.#nearest(event);
    if (found) this.#options.open(found[2].id);
  }
}

// Returns the range of most scores: all good ones, and all but the worst.
function rangeOf(scores, { direction }, head) {
  const sorted = [...scores, ...(head === null ? [] : [head])].sort((one, other) => one - other);
  const skipped = Math.floor(WORST * sorted.length);
  const [low, high] = direction === "max" ? [sorted[skipped], sorted.at(-1)] : [sorted[0], sorted.at(-1 - skipped)];
  const margin = MARGIN * (high - low) || 0.01 * Math.abs(high) || 1;
  return [low - margin, high + margin];
}

function line(context, x, y, toX, toY) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.stroke();
}

function write(context, text, x, y, align) {
  context.textAlign = align;
  context.fillText(text, x, y);
}
