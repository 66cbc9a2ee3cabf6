// What needs several peers of one program, or one of another network.

import { multiaddr } from "@multiformats/multiaddr";

import { Frames } from "./frames.mjs";
import { startHost } from "./host.mjs";
import { Reconciliation } from "./negentropy.mjs";
import { hear, say, stop, unhex } from "./talk.mjs";

const STREAMS = 4;

async function visit(address) {
  const host = await startHost();
  return { host, connection: await host.dial(multiaddr(address)) };
}

async function greet({ connection }, { hello, author, net }) {
  const frames = new Frames(await connection.newStream(hello));
  const own = { v: 1, rule: 2, software: "js 1", net, author: unhex(author), addresses: [], digests: {} };
  return { frames, answer: await frames.ask(own), own };
}

// Says hello as one of another network, and what comes after that.
async function foreign() {
  const told = await hear();
  const visitor = await visit(told.address);
  const closed = new Promise((resolve) => visitor.connection.addEventListener("close", resolve));
  const { frames, answer, own } = await greet(visitor, told);
  say("told", { net: answer.net });
  const again = await frames.ask(own).then(() => true, () => false);
  await closed;
  say("closed", { again });
  await visitor.host.stop();
}

// Some peers ask all the time for as much as they can. Another asks for little, and counts how many
// answers the others got from its question to its answer.
async function crowd() {
  const told = await hear();
  let answered = 0;
  let isOver = false;
  let begin;
  const begun = new Promise((resolve) => (begin = resolve));
  const heavy = { topic: told.topic, reconcile: heavyQuestion() };
  const press = async ({ connection }) => {
    const frames = new Frames(await connection.newStream(told.sync));
    while (!isOver) {
      await frames.ask(heavy);
      if (++answered === told.peers) begin();
    }
  };
  const greedy = await Promise.all(Array.from({ length: told.peers }, () => visit(told.address)));
  const honest = await visit(told.address);
  for (const visitor of [...greedy, honest]) await greet(visitor, told);
  const pressing = greedy.flatMap((visitor) =>
    Array.from({ length: STREAMS }, () => press(visitor).catch(() => {})),
  );
  const frames = new Frames(await honest.connection.newStream(told.sync));
  const small = { topic: told.topic, reconcile: new Reconciliation([]).open() };
  await begun;
  const between = [];
  for (let left = told.questions; left > 0; left--) {
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
