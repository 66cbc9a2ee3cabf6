// Where a list has its rows from: pages of an answer, asked for as they come in sight, or an array.

const PAGE = 200;
const MOST_PAGES = 60; // kept; those read longest ago go

export class Pages {
  total = null;
  changed = () => {};
  failed = () => {};
  #read;
  #pages = new Map();
  #asked = new Set();
  #old = new Map(); // what was shown before a reread, until it is done
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
    for (let number = Math.floor(first / PAGE); number <= end; number++) this.#ask(number);
  }

  // Reads the visible rows again; they stay until the new ones have arrived.
  reread() {
    this.#turn++;
    for (const [number, page] of this.#pages) this.#old.set(number, page);
    this.#pages.clear();
    this.#asked.clear();
    this.want(...this.#inSight);
  }

  // Something else is asked for from now on.
  restart() {
    this.#old.clear();
    this.total = null;
    this.#inSight = [0, 0];
    this.#pages.clear();
    this.reread();
  }

  async #ask(number) {
    if (this.#pages.has(number) || this.#asked.has(number)) return;
    this.#asked.add(number);
    const turn = this.#turn;
    try {
      const { total, items } = await this.#read(number * PAGE, PAGE);
      if (turn !== this.#turn) return;
      this.total = total;
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
      if (turn === this.#turn) this.#asked.delete(number);
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
    // All of it is here.
  }

  put(items) {
    this.#items = items;
    this.changed();
  }
}
