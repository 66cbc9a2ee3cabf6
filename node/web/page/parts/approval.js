// Proposals that wait for the owner: a section with those that wait, and a view of one with its diff.

import { segment } from "../api.js";
import { diffView } from "../diff.js";
import { element, facts, link, marked, plain, quoted, quotedLines, refill, section } from "../dom.js";
import * as figures from "../figures.js";
import { announce, attempt, faultText } from "../visit.js";

const MOST_NOTE = 1_000; // characters
const ROWS = [4, 24]; // of the editor, at least and at most
const DAY_MS = 86_400_000;
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const STATES = {
  waiting: ["waits for you", "working"],
  approved: ["approved", "good"],
  edited: ["edited by you", "good"],
  unanswered: ["runs: nobody answered", ""],
  begun: ["begun", "soft"],
  rejected: ["rejected by you", "soft"],
  skipped: ["not run: nobody answered", "soft"],
  outdated: ["dropped: it no longer fits, or ran already", "soft"],
};

export const title = "Proposal";

// Returns a section with the open proposals, kept up to date. It is empty while nothing waits and
// proposals run without approval.
export function approvalSection(visit) {
  const place = element("div", {});
  const read = async () => {
    try {
      refill(place, listView(visit, await visit.get("proposals")));
    } catch (fault) {
      if (fault.name !== "AbortError") refill(place, faultText(fault));
    }
  };
  visit.on("proposal", ({ state, title: name }) => {
    if (state === "waiting") announce(`waits for your decision: ${plain(name)}`);
    read();
  });
  read();
  return place;
}

function listView(visit, { approve, proposals }) {
  if (proposals.length === 0 && approve === "off") return null;
  const content =
    proposals.length === 0
      ? element("p", { class: "soft" }, "Nothing waits. A new proposal appears here before it runs.")
      : element("ul", { class: "to-decide" }, proposals.map((one) => itemView(visit, one)));
  return section("Waiting for your decision", content);
}

function itemView(visit, proposal) {
  const { id, title: name, state } = proposal;
  const outcome = element("div", {});
  const isOpen = state === "waiting" && maySteer(visit);
  return element(
    "li",
    {},
    element(
      "div",
      {},
      element("p", {}, link(`proposals/${id}`, quoted(name)), state === "waiting" ? null : [" ", stateBadge(state)]),
      element("p", { class: "soft" }, summary(proposal), dueWords(proposal)),
      outcome,
    ),
    isOpen ? approveButton(visit, proposal, outcome, { label: `Approve ${plain(name)}` }) : null,
  );
}

// The view of one proposal.
export async function show(visit) {
  const place = element("div", {});
  const path = `proposals/${segment(visit.parameters[0])}`;
  const read = async () => {
    const page = await visit.get(path);
    visit.setTitle(plain(page.proposal.title) || title);
    refill(place, proposalView(visit, page, read));
  };
  await read();
  visit.show(place);
  visit.on("proposal", ({ id, state }) => {
    // A text that is being written is kept: only a decision draws the view again.
    if (String(id) === visit.parameters[0] && state !== "waiting") read().catch((fault) => refill(place, faultText(fault)));
  });
}

function proposalView(visit, { proposal, diff, files }, read) {
  return [
    header(proposal),
    section("Diff", diffView(diff)),
    canDecide(visit, proposal) ? decisions(visit, proposal, files, read) : undecidable(visit, proposal),
  ];
}

function header(proposal) {
  const { state, why, note, ts, task, class: hardwareClass, run_s: runS, usd, tokens, decided, result } = proposal;
  return element(
    "div",
    { class: "verdict" },
    element("p", {}, stateBadge(state), dueWords(proposal)),
    why ? quotedLines(why, { isProse: true }) : null,
    facts([
      ["proposed by", whoProposed(proposal)],
      ["task", [quoted(task), ` on ${plain(hardwareClass)}`]],
      ["when", figures.time(ts)],
      ["one run takes", figures.isKnown(runS) ? figures.span(runS) : null],
      ["spent on writing it", figures.isKnown(usd) ? `${usd.toFixed(4)} USD` : null],
      ["tokens", figures.isKnown(tokens) ? tokens.toLocaleString() : null],
      ["decided", figures.isKnown(decided) ? figures.time(decided) : null],
      ["your note", note ? quoted(note) : null],
      ["experiment", result ? link(`experiments/${result}`, figures.short(result)) : null],
    ]),
  );
}

