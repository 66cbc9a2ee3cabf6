// Today's costs (UTC) of models and coding agents, and their limits.

import { element, facts, link } from "../dom.js";

export async function spendingView(visit) {
  const { day, spent, limits } = await visit.get("spending");
  const of = (name, format) => (limits[name] === null ? format(spent[name]) : `${format(spent[name])} of ${format(limits[name])}`);
  const count = (number) => number.toLocaleString();
  const today = facts([
    ["day (UTC)", day],
    ["dollars", of("usd", (usd) => `$${usd.toFixed(4)}`)],
    ["tokens", of("tokens", count)],
    ["questions", of("calls", count)],
    ["visits of coding agents", of("visits", count)],
  ]);
  return [today, element("p", {}, link("visits", "What was asked, said and changed in each visit"))];
}
