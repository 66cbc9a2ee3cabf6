// The fields of a record as names and values, without interpretation.

import { element, plain } from "../dom.js";

const DEEP = 2; // deeper values are folded

export function fieldsView(value, depth = 0) {
  if (Array.isArray(value)) return listView(value, depth);
  if (value !== null && typeof value === "object") return mapView(value, depth);
  return value === null ? element("span", { class: "soft" }, "none") : element("bdi", { class: "quoted" }, plain(value));
}

function mapView(value, depth) {
  const entries = Object.entries(value);
  if (entries.length === 0) return element("span", { class: "soft" }, "no fields");
  const pair = ([name, one]) => element("div", {}, element("dt", {}, plain(name)), element("dd", {}, fieldsView(one, depth + 1)));
  return folded(depth, `${entries.length} fields`, element("dl", { class: "fields" }, entries.map(pair)));
}

function listView(value, depth) {
  if (value.length === 0) return element("span", { class: "soft" }, "none");
  const items = element("ol", { class: "plain-list" }, value.map((one) => element("li", {}, fieldsView(one, depth + 1))));
  return folded(depth, `${value.length} entries`, items);
}

function folded(depth, summary, content) {
  return depth < DEEP ? content : element("details", {}, element("summary", {}, summary), content);
}
