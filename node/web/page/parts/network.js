// Network: this node's reachability, its peers, their current ideas, and the latest records.

import { element, facts, link, plain, quoted, section, table } from "../dom.js";
import * as figures from "../figures.js";
import { atMostEvery, fill } from "../visit.js";

export const title = "Network";
const REREAD_MS = 5_000;
const LATEST = 20;
const REACHES = { direct: "reachable from outside", relay: "reached through a relay", unknown: "not known yet" };

export async function show(visit) {
  const places = ["standing", "company", "peers", "tries", "came"].map(() => element("div", {}));
  const [standing, company, peers, tries, came] = places;
  visit.show(
    section("This node", standing),
    section("Other nodes on the same tasks", company),
    section("Peers", peers),
    section("What peers are trying", tries),
    section("Latest records", came),
  );
  const readStatus = async () => {
    const status = await visit.get("status");
    await Promise.all([fill(standing, () => standingView(status)), fill(company, () => companyView(status)), fill(tries, () => triesView(status))]);
  };
  const read = () => Promise.all([readStatus(), fill(peers, async () => peersView(await visit.get("peers"))), fill(came, async () => cameView(await visit.get(`records?limit=${LATEST}`)))]);
  const again = atMostEvery(REREAD_MS, () => {
    read().catch((fault) => console.warn(fault.message));
  });
  visit.on("record", again);
  visit.on("status", again);
  await read();
}

function standingView({ network, node, sandbox }) {
  if (!network.name) return element("p", {}, "Not connected to a network", network.in_use ? ["; records are signed for ", quoted(network.in_use)] : null, ".");
  return facts([
    ["network", quoted(network.name)],
    ["peers", network.peers.toLocaleString()],
    ["records", network.records.toLocaleString()],
    ["reachability", REACHES[network.reach] ?? plain(network.reach)],
    ["DHT", network.dht ? dhtView(network.dht) : null],
    ["address lists", network.lists?.length ? element("ul", { class: "plain-list" }, network.lists.map((one) => element("li", {}, listView(one)))) : null],
    ["addresses", network.addresses.length > 0 ? element("ul", { class: "plain-list" }, network.addresses.map((one) => element("li", {}, element("code", {}, plain(one))))) : null],
    ["author", node.author ? element("code", {}, node.author) : null],
    ["sandbox", plain(sandbox)],
  ]);
}

// The result of the last search for nodes in libp2p's DHT.
function dhtView({ last, found, answered, announced, fault }) {
  if (last === null) return "searching for nodes";
  if (fault !== null) return ["cannot be reached: ", quoted(fault)];
  if (answered === 0) return "no server answered";
  const known = announced > 0 ? `${announced} of ${answered} servers know this node` : `${answered} servers answered; this node has no public address`;
  return `${figures.many(found, "node")} found, ${known}`;
}

// The state of a signed list of addresses.
function listView({ place, written, addresses, fault }) {
  const state = written === null ? "not read yet" : `${figures.many(addresses, "address", "addresses")}, written ${figures.time(written * 1000)}`;
  return [quoted(place), ": ", state, fault === null ? null : [" (", element("span", { class: "fault" }, quoted(fault)), ")"]];
}

// Counts from signed records (node/reporting/company.py).
function companyView({ lines }) {
  const known = (lines ?? []).filter(({ company }) => company?.authors > 0);
  if (known.length === 0) return element("p", { class: "soft" }, "No other node has published results on this node's tasks yet.");
  const columns = [
    { name: "task" },
    { name: "other nodes", figure: true },
    { name: "screened out by others only", figure: true },
    { name: "in runs", figure: true },
    { name: "claims of others tried here", figure: true },
    { name: "kept", figure: true },
    { name: "patches of this node used by others", figure: true },
  ];
  const rows = known.map(({ company, task }) => [
    quoted(task.name),
    ...[company.authors, company.left_out, company.left_out_runs, company.tried, company.taken, company.given].map((count) => count.toLocaleString()),
  ]);
  return table("Other nodes", columns, rows);
}

function peersView({ peers }) {
  if (peers.length === 0) return element("p", { class: "soft" }, "No peers are connected.");
  const columns = [
    { name: "peer" },
    { name: "author" },
    { name: "trust" },
    { name: "hardware" },
    { name: "records", figure: true },
    { name: "latency", figure: true },
    { name: "connection" },
    { name: "software" },
  ];
  const rows = peers.map((one) => [
    one.name ? quoted(one.name) : element("code", {}, plain(one.peer.slice(-8))),
    one.author ? element("code", {}, figures.short(one.author)) : "–",
    plain(one.trust),
    plain((one.classes ?? []).join(", ")),
    one.records.toLocaleString(),
    one.latency_ms === null ? "–" : `${Math.round(one.latency_ms)} ms`,
    one.direct ? "direct" : "through a relay",
    quoted(one.software ?? "–"),
  ]);
  return table("Connected peers", columns, rows);
}

function triesView({ lines }) {
  const intents = (lines ?? []).flatMap(({ intents, task }) => (intents ?? []).map((one) => ({ ...one, task })));
  if (intents.length === 0) return element("p", { class: "soft" }, "Peers have announced no ideas at the moment.");
  const rows = intents.map(({ title: name, author, task, age_s: age }) => [quoted(name), element("code", {}, figures.short(author)), quoted(task.name), `${figures.span(age)} ago`]);
  return table("What peers are trying", [{ name: "idea" }, { name: "author" }, { name: "task" }, { name: "announced", figure: true }], rows);
}

function cameView({ total, records }) {
  if (records.length === 0) return element("p", { class: "soft" }, "No records yet.");
  const rows = records.map(({ id, kind, author, own, ts }) => [
    link(`records/${id}`, element("code", {}, figures.short(id))),
    plain(kind),
    own ? "this node" : element("code", {}, figures.short(author)),
    figures.time(ts),
  ]);
  return [element("p", { class: "soft" }, `${figures.many(total, "record")} in all`), table("Latest records", [{ name: "record" }, { name: "kind" }, { name: "author" }, { name: "when" }], rows)];
}
