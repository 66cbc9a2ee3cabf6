// Keyboard shortcuts: one registry for the whole page. A view registers its keys with `visit.key`; they
// end when the reader leaves it. `?` lists the keys that are in force.

import { element, refill } from "./dom.js";

const OFF = "arnode.keys";
const SEARCH = "#part input[type=search]";
const EXPERIMENTS = "#/experiments";
const WAIT_MS = 100;
const WAITS = 50;
const known = new Map();

// Registers a key with its meaning in a few words. A later registration of the key replaces an earlier
// one. `action` gets the event; if it returns false, the browser handles the key as usual.
export function addKey(key, words, action, { signal } = {}) {
  const entry = { words, action };
  known.set(key, entry);
  signal?.addEventListener("abort", () => {
    if (known.get(key) === entry) known.delete(key);
  });
}

// Starts to listen for the registered keys.
export function listenForKeys() {
  addKey("/", "go to the search field", focusSearch);
  addKey("?", "show this list", showHelp);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const entry = known.get(event.key);
    const isOff = localStorage.getItem(OFF) === "off" && event.key !== "?";
    if (entry === undefined || isOff || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (entry.action(event) !== false) event.preventDefault();
  });
}

function isTyping(target) {
  const field = target.closest?.("input, select, textarea, [contenteditable]");
  return field !== null && field !== undefined && !["checkbox", "radio"].includes(field.type);
}

// Focuses the search field of this view, or that of the experiments if it has none.
async function focusSearch() {
  if (!document.querySelector(SEARCH)) location.hash = EXPERIMENTS;
  for (let turn = 0; turn < WAITS; turn++) {
    const field = document.querySelector(SEARCH);
    if (field) {
      field.focus();
      field.select();
      return;
    }
    await new Promise((done) => setTimeout(done, WAIT_MS));
  }
}

function showHelp() {
  const dialog = element("dialog", { class: "keys", "aria-labelledby": "keys-title" });
  const isOn = element("input", { type: "checkbox", checked: localStorage.getItem(OFF) !== "off" });
  isOn.addEventListener("change", () => localStorage.setItem(OFF, isOn.checked ? "on" : "off"));
  const rows = [...known].map(([key, { words }]) => element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, words)));
  refill(
    dialog,
    element("h2", { id: "keys-title" }, "Keys"),
    element("dl", {}, rows),
    element("p", {}, element("label", {}, isOn, " Keys are on")),
    element("form", { method: "dialog" }, element("button", {}, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
