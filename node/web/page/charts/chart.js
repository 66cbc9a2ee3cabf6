// The common setup of charts: as wide as their container, in the colours of the style sheets.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { element } from "../dom.js";

export { uPlot };

const FONT = "12px system-ui, sans-serif";
const LABEL_PX = 18; // room for an axis title
const probe = element("span", { hidden: true });
const inks = new Map();

// Returns a colour of the current theme in the form that a canvas needs.
export function ink(name) {
  if (!inks.has(name)) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${name})`;
    inks.set(name, getComputedStyle(probe).color);
  }
  return inks.get(name);
}

const axis = (more) => ({
  stroke: () => ink("soft"),
  grid: { stroke: () => ink("rule"), width: 1 },
  ticks: { stroke: () => ink("rule"), width: 1 },
  font: FONT,
  labelFont: FONT,
  labelGap: 2,
  labelSize: LABEL_PX,
  ...more,
});

// Returns the index of the place nearest to the pointer, within `reachPx`; null if none is so near,
// undefined if the pointer is not on the plot. `places` are in pixels of the canvas, null without one.
export function nearestPlace(plot, places, reachPx, [first, last] = [0, places.length - 1]) {
  const { left, top } = plot.cursor;
  if (left === undefined || left < 0) return undefined;
  const ratio = uPlot.pxRatio;
  const [x, y] = [left * ratio + plot.bbox.left, top * ratio + plot.bbox.top];
  let nearest = null;
  let least = (reachPx * ratio) ** 2;
  for (let at = Math.max(0, first); at <= Math.min(last, places.length - 1); at++) {
    if (places[at] === null) continue;
    const distance = (places[at][0] - x) ** 2 + (places[at][1] - y) ** 2;
    if (distance < least) [nearest, least] = [at, distance];
  }
  return nearest;
}

// Draws a chart into `place`. `axes` are [x, y], each with its differences from the defaults.
export function chart(place, { height, axes: [x, y], ...options }, data, signal) {
  const widthOf = () => Math.max(120, place.clientWidth);
  const made = new uPlot(
    {
      width: widthOf(),
      height,
      legend: { show: false },
      axes: [axis({ size: 32, ...x }), axis({ size: 78, ...y })],
      ...options,
    },
    data,
    place,
  );
  const watcher = new ResizeObserver(() => {
    if (place.clientWidth > 0 && widthOf() !== made.width) made.setSize({ width: widthOf(), height });
  });
  watcher.observe(place);
  addEventListener("theme", () => made.redraw(false), { signal });
  signal.addEventListener("abort", () => {
    watcher.disconnect();
    made.destroy();
  });
  return made;
}

// Before the charts are drawn again: their own listeners are added later.
addEventListener("theme", () => inks.clear());
