// Workers: several nodes in one table. This page's node queries the other nodes, each with its own key.

import { element, plain, refill, quoted, section, table } from "../dom.js";
import * as figures from "../figures.js";

export const title = "Workers";
const REREAD_MS = 5_000;

export async function show(visit) {
  const place = element("div", {});
  const read = async () => {
    const nodes = await nodesOf(visit);
    refill(place, fleetTable(nodes), lanesTable(nodes[0].status.remote_lanes ?? []));
  };
  visit.show(place, howToAdd());
  visit.every(REREAD_MS, () => {
    // Keep the table while it has the focus.
    if (!place.contains(document.activeElement) && !document.hidden) read();
  });
  await read();
}

async function nodesOf(visit) {
  const [status, { now }, { nodes }] = await Promise.all(["status", "now", "fleet"].map((path) => visit.get(path)));
  return [{ url: null, fault: null, status, now }, ...nodes];
}

const COLUMNS = [
  { name: "node" },
  { name: "running" },
  { name: "head", figure: true },
  { name: "gain", figure: true },
  { name: "kept", figure: true },
  { name: "per hour", figure: true },
  { name: "load", figure: true },
  { name: "spent today", figure: true },
  { name: "peers", figure: true },
];

const LANE_COLUMNS = [{ name: "lane", figure: true }, { name: "machine" }, { name: "state" }, { name: "connections lost", figure: true }];

function fleetTable(nodes) {
  return table("Nodes", COLUMNS, nodes.flatMap((node) => (node.fault ? [faultRow(node)] : linesOf(node))));
}

// This node's lanes on other machines.
function lanesTable(lanes) {
  if (lanes.length === 0) return null;
  const rows = lanes.map(({ lane, machine, stage, fault, times_lost: lost }) => [
    String(lane),
    machine ? quoted(machine) : "–",
    fault === null ? quoted(stage) : [quoted(stage), ": ", element("span", { class: "fault" }, quoted(fault))],
    lost === 0 ? "–" : String(lost),
  ]);
  return section("Lanes on other machines", table("Lanes on other machines", LANE_COLUMNS, rows));
}

function faultRow(node) {
  return [nameOf(node), element("span", { class: "fault" }, quoted(node.fault)), "", "", "", "", "", "", ""];
}

// A row for each line of a node, or one row if it has no line yet.
function linesOf(node) {
  const { status, now } = node;
  const lines = status.lines.length > 0 ? status.lines : [null];
  return lines.map((line, at) => {
    const isAtWork = line !== null && line.now !== null;
    const work = now && (isAtWork || line === null) ? [plain(now.text), " ", quoted(now.title)] : status.running ? "waiting" : "not running";
    return [
      at === 0 ? nameOf(node) : "",
      [line ? [element("span", { class: "soft" }, plain(line.task.name), " "), element("br")] : null, now?.paused && isAtWork ? "paused" : work],
      line ? figures.metric(line.head?.metric) : "–",
      figures.isKnown(line?.head?.gain) ? figures.signed(line.head.gain) : "–",
      line ? `${line.experiments.kept.toLocaleString()} of ${line.experiments.total.toLocaleString()}` : "–",
      line ? String(Math.round(line.per_hour)) : "–",
      now?.device && isAtWork ? figures.share(now.device.load) : "–",
      at === 0 ? spent(status.cost) : "",
      at === 0 ? status.network.peers.toLocaleString() : "",
    ];
  });
}

function nameOf({ status, url }) {
  const name = status?.node.name ? quoted(status.node.name) : "node";
  return [name, element("br"), url === null ? element("span", { class: "soft" }, "this node") : element("a", { href: url, rel: "noreferrer" }, plain(url))];
}

const spent = (cost) => (cost ? `$${cost.usd_today.toFixed(2)}` : "–");

function howToAdd() {
  const command = element("code", {}, "arnode view --node URL");
  return section("Add a node", element("p", { class: "soft" }, command, " on this machine adds a node and asks for its fleet key; ", element("code", {}, "--forget URL"), " removes a node."));
}
