// Maps fragments such as `#/experiments/ID?q=TEXT` to modules, each loaded at its first use.

const ROUTES = [
  [/^now$/, "now", () => import("./parts/now.js")],
  [/^night$/, "night", () => import("./parts/night.js")],
  [/^experiments$/, "experiments", () => import("./parts/experiments.js")],
  [/^experiments\/([^/]+)$/, "experiments", () => import("./parts/experiment.js")],
  [/^compare\/([^/]+)\/([^/]+)$/, "experiments", () => import("./parts/compare.js")],
  [/^boards$/, "boards", () => import("./parts/boards.js")],
  [/^boards\/([^/]+)\/([^/]+)$/, "boards", () => import("./parts/board.js")],
  [/^records\/([^/]+)$/, "boards", () => import("./parts/claim.js")],
  [/^knowledge(?:\/(importance|transfer|lineage|insights|reports))?$/, "knowledge", () => import("./parts/knowledge.js")],
  [/^network$/, "network", () => import("./parts/network.js")],
  [/^fleet$/, "fleet", () => import("./parts/fleet.js")],
  [/^visits(?:\/(\d{1,12}))?$/, "steering", () => import("./parts/visits.js")],
  [/^steering$/, "steering", () => import("./parts/steering.js")],
];

// Returns the route of a fragment, or null if the page has no such view.
export function routeOf(fragment) {
  const [path, text = ""] = fragment.replace(/^#?\/?/, "").split("?", 2);
  for (const [pattern, name, load] of ROUTES) {
    const found = pattern.exec(path);
    if (found === null) continue;
    try {
      const parameters = found.slice(1).map((one) => one && decodeURIComponent(one));
      return { name, load, parameters, query: new URLSearchParams(text) };
    } catch {
      return null; // invalid percent-encoding
    }
  }
  return null;
}
