// Tags of experiments: the owner's short words, kept in this home. The tag `star` is shown as a star.

import { segment } from "../api.js";
import { element, plain } from "../dom.js";
import { announce, faultText } from "../visit.js";

export const STAR = "star";
const PATTERN = "[a-z0-9][a-z0-9._\\-]{0,23}";

export const mayTag = (visit) => visit.maySteer && visit.kind === "node";

// Adds and removes tags of an experiment, and changes `item` to what it has then.
export async function changeTags(visit, item, { add = [], remove = [] }) {
  const { tags } = await visit.post(`experiments/${segment(item.id)}/tags`, { add, remove });
  item.tags = tags;
}

// Returns the star of an experiment: a button for the owner, else a sign. `failed` gets a fault.
export function starOf(visit, item, failed) {
  const isOn = item.tags.includes(STAR);
  if (!mayTag(visit)) return isOn ? element("span", { class: "star", role: "img", "aria-label": "starred" }, "★") : null;
  const button = element("button", { type: "button", class: "star", "aria-pressed": String(isOn), "aria-label": `star: ${plain(item.title)}` }, isOn ? "★" : "☆");
  button.addEventListener("click", async () => {
    const wasOn = item.tags.includes(STAR);
    try {
      await changeTags(visit, item, wasOn ? { remove: [STAR] } : { add: [STAR] });
      button.setAttribute("aria-pressed", String(!wasOn));
      button.textContent = wasOn ? "☆" : "★";
    } catch (fault) {
      if (fault.name !== "AbortError") failed(faultText(fault));
    }
  });
  return button;
}

// Returns a field for one tag, with buttons that add it to the chosen experiments or remove it.
export function tagForm(visit, { chosen, changed, failed }) {
  const input = element("input", { name: "new-tag", pattern: PATTERN, required: true, maxlength: "24", list: "tags", placeholder: "tag", "aria-label": "Tag of the selected experiments", autocomplete: "off", spellcheck: "false", title: "lower-case letters, digits, dots and dashes" });
  const change = async (key) => {
    if (!input.reportValidity()) return;
    const name = input.value.trim();
    const items = chosen();
    try {
      for (const item of items) await changeTags(visit, item, { [key]: [name] });
      announce(`${key === "add" ? "Tagged" : "Removed the tag of"} ${items.length} experiments`);
      input.value = "";
    } catch (fault) {
      if (fault.name !== "AbortError") failed(faultText(fault));
    }
    changed();
  };
  const submit = (event) => {
    event.preventDefault();
    change("add");
  };
  return element(
    "form",
    { class: "tag-form", on: { submit } },
    input,
    element("button", { class: "quiet" }, "Add tag"),
    element("button", { type: "button", class: "quiet", on: { click: () => change("remove") } }, "Remove"),
  );
}
