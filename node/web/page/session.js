// Who may look: a one-time code in the fragment becomes a token, which this tab alone keeps. Further
// nodes, `#CODE&node=LINK`, are kept with theirs. A code has no slash, a route begins with one.

import { Api, Fault } from "./api.js";

const TOKEN = "arnode.token";
const NODES = "arnode.nodes";

// Opens the session with this page's own node. Raises Fault if it takes neither code nor token.
export async function openSession() {
  const [code, ...links] = fragment();
  const api = new Api(sessionStorage.getItem(TOKEN));
  if (code) {
    api.token = await redeemed(new Api(), code);
    sessionStorage.setItem(TOKEN, api.token);
  }
  for (const text of links) {
    // A link that is used up or wrong is not worth the page: the fleet says which nodes it has.
    await addNode(text).catch((fault) => console.warn(fault.message));
  }
  try {
    return { api, ...(await api.get("session")) };
  } catch (fault) {
    if (fault.status === 401) sessionStorage.removeItem(TOKEN);
    throw fault;
  }
}

async function redeemed(api, code) {
  const { token } = await api.post("session", { code });
  return token;
}

function fragment() {
  const text = location.hash.slice(1);
  if (text === "" || text.startsWith("/")) return [];
  // The code is used once: neither the history nor a bookmark is to hold it.
  history.replaceState(null, "", `${location.pathname}${location.search}#/now`);
  const [code, ...rest] = text.split("&");
  return [code, ...new URLSearchParams(rest.join("&")).getAll("node")];
}

export function knownNodes() {
  return JSON.parse(sessionStorage.getItem(NODES) ?? "[]");
}

// Takes a node's one-time link, as `arnode view` prints it, to those that the fleet shows.
export async function addNode(text) {
  const link = linkOf(text);
  const code = link.hash.slice(1);
  link.hash = "";
  const api = new Api(null, link.href);
  const token = await redeemed(api, code);
  const others = knownNodes().filter(({ address }) => address !== link.href);
  sessionStorage.setItem(NODES, JSON.stringify([...others, { address: link.href, token }]));
}

export function forgetNode(address) {
  const others = knownNodes().filter((one) => one.address !== address);
  sessionStorage.setItem(NODES, JSON.stringify(others));
}

function linkOf(text) {
  const link = URL.parse ? URL.parse(text.trim()) : new URL(text.trim());
  const isOne = link && /^https?:$/.test(link.protocol) && link.hash.length > 1;
  if (isOne) return link;
  throw new Fault("this is no link to a node", { mend: "`arnode view` prints one, with its code behind #" });
}
