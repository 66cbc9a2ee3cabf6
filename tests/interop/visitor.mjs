// What needs several peers of one program, or one of another network.

import { multiaddr } from "@multiformats/multiaddr";

import { Frames } from "./frames.mjs";
import { startHost } from "./host.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { receive, say, stop, unhex } from "./talk.mjs";

const STREAMS = 4;

async function visit(address) {
  const host = await startHost();
  return { host, connection: await host.dial(multiaddr(address)) };
}

async function greeter({ connection }, { hello, author, net }) {
  const frames = new Frames(await connection.newStream(hello));
  const own = { v: 3, software: "js 1", net, author: unhex(author), addresses: [], digests: {} };
  return () => frames.ask(own);
}

// Does nothing for a while, like a process on a machine with much else to do, once a question has
// gone: its answer and the connection's end then come together.
async function starve(turns) {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
}

// Peers of another network say hello one after the other, then again; tells what comes after that.
async function foreign() {
  const given = await receive();
  const hosts = [];
  const closed = [];
  for (let turns = 0; turns < given.peers; turns++) {
    const visitor = await visit(given.address);
    hosts.push(visitor.host);
    closed.push(new Promise((resolve) => visitor.connection.addEventListener("close", resolve)));
    const greet = await greeter(visitor, given);
    const answer = greet();
    await starve(turns);
    say("answered", { net: (await answer).net });
    say("again", { answered: await greet().then(() => true, () => false) });
  }
  await Promise.all(closed);
  say("closed");
  for (const host of hosts) await host.stop();
}

// Some peers ask all the time for as much as they can. Another asks for little, and counts how many
// answers the others got from its question to its answer.
async function crowd() {
  const given = await receive();
  let answered = 0;
  let isOver = false;
  let begin;
  const begun = new Promise((resolve) => (begin = resolve));
  const heavy = { topic: given.topic, reconcile: heavyQuestion() };
  const press = async ({ connection }) => {
    const frames = new Frames(await connection.newStream(given.sync));
    while (!isOver) {
      await frames.ask(heavy);
      if (++answered === given.peers) begin();
    }
  };
  const greedy = await Promise.all(Array.from({ length: given.peers }, () => visit(given.address)));
  const honest = await visit(given.address);
  for (const visitor of [...greedy, honest]) await (await greeter(visitor, given))();
  const pressing = greedy.flatMap((visitor) =>
    Array.from({ length: STREAMS }, () => press(visitor).catch(() => {})),
  );
  const frames = new Frames(await honest.connection.newStream(given.sync));
  const small = { topic: given.topic, reconcile: new Reconciliation([]).open() };
  await begun;
  const between = [];
  for (let left = given.questions; left > 0; left--) {
    const before = answered;
    await frames.ask(small);
    between.push(answered - before);
  }
  isOver = true;
  say("answered", { between });
  for (const { host } of [...greedy, honest]) await host.stop();
  await Promise.all(pressing);
}

// 43,000 ranges that end where they begin, and nothing is said of them.
function heavyQuestion() {
  const ranges = Array.from({ length: 43_000 }, () => Buffer.of(1, 0, 0));
  return Buffer.concat([Buffer.of(0x61), ...ranges]);
}

await { foreign, crowd }[process.argv[2]]();
stop();
