// Saves the experiments that match the present filter, with the columns shown, as CSV or JSON.

import { withQuery } from "../api.js";
import { element } from "../dom.js";
import { csvOf, download, fileName } from "../download.js";
import * as figures from "../figures.js";
import { attempt } from "../visit.js";
import { columnOf, isHyperparameter } from "./experiment_columns.js";

const AT_ONCE = 1000;

// `wanted()` returns the query of the present filter, `columns()` the names of the columns shown.
export function exportButtons(visit, { wanted, columns, message }) {
  const button = (form, words) =>
    element("button", { type: "button", class: "quiet", title: "The experiments that match the filter, with these columns", on: {
      click: ({ currentTarget }) => attempt(currentTarget, message, () => save(visit, { form, query: wanted(), columns: columns() })),
    } }, words);
  return [button("csv", "Save CSV"), button("json", "Save JSON")];
}

async function save(visit, { form, query, columns }) {
  const rows = await all(visit, query);
  const text = form === "csv" ? csvOf(table(rows, columns)) : `${JSON.stringify(documentOf(rows, query, columns), null, 1)}\n`;
  const type = form === "csv" ? "text/csv;charset=utf-8" : "application/json";
  download(fileName("experiments", form), new Blob([text], { type }));
  return `Saved ${figures.many(rows.length, "experiment")}.`;
}

// Experiments that are recorded meanwhile shift the pages, so one may come twice.
async function all(visit, query) {
  const found = new Map();
  for (let offset = 0, total = 1; offset < total; offset += AT_ONCE) {
    const answer = await visit.get(withQuery("experiments", { ...query, offset, limit: AT_ONCE }));
    total = answer.total;
    for (const one of answer.experiments) found.set(one.id, one);
  }
  return [...found.values()];
}

// A hyperparameter has two columns: its value before and after the patch.
function table(rows, columns) {
  const names = columns.flatMap((name) => (isHyperparameter(name) ? [`${name} before`, name] : [name]));
  const cells = (row, name) => {
    if (!isHyperparameter(name)) return [columnOf(name).value(row)];
    return Object.hasOwn(row.changes, name) ? row.changes[name] : [null, null];
  };
  return [["id", "title", ...names], ...rows.map((row) => [row.id, row.title, ...columns.flatMap((name) => cells(row, name))])];
}

function documentOf(rows, query, columns) {
  const changes = (row) => Object.fromEntries(columns.filter((name) => isHyperparameter(name) && Object.hasOwn(row.changes, name)).map((name) => [name, row.changes[name]]));
  const others = columns.filter((name) => !isHyperparameter(name));
  const experiments = rows.map((row) => ({
    id: row.id,
    title: row.title,
    ...Object.fromEntries(others.map((name) => [name, name === "tags" ? row.tags : columnOf(name).value(row)])),
    changes: changes(row),
  }));
  const filter = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return { filter, experiments };
}
