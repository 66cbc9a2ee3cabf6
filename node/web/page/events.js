// Server-sent events of the node. `fetch` reads them, because an EventSource cannot send an
// Authorization header. After a disconnect the stream resumes after the last received event.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const SILENCE_MS = 40_000; // 2.5 heartbeats; after that the connection is dead

export class Events {
  #api;
  #onEvent;
  #onConnection;
  #lastId = "";
  #waitMs = FIRST_WAIT_MS;

  // `onEvent` receives each event's kind and data, `onConnection` true or false.
  constructor(api, { onEvent, onConnection }) {
    this.#api = api;
    this.#onEvent = onEvent;
    this.#onConnection = onConnection;
  }

  // Listens until the node rejects the session, and then raises the node's fault.
  async listen() {
    for (;;) {
      try {
        await this.#listenOnce();
      } catch (fault) {
        if (fault.status === 401 || fault.status === 403 || fault.status === 404) throw fault;
      }
      this.#onConnection(false);
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
      this.#onConnection(true);
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
    if (data !== "") this.#onEvent(kind, JSON.parse(data));
  }
}

// Parses a stream of text pieces into events.
class Frames {
  #onFrame;
  #rest = "";
  #event = empty();

  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#event.data.length > 0 || this.#event.id !== null) {
        this.#onFrame({ ...this.#event, data: this.#event.data.join("\n") });
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
