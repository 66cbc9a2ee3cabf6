// The tree of files of "Kinds" in docs/protocol.md, and the id of a task.

import { createHash } from "node:crypto";
import { byCodePoints, encode } from "./encoding.mjs";

/** Return the hash of several texts or byte strings, one after the other. */
export function sha256(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Return the tree of pairs [path, blob]. */
export function treeOf(pairs) {
  return sha256(encode([...pairs].sort(([a], [b]) => byCodePoints(a, b))));
}

/** Return the id of the task with this manifest. */
export const taskOf = (manifest) => sha256(encode(manifest));
