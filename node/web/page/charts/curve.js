// A plot of loss over steps, with a curve for each run.

import { append, drawn, element, plain, refill } from "../dom.js";
import * as figures from "../figures.js";
import { chart, ink, uPlot } from "./chart.js";
import { pictureButton } from "./picture.js";

const HEIGHT = 180;
const INKS = Array.from({ length: 8 }, (_, at) => `series-${at + 1}`);
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 2], [12, 4]];

export class Curves {
  #plot = null;
  #names = [];
  #signal;
  #hasLegend;
  #height;
  #ending = new AbortController();
  #legend = element("div", {});
  #picture = element("div", { class: "plot" });

  // Without a legend, the caller shows the samples (`sampleOf`) next to the names.
  constructor({ label, signal, hasLegend = true, height = HEIGHT }) {
    this.#height = height;
    this.#signal = signal;
    this.#hasLegend = hasLegend;
    const save = pictureButton(label, () => this.#plot, () => this.#legend);
    this.place = element("figure", { class: "curves", "aria-label": label }, this.#picture, element("div", { class: "below-plot" }, this.#legend, save));
  }

  // `runs` are {name, curve} with a curve [[step, loss], …]. Runs without a curve are left out. `group`
  // is the number of what a run belongs to: its runs look alike, and the legend names it once.
  put(runs) {
    const shown = runs.filter(({ curve }) => curve?.length > 0);
    this.place.hidden = shown.length === 0;
    if (shown.length === 0) return;
    const data = uPlot.join(shown.map(({ curve }) => [curve.map(([step]) => step), curve.map(([, loss]) => loss)]));
    const names = shown.map(({ name }) => name);
    if (this.#plot && names.join("\n") === this.#names.join("\n")) {
      this.#plot.setData(data);
      return;
    }
    this.#names = names;
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#plot = null;
    const looks = shown.map(({ group }, at) => (group === undefined ? at : lookOf(group)));
    refill(this.#legend, this.#hasLegend ? legendOf(names, looks) : null);
    // An element has its width only once it is on the page.
    requestAnimationFrame(() => {
      if (this.#signal.aborted || names !== this.#names) return;
      const signal = AbortSignal.any([this.#signal, this.#ending.signal]);
      this.#plot = chart(this.#picture, { height: this.#height, ...optionsOf(names, looks) }, data, signal);
    });
  }
}

// Returns the look of a group's curves, as a number for `sampleOf`. Groups differ in colour and dashes.
export const lookOf = (group) => group + INKS.length * (group % DASHES.length);

function optionsOf(names, looks) {
  return {
    scales: { x: { time: false } },
    axes: [{ label: "step", size: 30, values: (plot, splits) => splits.map((one) => (Number.isInteger(one) ? one.toLocaleString() : "")) }, { label: "loss", size: 56, values: (plot, splits) => splits.map((one) => String(Number(one.toPrecision(4)))) }],
    series: [
      {},
      ...names.map((name, at) => ({
        label: plain(name),
        stroke: () => ink(INKS[looks[at] % INKS.length]),
        dash: DASHES[Math.floor(looks[at] / INKS.length) % DASHES.length],
        width: 1.6,
        spanGaps: true,
        points: { show: false },
      })),
    ],
    cursor: { show: false },
  };
}

function legendOf(names, looks) {
  if (names.length < 2) return null;
  const item = (name, at) => append(element("li", {}), sampleOf(looks[at]), plain(name));
  return element("ul", { class: "legend" }, names.map((name, at) => (looks.indexOf(looks[at]) === at ? item(name, at) : null)));
}

// Returns a short piece of the curve with this index.
export function sampleOf(at) {
  const stroke = drawn("path", {
    class: `line ${INKS[at % INKS.length]}`,
    d: "M0 7H16",
    "stroke-dasharray": DASHES[Math.floor(at / INKS.length) % DASHES.length].join(" ") || null,
  });
  return drawn("svg", { viewBox: "0 0 16 14", class: "sample", "aria-hidden": "true" }, stroke);
}

// A curve's last point in words, for readers who cannot see the plot.
export function curveWords(curve) {
  if (!curve || curve.length === 0) return "";
  const [step, loss] = curve.at(-1);
  return `loss ${figures.rounded(loss)} at step ${step.toLocaleString()}`;
}
