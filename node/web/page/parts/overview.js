// Overview: the result and its progress, the current runs, the proposers, then device and messages.

import { segment } from "../api.js";
import { Staircase } from "../charts/staircase.js";
import { element, emptyState, link, plain, refill, quoted, section, skeleton } from "../dom.js";
import { again, lineChooser, ofLine, chosenLine } from "../line.js";
import { atMostEvery, fill, announce } from "../visit.js";
import { badge, wording } from "../words.js";
import * as figures from "../figures.js";
import { approvalSection } from "./approval.js";
import { AtWork } from "./at_work.js";
import { valuesView } from "./best_values.js";
import { plannerView, proposersView } from "./proposers.js";
import { Trial, resultView } from "./result.js";

export const title = "Overview";
const REREAD_MS = 8_000; // the answer contains all experiments; between two answers events update the page
const LATEST = 7;
const PLOT_PX = 400;
const NARROW_PX = 320;

export async function show(visit) {
  const { status, lines, line } = await chosenLine(visit);
  const work = new AtWork(visit);
  if (line === null) {
    visit.show(approvalSection(visit), nothingYet(status), work.running, work.machine);
    visit.on("experiment", again); // the first experiment has ended
    await work.begin();
    return;
  }
  const trial = new Trial();
  const result = element("div", {});
  const plot = element("div", { class: "progress" });
  const proposers = element("div", {}, proposersOf(line));
  const values = element("div", {});
  const latestPlace = element("div", {});
  visit.show(
    element("div", { class: "toolbar" }, lineChooser(lines, line), element("span", { class: "end" }, link("report", "Report of the last 24 hours"))),
    approvalSection(visit),
    element("section", { "aria-label": "Result so far" }, result, trial.place),
    plot,
    values,
    element("div", { class: "at-work" }, work.running, section("Latest experiments", latestPlace)),
    proposers,
    work.machine,
  );
  refill(result, skeleton(4));
  const latest = new Latest(visit, line, latestPlace);
  work.onNow = (now) => trial.putNow(now);
  await Promise.all([
    work.begin(),
    fill(plot, () => progress(visit, line, { result, trial, values, proposers })),
    fill(latestPlace, () => latest.read()),
  ]);
}

// What a home without any measurement shows.
function nothingYet({ running, self_test: selfTest }) {
  const what = "The result, its progress and the current runs will be shown here.";
  if (!running) return emptyState("Nothing is measured yet", `${what} Start the node: its first runs measure the task's baseline.`, "arnode start");
  if (selfTest) return emptyState("The card is being tested", [quoted(selfTest.stage), ". ", what]);
  return emptyState("The baseline is being measured", what);
}

// Shows the result and draws the staircase; updates both with each experiment.
async function progress(visit, line, { result, trial, values, proposers }) {
  const read = () => visit.get(ofLine("progress", line));
  const state = async () => (await visit.get("status")).lines.find((one) => isOf(one, line)) ?? line;
  let [data, stands] = await Promise.all([read(), state()]);
  const put = () => {
    refill(values, valuesView(data));
    refill(result, resultView(data, stands));
    trial.putLine(stands);
    refill(proposers, proposersOf(stands));
  };
  put();
  const stairs = new Staircase(data, {
    open: (id) => (location.hash = `#/experiments/${id}`),
    signal: visit.signal,
    sd: stands.noise_sd,
    detailOf: (id) => visit.get(`experiments/${segment(id)}`),
    height: innerWidth < 2 * NARROW_PX ? NARROW_PX : PLOT_PX,
  });
  const reread = atMostEvery(REREAD_MS, async () => {
    try {
      [data, stands] = await Promise.all([read(), state()]);
      stairs.put(data, stands.noise_sd);
      put();
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
  if (points.id.at(-1) === id) return data;
  const last = { id, ts, metric, low: null, high: null, head: points.head.at(-1) ?? null, working: points.working.at(-1) ?? null, decision, stage, title: name };
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
    const sd = this.#line.noise_sd;
    const item = ({ id, number, decision, why, title: name, metric, gain, ts }) =>
      element(
        "li",
        {},
        link(`experiments/${id}`, `#${number} `, quoted(name)),
        element("span", { class: "more" }, badge(decision, why), element("span", { class: "figure" }, resultOf(metric, gain, sd)), figures.ago(ts)),
        element("span", { class: "why" }, quoted(why)),
      );
    return element("ol", { class: "latest" }, this.#known.map(item));
  }
}

function resultOf(metric, gain, sd) {
  if (!figures.isKnown(metric)) return "no score";
  return `${figures.metric(metric, sd)}${figures.isKnown(gain) ? `, ${figures.gain(gain, sd)}` : ""}`;
}
