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
