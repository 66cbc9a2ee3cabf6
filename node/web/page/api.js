// Requests to the node's HTTP API. The browser caches answers and revalidates them by ETag.

import { newNonce, requestProof, serverProof } from "./proof.js";

const PATH = "api/v1/";
const UNPROVEN = "this server does not know this page's token";
const WHY = "the node was restarted, or another program uses its port: open the link that `arnode view` prints";

// An error message with a hint how to fix it (RFC 9457).
export class Fault extends Error {
  constructor(message, { status = 0, hint = "" } = {}) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

// The server does not have this tab's token, so the node was restarted or another program answers.
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
    return this.#request(path, { signal });
  }

  post(path, body = {}, { signal } = {}) {
    return this.#request(path, {
      signal,
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
    });
  }

  // Returns the body of an answer as a stream.
  async stream(path, { signal, headers }) {
    const answer = await this.#fetch(path, { signal, headers, cache: "no-store" });
    if (!answer.ok) throw await faultOf(answer);
    return answer.body;
  }

  async #request(path, request) {
    const answer = await this.#fetch(path, request);
    if (!answer.ok) throw await faultOf(answer);
    return answer.json();
  }

  // Another program may take the port at any moment, so the token itself is never sent.
  async #fetch(path, { headers = {}, ...request }) {
    if (!this.token) return this.#send(path, { ...request, headers });
    const challenge = await this.#challenge(this.token, request.signal);
    const { pathname, search } = new URL(path, this.#base);
    const signedText = `${request.method ?? "GET"} ${pathname}${search}`;
    const proof = requestProof(this.token, challenge, signedText);
    const authorized = { ...headers, Authorization: `Proof ${challenge} ${proof}` };
    return this.#send(path, { ...request, headers: authorized });
  }

  // Returns the server's challenge. Raises Unproven if the server does not have the token.
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
      throw new Fault(`${this.address} does not answer`, { hint: "if the node is not running, start it: `arnode start`" });
    }
  }
}

async function faultOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  const message = problem.detail ?? problem.title ?? `the node answered ${answer.status}`;
  return new Fault(message, { status: answer.status, hint: problem.hint ?? "" });
}

// Returns a path with query parameters. Empty ones are left out.
export function withQuery(path, wanted) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

// Returns a text, such as an id, encoded as one segment of a path.
export const segment = (text) => encodeURIComponent(text);
