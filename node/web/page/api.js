// What a node is asked over HTTP. Answers are kept by the browser and asked for again by their ETag.

const PATH = "api/v1/";

// What went wrong, in a sentence, and what mends it (RFC 9457).
export class Fault extends Error {
  constructor(message, { status = 0, mend = "" } = {}) {
    super(message);
    this.status = status;
    this.mend = mend;
  }
}

export class Api {
  #base;
  token;

  constructor(token = null, address = document.baseURI) {
    this.token = token;
    this.#base = new URL(PATH, address);
  }

  get address() {
    return this.#base.origin;
  }

  get(path, { signal } = {}) {
    return this.#ask(path, { signal });
  }

  post(path, said = {}, { signal } = {}) {
    return this.#ask(path, {
      signal,
      method: "POST",
      body: JSON.stringify(said),
      headers: { "Content-Type": "application/json" },
    });
  }

  // The open answer of the events' path, to be read as it comes.
  async stream(path, { signal, headers }) {
    const answer = await this.#fetch(path, { signal, headers, cache: "no-store" });
    if (!answer.ok) throw await faultOf(answer);
    return answer.body;
  }

  async #ask(path, request) {
    const answer = await this.#fetch(path, request);
    if (!answer.ok) throw await faultOf(answer);
    return answer.json();
  }

  async #fetch(path, { headers = {}, ...request }) {
    const authorized = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    try {
      return await fetch(new URL(path, this.#base), {
        ...request,
        headers: { ...headers, ...authorized },
        credentials: "omit",
        redirect: "error",
      });
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      throw new Fault(`${this.address} does not answer`, { mend: "is it running? `arnode start`" });
    }
  }
}

async function faultOf(answer) {
  const told = await answer.json().catch(() => ({}));
  const message = told.detail ?? told.title ?? `the node answered ${answer.status}`;
  return new Fault(message, { status: answer.status, mend: told.mend ?? "" });
}

// A path with what is asked for; what is empty is left out.
export function asked(path, wanted) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

// A part of a path that somebody wrote, such as an id.
export const segment = (text) => encodeURIComponent(text);
