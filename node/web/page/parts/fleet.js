// Fleet: several nodes in one table, each asked by itself and with a token of its own.

import { Api } from "../api.js";
import { element, plain, refill, said, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { addNode, forgetNode, knownNodes } from "../session.js";
import { attempt } from "../visit.js";

export const title = "Fleet";
const REREAD_MS = 5_000;

export async function show(visit) {
  const place = element("div", {});
  const read = async () => refill(place, fleetTable(await Promise.all(nodesOf(visit).map(asked)), read));
  visit.show(place, adding(visit, read));
  visit.every(REREAD_MS, () => {
    // A table under somebody's hands is not taken away.
    if (!place.contains(document.activeElement) && !document.hidden) read();
  });
  await read();
}

function nodesOf(visit) {
  const others = knownNodes().map(({ address, token }) => ({ api: new Api(token, address), address }));
  return [{ api: visit.api, address: null }, ...others];
}

async function asked({ api, address }) {
  try {
    const [status, { now }] = await Promise.all([api.get("status"), api.get("now")]);
    return { at: api.address, address, status, now };
  } catch (fault) {
    return { at: api.address, address, fault };
  }
}

const COLUMNS = [
  { name: "node" },
  { name: "running" },
  { name: "head", figure: true },
  { name: "kept", figure: true },
  { name: "an hour", figure: true },
  { name: "load", figure: true },
  { name: "spent today", figure: true },
  { name: "peers", figure: true },
  { name: "" },
];

function fleetTable(nodes, changed) {
  const rows = nodes.flatMap((node) => (node.fault ? [faultRow(node, changed)] : linesOf(node, changed)));
  return table("Nodes", COLUMNS, rows);
}

function faultRow(node, changed) {
  return [nameOf(node), element("span", { class: "badge worse" }, node.fault.message), "", "", "", "", "", "", forgetting(node, changed)];
}

// A row for each line of a node; one that has none yet has a row as well.
function linesOf(node, changed) {
  const { status, now } = node;
  const lines = status.lines.length > 0 ? status.lines : [null];
  return lines.map((line, at) => {
    const isAtWork = line !== null && line.now !== null;
    const work = now && (isAtWork || line === null) ? [plain(now.plainly), " ", said(now.title)] : status.running ? "waits" : "does not run";
    return [
      at === 0 ? nameOf(node) : "",
      [line ? [element("span", { class: "soft" }, plain(line.task.name), " "), element("br")] : null, now?.paused && isAtWork ? "paused" : work],
      line ? figures.metric(line.head?.metric) : "–",
      line ? `${line.experiments.kept.toLocaleString()} of ${line.experiments.total.toLocaleString()}` : "–",
      line ? String(Math.round(line.per_hour)) : "–",
      now?.device && isAtWork ? figures.share(now.device.load) : "–",
      at === 0 ? spent(status.cost) : "",
      at === 0 ? status.network.peers.toLocaleString() : "",
      at === 0 ? forgetting(node, changed) : "",
    ];
  });
}

function nameOf({ status, at, address }) {
  const name = status?.node.name ? said(status.node.name) : "node";
  return [name, element("br"), address === null ? element("span", { class: "soft" }, "this one") : element("a", { href: address }, plain(at))];
}

const spent = (cost) => (cost ? `$${cost.usd_today.toFixed(2)}` : "–");

function forgetting({ address, at }, changed) {
  if (address === null) return "";
  const click = () => {
    forgetNode(address);
    changed();
  };
  return element("button", { type: "button", class: "quiet", "aria-label": `forget ${at}`, on: { click } }, "forget");
}

function adding(visit, changed) {
  const outcome = element("div", {});
  const input = element("input", { type: "url", required: true, autocomplete: "off", placeholder: "http://127.0.0.1:7843/#…" });
  const button = element("button", {}, "Add");
  const submit = (event) => {
    event.preventDefault();
    attempt(button, outcome, async () => {
      await addNode(input.value);
      input.value = "";
      await changed();
      return "It is in the table.";
    });
  };
  return section(
    "Another node",
    element("p", { class: "soft" }, "`arnode view` prints a node's link, which works once. This tab keeps what it opens until it is closed."),
    element("form", { class: "filters", on: { submit } }, element("label", { class: "field" }, "Link of a node", input), button),
    outcome,
  );
}
