// Who may look: a one-time code in the fragment becomes a token, which this tab alone keeps. A code
// has no slash, a route begins with one.

import { Api } from "./api.js";

const TOKEN = "arnode.token";

// Opens the session with this page's own node. Raises Fault if it takes neither code nor token.
export async function openSession() {
  const code = codeOfFragment();
  const api = new Api(sessionStorage.getItem(TOKEN));
  if (code) {
    api.token = await redeemed(new Api(), code);
    sessionStorage.setItem(TOKEN, api.token);
  }
  try {
    return { api, ...(await api.get("session")) };
  } catch (fault) {
    if (fault.status === 401) dropToken();
    throw fault;
  }
}

// Forgets a token that opens nothing any more.
export function dropToken() {
  sessionStorage.removeItem(TOKEN);
}

async function redeemed(api, code) {
  const { token } = await api.post("session", { code });
  return token;
}

function codeOfFragment() {
  const text = location.hash.slice(1);
  if (text === "" || text.startsWith("/")) return null;
  // The code is used once: neither the history nor a bookmark is to hold it.
  history.replaceState(null, "", `${location.pathname}${location.search}#/now`);
  return text;
}
