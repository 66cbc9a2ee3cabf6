"""`run` and `compare`: measure any source, without a running node."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import click

from node.commands.basics import Count, json_option, pairs_option, task_options
from node.line.run_estimates import runs_duration_text, trial_duration_text, usual_pairs
from node.line.splits import random_seed
from node.line.trial import Pair
from node.on_demand.measuring import Comparison, find_source, measure, pair_json, pair_words
from node.on_demand.measuring import compare as compare_sources
from node.on_demand.session import calibrated_session, find_command_session
from node.terminal.terminal import print_json
from node.terminal.vocabulary import mean_text, why_unranked
from protocol.codecs import plain, printed_lines
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from protocol.rule import POWER, Judgement, policy_of
from protocol.runs import MAX_SEED, Run
from protocol.source import Source
from protocol.styles import Style
from protocol.units import NANO, from_nano
from trainer.cards.cards import probe_devices
from trainer.measuring.outcome import RunOutcome

EXITS = {"confirmed": 0, "unrunnable": 1, "refuted": 4, "unconfirmed": 5, "smaller": 8}
REJECTED = 7


@click.command()
@click.option(
    "--source",
    default="baseline",
    metavar="F|TREE",
    help="A file, or the id of a tree or record (default: the baseline).",
)
@click.option(
    "--seeds",
    default=1,
    type=Count(1, 100),
    help="How many runs to make, each with a new seed.",
)
@click.option(
    "--seed",
    "given",
    type=Count(0, MAX_SEED),
    multiple=True,
    help="Make a run with this seed; repeat for several.",
)
@task_options()
@json_option("Print one JSON document.")
def run(
    source: str,
    seeds: int,
    given: tuple[int, ...],
    task: str | None,
    text: Path | None,
    as_json: bool,
) -> None:
    """Measure a source: train it in the sandbox, then compute and check its score outside."""
    command = find_command_session(task, text)
    print_why_unranked(command.task.manifest)
    wanted = find_source(command.home, command.task, source)
    what = f"measuring {plain(source)} of the task {plain(command.task.name)}"
    click.echo(f"{what} without a record; `arnode start` runs the node", err=True)

    def show(_source: Source, outcome: RunOutcome) -> None:
        figure = (
            outcome.reason if outcome.metric_nano is None else f"{outcome.metric_nano / NANO:.6f}"
        )
        click.echo(f"  seed {outcome.seed:>10}  {outcome.status}  {plain(str(figure))}", err=True)
        if outcome.metric_nano is None:
            for line in printed_lines(outcome.log_tail):
                click.echo(f"  {line}", err=True)

    async def work() -> tuple[list[RunOutcome], float | None]:
        *first, last = given or [random_seed() for _ in range(seeds)]
        async with calibrated_session(
            command, partial(runs_duration_text, len(first) + 1)
        ) as session:

            def runs() -> Iterator[tuple[Source, int]]:
                yield from ((wanted, seed) for seed in first)
                session.runner.expect_no_more()
                yield wanted, last

            outcomes = await measure(session, runs(), on_run=show)
            return outcomes, from_nano(session.data.floor_nano)

    outcomes, floor = asyncio.run(work())
    metrics = [o.metric_nano / NANO for o in outcomes if o.metric_nano is not None]
    manifest = command.task.manifest
    if as_json:
        print_json(
            {
                "task": {"id": command.task.id.hex(), "name": command.task.name},
                "scoring": manifest.scoring,
                "tree": wanted.tree.hex(),
                "class": probe_devices(manifest, command.config.gpus)[0].slug,
                "runs": [run_json(outcome.to_run("candidate")) for outcome in outcomes],
                "metric": fmean(metrics) if metrics else None,
                "sd": stdev(metrics) if len(metrics) > 1 else None,
                "floor": floor,
                "decision": None,
            }
        )
    elif metrics:
        spread = f" ({mean_text(len(metrics), stdev(metrics))})" if len(metrics) > 1 else ""
        known = f"  (the generated text has an entropy of {floor:.6f})" if floor else ""
        metric = manifest.metric
        click.echo(f"{metric.name} {fmean(metrics):.6f} {metric.unit}{spread}{known}")
    if any(outcome.status == "rejected" for outcome in outcomes):
        raise SystemExit(REJECTED)
    if len(metrics) < len(outcomes):
        raise SystemExit(1)


@click.command()
@click.argument("a")
@click.argument("b")
@pairs_option
@task_options()
@json_option("Print one JSON document.")
def compare(
    a: str, b: str, pairs: int | None, task: str | None, text: Path | None, as_json: bool
) -> None:
    """Test in pairs whether B is better than A, until the result is clear.

    Each pair runs A and B with one new seed. A and B are files, ids of trees or records, or the
    words baseline, head and working.
    """
    from node.terminal.vocabulary import gain_words, word

    command = find_command_session(task, text)
    base, candidate = (find_source(command.home, command.task, name) for name in (a, b))
    is_unverified = command.task.source.tree in {
        source.tree for name, source in ((a, base), (b, candidate)) if name == "head"
    }
    head = "the verified head is still the baseline"
    if base.tree == candidate.tree:
        same = "A and B are the same source"
        if is_unverified:
            raise UsageError(f"{same}: {head}", "`working` is the head with the kept patches")
        raise UsageError(same, "give two different sources")
    if is_unverified:
        click.echo(f"  {head}", err=True)
    policy = POWER
    if pairs is not None:
        policy = replace(POWER, max_pairs=pairs, more_for_differences=0)
    most_pairs = policy_of(Style.of(command.task.manifest), policy).max_pairs
    print_why_unranked(command.task.manifest)

    def show(pair: Pair, judgement: Judgement) -> None:
        click.echo(f"  {pair_words(pair, judgement.evidence_share)}", err=True)

    async def work() -> Comparison:
        takes = partial(trial_duration_text, most_pairs, usual=usual_pairs(command.task.manifest))
        async with calibrated_session(command, takes) as session:
            click.echo("  A         B         (secret split)", err=True)
            return await compare_sources(
                session,
                base,
                candidate,
                policy=policy,
                prior_runs=command.prior_runs(),
                on_pair=show,
            )

    result = asyncio.run(work())
    ended, judged = result.confirmation, result.judged
    verdict = word(ended.verdict)
    if as_json:
        mark = {"scoring": command.task.manifest.scoring}
        print_json(mark | _comparison_json(base, candidate, result, policy.alpha))
    elif judged:
        click.echo(
            f"{verdict}: {gain_words(judged)}, {len(ended.pairs)} pairs in {result.seconds:.0f} s"
        )
    if ended.failure:
        click.echo(f"{verdict}: {plain(ended.failure)}", err=True)
    raise SystemExit(EXITS[ended.verdict])


def print_why_unranked(manifest: TaskManifest) -> None:
    """Print a notice if results of this task rank on no leaderboard."""
    if (why := why_unranked(manifest.scoring)) is not None:
        click.echo(f"  {why}", err=True)


def run_json(run: Run) -> dict[str, object]:
    """Return a run as a JSON object for scripts, with metrics in the task's unit."""
    audit = run.audit
    return {
        "seed": run.seed,
        "status": run.status,
        "metric": from_nano(run.metric_nano),
        "secret": from_nano(run.secret_nano),
        "ms": run.ms,
        "cpu_ms": run.cpu_ms,
        "serve_ms": run.serve_ms,
        "tokens": run.tokens,
        "peak_mem": run.peak_mem_bytes,
        "audit": audit
        and {
            "k": audit.k,
            "mean": from_nano(audit.mean_nano),
            "se": from_nano(audit.se_nano),
            "max": from_nano(audit.max_nano),
        },
        "flags": list(run.flags),
        "reason": run.reason,
    }


def _comparison_json(
    base: Source, candidate: Source, result: Comparison, alpha: float
) -> dict[str, object]:
    judged = result.judged
    return {
        "base": base.tree.hex(),
        "candidate": candidate.tree.hex(),
        "claimed": None,
        "pairs": [pair_json(pair) for pair in result.confirmation.pairs],
        "gain": judged and judged.gain,
        "lower": judged and judged.lower,
        "upper": judged and judged.upper,
        "log_e": judged and judged.log_e,
        "alpha": alpha,
        "verdict": result.confirmation.verdict,
        "claim": None,
        "runs": result.runs,
        "seconds": round(result.seconds, 1),
        "rerun": None,
    }
