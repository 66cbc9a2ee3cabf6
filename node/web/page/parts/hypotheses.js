// Hypotheses to test, with their results. Closing one with an experiment's id marks it as done,
// closing it without an id drops it.

import { withQuery, segment } from "../api.js";
import { element, link, plain, refill, quoted, quotedLines } from "../dom.js";
import * as figures from "../figures.js";
import { attempt, faultText } from "../visit.js";

const ORDERS = [["newest", "newest first"], ["best", "largest gain first"]];
const TONES = { open: "working", done: "good", dropped: "soft" };

export async function hypothesesView(visit) {
  const list = element("div", {});
  const order = element("select", {}, ORDERS.map(([value, words]) => element("option", { value }, words)));
  const read = async () => refill(list, listView(visit, (await visit.get(withQuery("hypotheses", { order: order.value }))).hypotheses, read));
  order.addEventListener("change", () => read().catch((fault) => refill(list, faultText(fault))));
  await read();
  return [visit.maySteer ? form(visit, read) : null, element("label", { class: "field" }, "Order", order), list];
}

function form(visit, read) {
  const outcome = element("div", {});
  const title = element("input", { required: true, maxlength: "120", autocomplete: "off" });
  const why = element("input", { maxlength: "1000", autocomplete: "off" });
  const button = element("button", {}, "Register");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      await visit.post("intents", { title: title.value, ...(why.value ? { why: why.value } : {}) });
      title.value = why.value = "";
      await read();
      return "Registered.";
    });
  };
  return element("form", { on: { submit } }, element("div", { class: "filters" }, element("label", { class: "field" }, "Hypothesis", title), element("label", { class: "field" }, "Why", why), button), outcome);
}

function listView(visit, hypotheses, read) {
  if (hypotheses.length === 0) return element("p", { class: "soft" }, "No hypotheses yet.");
  return element("ol", { class: "plain-list quoted-list" }, hypotheses.map((one) => itemView(visit, one, read)));
}

function itemView(visit, { id, title, why, state, by, ts, result, gain }, read) {
  const outcome = element("div", {});
  return element(
    "li",
    {},
    element("p", {}, element("span", { class: `badge ${TONES[state] ?? ""}` }, state), " ", element("strong", {}, quoted(title))),
    why ? quotedLines(why, { isProse: true }) : null,
    element("p", { class: "soft" }, by ? [quoted(by), " · "] : null, figures.time(ts), result ? [" · ", link(`records/${result}`, "result")] : null, figures.isKnown(gain) ? ` · gain ${figures.signed(gain)}` : null),
    state === "open" && visit.maySteer ? closing(visit, id, title, outcome, read) : null,
    outcome,
  );
}

function closing(visit, id, title, outcome, read) {
  const result = element("input", { required: true, autocomplete: "off", placeholder: "id of an experiment", pattern: "[0-9a-f]{4,64}", "aria-label": plain(`the experiment that tried: ${title}`) });
  const done = element("button", {}, "Done");
  const drop = element("button", { type: "button", class: "quiet" }, "Drop");
  const close = (button, body) =>
    attempt(button, outcome, async () => {
      await visit.post(`intents/${segment(id)}/complete`, body);
      await read();
    });
  drop.addEventListener("click", () => close(drop, {}));
  const submit = (event) => {
    event.preventDefault();
    close(done, { result: result.value });
  };
  return element("form", { class: "controls", on: { submit } }, result, done, drop);
}
