// Shows that a server and this tab have the same token, without sending it: HMAC-SHA-256 of fresh values.
// Computed here, since browsers offer no crypto.subtle on a plain-HTTP page of another machine.

const SERVER = "arnode page: this server answers\n";
const REQUEST = "arnode page: this request is read\n";
const BLOCK = 64;
const ROUNDS = constants();

export function newNonce() {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

// Returns the answer to `nonce` of a server that has `key`.
export function serverProof(key, nonce) {
  return mac(key, SERVER + nonce);
}

// Returns the proof that the sender of a request, "GET /path?query", has `key`.
export function requestProof(key, challenge, request) {
  return mac(key, `${REQUEST}${challenge}\n${request}`);
}

function mac(key, text) {
  const encoder = new TextEncoder();
  const padded = new Uint8Array(BLOCK);
  padded.set(encoder.encode(key)); // a token is shorter than a block
  const inner = joined(padded.map((byte) => byte ^ 0x36), encoder.encode(text));
  return hex(sha256(joined(padded.map((byte) => byte ^ 0x5c), sha256(inner))));
}

// FIPS 180-4.
export function sha256(message) {
  const length = Math.ceil((message.length + 9) / BLOCK) * BLOCK;
  const padded = new Uint8Array(length);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(length - 4, message.length * 8);
  const state = Uint32Array.from(ROUNDS.initial);
  const words = new Uint32Array(64);
  for (let start = 0; start < length; start += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(start + 4 * i);
    compress(state, words);
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => digest.setUint32(4 * i, word));
  return new Uint8Array(digest.buffer);
}

function compress(state, words) {
  for (let i = 16; i < 64; i++) {
    const early = words[i - 15];
    const late = words[i - 2];
    const low = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
    const high = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
    words[i] = words[i - 16] + low + words[i - 7] + high;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const high = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
    const first = (h + high + ((e & f) ^ (~e & g)) + ROUNDS.words[i] + words[i]) | 0;
    const low = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
    const second = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word));
}

const turned = (word, bits) => (word >>> bits) | (word << (32 - bits));

// The first 32 bits of the fractions of square and cube roots of the first primes.
function constants() {
  const primes = [];
  for (let number = 2; primes.length < 64; number++) {
    if (primes.every((prime) => number % prime)) primes.push(number);
  }
  const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) >>> 0;
  return {
    initial: primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime))),
    words: primes.map((prime) => fraction(Math.cbrt(prime))),
  };
}

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
