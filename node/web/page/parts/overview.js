// Overview: the current runs, the next patches, and the progress of the line.

import { Staircase } from "../charts/staircase.js";
import { element, link, plain, refill, quoted, section } from "../dom.js";
import { lineChooser, noLine, ofLine, chosenLine } from "../line.js";
import { atMostEvery, fill, announce } from "../visit.js";
import { badge, wording } from "../words.js";
import * as figures from "../figures.js";
import { AtWork } from "./at_work.js";
import { headline } from "./headline.js";
import { plannerView, proposersView } from "./proposers.js";

export const title = "Overview";
const REREAD_MS = 8_000; // the answer contains all experiments; between two answers events update the page
const LATEST = 8;

export async function show(visit) {
  const { lines, line } = await chosenLine(visit);
  const work = new AtWork(visit);
  visit.show(element("section", { "aria-label": "Current runs" }, work.place));
  work.begin();
  const again = () => dispatchEvent(new Event("hashchange"));
  if (line === null) {
    visit.show(noLine());
    visit.on("experiment", again); // the first experiment has ended
    return;
  }
  visit.show(element("div", { class: "toolbar" }, lineChooser(lines, line, again), link("report", "Report of the last day")));
  const figuresPlace = element("div", {});
  const plotPlace = element("div", {}, element("p", { class: "soft" }, "Loading all experiments …"));
  const proposersPlace = element("div", {}, proposersOf(line));
  const latestPlace = element("div", {});
  visit.show(section("Results so far", figuresPlace, plotPlace), proposersPlace, section("Latest experiments", latestPlace));
  const latest = new Latest(visit, line, latestPlace);
  await Promise.all([
    fill(plotPlace, () => progress(visit, line, { figuresPlace, proposersPlace })),
    fill(latestPlace, () => latest.read()),
  ]);
}

// Draws the staircase and updates it with each experiment.
async function progress(visit, line, { figuresPlace, proposersPlace }) {
  const read = () => visit.get(ofLine("progress", line));
  let data = await read();
  const open = (id) => (location.hash = `#/experiments/${id}`);
  const stairs = new Staircase(data, { open, signal: visit.signal });
  const state = async () => (await visit.get("status")).lines.find((one) => isOf(one, line)) ?? line;
  const put = async () => {
    const stands = await state();
    refill(figuresPlace, headline(data, stands));
    refill(proposersPlace, proposersOf(stands));
  };
  await put();
  const reread = atMostEvery(REREAD_MS, async () => {
    try {
      data = await read();
      stairs.put(data);
      await put();
    } catch (fault) {
      if (fault.name !== "AbortError") announce(fault.message);
    }
  });
  visit.on("experiment", (experiment) => {
    if (!isOf(line, { task: { id: experiment.task }, class: experiment.class })) return;
    data = withOneMore(data, experiment);
    stairs.put(data);
    reread();
  });
  return stairs.place;
}

const proposersOf = (line) => [proposersView(line), plannerView(line)];
const isOf = (one, other) => one.task.id === other.task.id && one.class === other.class;

// Returns the progress with a new experiment added. The next reread updates head and working line.
function withOneMore(data, { id, ts, metric, decision, stage, title: name }) {
  const { points } = data;
  if (points.id.at(-1) === id.slice(0, points.id.at(-1)?.length)) return data;
  const last = { id: id.slice(0, 8), ts, metric, low: null, high: null, head: points.head.at(-1) ?? null, working: points.working.at(-1) ?? null, decision, stage, title: name };
  const longer = Object.entries(points).map(([column, values]) => [column, [...values, last[column] ?? null]]);
  return { ...data, points: Object.fromEntries(longer) };
}

// The newest experiments with their decisions.
class Latest {
  #visit;
  #line;
  #place;
  #known = [];

  constructor(visit, line, place) {
    this.#visit = visit;
    this.#line = line;
    this.#place = place;
    visit.on("experiment", (experiment) => {
      announce(`${wording(experiment.decision).word}: ${plain(experiment.title)}`); // also if it was just read
      if (this.#known.some(({ id }) => id === experiment.id)) return;
      this.#known = [experiment, ...this.#known].slice(0, LATEST);
      refill(this.#place, this.#list());
    });
  }

  async read() {
    const { experiments } = await this.#visit.get(ofLine("experiments", this.#line, { limit: LATEST }));
    this.#known = experiments;
    return this.#list();
  }

  #list() {
    if (this.#known.length === 0) return element("p", { class: "soft" }, "no experiments yet");
    const item = ({ id, decision, title: name, metric, gain }) =>
      element(
        "li",
        {},
        badge(decision),
        link(`experiments/${id}`, quoted(name)),
        element("span", { class: "soft figure" }, `${figures.metric(metric)} ${figures.isKnown(gain) ? `(${figures.signed(gain)})` : ""}`),
      );
    return element("ol", { class: "latest" }, this.#known.map(item));
  }
}