const maySteer = (visit) => visit.maySteer && visit.kind === "node"; // only a running node decides here
const canDecide = (visit, { state }) => maySteer(visit) && ["waiting", "approved", "edited", "unanswered"].includes(state);

function undecidable(visit, { state }) {
  if (maySteer(visit) || state !== "waiting") return null;
  const words = visit.kind === "node" ? "This token can only read. `arnode approve` decides, or a link of `arnode view` that can steer." : "No node is running: `arnode approve` decides.";
  return element("p", { class: "soft" }, marked(words));
}

function decisions(visit, proposal, files, read) {
  const outcome = element("div", {});
  const isWaiting = proposal.state === "waiting";
  return section(
    "Decide",
    isWaiting ? element("p", { class: "controls" }, approveButton(visit, proposal, outcome, { then: read })) : null,
    outcome,
    rejecting(visit, proposal, read),
    editing(visit, proposal, files, read),
  );
}

function approveButton(visit, { id, title: name }, outcome, { label = null, then = null }) {
  const button = element("button", { type: "button", "aria-label": label }, "Approve");
  button.addEventListener("click", () =>
    attempt(button, outcome, async () => {
      await visit.post(`proposals/${id}/approve`);
      announce(`approved: ${plain(name)}`);
      await then?.();
      return "Approved.";
    }),
  );
  return button;
}

function rejecting(visit, { id, title: name }, read) {
  const outcome = element("div", {});
  const note = element("textarea", { rows: "2", maxlength: String(MOST_NOTE), placeholder: "why, for its proposer" });
  const button = element("button", { class: "quiet" }, "Reject");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      await visit.post(`proposals/${id}/reject`, { note: note.value });
      announce(`rejected: ${plain(name)}`);
      await read();
    });
  };
  return element("form", { on: { submit } }, element("label", { class: "field tall" }, "A note, if you reject it", note), element("p", { class: "controls" }, button, element("span", { class: "soft" }, "It is not proposed again. The next prompt quotes your note.")), outcome);
}

function editing(visit, { id, title: name }, files, read) {
  const outcome = element("div", {});
  const editors = Object.entries(files).map(([file, text]) => {
    const rows = Math.min(ROWS[1], Math.max(ROWS[0], text.split("\n").length));
    const editor = element("textarea", { class: "source", rows: String(rows), spellcheck: "false", autocomplete: "off", wrap: "off" });
    editor.value = text;
    return [file, editor];
  });
  if (editors.length === 0) return null;
  const button = element("button", { class: "quiet" }, "Run my version");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      const changed = editors.filter(([file, editor]) => editor.value !== files[file]);
      const wanted = changed.length > 0 ? changed : editors; // the node says that nothing changed
      await visit.post(`proposals/${id}/edit`, { files: Object.fromEntries(wanted.map(([file, editor]) => [file, editor.value])) });
      announce(`edited: ${plain(name)}`);
      await read();
    });
  };
  const fields = editors.map(([file, editor]) => element("label", { class: "field wide-field" }, plain(file), editor));
  const form = element("form", { on: { submit } }, fields, element("p", { class: "controls" }, button, element("span", { class: "soft" }, "It is recorded as edited by you, and judged as usual.")), outcome);
  return element("details", {}, element("summary", {}, "Edit it before it runs"), form);
}

function stateBadge(state) {
  const [words, tone] = STATES[state] ?? [plain(state), ""];
  return element("span", { class: `badge ${tone}` }, words);
}

function dueWords({ state, due, due_skips: skips }) {
  if (state !== "waiting" || !figures.isKnown(due)) return null;
  const at = due - Date.now() < DAY_MS ? CLOCK.format(due) : figures.time(due);
  return ` It ${skips ? "is dropped" : "runs"} at ${at} if you do not answer.`;
}

function whoProposed({ proposer, model }) {
  return model ? [quoted(proposer), " (", quoted(model), ")"] : quoted(proposer);
}

function summary(proposal) {
  const { run_s: runS, usd } = proposal;
  const parts = [["by ", whoProposed(proposal)]];
  if (figures.isKnown(runS)) parts.push(`, a run takes ${figures.span(runS)}`);
  if (figures.isKnown(usd)) parts.push(`, ${usd.toFixed(4)} USD spent`);
  return [...parts, "."];
}
