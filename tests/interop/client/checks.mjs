// The types of fields of "Kinds" in docs/protocol.md, as checks of a value at a place.

import { LARGEST, byCodePoints } from "./encoding.mjs";
import { Invalid } from "./invalid.mjs";

function require(holds, where, why) {
  if (!holds) throw new Invalid(where, why);
}

export function int(least = -LARGEST, most = LARGEST) {
  return (value, where) => {
    require(typeof value === "bigint", where, "not an int");
    require(value >= BigInt(least) && value <= BigInt(most), where, `not in ${least} … ${most}`);
  };
}

export const bool = (value, where) => require(typeof value === "boolean", where, "not a bool");

export function bytes(least, most = least) {
  return (value, where) => {
    require(value instanceof Uint8Array, where, "not bytes");
    require(value.length >= least && value.length <= most, where, `${value.length} bytes`);
  };
}

export function matching(pattern) {
  return (value, where) => {
    require(typeof value === "string", where, "not text");
    require(pattern.test(value), where, `does not match ${pattern}`);
  };
}

export const id = bytes(32);
export const name = matching(/^[a-z0-9_]{1,24}$/); // of a map key
export const word = matching(/^[a-z0-9_-]{1,32}$/);
export const hardware = matching(/^[a-z0-9_-]{1,48}$/); // the type "class"

const PATH = /^[A-Za-z0-9_][A-Za-z0-9._+-]*(\/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$/;

export function path(value, where) {
  matching(PATH)(value, where);
  require(value.length <= 128, where, "more than 128 characters");
}

export const orNil = (check) => (value, where) => value === null || check(value, where);

export function list(check, least, most) {
  return (value, where) => {
    require(Array.isArray(value), where, "not a list");
    require(value.length >= least && value.length <= most, where, `${value.length} items`);
    value.forEach((one, i) => check(one, `${where}: [${i}]`));
  };
}

/** A list whose items rise strictly by what `keyOf` returns. */
export function sorted(check, least, most, keyOf = (one) => one) {
  return (value, where) => {
    list(check, least, most)(value, where);
    for (let i = 1; i < value.length; i++) {
      require(byCodePoints(keyOf(value[i - 1]), keyOf(value[i])) < 0, where, "not sorted");
    }
  };
}

/** A list of exactly these. */
export function tuple(...checks) {
  return (value, where) => {
    require(Array.isArray(value) && value.length === checks.length, where, "not such a list");
    checks.forEach((check, i) => check(value[i], `${where}: [${i}]`));
  };
}

/** Pairs [path, hash], sorted by path. */
export const pairs = (least, most) => sorted(tuple(path, id), least, most, ([first]) => first);

/** A map of at most so many entries by any names. */
export function entries(check, most) {
  return (value, where) => {
    require(value instanceof Map && value.size <= most, where, `not a map of at most ${most}`);
    for (const [key, one] of value) check(one, `${where}: ${key}`);
  };
}

/** A map with these fields, and maybe further ones; then rules about the whole of it. */
export function map(required, optional = {}, ...rules) {
  const check = (value, where) => {
    require(value instanceof Map, where, "not a map");
    const at = (field) => (where ? `${where}: ${field}` : field);
    for (const [field, one] of Object.entries(required)) {
      require(value.has(field), at(field), "missing");
      one(value.get(field), at(field));
    }
    for (const [field, one] of Object.entries(optional)) {
      if (value.has(field)) one(value.get(field), at(field));
    }
    for (const rule of rules) rule(value, where);
  };
  check.fields = new Set([...Object.keys(required), ...Object.keys(optional)]);
  return check;
}

/** A rule for `map`: a condition of the map, and what its failure means. */
export const rule = (condition, why) => (value, where) => require(condition(value), where, why);
