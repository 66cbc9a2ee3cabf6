// Experiments imported from other tools, shown apart because they are unsigned.

import { element, plain, quoted, section, table } from "../dom.js";
import * as figures from "../figures.js";

const SHOWN = 50;

export function importedSection(imported) {
  if (imported.length === 0) return null;
  return section("Imported", element("p", { class: "soft" }, "Unsigned, unverified, not ranked."), imported.map(fileOf));
}

function fileOf({ name, form, metric, rows }) {
  const shown = rows.slice(-SHOWN).reverse();
  const columns = [{ name: "commit" }, { name: "status" }, { name: plain(metric), figure: true }, { name: "description" }];
  const cells = shown.map((row) => [quoted(row.label), quoted(row.status), figures.metric(row.metric), quoted(row.description)]);
  return element(
    "details",
    {},
    element("summary", {}, quoted(name), ` (${plain(form)}), ${figures.many(rows.length, "experiment")}`),
    rows.length > SHOWN ? element("p", { class: "soft" }, `the newest ${SHOWN}`) : null,
    table("Imported experiments", columns, cells),
  );
}
