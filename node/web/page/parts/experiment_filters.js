// The filters of the list of experiments, and the choice of its columns.

import { element, plain, quoted, refill, term } from "../dom.js";
import * as figures from "../figures.js";
import { DECISIONS, STAGES, wording } from "../words.js";
import { NAMES, columnOf, isHyperparameter } from "./experiment_columns.js";
import { STAR } from "./tags.js";

const TYPING_MS = 250;
const SINCE = [["1h", "the last hour"], ["1d", "the last day"], ["7d", "the last week"], ["30d", "the last 30 days"]];
const SORTS = [["ts", "time"], ["metric", "metric"], ["gain", "gain"], ["title", "title"], ["decision", "decision"], ["stage", "stage"], ["origin", "proposer"], ["memory", "memory"]];

// The tags of a filter: whether the star is one of them, and the others.
const tagsIn = (text) => text.split(",").filter(Boolean);

export class Filters {
  #wanted;
  #again;
  #selects = new Map();
  #starred = element("button", { type: "button", class: "chip", name: "starred" }, "★ starred");
  #search = element("input", { name: "q", type: "search", placeholder: "title or id", autocomplete: "off", spellcheck: "false" });

  // `wanted` has the present filter, which this changes before it calls `again`.
  constructor(wanted, again) {
    this.#wanted = wanted;
    this.#again = again;
    let timer = null;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#set("q", this.#search.value.trim()), TYPING_MS);
    });
    this.#starred.addEventListener("click", () => {
      const others = tagsIn(wanted.tag).filter((one) => one !== STAR);
      this.#set("tag", (this.#starred.ariaPressed === "true" ? others : [STAR, ...others]).join(","));
    });
    const unfold = element("button", { type: "button", class: "quiet narrow-only always", "aria-expanded": "false" }, "Filters and order");
    unfold.addEventListener("click", () => unfold.setAttribute("aria-expanded", String(!this.place.classList.toggle("folded"))));
    const field = (label, control, kind = "") => element("label", { class: `field ${kind}` }, label, control);
    this.place = element(
      "form",
      { class: "filters experiment-filters folded", role: "search", "aria-label": "Experiments", on: { submit: (event) => event.preventDefault() } },
      field("Search", this.#search, "always"),
      unfold,
      field("Decision", this.#select("decision")),
      field("Stage", this.#select("stage")),
      field("Proposer", this.#select("origin")),
      field("Tag", this.#select("tag", (value) => this.#set("tag", [...tagsIn(this.#wanted.tag).filter((one) => one === STAR), ...tagsIn(value)].join(",")))),
      field("Since", this.#select("since")),
      field("Sort by", this.#select("sort"), "narrow-only"),
      field("Order", this.#select("order"), "narrow-only"),
      this.#starred,
    );
    this.put({ decisions: [], stages: [], origins: [], tags: [], hyperparameters: [] });
  }

  #set(name, value) {
    this.#wanted[name] = value;
    this.show();
    this.#again();
  }

  #select(name, change = (value) => this.#set(name, value)) {
    const made = element("select", { name, on: { change: ({ target }) => change(target.value) } });
    this.#selects.set(name, made);
    return made;
  }

  // Shows how many experiments have each value.
  put(found) {
    this.#fill("decision", "any", counted(DECISIONS, found.decisions, (one) => wording(one).word));
    this.#fill("stage", "any", counted(STAGES, found.stages, plain));
    this.#fill("origin", "anyone", counted([], found.origins, plain));
    this.#fill("tag", "any", counted([], found.tags.filter(({ value }) => value !== STAR), plain));
    this.#fill("since", "any time", SINCE);
    this.#fill("sort", null, [...SORTS, ...found.hyperparameters.map(({ value }) => [value, plain(value)])]);
    this.#fill("order", null, [["desc", "descending"], ["asc", "ascending"]]);
    this.show();
  }

  #fill(name, any, options) {
    const known = options.some(([value]) => value === this.#valueOf(name));
    const more = known || this.#valueOf(name) === "" ? [] : [[this.#valueOf(name), plain(this.#valueOf(name))]];
    const all = [...(any === null ? [] : [["", any]]), ...options, ...more];
    refill(this.#selects.get(name), all.map(([value, words]) => element("option", { value }, words)));
  }

  #valueOf(name) {
    const { tag, sort, order } = this.#wanted;
    if (name === "tag") return tagsIn(tag).filter((one) => one !== STAR).join(",");
    if (name === "sort") return sort || "ts";
    if (name === "order") return order || "desc";
    return this.#wanted[name];
  }

  // Shows the present filter in the controls.
  show() {
    for (const [name, select] of this.#selects) select.value = this.#valueOf(name);
    if (document.activeElement !== this.#search) this.#search.value = this.#wanted.q;
    this.#starred.setAttribute("aria-pressed", String(tagsIn(this.#wanted.tag).includes(STAR)));
  }
}

// Returns options for values with their number of experiments. `first` are those of a fixed order.
function counted(first, found, words) {
  const counts = new Map(found.map(({ value, count }) => [value, count]));
  const values = [...first.filter((one) => counts.has(one)), ...[...counts.keys()].filter((one) => !first.includes(one))];
  return values.map((value) => [value, `${words(value)} (${counts.get(value).toLocaleString()})`]);
}

// The choice of columns. `shown()` returns their names, `choose(names)` changes them (null: default).
export class ColumnChoice {
  #shown;
  #choose;
  #list = element("div", { class: "choices" });
  place;

  constructor({ shown, choose }) {
    this.#shown = shown;
    this.#choose = choose;
    const usual = element("button", { type: "button", class: "quiet", on: { click: () => this.#choose(null) } }, "Default columns");
    this.place = element("details", { class: "chooser" }, element("summary", {}, "Columns"), element("div", { class: "card" }, this.#list, usual));
    this.place.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !this.place.open) return;
      this.place.open = false;
      this.place.querySelector("summary").focus();
    });
  }

  put(hyperparameters) {
    const shown = this.#shown();
    const listed = [...hyperparameters, ...shown.filter((name) => isHyperparameter(name) && !hyperparameters.some(({ value }) => value === name)).map((value) => ({ value, count: 0 }))];
    refill(
      this.#list,
      this.#group("Facts", NAMES.map((name) => [name, columnOf(name).name, null])),
      listed.length > 0 ? this.#group(["Changed ", term("hyperparameter", "hyperparameters")], listed.map(({ value, count }) => [value, quoted(value), figures.many(count, "patch", "patches")])) : null,
    );
  }

  #group(name, choices) {
    const shown = this.#shown();
    const box = ([value, words, count]) =>
      element(
        "label",
        {},
        element("input", { type: "checkbox", value, checked: shown.includes(value), on: { change: ({ target }) => this.#change(value, target.checked) } }),
        " ",
        words,
        count === null ? null : element("span", { class: "soft" }, ` ${count}`),
      );
    return element("fieldset", {}, element("legend", {}, name), choices.map(box));
  }

  #change(name, isOn) {
    const others = this.#shown().filter((one) => one !== name);
    this.#choose(isOn ? [...others, name] : others);
  }
}
