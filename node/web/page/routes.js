// Maps fragments such as `#/experiments/ID?q=TEXT` to modules, each loaded at its first use.

const ROUTES = [
  [/^overview$/, "overview", () => import("./parts/overview.js")],
  [/^report$/, "overview", () => import("./parts/report.js")],
  [/^experiments$/, "experiments", () => import("./parts/experiments.js")],
  [/^experiments\/([^/]+)$/, "experiments", () => import("./parts/experiment.js")],
  [/^compare\/([^/]+)$/, "experiments", () => import("./parts/compare.js")],
  [/^proposals\/([^/]+)$/, "overview", () => import("./parts/approval.js")],
  [/^boards$/, "boards", () => import("./parts/boards.js")],
  [/^boards\/([^/]+)\/([^/]+)$/, "boards", () => import("./parts/board.js")],
  [/^records\/([^/]+)$/, "boards", () => import("./parts/claim.js")],
  [/^insights(?:\/(importance|kinds|scatter|parallel|transfer|lineage|lessons|reports))?$/, "insights", () => import("./parts/insights.js")],
  [/^network$/, "network", () => import("./parts/network.js")],
  [/^workers$/, "workers", () => import("./parts/workers.js")],
  [/^settings$/, "settings", () => import("./parts/settings.js")],
  [/^visits(?:\/(\d{1,12}))?$/, "settings", () => import("./parts/visits.js")],
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
