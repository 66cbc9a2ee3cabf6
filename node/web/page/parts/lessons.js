// Insights in words with their evidence: this node's, then peers'.

import { element, emptyState, link, quotedLines, section } from "../dom.js";
import * as figures from "../figures.js";

export async function show(visit) {
  const { insights } = await visit.get("insights");
  const [own, others] = [insights.filter(({ own }) => own), insights.filter(({ own }) => !own)];
  if (insights.length === 0) {
    visit.show(emptyState("No lessons yet", "After a series of results, this node writes down which patches worked together. Peers' lessons are listed here too.", "arnode start"));
    return;
  }
  visit.show(listed("Learned here", own), listed("From peers", others));
}

function listed(name, insights) {
  if (insights.length === 0) return null;
  const item = ({ id, author, own, text, ts, class: hardware, evidence }) =>
    element(
      "li",
      { class: "card" },
      quotedLines(text, { isProse: true }),
      element("p", { class: "soft" }, [own ? "this node" : `key ${figures.short(author)}`, hardware, ].filter(Boolean).join(" · "), " · ", figures.ago(ts), " · ", link(`records/${id}`, "record"), evidence?.length > 0 ? [" · evidence: ", evidence.map((one) => [link(`records/${one}`, figures.short(one)), " "])] : null),
    );
  return section(name, element("ol", { class: "notes-list" }, insights.map(item)));
}
