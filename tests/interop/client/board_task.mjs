// What a leaderboard needs of a task's manifest: "task" and the cases of "Evidence of programs" in
// docs/protocol.md.

import { hex } from "./board_records.mjs";
import { treeOf } from "./trees.mjs";

const MEASURED = ["wall_s", "cpu_s", "instructions", "peak_mb"];

export function readTask(manifest) {
  const metric = manifest.get("metric");
  const program = manifest.get("program") ?? null;
  const task = {
    anchor: hex(treeOf(manifest.get("files"))),
    floor: manifest.get("noise_floor"),
    maxStep: metric.get("max_step"),
    isMax: metric.get("direction") === "max",
    isProgram: manifest.get("kind") === "program",
  };
  task.zeroIsNoFigure = manifest.get("kind") === "language-model" && !task.isMax;
  task.hasRows = !task.isProgram || program.get("scoring") === "judged";
  if (task.isProgram) {
    const instances = program.get("instances");
    const fixed = instances.get("fixed").length > 0;
    const asksModels = program.has("llm") || program.has("judge_llm");
    task.isExact = fixed && !asksModels && !MEASURED.includes(metric.get("name"));
    const secret = instances.get("secret") > 1n ? instances.get("secret") : 1n;
    const needed = (64n + secret - 1n) / secret;
    task.fewest = fixed || needed < 10n ? 10n : needed > 29n ? 29n : needed;
  }
  return task;
}
