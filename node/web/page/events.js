// What the node tells as it happens: server-sent events, read by `fetch` because an EventSource can
// send no Authorization. After a break it goes on behind the last event that was heard.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const SILENCE_MS = 40_000; // two heartbeats and a half: then nobody is at the other end

export class Events {
  #api;
  #heard;
  #stood;
  #lastId = "";
  #waitMs = FIRST_WAIT_MS;

  // `heard` is called with each event's kind and data, `stood` with whether it is connected.
  constructor(api, { heard, stood }) {
    this.#api = api;
    this.#heard = heard;
    this.#stood = stood;
  }

  // Listens until the session is no longer taken; raises what the node said then.
  async listen() {
    for (;;) {
      try {
        await this.#listenOnce();
      } catch (fault) {
        if (fault.status === 401 || fault.status === 403 || fault.status === 404) throw fault;
      }
      this.#stood(false);
      await waited(this.#waitMs);
      this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
    }
  }

  async #listenOnce() {
    const ending = new AbortController();
    const silence = () => setTimeout(() => ending.abort(), SILENCE_MS);
    let timer = silence();
    try {
      const headers = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
      const body = await this.#api.stream("events", { signal: ending.signal, headers });
      this.#stood(true);
      const frames = new Frames((event) => this.#take(event));
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        this.#waitMs = FIRST_WAIT_MS;
        clearTimeout(timer);
        timer = silence();
        frames.feed(value);
      }
    } finally {
      clearTimeout(timer);
      ending.abort();
    }
  }

  #take({ id, kind, data }) {
    if (id !== null) this.#lastId = id;
    if (data !== "") this.#heard(kind, JSON.parse(data));
  }
}

// Puts lines together to events, however they were cut on their way.
class Frames {
  #told;
  #rest = "";
  #event = empty();

  constructor(told) {
    this.#told = told;
  }

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#event.data.length > 0 || this.#event.id !== null) {
        this.#told({ ...this.#event, data: this.#event.data.join("\n") });
      }
      this.#event = empty();
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "id") this.#event.id = value;
    if (name === "event") this.#event.kind = value;
    if (name === "data") this.#event.data.push(value);
  }
}

const empty = () => ({ id: null, kind: "message", data: [] });

const waited = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
