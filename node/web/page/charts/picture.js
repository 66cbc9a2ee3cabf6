// Saves a plot as a picture (PNG): its canvas or drawing on the page's background, with title and legend.

import { element, plain } from "../dom.js";
import { download, fileName } from "../download.js";
import { ink } from "./chart.js";

const SCALE = 2;
const MARGIN = 16;
const LINE = 22;
const FONT = "13px system-ui, sans-serif";
const SAMPLE = 22; // the width of a legend's sample and the space after it
const APART = 18;

// Returns a button that saves a plot. `plotOf()` returns the chart (chart.js) or the SVG element, and
// `legendOf()` its legend, if it has one.
export function pictureButton(name, plotOf, legendOf = () => null) {
  const save = () => {
    const plot = plotOf();
    if (plot) savePicture(plot, { name, legend: legendOf() });
  };
  return element("button", { type: "button", class: "quiet picture", "aria-label": `Save the plot as a picture: ${plain(name)}`, title: "Save as a picture (PNG)", on: { click: save } }, "PNG");
}

// Saves a plot. `name` is its title and the name of the file.
export async function savePicture(plot, { name, legend = null }) {
  const canvas = pictureOf(plot, { name, legend });
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  download(fileName(name, "png"), blob);
}

export function pictureOf(plot, { name, legend = null }) {
  const isChart = plot.ctx !== undefined;
  const box = isChart ? plot.root.getBoundingClientRect() : plot.getBoundingClientRect();
  const width = Math.ceil(box.width) + 2 * MARGIN;
  const canvas = element("canvas");
  const context = canvas.getContext("2d");
  context.font = FONT;
  const rows = legendRows(context, legend, width - 2 * MARGIN);
  const height = Math.ceil(box.height) + 2 * MARGIN + LINE + rows.length * LINE;
  canvas.width = SCALE * width;
  canvas.height = SCALE * height;
  context.scale(SCALE, SCALE);
  context.fillStyle = ink("paper");
  context.fillRect(0, 0, width, height);
  write(context, `600 ${FONT}`, plain(name), MARGIN, MARGIN + 12, width - 2 * MARGIN);
  const top = MARGIN + LINE;
  if (isChart) context.drawImage(plot.ctx.canvas, MARGIN, top, box.width, box.height);
  else paint(context, plot, MARGIN, top);
  rows.forEach((row, at) => row.forEach(({ sample, text, x }) => {
    const y = top + box.height + (at + 1) * LINE;
    if (sample) paint(context, sample, MARGIN + x, y - 11);
    write(context, FONT, text, MARGIN + x + (sample ? SAMPLE : 0), y, width);
  }));
  return canvas;
}

function write(context, font, text, x, y, most) {
  context.font = font;
  context.fillStyle = ink("ink");
  context.fillText(text, x, y, most);
}

// Returns the entries of a legend in rows of this width.
function legendRows(context, legend, width) {
  const rows = [];
  let x = Infinity;
  for (const item of legend?.querySelectorAll("li") ?? []) {
    const sample = item.querySelector("svg");
    const text = item.textContent;
    const needed = (sample ? SAMPLE : 0) + context.measureText(text).width + APART;
    if (x + needed > width) {
      rows.push([]);
      x = 0;
    }
    rows.at(-1).push({ sample, text, x });
    x += needed;
  }
  return rows;
}

// Draws an SVG element onto a canvas, with the colours that it has on the page. A picture of it as an
// image would need a data address, which the page's rules forbid.
function paint(context, drawing, left, top) {
  const box = drawing.getBoundingClientRect();
  const view = drawing.viewBox.baseVal;
  context.save();
  context.translate(left, top);
  if (view && view.width > 0) {
    const scale = Math.min(box.width / view.width, box.height / view.height);
    context.translate((box.width - scale * view.width) / 2, (box.height - scale * view.height) / 2);
    context.scale(scale, scale);
    context.translate(-view.x, -view.y);
  }
  for (const shape of drawing.querySelectorAll("path, circle, rect, line, polyline, polygon, text")) paintShape(context, shape);
  context.restore();
}

function paintShape(context, shape) {
  const style = getComputedStyle(shape);
  if (style.display === "none" || style.visibility === "hidden") return;
  context.save();
  const moved = shape.getCTM();
  const outer = shape.ownerSVGElement.getCTM();
  if (moved && outer) {
    const own = outer.inverse().multiply(moved);
    context.transform(own.a, own.b, own.c, own.d, own.e, own.f);
  }
  context.globalAlpha = Number(style.opacity);
  context.lineWidth = parseFloat(style.strokeWidth) || 1;
  context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/[ ,]+/).map(parseFloat));
  const fill = style.fill === "none" ? null : style.fill;
  const stroke = style.stroke === "none" ? null : style.stroke;
  if (shape.tagName === "text") {
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.textAlign = { middle: "center", end: "right" }[style.textAnchor] ?? "left";
    context.fillStyle = fill ?? "transparent";
    context.fillText(shape.textContent, shape.x.baseVal[0]?.value ?? 0, shape.y.baseVal[0]?.value ?? 0);
  } else {
    const path = outlineOf(shape);
    if (fill) {
      context.globalAlpha = Number(style.opacity) * Number(style.fillOpacity);
      context.fillStyle = fill;
      context.fill(path);
    }
    if (stroke) {
      context.globalAlpha = Number(style.opacity) * Number(style.strokeOpacity);
      context.strokeStyle = stroke;
      context.stroke(path);
    }
  }
  context.restore();
}

function outlineOf(shape) {
  const value = (name) => shape[name].baseVal.value;
  const path = new Path2D(shape.tagName === "path" ? shape.getAttribute("d") : undefined);
  if (shape.tagName === "circle") path.arc(value("cx"), value("cy"), value("r"), 0, 2 * Math.PI);
  if (shape.tagName === "rect") path.rect(value("x"), value("y"), value("width"), value("height"));
  if (shape.tagName === "line") {
    path.moveTo(value("x1"), value("y1"));
    path.lineTo(value("x2"), value("y2"));
  }
  if (shape.tagName === "polyline" || shape.tagName === "polygon") {
    [...shape.points].forEach(({ x, y }, at) => path[at === 0 ? "moveTo" : "lineTo"](x, y));
    if (shape.tagName === "polygon") path.closePath();
  }
  return path;
}
