// What the plot of a line's progress draws behind its curves and marks.

import * as figures from "../figures.js";
import { ink, uPlot } from "./chart.js";

const BAND_ALPHA = 0.16;
const INTERVAL_ALPHA = 0.5;

// The strip below the scale, for experiments without a score.
export function drawStrip(plot, scale) {
  const { left, top, width, height } = plot.bbox;
  const share = (scale.low - scale.range[0]) / (scale.range[1] - scale.range[0]);
  plot.ctx.fillStyle = ink("code");
  plot.ctx.fillRect(left, top + height * (1 - share), width, height * share);
}

// The band of one sd around the verified head.
export function drawBand(plot, head, sd) {
  const context = plot.ctx;
  const x = (at) => plot.valToPos(at + 1, "x", true);
  const y = (value) => plot.valToPos(value, "y", true);
  context.globalAlpha = BAND_ALPHA;
  context.fillStyle = ink("head");
  for (let from = 0; from < head.length; ) {
    let to = from + 1;
    while (to < head.length && head[to] === head[from]) to++;
    const [start, end] = [x(from), x(Math.min(to, head.length - 1))];
    if (figures.isKnown(head[from])) {
      const upper = y(head[from] + sd);
      context.fillRect(start, upper, end - start, y(head[from] - sd) - upper);
    }
    from = to;
  }
  context.globalAlpha = 1;
}

// The 95 % intervals of the experiments in sight whose scores the scale shows.
export function drawIntervals(plot, { metric, low, high }, scale, inSight) {
  const context = plot.ctx;
  context.strokeStyle = ink("soft");
  context.globalAlpha = INTERVAL_ALPHA;
  context.lineWidth = uPlot.pxRatio;
  context.beginPath();
  for (const at of inSight) {
    if (!figures.isKnown(low[at]) || !figures.isKnown(high[at]) || !scale.shows(metric[at])) continue;
    const x = plot.valToPos(at + 1, "x", true);
    context.moveTo(x, plot.valToPos(scale.at(low[at]), "y", true));
    context.lineTo(x, plot.valToPos(scale.at(high[at]), "y", true));
  }
  context.stroke();
  context.globalAlpha = 1;
}
