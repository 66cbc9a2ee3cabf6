// The selected experiments of the list, and what can be done with them: compare, star, tag.

import { element, plain, refill } from "../dom.js";
import * as figures from "../figures.js";
import { announce, faultText } from "../visit.js";
import { STAR, changeTags, mayTag, tagForm } from "./tags.js";

export const MOST_COMPARED = 6;
const ID_DIGITS = 16; // in the address

export class Selection {
  #visit;
  #items = new Map();
  #count = element("span", { class: "figure" });
  #compare = element("button", { type: "button" });
  #changed;
  #failed;

  // `changed` is called after tags have changed, `failed` with a fault.
  constructor(visit, { changed, failed }) {
    this.#visit = visit;
    this.#changed = changed;
    this.#failed = failed;
    this.#compare.addEventListener("click", () => this.compare());
    const quiet = (words, click) => element("button", { type: "button", class: "quiet", on: { click } }, words);
    this.place = element(
      "div",
      { class: "selection", role: "group", "aria-label": "Selected experiments", hidden: true },
      this.#count,
      this.#compare,
      mayTag(visit) ? [quiet("★ Star", () => this.#star()), tagForm(visit, { chosen: () => [...this.#items.values()], changed, failed })] : null,
      quiet("Clear", () => this.clear()),
    );
  }

  box(item) {
    const { id, title } = item;
    const change = ({ target }) => this.#put(item, target.checked);
    return element("input", { type: "checkbox", value: id, checked: this.#items.has(id), "aria-label": `select: ${plain(title)}`, on: { change } });
  }

  has({ id }) {
    return this.#items.has(id);
  }

  toggle(item) {
    if (item === undefined) return;
    this.#put(item, !this.#items.has(item.id));
    announce(`${this.#items.has(item.id) ? "Selected" : "No longer selected"}: ${plain(item.title)}`);
  }

  clear() {
    this.#items.clear();
    this.#show();
  }

  compare() {
    if (this.#items.size < 2) announce("Select two experiments first");
    else if (this.#items.size > MOST_COMPARED) announce(`Up to ${MOST_COMPARED} can be compared`);
    else location.hash = `#/compare/${[...this.#items.keys()].map((id) => id.slice(0, ID_DIGITS)).join(",")}`;
  }

  #put(item, isOn) {
    if (isOn) this.#items.set(item.id, item);
    else this.#items.delete(item.id);
    this.#show();
  }

  async #star() {
    try {
      for (const item of this.#items.values()) await changeTags(this.#visit, item, { add: [STAR] });
    } catch (fault) {
      if (fault.name !== "AbortError") this.#failed(faultText(fault));
    }
    this.#changed();
  }

  #show() {
    const { size } = this.#items;
    for (const box of document.querySelectorAll(".chosen input")) {
      box.checked = this.#items.has(box.value);
      box.closest(".row").classList.toggle("selected", box.checked);
    }
    this.place.hidden = size === 0;
    refill(this.#count, `${figures.many(size, "experiment")} selected`);
    this.#compare.disabled = size < 2 || size > MOST_COMPARED;
    refill(this.#compare, size > MOST_COMPARED ? `Compare up to ${MOST_COMPARED}` : "Compare");
  }
}
