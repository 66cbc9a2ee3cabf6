// Exchanges the one-time code in the link's fragment for a token, which only this tab stores. A route
// begins with a slash, a code does not.

import { Api } from "./api.js";

const TOKEN = "arnode.token";

// Opens the session with this page's node. Raises Fault if the node accepts neither code nor token.
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

// Deletes a token that is no longer valid.
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
  // The code works only once, so keep it out of history and bookmarks.
  history.replaceState(null, "", `${location.pathname}${location.search}#/overview`);
  return text;
}
