// A list of any length in which only visible rows are elements. Arrow keys move between rows, and Tab
// reaches only the active one. The style sheet sets the rows' height, which depends on the width.

import { append, element, refill, setText, skeleton } from "./dom.js";

const SPARE = 6; // extra rows above and below the visible ones
const MOST_NEW = 10; // rows in one frame; the others follow in the next ones
const CONTROLS = "a, input, button";

export class RowList {
  #source;
  #columns;
  #sorted;
  #isSelected;
  #head = element("div", { role: "row", "aria-rowindex": "1", class: "row head" });
  #waiting = skeleton(8);
  #rows = new Map();
  #body = element("div", { role: "rowgroup", class: "body" });
  #table;
  #scroller;
  #empty;
  #height = 36;
  #active = 0;
  #isDue = false;

  // A column is {name, part, fill(item), sort, spoken}. `spoken` is the name for screen readers if
  // `name` is empty. `source` has `total`, `at(index)` and `want(first, last)`; it calls
  // `source.changed` when it has more rows. `empty` is a text or an element. `isSelected(item)` says
  // if a row is drawn as selected.
  constructor({ caption, kind, columns, source, empty, sorted, signal, isSelected = () => false }) {
    this.#isSelected = isSelected;
    this.#source = source;
    this.#sorted = sorted;
    this.#empty = element("div", { class: typeof empty === "string" ? "soft" : null, hidden: true }, empty);
    this.#table = element(
      "div",
      { role: "table", "aria-label": caption },
      element("div", { role: "rowgroup", class: "top-row" }, this.#head),
      this.#body,
    );
    this.#scroller = element(
      "div",
      {
        class: `scroller ${kind}`,
        tabindex: "0",
        role: "group",
        "aria-label": caption,
        on: { keydown: (event) => this.#press(event) },
      },
      this.#table,
    );
    this.#scroller.addEventListener("scroll", () => this.#plan(), { passive: true });
    this.#body.addEventListener("focusin", ({ target }) => this.#follow(target));
    const watcher = new ResizeObserver(() => this.#measure());
    watcher.observe(this.#scroller);
    signal.addEventListener("abort", () => watcher.disconnect());
    source.changed = () => this.refresh();
    this.place = element("div", { class: "list", "aria-busy": true }, this.#waiting, this.#scroller, this.#empty);
    this.setColumns(columns);
  }

  setColumns(columns) {
    this.#columns = columns;
    if (this.#sorted) this.#sorted.shown = [];
    refill(this.#head, columns.map((one) => heading(one, this.#sorted)));
    for (const row of this.#rows.values()) row.item = null; // filled again
    this.refresh();
  }

  // The item of the row that the keys act on; undefined if it is not loaded.
  get active() {
    return this.#source.at(this.#active);
  }

  // Moves the focus by a number of rows, at first to the active row.
  move(steps) {
    if (!this.#source.total) return;
    const isInside = this.#body.contains(document.activeElement);
    this.#goTo(isInside ? this.#active + steps : this.#active);
  }

  // Draws the rows whose items have changed.
  refresh() {
    this.#plan();
  }

  toTop() {
    this.#active = 0;
    this.#scroller.scrollTop = 0;
    this.refresh();
  }

  #measure() {
    const height = parseFloat(getComputedStyle(this.#scroller).getPropertyValue("--row-height"));
    if (height > 0 && height !== this.#height) {
      this.#height = height;
      for (const [index, row] of this.#rows) row.style.transform = this.#shift(index);
    }
    this.refresh();
  }

  #plan() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const { total } = this.#source;
    const isKnown = total !== null;
    this.#empty.hidden = !(isKnown && total === 0);
    this.#waiting.hidden = isKnown;
    this.#scroller.hidden = !isKnown || total === 0;
    this.#body.hidden = !isKnown || total === 0;
    if (!isKnown) {
      this.place.toggleAttribute("aria-busy", true);
      this.#source.want(0, 0);
      return;
    }
    this.#table.setAttribute("aria-rowcount", String(total + 1));
    this.#body.style.height = `${total * this.#height}px`;
    const edges = this.#scroller.offsetHeight - this.#scroller.clientHeight; // border and scroll bar
    this.#scroller.style.setProperty("--content", `${this.#body.offsetTop + total * this.#height + edges}px`);
    const top = this.#scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.#height) - SPARE);
    const last = Math.min(total, Math.ceil((top + this.#scroller.clientHeight) / this.#height) + SPARE);
    this.#source.want(first, last);
    for (const [index, row] of this.#rows) if (index < first || index >= last) this.#drop(index, row);
    for (const [index, row] of this.#rows) if (row.item !== this.#source.at(index)) this.#fill(row, this.#source.at(index), index);
    // Visible rows come before spare ones, many of which a fast reader passes by before their turn.
    const visible = Math.min(last, Math.floor(top / this.#height));
    const missing = [...indexes(visible, last), ...indexes(first, visible)].filter((index) => !this.#rows.has(index));
    for (const index of missing.slice(0, MOST_NEW)) this.#add(index);
    const isUnfinished = missing.length > MOST_NEW;
    this.place.toggleAttribute("aria-busy", isUnfinished || this.#source.isBusy === true);
    if (isUnfinished) this.#plan();
  }

  #shift(index) {
    return `translateY(${index * this.#height}px)`;
  }

  #drop(index, row) {
    // Keep the focus inside the list, so that the arrow keys still work.
    if (row.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    row.remove();
    this.#rows.delete(index);
  }

  #add(index) {
    const row = element("div", { role: "row", class: "row", "aria-rowindex": String(index + 2), tabindex: "-1" });
    row.style.transform = this.#shift(index);
    this.#fill(row, this.#source.at(index), index);
    this.#rows.set(index, row);
    this.#body.append(row);
  }

  #fill(row, item, index) {
    const held = row.contains(document.activeElement);
    row.item = item;
    row.classList.toggle("coming", item === undefined);
    row.classList.toggle("selected", item !== undefined && this.#isSelected(item));
    const cells = this.#columns.map(({ part, fill }) =>
      element("div", { role: "cell", class: `cell ${part}` }, item === undefined ? null : fill(item, index)),
    );
    refill(row, cells);
    for (const control of row.querySelectorAll(CONTROLS)) control.tabIndex = index === this.#active ? 0 : -1;
    if (held) this.#focus(index);
  }

  #follow(target) {
    for (const [index, row] of this.#rows) if (row.contains(target)) this.#activate(index);
  }

  #activate(index) {
    const turn = (at, tabIndex) => {
      for (const control of this.#rows.get(at)?.querySelectorAll(CONTROLS) ?? []) control.tabIndex = tabIndex;
    };
    turn(this.#active, -1);
    turn(index, 0);
    this.#active = index;
  }

  #press(event) {
    const target = this.#targetOf(event.key);
    if (target === null || event.ctrlKey || event.altKey || event.metaKey || !this.#source.total) return;
    event.preventDefault();
    this.#goTo(target);
  }

  #goTo(target) {
    const index = Math.min(this.#source.total - 1, Math.max(0, target));
    this.#activate(index);
    this.#reveal(index);
    this.#draw();
    if (!this.#rows.has(index)) this.#add(index);
    this.#focus(index);
  }

  #targetOf(key) {
    const screen = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#height) - 2);
    const isInside = this.#body.contains(document.activeElement);
    switch (key) {
      case "ArrowDown":
        return isInside ? this.#active + 1 : this.#active;
      case "ArrowUp":
        return this.#active - 1;
      case "PageDown":
        return this.#active + screen;
      case "PageUp":
        return this.#active - screen;
      case "Home":
        return 0;
      case "End":
        return Infinity;
      default:
        return null;
    }
  }

  #reveal(index) {
    const top = index * this.#height;
    const seen = this.#scroller.clientHeight - this.#body.offsetTop;
    if (top < this.#scroller.scrollTop) this.#scroller.scrollTop = top;
    const bottom = top + this.#height;
    if (bottom > this.#scroller.scrollTop + seen) this.#scroller.scrollTop = bottom - seen;
  }

  // Focuses the row's link, or until that is loaded the row: then the next key counts from there.
  #focus(index) {
    const row = this.#rows.get(index);
    (row.querySelector("a") ?? row).focus({ preventScroll: true });
  }
}

const indexes = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);

function heading({ name, part, sort, spoken }, sorted) {
  const made = element("div", { role: "columnheader", class: `cell ${part}`, title: name || null });
  if (spoken) return append(made, element("span", { class: "unseen" }, spoken));
  if (!sort) return append(made, name);
  const button = element("button", { type: "button", class: "sort", on: { click: () => sorted.by(sort) } }, name);
  sorted.shown.push(({ sort: by, order }) => {
    const isIt = by === sort;
    made.setAttribute("aria-sort", isIt ? (order === "asc" ? "ascending" : "descending") : "none");
    setText(button, isIt ? `${name} ${order === "asc" ? "▲" : "▼"}` : name);
  });
  return append(made, button);
}
