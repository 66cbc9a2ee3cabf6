// The box next to the mark under the pointer: the experiment's title, decision and score, then its gain
// and the first lines of its diff, which are loaded when the pointer rests.

import { append, element, plain, quoted, refill } from "../dom.js";
import * as figures from "../figures.js";
import { badge } from "../words.js";

const REST_MS = 120;
const LINES = 6;
const LINE_LENGTH = 72;
const KEPT = 200; // answers in memory
const GAP_PX = 12;

export class Tip {
  place = element("div", { class: "tip", hidden: true });
  #detailOf;
  #details = new Map();
  #timer = null;
  #shown = null;

  // `detailOf(id)` loads an experiment; null in a file, which has no node to ask.
  constructor(detailOf = null) {
    this.#detailOf = detailOf;
  }

  hide() {
    clearTimeout(this.#timer);
    this.#shown = null;
    this.place.hidden = true;
  }

  // Shows an experiment at [x, y] of the chart, which is `width` wide.
  show({ id, title, decision, metric, unit, ts, sd }, [x, y], width) {
    clearTimeout(this.#timer);
    this.#shown = id;
    const value = figures.isKnown(metric) ? `${figures.metric(metric, sd)} ${plain(unit)}` : "no score";
    const more = element("div", {});
    refill(this.place, element("strong", {}, quoted(title)), element("p", {}, badge(decision), " ", element("span", { class: "figure" }, value), " ", element("span", { class: "soft" }, figures.ago(ts))), more);
    this.place.hidden = false;
    const isRight = x > width / 2;
    const isHigh = y < this.place.offsetHeight + 2 * GAP_PX;
    const across = isRight ? `calc(-100% - ${GAP_PX}px)` : `${GAP_PX}px`;
    this.place.style.transform = `translate(${x}px, ${y}px) translate(${across}, ${isHigh ? "0" : "-100%"})`;
    if (this.#detailOf === null) return;
    if (this.#details.has(id)) append(more, detailView(this.#details.get(id), sd));
    else this.#timer = setTimeout(() => this.#load(id, more, sd), REST_MS);
  }

  async #load(id, more, sd) {
    let detail;
    try {
      detail = await this.#detailOf(id);
    } catch {
      return; // what is shown already stays
    }
    this.#details.set(id, { gain: detail.experiment.gain, lines: excerptOf(detail.diff) });
    if (this.#details.size > KEPT) this.#details.delete(this.#details.keys().next().value);
    if (this.#shown === id) append(more, detailView(this.#details.get(id), sd));
  }
}

function detailView({ gain, lines }, sd) {
  const line = (text) => element("div", { class: text[0] === "+" ? "added" : "removed" }, plain(text));
  return [
    figures.isKnown(gain) ? element("p", { class: "figure" }, `gain ${figures.gain(gain, sd)}`) : null,
    lines.length > 0 ? element("div", { class: "diff" }, lines.map(line)) : null,
  ];
}

// Returns the first changed lines of a diff.
function excerptOf(diff) {
  const changed = (diff ?? "").split("\n").filter((line) => /^[+-]/.test(line) && !/^(\+\+\+|---)/.test(line));
  return changed.slice(0, LINES).map((line) => (line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH)}…` : line));
}
