// Insights, importance: the variation of the score that each hyperparameter explains, and the gains at
// its values, in the built-in search's model.

import { withQuery } from "../api.js";
import { axisOf } from "../charts/axes.js";
import { pictureButton } from "../charts/picture.js";
import { drawn, element, emptyState, link, plain, quoted, refill, setText } from "../dom.js";
import * as figures from "../figures.js";
import { ofLine, showLine } from "../line.js";
import { faultText } from "../visit.js";

const WIDTH = 300;
const HEIGHT = 150;
const BOX = { left: 46, right: 12, top: 10, bottom: 40 };
const BAR = 200;
const MOST_TICKS = 4;
const TICK_CHARACTERS = 10;
const NAME_CHARACTERS = 26;
const REREAD_MS = 2_000; // while an estimate is being made

export const show = (visit) =>
  showLine(visit, nothing, async (line) => {
    const view = new ImportanceView(visit, line);
    await view.read();
    return view.place;
  });

const nothing = () =>
  emptyState("Too little was varied yet", "The share of the score's variation that each hyperparameter explains will be shown here, once at least 8 experiments changed only hyperparameters.", "arnode start");

// The last estimate, which stays while the server makes the next one.
class ImportanceView {
  #visit;
  #line;
  #shown = null; // the estimate, as text
  #state = element("p", { class: "soft" });
  #estimate = element("div", {});
  place = element("div", {}, this.#state, this.#estimate);

  constructor(visit, line) {
    this.#visit = visit;
    this.#line = line;
  }

  async read() {
    const { estimate, newer, progress } = await this.#visit.get(ofLine("importance", this.#line));
    setText(this.#state, stateOf({ estimate, newer, progress }, this.#visit.kind));
    if (estimate !== null && this.#shown !== JSON.stringify(estimate)) {
      this.#shown = JSON.stringify(estimate);
      refill(this.#estimate, estimateView(estimate));
    }
    if (progress === null) return;
    const timer = setTimeout(() => this.#readAgain(), REREAD_MS);
    this.#visit.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  async #readAgain() {
    try {
      await this.read();
    } catch (fault) {
      if (fault.name !== "AbortError") refill(this.#state, faultText(fault, () => this.#readAgain()));
    }
  }
}

function stateOf({ estimate, newer, progress }, kind) {
  const share = progress === null ? null : figures.share(progress);
  if (estimate === null) return `The importance is being estimated: ${share}.${kind === "node" ? " It takes about a minute, so that it does not disturb runs." : ""}`;
  if (share !== null) return `Being estimated again with ${figures.many(newer, "more experiment")}: ${share}.`;
  return newer > 0 ? `${figures.many(newer, "experiment")} ended since this estimate.` : "";
}

function estimateView({ hyperparameters, explained }) {
  if (hyperparameters.length === 0) return nothing();
  const [without, withEffect] = [true, false].map((isNone) => hyperparameters.filter(({ share }) => (figures.share(share) === figures.share(0)) === isNone));
  return [
    element("p", {}, `On their own, single hyperparameters explain ${figures.share(explained)} of the score's variation in a model of this node's experiments. It is an estimate; no decision uses it.`),
    element("ol", { class: "hyperparameters" }, withEffect.map(hyperparameterView)),
    without.length > 0 ? element("p", { class: "no-effect" }, "No effect seen: ", without.map((one, at) => [at > 0 ? ", " : null, scatterLink(one)]), ".") : null,
  ];
}

const scatterLink = ({ name }) => link(withQuery("insights/scatter", { name }), quoted(name));

function hyperparameterView({ name, share, low, high, best, values }) {
  const points = values.map(({ value, gain_sd: gain }) => [value, gain]).filter(([, gain]) => figures.isKnown(gain));
  return element(
    "li",
    { class: "card" },
    element("h2", {}, scatterLink({ name })),
    element("p", { class: "share" }, element("span", { class: "big" }, figures.share(share)), element("span", { class: "soft" }, `90 % interval ${figures.share(low)} to ${figures.share(high)}`)),
    shareBar(share, low, high),
    element("p", {}, "predicted best value: ", quoted(typeof best === "number" ? figures.rounded(best) : String(best))),
    points.length > 0 ? effectPlot(name, points) : null,
  );
}

// A bar of the share, with its interval as a line.
function shareBar(share, low, high) {
  const x = (value) => (BAR * Math.min(1, Math.max(0, value))).toFixed(1);
  return drawn(
    "svg",
    { viewBox: `0 0 ${BAR} 14`, class: "share-bar", "aria-hidden": "true" },
    drawn("rect", { class: "whole", width: BAR, height: 14, rx: 3 }),
    drawn("rect", { class: "part", width: x(share), height: 14, rx: 3 }),
    drawn("path", { class: "interval", d: `M${x(low)} 7H${x(high)}M${x(low)} 3v8M${x(high)} 3v8` }),
  );
}

// The predicted gain at each value, relative to the present one.
function effectPlot(name, points) {
  const axis = axisOf(name, points.map(([value]) => (typeof value === "boolean" ? String(value) : value)));
  const gains = [...points.map(([, gain]) => gain), 0];
  const [least, most] = [Math.min(...gains), Math.max(...gains)];
  const reach = most - least || 1;
  const x = (value) => BOX.left + axis.at(typeof value === "boolean" ? String(value) : value) * (WIDTH - BOX.left - BOX.right);
  const y = (gain) => BOX.top + ((most - gain) / reach) * (HEIGHT - BOX.top - BOX.bottom);
  const places = points.map(([value, gain]) => [x(value).toFixed(1), y(gain).toFixed(1), gain]);
  const words = `predicted gains between ${figures.deviations(least, 1)} and ${figures.deviations(most, 1)} at ${axis.isNumeric ? `values from ${axis.words(points[0][0])} to ${axis.words(points.at(-1)[0])}` : points.map(([value]) => String(value)).join(", ")}`;
  const every = Math.ceil(axis.ticks.length / MOST_TICKS);
  const label = (text, length = TICK_CHARACTERS) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  const svg = drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": plain(`${name}: ${words}`) },
    drawn("path", { class: "axis", d: `M${BOX.left} ${HEIGHT - BOX.bottom}H${WIDTH - BOX.right}M${BOX.left} ${BOX.top}V${HEIGHT - BOX.bottom}` }),
    drawn("path", { class: "zero", d: `M${BOX.left} ${y(0)}H${WIDTH - BOX.right}` }),
    [...new Set([most, 0, least])].filter((gain, at, all) => all.every((other, place) => place <= at || Math.abs(y(other) - y(gain)) > 11)).map((gain) => drawn("text", { class: "tick", x: BOX.left - 5, y: y(gain) + 4, "text-anchor": "end" }, gain === 0 ? "0" : figures.deviations(gain, 1).replace(" sd", ""))),
    axis.ticks.filter((_, at) => at % every === 0).map(({ place, words: text }) => drawn("text", { class: "tick", x: BOX.left + place * (WIDTH - BOX.left - BOX.right), y: HEIGHT - BOX.bottom + 15, "text-anchor": "middle" }, label(text))),
    drawn("text", { class: "tick", x: (BOX.left + WIDTH - BOX.right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, `${label(plain(name), NAME_CHARACTERS)}${axis.isLog ? ", logarithmic" : ""}`),
    drawn("text", { class: "tick", x: 10, y: (BOX.top + HEIGHT - BOX.bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 10 ${(BOX.top + HEIGHT - BOX.bottom) / 2})` }, "predicted gain, sd"),
    axis.isNumeric ? drawn("path", { class: "line working", d: places.map(([across, height], at) => `${at ? "L" : "M"}${across} ${height}`).join("") }) : null,
    places.map(([across, height, gain]) => drawn("circle", { class: gain > 0 ? "point up" : "point", cx: across, cy: height, r: "3.5" })),
  );
  return element("figure", { class: "effect" }, svg, element("div", { class: "below-plot" }, element("figcaption", {}, quoted(words)), pictureButton(`Predicted gain by ${name}`, () => svg)));
}
