// Sources of a list's rows: pages of an answer, loaded when they become visible, or an array.

const PAGE = 100;
const MOST_PAGES = 100; // in memory; beyond that the oldest are dropped

export class Pages {
  total = null;
  isBusy = false; // true while the rows are those of earlier filters
  changed = () => {};
  failed = () => {};
  #read;
  #pages = new Map();
  #requested = new Set();
  #old = new Map(); // the pages before a reread, shown until the new ones have arrived
  #turn = 0;
  #inSight = [0, 0];

  // `read(offset, limit)` returns {total, items}.
  constructor(read) {
    this.#read = read;
  }

  at(index) {
    const number = Math.floor(index / PAGE);
    const page = this.#pages.get(number) ?? this.#old.get(number);
    return page?.[index % PAGE];
  }

  want(first, last) {
    this.#inSight = [first, last];
    const end = Math.floor(Math.max(first, last - 1) / PAGE);
    for (let number = Math.floor(first / PAGE); number <= end; number++) this.#load(number);
  }

  // Reads the visible rows again; they stay until the new ones have arrived.
  reread() {
    this.#turn++;
    for (const [number, page] of this.#pages) this.#old.set(number, page);
    this.#pages.clear();
    this.#requested.clear();
    this.want(...this.#inSight);
  }

  // Starts over, since filters or sort order have changed. The rows stay until the new ones arrive.
  restart() {
    this.isBusy = true;
    this.#inSight = [0, 0];
    this.reread();
    this.changed();
  }

  async #load(number) {
    if (this.#pages.has(number) || this.#requested.has(number)) return;
    this.#requested.add(number);
    const turn = this.#turn;
    try {
      const { total, items } = await this.#read(number * PAGE, PAGE);
      if (turn !== this.#turn) return;
      this.total = total;
      if (this.isBusy) this.#old.clear();
      this.isBusy = false;
      this.#pages.set(number, items);
      this.#old.delete(number);
      for (const oldest of this.#pages.keys()) {
        if (this.#pages.size <= MOST_PAGES) break;
        this.#pages.delete(oldest);
      }
      this.changed();
    } catch (fault) {
      if (fault.name !== "AbortError" && turn === this.#turn) this.failed(fault);
    } finally {
      if (turn === this.#turn) this.#requested.delete(number);
    }
  }
}

export class Listed {
  changed = () => {};
  #items;

  constructor(items) {
    this.#items = items;
  }

  get total() {
    return this.#items.length;
  }

  at(index) {
    return this.#items[index];
  }

  want() {
    // All rows are loaded already.
  }

  put(items) {
    this.#items = items;
    this.changed();
  }
}
