// Insights: views of the results so far. Each has a permalink.

import { element, link } from "../dom.js";

export const title = "Insights";
const VIEWS = {
  importance: ["Importance", () => import("./importance.js")],
  kinds: ["Kinds of change", () => import("./kinds.js")],
  scatter: ["Scatter", () => import("./scatter.js")],
  parallel: ["Parallel coordinates", () => import("./parallel.js")],
  transfer: ["Transfer", () => import("./transfer.js")],
  lineage: ["Lineage", () => import("./lineage.js")],
  lessons: ["Lessons", () => import("./lessons.js")],
  reports: ["Published reports", () => import("./reports.js")],
};

export async function show(visit) {
  const wanted = visit.parameters[0] ?? "importance";
  const [name, load] = VIEWS[wanted];
  const item = ([path, [words]]) => {
    const made = link(`insights/${path}`, words);
    if (path === wanted) made.setAttribute("aria-current", "page");
    return element("li", {}, made);
  };
  visit.setTitle(`Insights: ${name.toLowerCase()}`);
  visit.show(element("nav", { class: "views", "aria-label": "Views" }, element("ul", {}, Object.entries(VIEWS).map(item))));
  visit.place.querySelector(".views [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const { show: fillView } = await load();
  await fillView(visit);
}
