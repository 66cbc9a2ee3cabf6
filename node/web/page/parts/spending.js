// What models cost today (UTC), as the node's status has it.

import { facts } from "../dom.js";

export async function spendingView(visit) {
  const { cost } = await visit.get("status");
  return facts([
    ["dollars", `$${cost.usd_today.toFixed(4)}`],
    ["tokens", cost.tokens_today.toLocaleString()],
    ["calls", cost.calls_today.toLocaleString()],
    ["visits of other sites", cost.visits_today.toLocaleString()],
  ]);
}
