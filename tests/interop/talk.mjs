// How these programs talk with the test that runs them: JSON, one value on each line.

import { createInterface } from "node:readline";

const input = createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

export async function receive() {
  const { value, done } = await lines.next();
  if (done) throw new Error("the test says nothing more");
  return JSON.parse(value);
}

export function say(fact, values = {}) {
  console.log(JSON.stringify({ fact, ...values }));
}

// Ends the program, once all that was said is written: `process.exit` would cut it off.
export function stop() {
  input.close();
}

export const hex = (bytes) => Buffer.from(bytes).toString("hex");
export const unhex = (digits) => Buffer.from(digits, "hex");
