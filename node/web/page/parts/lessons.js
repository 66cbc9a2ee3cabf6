// Insights in words with their evidence: this node's, then peers'.

import { element, link, quotedLines, section } from "../dom.js";
import * as figures from "../figures.js";

export async function show(visit) {
  const { insights } = await visit.get("insights");
  const [own, others] = [insights.filter(({ own }) => own), insights.filter(({ own }) => !own)];
  visit.show(listed("Learned here", own, "No insights yet."), listed("From peers", others, "No insights yet."));
}

function listed(name, insights, none) {
  if (insights.length === 0) return section(name, element("p", { class: "soft" }, none));
  const item = ({ id, author, own, text, ts, class: hardware, evidence }) =>
    element(
      "li",
      {},
      quotedLines(text, { isProse: true }),
      element("p", { class: "soft" }, [own ? "this node" : `key ${figures.short(author)}`, hardware, figures.time(ts)].filter(Boolean).join(" · "), " · ", link(`records/${id}`, "record"), evidence?.length > 0 ? [" · evidence: ", evidence.map((one) => [link(`records/${one}`, figures.short(one)), " "])] : null),
    );
  return section(name, element("ol", { class: "plain-list quoted-list" }, insights.map(item)));
}
