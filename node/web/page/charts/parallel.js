// Parallel coordinates: an axis for each hyperparameter and one for the score, and a line for each
// experiment. A drag along an axis selects the lines that cross it there; a click on it selects all.

import { element, plain } from "../dom.js";
import { sizedCanvas, pointOn } from "./canvas.js";
import { ink } from "./chart.js";
import { legend } from "./marks.js";
import { pictureButton } from "./picture.js";
import { Tip } from "./tip.js";
import { valueScale } from "./values.js";

const HEIGHT = 340;
const [LEFT, RIGHT, TOP, BOTTOM] = [48, 64, 34, 14];
const FONT = "12px system-ui, sans-serif";
const NEAR_AXIS_PX = 16;
const NEAR_LINE_PX = 6;
const DRAG_PX = 4;
// The colour and opacity of lines, by the fifth of the scores to which they belong, best first.
const LOOKS = [["head", 0.8], ["working", 0.45], ["soft", 0.25], ["soft", 0.18], ["soft", 0.12]];
const OUT = 0.04;

export class Parallel {
  #rows;
  #axes;
  #options;
  #tip;
  #plot;
  #brushes;
  #drag = null;
  #pointed = null;

  // `rows` are {id, ts, title, decision, score, values}; `axes` are names of hyperparameters.
  // `brushes` maps names of axes to [from, to], fractions of their height. `changed` is called with
  // the selected rows.
  constructor(rows, axes, options) {
    const { metric, signal, brushes } = options;
    this.#options = options;
    this.#brushes = brushes;
    this.#axes = [...axes.map((name) => [plain(name), ({ values }) => values[name]]), [plain(metric.name || metric.unit), ({ score }) => score]];
    this.#rows = ranked(rows, metric);
    this.#tip = new Tip(options.detailOf);
    const picture = element("div", { class: "plot", role: "img", "aria-label": `Values of ${axes.length} hyperparameters and the score of ${rows.length} experiments; the table below lists them` });
    const chart = element("div", { class: "chart", on: {
      pointerdown: (event) => this.#press(event),
      pointermove: (event) => this.#move(event),
      pointerup: (event) => this.#release(event),
      pointerleave: () => this.#hide(),
    } }, picture, this.#tip.place);
    this.#plot = sizedCanvas(picture, HEIGHT, (...where) => this.#draw(...where), signal);
    const shown = legend(new Set(), [["head", "best fifth of the scores"], ["working", "second fifth"]]);
    this.place = element("div", {}, element("p", { class: "soft" }, "Drag along an axis to select experiments; click the axis to select all."), chart, element("div", { class: "below-plot" }, shown, pictureButton("Parallel coordinates", () => this.#plot, () => shown)));
  }

  get selected() {
    return this.#rows.filter(({ row }) => this.#isIn(row)).map(({ row }) => row);
  }

  #scales(width = this.#plot.root.clientWidth, height = HEIGHT) {
    const apart = (width - LEFT - RIGHT) / Math.max(1, this.#axes.length - 1);
    return this.#axes.map(([name, valueOf], at) => ({
      name,
      valueOf,
      x: LEFT + at * apart,
      ...valueScale(this.#rows.map(({ row }) => valueOf(row)), height - BOTTOM, TOP),
    }));
  }

  #draw(context, width, height) {
    const scales = this.#scales(width, height);
    this.drawnScales = scales;
    context.font = FONT;
    for (const { row, fifth } of this.#rows.toReversed()) {
      const [colour, alpha] = LOOKS[fifth];
      context.globalAlpha = this.#isIn(row) ? alpha : OUT;
      context.strokeStyle = ink(colour);
      trace(context, scales, row);
    }
    context.globalAlpha = 1;
    if (this.#pointed) {
      context.lineWidth = 2.5;
      context.strokeStyle = ink("ink");
      trace(context, scales, this.#pointed);
      context.lineWidth = 1;
    }
    scales.forEach(({ name, x, ticks }, at) => {
      context.strokeStyle = ink("edge");
      context.beginPath();
      context.moveTo(x, TOP);
      context.lineTo(x, height - BOTTOM);
      context.stroke();
      context.fillStyle = ink("ink");
      context.textAlign = at === 0 ? "left" : at === scales.length - 1 ? "right" : "center";
      context.fillText(name.length > 18 ? `${name.slice(0, 17)}…` : name, at === 0 ? 4 : at === scales.length - 1 ? width - 4 : x, at % 2 === 1 ? 12 : 26);
      context.fillStyle = ink("soft");
      context.textAlign = "left";
      context.strokeStyle = ink("paper");
      context.lineWidth = 3; // an edge that sets the text off from the lines
      for (const [text, y] of ticks) {
        context.strokeText(text, x + 5, y + 4);
        context.fillText(text, x + 5, y + 4);
      }
      context.lineWidth = 1;
      const brush = this.#brushes.get(name);
      if (brush) {
        const [from, to] = brush.map((part) => TOP + part * (height - TOP - BOTTOM));
        context.globalAlpha = 0.3;
        context.fillStyle = ink("link");
        context.fillRect(x - 6, from, 12, Math.max(2, to - from));
        context.globalAlpha = 1;
      }
    });
  }

  #isIn(row) {
    if (this.#brushes.size === 0) return true;
    const scales = this.drawnScales ?? this.#scales();
    return scales.every(({ name, valueOf, at }) => {
      const brush = this.#brushes.get(name);
      const part = (at(valueOf(row)) - TOP) / (HEIGHT - TOP - BOTTOM);
      return !brush || (part >= brush[0] - 1e-6 && part <= brush[1] + 1e-6);
    });
  }

  #press(event) {
    const [x, y] = pointOn(this.#plot.root, event);
    const axis = this.#scales().find((one) => Math.abs(one.x - x) < NEAR_AXIS_PX);
    if (axis) this.#drag = { name: axis.name, from: y };
    if (axis) event.currentTarget.setPointerCapture?.(event.pointerId);
  }

  #move(event) {
    const [x, y] = pointOn(this.#plot.root, event);
    if (this.#drag) {
      if (Math.abs(y - this.#drag.from) >= DRAG_PX) this.#brush(this.#drag.name, [this.#drag.from, y]);
      return;
    }
    const found = this.#nearest(x, y);
    if (found === this.#pointed) return;
    this.#pointed = found;
    this.#plot.again();
    if (found === null) {
      this.#tip.hide();
      return;
    }
    const { metric, sd } = this.#options;
    this.#tip.show({ ...found, metric: found.score, unit: metric.unit, sd }, [x, y], this.#plot.root.clientWidth);
  }

  #release(event) {
    const drag = this.#drag;
    this.#drag = null;
    const [, y] = pointOn(this.#plot.root, event);
    if (drag) {
      if (Math.abs(y - drag.from) < DRAG_PX) this.#brushes.delete(drag.name);
      this.#plot.again();
      this.#options.changed(this.#brushes);
    } else if (this.#pointed) this.#options.open(this.#pointed.id);
  }

  #brush(name, ends) {
    const parts = ends.map((y) => Math.min(1, Math.max(0, (y - TOP) / (HEIGHT - TOP - BOTTOM))));
    this.#brushes.set(name, parts.sort((one, other) => one - other));
    this.#plot.again();
  }

  #hide() {
    this.#pointed = null;
    this.#tip.hide();
    this.#plot.again();
  }

  // Returns the selected row whose line passes the pointer most closely; null if none is near.
  #nearest(x, y) {
    const scales = this.drawnScales ?? [];
    const right = scales.findIndex((one) => one.x >= x);
    if (right < 1) return null;
    const [one, other] = [scales[right - 1], scales[right]];
    const share = (x - one.x) / (other.x - one.x);
    let found = null;
    let least = NEAR_LINE_PX;
    for (const { row } of this.#rows) {
      const [from, to] = [one.at(one.valueOf(row)), other.at(other.valueOf(row))];
      const away = Math.abs(from + share * (to - from) - y);
      if (away < least && this.#isIn(row)) [found, least] = [row, away];
    }
    return found;
  }
}

function trace(context, scales, row) {
  context.beginPath();
  scales.forEach(({ x, at, valueOf }, index) => context[index === 0 ? "moveTo" : "lineTo"](x, at(valueOf(row))));
  context.stroke();
}

// Returns the rows with the fifth of the scores to which they belong, best first.
function ranked(rows, { direction }) {
  const sign = direction === "max" ? -1 : 1;
  const sorted = rows.toSorted((one, other) => sign * (one.score - other.score));
  return sorted.map((row, at) => ({ row, fifth: Math.floor((LOOKS.length * at) / sorted.length) }));
}
