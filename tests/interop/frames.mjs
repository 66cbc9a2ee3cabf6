// Questions and answers over one stream: a 4-byte big-endian length, then that much msgpack.

import { decode, encode } from "@msgpack/msgpack";

const LIMIT_BYTES = 1 << 20;
const HEAD_BYTES = 4;

export class Frames {
  #stream;
  #chunks;
  #received = Buffer.alloc(0);

  constructor(stream) {
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async ask(question) {
    await this.#send(question);
    return this.#receive();
  }

  // Answers question after question until the stream ends.
  async serve(answerOf) {
    while (await this.#hasMore()) await this.#send(answerOf(await this.#receive()));
  }

  // Waits for one question, and gives this answer to it.
  async answer(answer) {
    const question = await this.#receive();
    await this.#send(answer);
    return question;
  }

  async close() {
    await this.#stream.close();
  }

  async #send(value) {
    const body = encode(value);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32BE(body.length);
    if (!this.#stream.send(Buffer.concat([head, body]))) await this.#stream.onDrain();
  }

  async #hasMore() {
    if (this.#received.length > 0) return true;
    const { value, done } = await this.#chunks.next();
    if (!done) this.#received = Buffer.from(value.subarray());
    return !done;
  }

  async #receive() {
    const size = (await this.#take(HEAD_BYTES)).readUInt32BE();
    if (size > LIMIT_BYTES) throw new Error(`a frame of ${size} bytes`);
    return withBuffers(decode(await this.#take(size)));
  }

  async #take(size) {
    while (this.#received.length < size) {
      const { value, done } = await this.#chunks.next();
      if (done) throw new Error("the stream ended within a frame");
      this.#received = Buffer.concat([this.#received, value.subarray()]);
    }
    const taken = this.#received.subarray(0, size);
    this.#received = this.#received.subarray(size);
    return taken;
  }
}

function withBuffers(value) {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(withBuffers);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withBuffers(one)]));
}
