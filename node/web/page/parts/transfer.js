// A heat map of each patch's gain on each hardware class, with the kind of evidence in each cell.
// Below it the transfers between tasks, and the fraction of a gain that transfers.

import { withQuery } from "../api.js";
import { append, element, emptyState, plain, quoted } from "../dom.js";
import * as figures from "../figures.js";
import { chosenLine, lineChooser } from "../line.js";
import { RowList } from "../rows.js";
import { Listed } from "../sources.js";
import { LEVELS, wording } from "../words.js";

const TINTS = 4; // shades for gains, and as many for losses
const MOST_CLASSES = 12; // columns; the command line shows further ones

export async function show(visit) {
  const { lines, line } = await chosenLine(visit);
  if (line !== null) visit.show(lineChooser(lines, line));
  const { task, patches, carried, slopes } = await visit.get(withQuery("transfer", { task: line?.task.id }));
  if (patches.length === 0) visit.show(emptyState("No gains yet", "Each patch's gain on each hardware class will be shown here, claimed or measured. Connected peers add theirs.", "arnode start"));
  else showClasses(visit, task, patches);
  if (carried.length > 0) visit.show(carriedView(carried, slopes));
}

function showClasses(visit, task, patches) {
  const classes = classesOf(patches);
  const most = Math.max(...patches.flatMap(({ classes: cells }) => Object.values(cells).map(({ gain }) => Math.abs(gain ?? 0))));
  const list = new RowList({
    caption: "Patches by hardware class",
    kind: "transfer",
    columns: [
      { name: "patch", part: "title", fill: stepOf },
      ...classes.map((name) => ({ name: plain(name), part: "figure heat", fill: ({ classes: cells }) => cellOf(cells[name], most) })),
    ],
    source: new Listed(patches),
    empty: "No patches.",
    signal: visit.signal,
  });
  list.place.style.setProperty("--classes", String(classes.length));
  visit.show(
    element("p", { class: "soft" }, task ? ["Task ", quoted(task.name), ". "] : null, "Gains on other hardware only decide which patches this node tries first; they are not evidence. ", legend()),
    list.place,
  );
}

function classesOf(patches) {
  const counts = new Map();
  for (const { classes } of patches) for (const name of Object.keys(classes)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one).slice(0, MOST_CLASSES).map(([name]) => name);
}

const legend = () => Object.entries(LEVELS).map(([name, meaning]) => `${name}: ${meaning}`).join("; ");

function stepOf({ title, tree }) {
  return [quoted(title || "untitled"), " ", element("code", { class: "soft" }, figures.short(tree))];
}

function cellOf(cell, most) {
  if (!cell) return null;
  const { gain, level, verdict, keys } = cell;
  const degree = most > 0 && figures.isKnown(gain) ? Math.ceil((TINTS * Math.abs(gain)) / most) : 0;
  const tint = degree === 0 ? "" : gain > 0 ? `up${degree}` : `down${degree}`;
  const who = level === "claimed" ? "claimed" : `${level}: ${wording(verdict).word}`;
  const made = element("div", { class: `tint ${tint}` });
  return append(made, element("span", { class: "main" }, figures.signed(gain)), element("span", { class: "more" }, who, keys > 0 ? `, ${figures.many(keys, "other key")}` : ""));
}

const carriedView = (carried, slopes) => [
  element("h2", {}, "Transfers between tasks"),
  slopes.length > 0 ? element("ul", { class: "soft" }, slopes.map((slope) => element("li", {}, slopeWords(slope)))) : null,
  element("ul", { class: "carried" }, carried.map(changeView)),
];

function slopeWords({ from, to, slope, lower, upper, changes }) {
  return ["Gain on ", whereWords(to), " per unit of gain on ", whereWords(from), `: ${slope.toFixed(2)} (95 % interval ${lower.toFixed(2)} to ${upper.toFixed(2)}, from ${figures.many(changes, "patch", "patches")}).`];
}

const whereWords = ({ task, class: name }) => [quoted(task.name || figures.short(task.id)), " on ", quoted(name)];

function changeView({ title, found_on: found, there, places, holds_on: holds }) {
  return element(
    "li",
    {},
    element("h3", {}, quoted(title)),
    element("p", {}, `Kept or confirmed in ${holds} of ${figures.many(places.length, "later attempt")}. Found on `, whereWords(found), there ? `: ${gainWords(there)}.` : "."),
    element("ul", {}, places.map(placeView)),
  );
}

function placeView(place) {
  const whose = place.own ? "measured here" : ["claimed by ", element("code", {}, figures.short(place.author))];
  return element("li", {}, whereWords(place.where), `: ${gainWords(place)}, ${wording(place.decision).word}, `, whose);
}

const gainWords = ({ gain, lower, upper }) => (figures.isKnown(lower) ? `${figures.signed(gain)}, ${figures.interval(lower, upper)}` : figures.signed(gain));
