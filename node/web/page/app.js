// The page. It opens a session, shows the view that the fragment names, and passes events to it.

import { element, refill, setText } from "./dom.js";
import { Events } from "./events.js";
import { Fault, Unproven } from "./api.js";
import { refreshTimes, time } from "./figures.js";
import { explainTerms } from "./glossary.js";
import { listenForKeys } from "./keys.js";
import { routeOf } from "./routes.js";
import { dropToken, openSession } from "./session.js";
import { Standing } from "./standing.js";
import { Visit, faultText } from "./visit.js";
import { countInTitle } from "./waiting.js";

const THEME = "arnode.theme";
const TIMES_MS = 30_000;
const HIDDEN = { bootstrap: ["overview", "experiments", "workers", "settings"] };
const NO_SESSION = "open this page with the link that `arnode view` prints";

const part = document.getElementById("part");
const standing = new Standing();
const bus = new EventTarget();
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
  bus.addEventListener("gap", () => go(true)); // events were missed: load the view again
  skipInPlace();
  document.querySelector(".brand").href = home(session);
  if (location.hash === "" || location.hash === "#") history.replaceState(null, "", home(session));
  go(true);
  explainTerms(session.api);
  listenForKeys();
  setInterval(refreshTimes, TIMES_MS);
  listen(session);
  countInTitle(session, bus);
}

const home = ({ kind }) => (kind === "bootstrap" ? "#/boards" : "#/overview");

// Moves the focus itself, because the skip link's fragment would be read as a route.
function skipInPlace() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
}

function introduce({ kind, name, version, recorded }) {
  document.documentElement.dataset.kind = kind;
  if (recorded !== null) showNotice(recorded);
  const kinds = { store: "stored data only", bootstrap: "bootstrap node" };
  setText(document.getElementById("who"), [name, kinds[kind], version].filter(Boolean).join(" · "));
  for (const hidden of HIDDEN[kind] ?? []) {
    document.querySelector(`#parts a[href="#/${hidden}"]`).parentElement.hidden = true;
  }
}

// Says on every tab that `arnode view --demo` shows a recording.
function showNotice(recorded) {
  const notice = element("p", { class: "notice", role: "note" }, element("strong", {}, "A recorded night, not yours"), `, of ${time(recorded)}. Run your own: `, element("code", {}, "arnode start"));
  document.getElementById("main").prepend(notice);
}

async function show(session, isFirst) {
  visit?.leave();
  part.setAttribute("aria-busy", "true");
  const route = routeOf(location.hash);
  mark(route?.name);
  const place = element("div", {});
  visit = new Visit({ session, bus, place, parameters: route?.parameters ?? [], query: route?.query });
  const shown = visit;
  try {
    if (route === null) throw new Fault("this page does not exist", { hint: "choose one from the menu above" });
    const { title, show: fill } = await route.load();
    if (shown.signal.aborted) return;
    shown.setTitle(title);
    refill(part, place);
    if (!isFirst) document.getElementById("title").focus();
    await fill(shown);
  } catch (fault) {
    if (shown.signal.aborted || fault.name === "AbortError") return;
    refill(part, place);
    if (route === null) shown.setTitle("Not found");
    const again = route === null || fault.status === 404 ? null : () => show(session, true);
    place.append(faultText(fault, again));
    if (!(fault instanceof Fault)) console.error(fault);
  }
  part.removeAttribute("aria-busy");
}

function mark(name) {
  for (const link of document.querySelectorAll("#parts a")) {
    if (link.getAttribute("href") === `#/${name}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" }); // the row scrolls on phones
    } else link.removeAttribute("aria-current");
  }
}

async function listen({ api, kind, recorded }) {
  if (kind === "store") {
    standing.put(recorded === null ? "not running" : "recording");
    return;
  }
  const putNow = (data) => standing.putNow("now" in data ? data.now : data);
  bus.addEventListener("now", ({ detail }) => putNow(detail));
  const events = new Events(api, {
    onEvent: (kind, data) => bus.dispatchEvent(new CustomEvent(kind, { detail: data })),
    onConnection: (isLive) => {
      standing.putConnection(isLive);
      bus.dispatchEvent(new CustomEvent("connection", { detail: { isLive } }));
    },
  });
  api.get("now").then(putNow, () => {}); // without an answer the connection shows the fault
  try {
    await events.listen();
  } catch (fault) {
    standing.put(fault.message, "lost");
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
  setText(document.getElementById("title"), "No access");
  standing.put("no access", "lost");
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
