// The current runs: stage, seconds, loss, evidence of a promotion trial, and the device.

import { Curves, curveWords } from "../charts/curve.js";
import { gainWords } from "../charts/pairs.js";
import { element, facts, plain, refill, setText, quoted } from "../dom.js";
import * as figures from "../figures.js";

const MESSAGES = 6;
const TICK_MS = 1000;

export class AtWork {
  #visit;
  #now = null;
  #receivedAt = 0;
  #what = element("p", { class: "what" });
  #seconds = element("span", { class: "soft" });
  #runs = element("div", {});
  #curves;
  #evidence = element("div", {});
  #next = element("div", {});
  #device = element("div", {});
  #messages = element("div", {});
  #shown = new Map();

  constructor(visit) {
    this.#visit = visit;
    this.#curves = new Curves({ label: "Loss of the current runs", signal: visit.signal });
    this.place = element(
      "div",
      { class: "cards" },
      element("div", { class: "card wide-card" }, element("h2", {}, "Running now"), this.#what, this.#runs, this.#curves.place, this.#evidence),
      element("div", { class: "card" }, element("h2", {}, "Next"), this.#next, element("h2", {}, "Device"), this.#device),
      element("div", { class: "card" }, element("h2", {}, "Latest messages"), this.#messages),
    );
  }

  async begin() {
    this.#visit.on("now", (data) => this.#put("now" in data ? data.now : data));
    this.#visit.every(TICK_MS, () => this.#tick());
    try {
      const { now } = await this.#visit.get("now");
      if (this.#now === null) this.#put(now);
    } catch (fault) {
      if (fault.name !== "AbortError") setText(this.#what, fault.message);
    }
  }

  #put(now) {
    this.#now = now;
    this.#receivedAt = Date.now();
    if (now === null) {
      const why = this.#visit.kind === "store" ? "The node is not running; the page shows its stored data." : "Nothing is running.";
      refill(this.#what, why);
      for (const place of [this.#runs, this.#evidence, this.#next, this.#device, this.#messages]) refill(place);
      this.#shown.clear();
      this.#curves.put([]);
      return;
    }
    this.#showWhat(now);
    this.#tick();
    const { runs, evidence, next, messages } = now;
    const device = [now.device, now.runs_done, now.runs_per_hour, now.counted_share];
    this.#redraw(this.#curves.place, runs.map(({ title, curve }) => ({ name: title, curve })), (curves) => this.#curves.put(curves));
    this.#redraw(this.#runs, runs, (data) => refill(this.#runs, runsOf(data)));
    this.#redraw(this.#evidence, evidence, (data) => refill(this.#evidence, evidenceOf(data)));
    this.#redraw(this.#next, next, (data) => refill(this.#next, nextOf(data)));
    this.#redraw(this.#device, device, () => refill(this.#device, deviceOf(now)));
    this.#redraw(this.#messages, messages, (data) => refill(this.#messages, messagesOf(data)));
  }

  // Draws a part of the page again if its data changed.
  #redraw(place, data, draw) {
    const text = JSON.stringify(data) ?? "";
    if (this.#shown.get(place) === text) return;
    this.#shown.set(place, text);
    draw(data);
  }

  #showWhat(now) {
    const paused = now.paused ? element("strong", { class: "badge bad" }, now.until ? `paused until ${figures.time(Date.parse(now.until))}` : "paused") : null;
    refill(this.#what, paused, paused ? " " : null, element("strong", {}, plain(now.text || now.stage)), " ", quoted(now.title), " ", this.#seconds);
  }

  #tick() {
    if (this.#now === null) return;
    const passed = (Date.now() - this.#receivedAt) / 1000;
    const others = this.#now.also_running > 0 ? `, ${this.#now.also_running} more in parallel` : "";
    setText(this.#seconds, `${figures.span(this.#now.seconds + passed)}${others}`);
  }
}

// Shows only the loss of a single run, because its other figures are shown above.
function runsOf(runs) {
  if (runs.length < 2) return runs.map(({ curve }) => element("p", { class: "soft" }, curveWords(curve)));
  const item = ({ title, text, seconds, curve }) =>
    element("li", {}, quoted(title), element("span", { class: "soft" }, ` ${plain(text)}, ${figures.span(seconds)}${curve?.length > 0 ? `, ${curveWords(curve)}` : ""}`));
  return element("ul", { class: "plain-list" }, runs.map(item));
}

function evidenceOf(evidence) {
  if (!evidence) return null;
  const { pairs, share, gain, lower, upper } = evidence;
  const words = `${figures.share(share)} of the evidence after ${figures.many(pairs, "pair")}`;
  return element(
    "div",
    { class: "evidence" },
    element("label", {}, "Evidence of the promotion trial ", element("meter", { min: "0", max: "1", value: String(share ?? 0) }, words)),
    element("p", {}, `${words}; ${gainWords(gain, lower, upper)}`),
  );
}

function nextOf(next) {
  if (next.length === 0) return element("p", { class: "soft" }, "the next proposed patch");
  const item = ({ title, text }) => element("li", {}, quoted(title), " ", element("span", { class: "soft" }, plain(text)));
  return element("ol", { class: "plain-list" }, next.map(item));
}

function deviceOf({ device, runs_done: runs, runs_per_hour: perHour, counted_share: counted }) {
  const memory = device?.memory_total_bytes
    ? `${figures.size(device.memory_bytes)} of ${figures.size(device.memory_total_bytes)}`
    : figures.isKnown(device?.memory_bytes) ? figures.size(device.memory_bytes) : null;
  return facts([
    ["hardware", device ? plain(device.class) : null],
    ["load", figures.isKnown(device?.load) ? figures.share(device.load) : null],
    ["memory", memory],
    ["power", figures.isKnown(device?.watts) ? `${Math.round(device.watts)} W` : null],
    ["runs", figures.isKnown(runs) ? `${runs.toLocaleString()}, ${Math.round(perHour)} per hour` : null],
    ["training", figures.isKnown(counted) ? `${figures.share(counted)} of the time` : null],
  ]);
}

function messagesOf(messages) {
  if (messages.length === 0) return element("p", { class: "soft" }, "no messages yet");
  return element("ol", { class: "plain-list messages" }, messages.slice(-MESSAGES).reverse().map((one) => element("li", {}, quoted(one))));
}
