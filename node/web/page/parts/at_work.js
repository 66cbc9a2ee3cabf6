// The current runs with their loss, the next ones, and then the device and the latest messages.

import { Curves, curveWords, sampleOf } from "../charts/curve.js";
import { element, facts, plain, refill, setText, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { stateOf } from "../standing.js";
import { faultText } from "../visit.js";

const MESSAGES = 6;
const TICK_MS = 1000;

// Two places to put on the page, `running` and `machine`. A card without content is hidden.
export class AtWork {
  onNow = () => {};
  #visit;
  #now = null;
  #receivedAt = 0;
  #isLive = true;
  #what = element("p", { class: "what" });
  #seconds = element("span", { class: "soft" });
  #heading = element("span", {}, "Running now");
  #state = element("span", {});
  #runs = element("div", {});
  #curves;
  #next = element("div", {});
  #device = element("div", {});
  #messages = element("div", {});
  #shown = new Map();

  constructor(visit) {
    this.#visit = visit;
    this.#curves = new Curves({ label: "Loss of the current runs", signal: visit.signal, hasLegend: false });
    this.running = element("section", { class: "card", hidden: true }, element("h2", {}, this.#heading, " ", this.#state), this.#what, this.#curves.place, this.#runs, this.#next);
    this.machine = element(
      "div",
      { class: "machine", hidden: true },
      element("section", { class: "card" }, element("h2", {}, "Device"), this.#device),
      element("section", { class: "card" }, element("h2", {}, "Latest messages"), this.#messages),
    );
  }

  async begin() {
    this.#visit.on("now", (data) => this.#put("now" in data ? data.now : data));
    this.#visit.on("connection", ({ isLive }) => {
      this.#isLive = isLive;
      this.#showState();
    });
    this.#visit.every(TICK_MS, () => this.#tick());
    try {
      const { now } = await this.#visit.get("now");
      if (this.#now === null) this.#put(now);
    } catch (fault) {
      if (fault.name === "AbortError") return;
      this.running.hidden = false;
      refill(this.#what, faultText(fault, () => this.begin()));
    }
  }

  #put(now) {
    this.#now = now;
    this.#receivedAt = Date.now();
    this.onNow(now);
    this.running.hidden = this.machine.hidden = now === null;
    if (now === null) {
      this.#shown.clear();
      this.#curves.put([]);
      return;
    }
    this.#showWhat(now);
    this.#showState();
    this.#tick();
    const { runs, next, messages } = now;
    const device = [now.device, now.runs_done, now.runs_per_hour, now.counted_share];
    this.#redraw(this.#curves.place, runs.map(({ title, curve }) => ({ name: title, curve })), (curves) => this.#curves.put(curves));
    this.#redraw(this.#runs, runs, (data) => refill(this.#runs, runsOf(data)));
    this.#redraw(this.#next, next, (data) => refill(this.#next, nextOf(data)));
    this.#redraw(this.#device, device, () => refill(this.#device, deviceOf(now)));
    this.#redraw(this.#messages, messages, (data) => refill(this.#messages, messagesOf(data)));
    this.#messages.parentElement.hidden = messages.length === 0;
  }

  // Marks figures that are no longer updated.
  #showState() {
    const last = this.#isLive ? null : element("span", { class: "chip lost" }, "disconnected, last update ", figures.ago(this.#receivedAt));
    refill(this.#state, last);
  }

  // Draws a part of the page again if its data changed.
  #redraw(place, data, draw) {
    const text = JSON.stringify(data) ?? "";
    if (this.#shown.get(place) === text) return;
    this.#shown.set(place, text);
    draw(data);
  }

  #showWhat(now) {
    const { word, kind } = stateOf(now);
    setText(this.#heading, kind === "paused" ? "Paused" : "Running now");
    refill(this.#what, kind === "paused" ? [element("strong", { class: "badge bad" }, word), " "] : null, element("strong", {}, plain(now.text || now.stage)), " ", quoted(now.title), " ", this.#seconds);
  }

  #tick() {
    if (this.#now === null || !this.#isLive) return;
    const passed = (Date.now() - this.#receivedAt) / 1000;
    const others = this.#now.also_running > 0 ? `, ${this.#now.also_running} more in parallel` : "";
    setText(this.#seconds, `${figures.span(this.#now.seconds + passed)}${others}`);
  }
}

// Shows only the loss of a single run, because its other figures are shown above.
function runsOf(runs) {
  if (runs.length < 2) return runs.map(({ curve }) => element("p", { class: "soft" }, curveWords(curve)));
  let at = 0; // of the curve; runs without one have no sample
  const item = ({ title, text, seconds, curve }) =>
    element("li", {}, curve?.length > 0 ? sampleOf(at++) : null, quoted(title), element("span", { class: "soft" }, ` ${plain(text)}, ${figures.span(seconds)}${curve?.length > 0 ? `, ${curveWords(curve)}` : ""}`));
  return element("ul", { class: "plain-list" }, runs.map(item));
}

function nextOf(next) {
  if (next.length === 0) return null;
  const item = ({ title, text }) => element("li", {}, quoted(title), " ", element("span", { class: "soft" }, plain(text)));
  return [element("h3", {}, "Next"), element("ol", { class: "plain-list" }, next.map(item))];
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
    ["runs", figures.isKnown(runs) ? `${runs.toLocaleString()} in all, ${Math.round(perHour)} per hour` : null],
    ["candidates ran", figures.isKnown(counted) ? `${figures.share(counted)} of the time` : null],
  ]);
}

function messagesOf(messages) {
  return element("ol", { class: "plain-list messages" }, messages.slice(-MESSAGES).reverse().map((one) => element("li", {}, quoted(one))));
}
