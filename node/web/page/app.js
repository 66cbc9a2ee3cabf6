// The page: it opens a session, shows the part that the fragment names, and hands events to it.

import { element, refill, retell } from "./dom.js";
import { Events } from "./events.js";
import { Fault, Unproven } from "./api.js";
import { routeOf } from "./routes.js";
import { dropToken, openSession } from "./session.js";
import { Visit, faultText } from "./visit.js";

const THEME = "arnode.theme";
const HIDDEN = { store: ["steering"], bootstrap: ["now", "night", "experiments", "fleet", "steering"] };
const NO_SESSION = "open this page with the link that `arnode view` prints";

const part = document.getElementById("part");
const standing = document.getElementById("standing");
const heard = new EventTarget();
let visit = null;

async function begin() {
  chooseTheme();
  let session;
  try {
    session = await openSession();
  } catch (fault) {
    refuse(fault);
    return;
  }
  introduce(session);
  const go = (isFirst) => show(session, isFirst);
  addEventListener("hashchange", () => go(false));
  heard.addEventListener("gap", () => go(true)); // events were missed: read the part again
  skipInPlace();
  document.querySelector(".brand").href = home(session);
  if (location.hash === "" || location.hash === "#") history.replaceState(null, "", home(session));
  go(true);
  listen(session);
}

const home = ({ kind }) => (kind === "bootstrap" ? "#/boards" : "#/now");

// The skip link's own fragment would be taken for a route.
function skipInPlace() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
}

function introduce({ kind, name, version }) {
  const kinds = { store: "read from its store", bootstrap: "bootstrap node" };
  retell(document.getElementById("who"), [name, kinds[kind], version].filter(Boolean).join(" · "));
  for (const hidden of HIDDEN[kind] ?? []) {
    document.querySelector(`#parts a[href="#/${hidden}"]`).parentElement.hidden = true;
  }
}

async function show(session, isFirst) {
  visit?.leave();
  part.setAttribute("aria-busy", "true");
  const route = routeOf(location.hash);
  mark(route?.name);
  const place = element("div", {});
  visit = new Visit({ session, heard, place, parameters: route?.parameters ?? [], query: route?.query });
  const shown = visit;
  try {
    if (route === null) throw new Fault("there is no such page", { hint: "choose one above" });
    const { title, show: fill } = await route.load();
    if (shown.signal.aborted) return;
    shown.entitle(title);
    refill(part, place);
    if (!isFirst) document.getElementById("title").focus();
    await fill(shown);
  } catch (fault) {
    if (shown.signal.aborted || fault.name === "AbortError") return;
    refill(part, place);
    place.append(faultText(fault));
    if (!(fault instanceof Fault)) console.error(fault);
  }
  part.removeAttribute("aria-busy");
}

function mark(name) {
  for (const link of document.querySelectorAll("#parts a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function listen({ api, kind }) {
  if (kind === "store") {
    retell(standing, "not running");
    return;
  }
  const events = new Events(api, {
    heard: (kind, data) => heard.dispatchEvent(new CustomEvent(kind, { detail: data })),
    stood: (isLive) => {
      retell(standing, isLive ? "live" : "not connected, trying again");
      standing.className = isLive ? "live" : "lost";
    },
  });
  try {
    await events.listen();
  } catch (fault) {
    retell(standing, fault.message);
    standing.className = "lost";
    if (fault.status !== 401) return;
    dropToken();
    visit?.leave();
    refuse(fault);
  }
}

function refuse(fault) {
  const isShut = (fault.status === 401 || fault.status === 403) && !(fault instanceof Unproven);
  const hint = isShut ? NO_SESSION : fault.hint;
  refill(part, faultText(new Fault(fault.message, { hint })));
  retell(document.getElementById("title"), "Not open");
  retell(standing, "not open");
  standing.className = "lost";
}

function chooseTheme() {
  const chooser = document.getElementById("theme");
  chooser.value = localStorage.getItem(THEME) ?? "auto";
  chooser.addEventListener("change", () => {
    localStorage.setItem(THEME, chooser.value);
    if (chooser.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chooser.value;
    dispatchEvent(new Event("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
}

begin();
