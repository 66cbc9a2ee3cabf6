// One visit of a part of the page: what it shows itself with, until the reader goes elsewhere.

import { append, element, refill, retell } from "./dom.js";

export class Visit {
  #leaving = new AbortController();
  #session;
  #heard;

  // `heard` is where events arrive; `parameters` and `query` are what the route says.
  constructor({ session, heard, place, parameters, query }) {
    this.#session = session;
    this.#heard = heard;
    this.place = place;
    this.parameters = parameters;
    this.query = query;
  }

  get api() {
    return this.#session.api;
  }

  get kind() {
    return this.#session.kind;
  }

  get maySteer() {
    return this.#session.may.includes("steer");
  }

  get signal() {
    return this.#leaving.signal;
  }

  leave() {
    this.#leaving.abort();
  }

  get(path) {
    return this.api.get(path, { signal: this.signal });
  }

  post(path, said) {
    return this.api.post(path, said, { signal: this.signal });
  }

  // Calls `told` with the data of every event of a kind.
  hear(kind, told) {
    this.#heard.addEventListener(kind, ({ detail }) => told(detail), { signal: this.signal });
  }

  every(ms, called) {
    const timer = setInterval(called, ms);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }

  show(...children) {
    if (!this.signal.aborted) append(this.place, ...children);
  }

  entitle(title) {
    if (this.signal.aborted) return;
    retell(document.getElementById("title"), title);
    document.title = `${title} · arnode`;
  }

  // Keeps what is chosen in the address, so that the way back leads to it.
  remember(path) {
    if (!this.signal.aborted) history.replaceState(null, "", `#/${path}`);
  }
}

// Says something aloud and in nobody's way.
export function say(text) {
  retell(document.getElementById("said"), text);
}

export function faultText(fault) {
  const place = element("div", { class: "fault", role: "alert" }, element("p", {}, fault.message));
  return fault.hint ? append(place, element("p", { class: "soft" }, fault.hint)) : place;
}

// Does what a control asks for, once at a time, and tells its outcome in `place`.
export async function attempt(control, place, action) {
  control.disabled = true;
  try {
    const told = await action();
    refill(place, told ? element("p", { role: "status" }, told) : null);
  } catch (fault) {
    if (fault.name !== "AbortError") refill(place, faultText(fault));
  } finally {
    control.disabled = false;
  }
}

// Fills a place with what is read, or with why it could not be.
export async function fill(place, made) {
  try {
    refill(place, await made());
  } catch (fault) {
    if (fault.name !== "AbortError") refill(place, faultText(fault));
  }
  return place;
}

// Returns what calls `action` at most once in `ms`, the last time included.
export function atMostEvery(ms, action) {
  let timer = null;
  let isWanted = false;
  const rested = () => {
    timer = null;
    if (isWanted) called();
  };
  const called = () => {
    if (timer !== null) {
      isWanted = true;
      return;
    }
    isWanted = false;
    timer = setTimeout(rested, ms);
    action();
  };
  return called;
}
