// Published reports with their figures. A button loads the text.

import { segment } from "../api.js";
import { element, emptyState, facts, plain, quoted, quotedLines } from "../dom.js";
import * as figures from "../figures.js";
import { fill } from "../visit.js";

export async function show(visit) {
  const { reports } = await visit.get("reports");
  if (reports.length === 0) {
    visit.show(emptyState("No published reports yet", "Reports that this node or its peers signed will be listed here, with their figures.", "arnode report --publish"));
    return;
  }
  visit.show(element("ol", { class: "notes-list" }, reports.map((one) => reportView(visit, one))));
}

function reportView(visit, { id, author, own, title, since, until, class: hardware, figures: counted, has_text: hasText }) {
  const text = element("div", {});
  const ask = () => fill(text, async () => quotedLines((await visit.get(`reports/${segment(id)}/text`)).text, { label: "Text of the report" }));
  return element(
    "li",
    { class: "card" },
    element("h2", {}, quoted(title)),
    element("p", { class: "soft" }, `${own ? "this node" : `key ${figures.short(author)}`} · ${plain(hardware ?? "")} · ${figures.time(since)} to ${figures.time(until)}`),
    facts(Object.entries(counted ?? {}).map(([name, value]) => [plain(name), typeof value === "number" ? value.toLocaleString() : quoted(String(value))])),
    hasText ? element("button", { type: "button", class: "quiet", on: { click: ask } }, "Show the text") : null,
    text,
  );
}
