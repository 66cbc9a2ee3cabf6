// What a node is asked over HTTP. Answers are kept by the browser and asked for again by their ETag.

import { newNonce, requestProof, serverProof } from "./proof.js";

const PATH = "api/v1/";
const UNPROVEN = "this server does not know this page's token";
const WHY = "the node was restarted, or another program uses its port: open the link that `arnode view` prints";

// What went wrong, in a sentence, and what fixes it (RFC 9457).
export class Fault extends Error {
  constructor(message, { status = 0, hint = "" } = {}) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

// The server does not have this tab's token: it is another run of the node, or another program.
export class Unproven extends Fault {
  constructor() {
    super(UNPROVEN, { status: 401, hint: WHY });
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

  // Another program may take the port at any moment, so the token itself is never sent.
  async #fetch(path, { headers = {}, ...request }) {
    if (!this.token) return this.#send(path, { ...request, headers });
    const challenge = await this.#challenge(this.token, request.signal);
    const { pathname, search } = new URL(path, this.#base);
    const asked = `${request.method ?? "GET"} ${pathname}${search}`;
    const proof = requestProof(this.token, challenge, asked);
    const authorized = { ...headers, Authorization: `Proof ${challenge} ${proof}` };
    return this.#send(path, { ...request, headers: authorized });
  }

  // What the server wants answered. Raises Unproven if it does not have the token itself.
  async #challenge(token, signal) {
    const nonce = newNonce();
    const answer = await this.#send(`proof?nonce=${nonce}`, { signal, cache: "no-store" });
    if (answer.status >= 500) throw await faultOf(answer);
    const { proofs, challenge } = answer.ok ? await answer.json().catch(() => ({})) : {};
    if (Array.isArray(proofs) && proofs.includes(serverProof(token, nonce))) return challenge;
    throw new Unproven();
  }

  async #send(path, request) {
    try {
      return await fetch(new URL(path, this.#base), {
        ...request,
        credentials: "omit",
        redirect: "error",
      });
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      throw new Fault(`${this.address} does not answer`, { hint: "is it running? `arnode start`" });
    }
  }
}

async function faultOf(answer) {
  const told = await answer.json().catch(() => ({}));
  const message = told.detail ?? told.title ?? `the node answered ${answer.status}`;
  return new Fault(message, { status: answer.status, hint: told.hint ?? "" });
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
