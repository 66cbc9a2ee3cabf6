// The node's state in the page's head: running and what, paused, not running, or disconnected.

import { element, plain, quoted, refill, setText } from "./dom.js";
import * as figures from "./figures.js";

// Returns the state of a node that answers, with the class of its mark. `now` is null if it does nothing.
export function stateOf(now) {
  if (now === null) return { word: "live", kind: "live" };
  if (!now.paused) return { word: "running", kind: "live" };
  return { word: now.until ? `paused until ${figures.time(Date.parse(now.until))}` : "paused", kind: "paused" };
}

export class Standing {
  #state = document.getElementById("standing");
  #doing = document.getElementById("doing");
  #now = null;
  #isLive = false;

  // Shows a state without activity. Screen readers announce it, but not each run.
  put(word, kind = "") {
    setText(this.#state, word);
    this.#state.className = kind;
    refill(this.#doing);
  }

  putNow(now) {
    this.#now = now;
    if (this.#isLive) this.#show();
  }

  putConnection(isLive) {
    this.#isLive = isLive;
    if (isLive) this.#show();
    else this.put("disconnected, reconnecting", "lost");
  }

  #show() {
    const { word, kind } = stateOf(this.#now);
    setText(this.#state, word);
    this.#state.className = kind;
    refill(this.#doing, this.#now === null || this.#now.paused ? null : [plain(this.#now.text || this.#now.stage), " ", element("span", { class: "soft" }, quoted(this.#now.title))]);
  }
}
