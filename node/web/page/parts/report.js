// The report of a time span, as `arnode report` prints it. Also used in a self-contained file.

import { Staircase } from "../charts/staircase.js";
import { withQuery } from "../api.js";
import { append, element, marked, plain, quotedLines, scrollable } from "../dom.js";
import { fill } from "../visit.js";

export const title = "Report";
const SPANS = [["12h", "the last 12 hours"], ["24h", "the last day"], ["7d", "the last week"], ["1000d", "all time"]];

export async function show(visit) {
  const wanted = visit.query.get("since") ?? "24h";
  const place = element("div", {}, element("p", { class: "soft" }, "Loading …"));
  const read = (since) =>
    fill(place, async () => {
      const report = await visit.get(withQuery("report", { since }));
      visit.remember(withQuery("report", { since }));
      visit.setTitle(report.title);
      return reportView(report, { signal: visit.signal, open: (id) => (location.hash = `#/experiments/${id}`) });
    });
  const select = element("select", {}, SPANS.map(([value, words]) => element("option", { value, selected: value === wanted }, words)));
  select.addEventListener("change", () => read(select.value));
  visit.show(element("p", { class: "controls" }, element("label", { class: "field" }, "Time span ", select)), place);
  await read(wanted);
}

// A report without its title. `open(id)` is called when an experiment is chosen in a plot.
export function reportView(report, { signal, open }) {
  return element("article", { class: "report" }, report.blocks.map((block) => blockView(block, report, { signal, open })));
}

function blockView(block, report, chosen) {
  switch (block.kind) {
    case "heading":
      return element(`h${Math.min(6, block.level)}`, {}, spans(block.text));
    case "list":
      return listView(block.items, report.shown);
    case "table":
      return tableView(block);
    case "plot":
      return plotView(block, chosen);
    case "lines":
      return quotedLines(block.text, { label: block.language ?? "text" });
    default:
      return element("p", { class: block.soft ? "soft" : null }, spans(block.text));
  }
}

// A span is arnode's own text, or quoted untrusted text.
const spans = (text) => text.map((span) => (span.kind === "quoted" ? element("code", {}, plain(span.text)) : marked(span.text ?? span, { lines: true })));

// The end of a long list is folded.
function listView(texts, shown) {
  const items = texts.map((text) => element("li", {}, spans(text)));
  const list = element("ul", {}, items.slice(0, shown));
  if (items.length <= shown) return list;
  const rest = element("details", {}, element("summary", {}, `and ${items.length - shown} more`), element("ul", {}, items.slice(shown)));
  return [list, rest];
}

function tableView({ columns, rows }) {
  const kind = (at) => (columns[at].figure ? "figure" : null);
  const cells = (name, row) => row.map((cell, at) => element(name, { class: kind(at), scope: name === "th" ? "col" : null }, spans(cell)));
  const made = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, cells("th", columns.map((column) => column.title)))),
    element("tbody", {}, rows.map((row) => element("tr", {}, cells("td", row)))),
  );
  return scrollable(element("div", { class: "wide" }, made), "table");
}

function plotView(plot, { signal, open }) {
  const stairs = new Staircase(plot, { signal, open });
  return append(element("figure", {}), stairs.place, element("figcaption", {}, spans(plot.caption)));
}
