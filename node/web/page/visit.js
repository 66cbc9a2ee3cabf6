// A visit to one view of the page. It gives the view its data and events until the reader leaves.

import { append, element, marked, refill, setText, skeleton } from "./dom.js";
import { addKey } from "./keys.js";

const NOT_NOW = 409;

export class Visit {
  #leaving = new AbortController();
  #session;
  #bus;

  // `bus` dispatches the node's events. `parameters` and `query` come from the route.
  constructor({ session, bus, place, parameters, query }) {
    this.#session = session;
    this.#bus = bus;
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

  post(path, body) {
    return this.api.post(path, body, { signal: this.signal });
  }

  // Calls `handle` with the data of every event of a kind.
  on(kind, handle) {
    this.#bus.addEventListener(kind, ({ detail }) => handle(detail), { signal: this.signal });
  }

  // Registers a key of the keyboard while this view is shown (keys.js).
  key(key, words, action) {
    if (!this.signal.aborted) addKey(key, words, action, { signal: this.signal });
  }

  every(ms, called) {
    const timer = setInterval(called, ms);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }

  show(...children) {
    if (!this.signal.aborted) append(this.place, ...children);
  }

  setTitle(title) {
    if (this.signal.aborted) return;
    setText(document.getElementById("title"), title);
    document.title = `${title} · arnode`;
  }

  // Puts the chosen filters into the address, so that Back restores them.
  remember(path) {
    if (!this.signal.aborted) history.replaceState(null, "", `#/${path}`);
  }
}

// Announces a text to screen readers, without showing it or moving the focus.
export function announce(text) {
  setText(document.getElementById("announcement"), text);
}

// Returns a fault with its hint. `again` is called by a button "Try again". What is only shown while a
// node runs is not a fault: the hint says how to start it.
export function faultText(fault, again = null) {
  if (again !== null && fault.status === NOT_NOW) return element("div", { class: "empty" }, element("p", {}, marked(`Not shown now: ${fault.message}`)), fault.hint ? element("p", { class: "soft" }, marked(fault.hint)) : null);
  return element(
    "div",
    { class: "fault", role: "alert" },
    element("p", {}, marked(fault.message)),
    fault.hint ? element("p", { class: "soft" }, marked(fault.hint)) : null,
    again ? element("button", { type: "button", class: "quiet", on: { click: again } }, "Try again") : null,
  );
}

// Runs a control's action and shows its message or fault in `place`. The control is disabled meanwhile.
export async function attempt(control, place, action) {
  control.disabled = true;
  try {
    const message = await action();
    refill(place, message ? element("p", { role: "status" }, message) : null);
  } catch (fault) {
    if (fault.name !== "AbortError") refill(place, faultText(fault));
  } finally {
    control.disabled = false;
  }
}

// Fills a place with what `made` returns, or with its fault. Bars show that an empty place is loading.
export async function fill(place, made) {
  if (place.childElementCount === 0) refill(place, skeleton());
  try {
    refill(place, await made());
  } catch (fault) {
    if (fault.name === "AbortError") return place;
    const again = () => {
      refill(place);
      fill(place, made);
    };
    refill(place, faultText(fault, again));
  }
  return place;
}

// Returns a function that calls `action` at most once in `ms`. A call in between is delayed, not lost.
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
