// The marks of experiments in plots. They differ in shape and colour, as in the report.

import { drawn, element } from "../dom.js";
import { wording } from "../words.js";
import { ink } from "./chart.js";

const CROWD = 1_500; // above this number of marks of a kind they are dots
const DOT = 3; // CSS pixels
const ARROW_PX = 4;
// Each mark's colour, its outline around a point, and whether it is filled.
const MARKS = {
  discarded: { colour: "soft", outline: circle(2.2) },
  failed: { colour: "bad", outline: cross(3.5) },
  rejected: { colour: "worse", outline: square(3.5) },
  branched: { colour: "working", outline: triangle(4) },
  unconfirmed: { colour: "bad", outline: diamond(5.5) },
  kept: { colour: "working", outline: circle(3.2), filled: true },
  baseline: { colour: "soft", outline: square(3.5), filled: true },
  adopted: { colour: "head", outline: diamond(6), filled: true },
};
// The drawing order: the most important marks come last, on top.
export const ORDER = Object.keys(MARKS);

// The marks behind the curves.
export const BEHIND = new Set(["discarded", "failed", "rejected"]);

export const markOf = (decision) => (Object.hasOwn(MARKS, decision) ? decision : "discarded");

// Draws one kind of mark at all of its points, in pixels of the canvas. A crowd is drawn as dots, which
// takes a fifth of the time of circles.
export function drawMarks(context, name, points, ratio) {
  if (points.length > CROWD) drawDots(context, name, points, Math.round(DOT * ratio));
  else drawPaths(context, MARKS[name], points, ratio);
}

function drawDots(context, name, points, size) {
  context.fillStyle = ink(MARKS[name].colour);
  const half = Math.floor(size / 2);
  for (const [x, y] of points) context.fillRect(Math.round(x) - half, Math.round(y) - half, size, size);
}

function drawPaths(context, { colour, outline, filled }, points, ratio) {
  const path = new Path2D();
  for (const [x, y] of points) outline(path, x, y, ratio);
  context.lineWidth = 1.4 * ratio;
  context.strokeStyle = ink(colour);
  context.fillStyle = ink(filled ? colour : "paper");
  context.fill(path);
  context.stroke(path);
}

// Draws arrows for scores beyond the upper or lower edge of a plot. One stands for all on its pixels.
export function drawArrows(context, name, points, ratio, { isUp }) {
  const taken = new Set();
  const inside = (isUp ? 1 : -1) * 1.5 * ARROW_PX * ratio;
  const places = [];
  for (const [x, y] of points) {
    const column = Math.round(x / (ARROW_PX * ratio));
    if (taken.has(column)) continue;
    taken.add(column);
    places.push([x, y + inside]);
  }
  drawPaths(context, { ...MARKS[name], outline: triangle(isUp ? ARROW_PX : -ARROW_PX) }, places, ratio);
}

// The legend: each mark or curve with its meaning. `lines` are [class, words].
export function legend(shown, lines) {
  const sample = (...children) => drawn("svg", { viewBox: "0 0 16 14", class: "sample", "aria-hidden": "true" }, ...children);
  return element(
    "ul",
    { class: "legend" },
    lines.map(([name, words]) => element("li", {}, sample(drawn("path", { class: `line ${name}`, d: "M0 7H16" })), words)),
    ORDER.filter((name) => shown.has(name)).map((name) => element("li", {}, sample(sampleOf(name)), wording(name).word)),
  );
}

function sampleOf(name) {
  const { colour, outline, filled } = MARKS[name];
  const steps = new Steps();
  outline(steps, 8, 7, 1);
  return drawn("path", { class: `mark ${colour}${filled ? " filled" : ""}`, d: steps.text });
}

// Records the calls of a canvas path as the text of an SVG path.
class Steps {
  text = "";

  moveTo(x, y) {
    this.text += `M${x} ${y}`;
  }

  lineTo(x, y) {
    this.text += `L${x} ${y}`;
  }

  closePath() {
    this.text += "Z";
  }

  arc(x, y, radius) {
    this.text += `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;
  }
}

function circle(radius) {
  return (path, x, y, ratio) => {
    path.moveTo(x + radius * ratio, y);
    path.arc(x, y, radius * ratio, 0, 2 * Math.PI);
  };
}

function around(corners) {
  return (path, x, y, ratio) => {
    corners.forEach(([dx, dy], at) => path[at === 0 ? "moveTo" : "lineTo"](x + dx * ratio, y + dy * ratio));
    path.closePath();
  };
}

function square(r) {
  return around([[-r, -r], [r, -r], [r, r], [-r, r]]);
}

function diamond(r) {
  return around([[0, -r], [r, 0], [0, r], [-r, 0]]);
}

function triangle(r) {
  return around([[0, -r], [r, r], [-r, r]]);
}

function cross(r) {
  return (path, x, y, ratio) => {
    path.moveTo(x - r * ratio, y - r * ratio);
    path.lineTo(x + r * ratio, y + r * ratio);
    path.moveTo(x + r * ratio, y - r * ratio);
    path.lineTo(x - r * ratio, y + r * ratio);
  };
}
