// Explains the terms of the glossary (`term` in dom.js) in a tooltip, on hover and on keyboard focus.

import { element, refill } from "./dom.js";

const GAP_PX = 6;
const LEAVE_MS = 150; // time to move the pointer from a term into its tooltip

// Starts to explain the terms. The glossary is read from the node when a term is first pointed at.
export function explainTerms(api) {
  const tip = element("div", { class: "meaning", id: "meaning", role: "tooltip", popover: "manual" });
  let terms = null;
  let shown = null;
  let leaving = null;

  const hide = () => {
    clearTimeout(leaving);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    if (tip.matches(":popover-open")) tip.hidePopover();
  };
  const show = async (word) => {
    clearTimeout(leaving);
    if (word === shown) return;
    hide();
    shown = word;
    terms ??= api.get("glossary").then((found) => found.terms);
    const meaning = await terms.then((found) => found[word.dataset.term], () => (terms = null));
    if (shown !== word || !meaning || !word.isConnected) return;
    refill(tip, element("strong", {}, word.dataset.term), ": ", meaning);
    word.setAttribute("aria-describedby", tip.id);
    tip.showPopover();
    place(tip, word.getBoundingClientRect());
  };
  const leave = () => {
    clearTimeout(leaving);
    leaving = setTimeout(hide, LEAVE_MS);
  };
  const ofTerm = (then) => ({ target }) => {
    const word = target instanceof Element ? target.closest(".term, .meaning") : null;
    if (word === tip) clearTimeout(leaving);
    else if (word !== null) then(word);
  };

  document.body.append(tip);
  document.addEventListener("pointerover", ofTerm(show));
  document.addEventListener("focusin", ofTerm(show));
  document.addEventListener("pointerout", ({ target }) => target instanceof Element && target.closest(".term, .meaning") && leave());
  document.addEventListener("focusout", ofTerm(leave));
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  addEventListener("hashchange", hide);
}

// Puts the tooltip below the term, or above it near the window's lower edge.
function place(tip, { left, top, bottom }) {
  const { width, height } = tip.getBoundingClientRect();
  const isLow = bottom + GAP_PX + height > innerHeight;
  tip.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - width - GAP_PX))}px`;
  tip.style.top = `${isLow ? top - GAP_PX - height : bottom + GAP_PX}px`;
}
