// "task" of docs/protocol.md, "Kinds": what makes a manifest valid.

import {
  bool, id, int, list, map, matching, orNil, pairs, path, rule, sorted, tuple, word,
} from "./checks.mjs";
import { line } from "./text.mjs";

const metricName = matching(/^[a-z0-9_]{1,32}$/);
const scale = int(-12, 15);
const command = list(line(1, 200), 1, 32);
const models = map({ models: list(line(1, 80), 1, 16), calls: int(1), tokens: int(1) });
const count = (body, ...names) => names.filter((one) => body.has(one)).length;

const instances = map(
  { public: int(0), secret: int(0), fixed: list(line(1, 200), 0, 64) },
  {},
  rule((one) => new Set(one.get("fixed")).size === one.get("fixed").length, "one twice"),
  rule(
    (one) => one.get("fixed").length > 0 !== (one.get("public") > 0n || one.get("secret") > 0n),
    "either fixed ones or numbers",
  ),
);

const guard = map(
  { name: metricName, scale },
  { times: int(1), most: int() },
  rule((one) => count(one, "times", "most") > 0, "times or most"),
);

const hasFixed = (program) => program.get("instances").get("fixed").length > 0;

const program = map(
  {
    encoding: word,
    aggregate: word,
    device: word,
    scoring: word,
    isolation: word,
    judge: id,
    fixed_files: pairs(0, 64),
    judge_data: pairs(0, 64),
    instances,
    guards: sorted(guard, 0, 16, (one) => one.get("name")),
    limits: map(
      { threads: int(1), instance_mb: int(1), answer_mb: int(1), warmup: int(0) },
      { scratch_mb: int(1), judge_limit_s: int(1), judge_memory_mb: int(1) },
    ),
    interactive: bool,
  },
  {
    run: command,
    entry: matching(/^[A-Za-z0-9_][A-Za-z0-9._+/-]{0,127}:[A-Za-z_][A-Za-z0-9_]{0,63}$/),
    module: matching(/^[A-Za-z0-9_][A-Za-z0-9._+/-]{0,127}$/),
    build: command,
    judge_files: pairs(1, 64),
    vary: line(1, 80),
    best_known: int(),
    impossible: int(),
    packages: id,
    judge_packages: id,
    llm: models,
    judge_llm: models,
    toolchains: sorted(word, 1, 8),
    public_data: tuple(path, id),
    holdout: id,
    regions: sorted(
      map({ path, name: matching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/) }),
      1,
      8,
      (one) => one.get("path"),
    ),
    forbid: sorted(line(1, 200), 1, 32),
  },
  rule((one) => count(one, "run", "entry", "module") === 1, "one of run, entry and module"),
  rule(
    (one) =>
      !one.has("module") ||
      !(hasFixed(one) || count(one, "llm", "judge_llm") > 0 || one.get("interactive")),
    "a module with fixed instances, a model or interactive",
  ),
  rule((one) => !one.has("vary") || one.has("module"), "vary without a module"),
  rule((one) => !one.has("judge_llm") || one.get("scoring") !== "judged", "judged by a model"),
  rule((one) => !one.has("holdout") || !hasFixed(one), "a holdout with fixed instances"),
);

function regionsAreOfFiles(body) {
  const files = new Set(body.get("files").map(([first]) => first));
  const regions = body.get("program").get("regions") ?? [];
  return regions.every((one) => files.has(one.get("path")));
}

const inNumbers = ["vocabulary", "context", "scored_rows"];

const byKind = {
  program: [
    [(body) => body.get("tokenizer") === null, "a tokenizer"],
    [(body) => inNumbers.every((one) => body.get(one) === 0n), "numbers of a language model"],
    [(body) => body.has("program") && body.get("metric").has("scale"), "no program or no scale"],
    [(body) => !body.has("target"), "a target"],
    [regionsAreOfFiles, "a region of no file"],
  ],
  "language-model": [
    [(body) => body.get("tokenizer") !== null, "no tokenizer"],
    [(body) => inNumbers.every((one) => body.get(one) > 0n), "a number of 0"],
    [(body) => !body.has("program") && !body.get("metric").has("scale"), "a program or a scale"],
  ],
};

const kindRules = Object.entries(byKind).flatMap(([kind, rules]) =>
  rules.map(([holds, why]) =>
    rule((body) => body.get("kind") !== kind || holds(body), `${kind}: ${why}`),
  ),
);

export const task = map(
  {
    name: matching(/^[a-z0-9-]{1,48}$/),
    version: int(1),
    kind: word,
    files: pairs(1, 8),
    metric: map(
      {
        name: metricName,
        unit: line(0, 16),
        direction: matching(/^(min|max)$/),
        max_step: int(1),
      },
      { scale },
    ),
    budget: map({ unit: word, amount: int(1) }),
    limits: map({
      limit_s: int(1),
      memory_mb: int(1),
      warmup_limit_s: int(0),
      weights_mb: int(0),
      max_source_growth: int(0),
    }),
    noise_floor: int(0),
    audit: map({ k: int(0), tolerance: int(0), tau: int(0) }),
    data: pairs(0, 128),
    tokenizer: orNil(id),
    vocabulary: int(0),
    context: int(0),
    scored_rows: int(0),
    evaluator: matching(/^[a-z0-9._-]{1,48}\/[a-z0-9]{1,64}$/),
  },
  { program, ladder: id, target: int(1) },
  ...kindRules,
);
