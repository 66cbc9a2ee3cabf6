// The duration of each stage of a run, as bars.

import { drawn, element, plain, section, table } from "../dom.js";
import * as figures from "../figures.js";

const WIDTH = 200;
const COLUMNS = [{ name: "sandbox" }, { name: "stage" }, { name: "start", figure: true }, { name: "took", figure: true }, { name: "" }];

export function timelineSection(timeline) {
  if (!timeline || timeline.length === 0) return null;
  return section("Duration of each stage", timeline.map(runOf));
}

function runOf({ seed, role, status, stages }) {
  const whole = Math.max(1, ...stages.map((one) => one.at_ms + one.ms));
  const rows = stages.map((one) => [
    plain(one.sandbox),
    plain(one.stage),
    figures.milliseconds(one.at_ms),
    figures.milliseconds(one.ms),
    bar(one, whole),
  ]);
  const name = `run with seed ${seed} (${plain(role)}, ${plain(status)})`;
  return element("details", {}, element("summary", {}, name), table(`Stages of the ${name}`, COLUMNS, rows));
}

// A stage that ended before the run started has no bar.
function bar({ at_ms: at, ms }, whole) {
  if (at + ms <= 0) return "before the run";
  const [start, end] = [at, at + ms].map((one) => (WIDTH * Math.max(0, one)) / whole);
  return drawn(
    "svg",
    { viewBox: `0 0 ${WIDTH} 10`, class: "bar", "aria-hidden": "true" },
    drawn("rect", { x: start.toFixed(1), y: "1", height: "8", width: Math.max(1, end - start).toFixed(1) }),
  );
}
