// What models and coding agents took today (UTC), of what they may.

import { facts } from "../dom.js";

export async function spendingView(visit) {
  const { day, spent, limits } = await visit.get("spending");
  const of = (name, told) => (limits[name] === null ? told(spent[name]) : `${told(spent[name])} of ${told(limits[name])}`);
  const count = (number) => number.toLocaleString();
  return facts([
    ["day (UTC)", day],
    ["dollars", of("usd", (usd) => `$${usd.toFixed(4)}`)],
    ["tokens", of("tokens", count)],
    ["questions", of("calls", count)],
    ["visits of coding agents", of("visits", count)],
  ]);
}
