"""`verify`: re-run a claim on this machine, or only check its records with `--check-only`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.source.capabilities import CapabilityFinding
from node.commands.basics import Count, hex_or_none, json_option, print_result, reading, short
from node.commands.measure import EXITS, REJECTED, run_json
from node.exchange.bundle import Bundle, Subject, read_bundle
from node.exchange.bundle_check import check_bundle, claimed_by, manifest_of, marks_in
from node.exchange.bundling import bundle_of
from node.home.home import Home
from node.line.repeating import separate_repeat
from node.source_review.adoption import concern, describe
from node.store.overfit import overfit_reason
from node.terminal.terminal import print_json
from node.terminal.vocabulary import interval_words, wording
from protocol.codecs import plain
from protocol.errors import SafetyError
from protocol.evidence import GAINS
from protocol.rule import VERIFY_MOST_PAIRS
from protocol.units import NANO, from_nano

if TYPE_CHECKING:
    from node.on_demand.verifying import Verified

_MAX_ALPHA = 0.5
_SHOWN_MARKS = 3
_NO_CLAIM = "claims no gain in pairs of runs; `log` and `show` also have gains of single runs"


@click.command()
@click.argument("claim", metavar="ID|BUNDLE")
@click.option(
    "--pairs",
    type=Count(2, VERIFY_MOST_PAIRS),
    help="The largest number of pairs (default 20).",
)
@click.option(
    "--alpha",
    type=click.FloatRange(1e-6, _MAX_ALPHA),
    help="The probability of a false confirmation (default 0.05).",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Run at most four pairs, which can refute a claim but not confirm it.",
)
@click.option("--check-only", is_flag=True, help="Check signatures and contents; run nothing.")
@click.option("--no-publish", is_flag=True, help="Do not publish the result.")
@click.option(
    "--detach", is_flag=True, help="Queue the re-run in the running node and return at once."
)
@json_option()
def verify(
    claim: str,
    pairs: int | None,
    alpha: float | None,
    quick: bool,
    check_only: bool,
    no_publish: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Re-run a claim on this machine with new seeds until the result is clear.

    Exit code 0: confirmed; 4: refuted, there is no gain; 8: smaller, the gain is below the claimed
    one; 5: unconfirmed; 1: the source does not run here; 7: the claim is invalid, or the evaluator
    rejects the source.

    Leaderboards count a re-run only if its pairs are enough evidence at an alpha of 0.05. So a
    larger --alpha does not stop the re-run earlier: it runs pairs until they are enough for 0.05,
    or until the limit of --pairs.
    """
    if check_only:
        _check(claim, as_json=as_json)
        return
    from node.on_demand.verifying import ask_node, verify_claim
    from node.running.questions import RerunRequest

    question = RerunRequest(
        claim=claim, pairs=pairs, alpha=alpha, is_quick=quick, is_published=not no_publish
    )
    if detach:
        job_id = ask_node(Home.here(), question)
        print_result(
            {"job": job_id}, "queued: `arnode home logs -f` shows its progress", as_json=as_json
        )
        return
    verified = verify_claim(question)
    if as_json:
        print_json(_document(verified))
    else:
        print_verified(verified)
    rejected = any(run.status == "rejected" for run in verified.runs)
    raise SystemExit(REJECTED if rejected else EXITS[verified.step.verdict])


def print_verified(verified: "Verified") -> None:
    """Print the claim, the measurement and what it means."""
    step, metric = verified.step, verified.manifest.metric
    author = short(step.author)
    if step.gain_nano is None:
        click.echo(f"key {author} {_NO_CLAIM}")
    else:
        least = "" if step.lower_nano is None else f" (at least {step.lower_nano / NANO:+.6f})"
        claimed = f"{step.gain_nano / NANO:+.6f} {metric.unit}{least}"
        click.echo(f"key {author} claims a gain of {claimed}")
    if step.measured_nano is not None:
        interval = interval_words(from_nano(step.from_nano), from_nano(step.to_nano))
        click.echo(
            f"measured here: {step.measured_nano / NANO:+.6f}, {interval}, "
            f"{len(verified.runs)} runs on {verified.hardware_class}"
        )
    click.echo(f"{wording(step.verdict).word}: {plain(_meaning(verified))}")
    _print_marks(verified.marks)
    if step.record and verified.signed_ms:
        signed = datetime.fromtimestamp(verified.signed_ms / 1000).astimezone()
        click.echo(f"signed as re-run {short(step.record)} at {signed:%Y-%m-%d %H:%M:%S}")


def _print_marks(marks: Sequence[CapabilityFinding] | None) -> None:
    """Print what the code does beyond plain computation, or that the code was not checked."""
    if marks is None:
        click.echo("its code was not checked, because some of it is missing here")
        return
    for mark in marks[:_SHOWN_MARKS]:
        click.echo(f"marked: {plain(describe(mark))}")
    if len(marks) > _SHOWN_MARKS:
        click.echo(f"marked: {len(marks) - _SHOWN_MARKS} more")
    if marks:
        click.echo(f"it {concern(marks)}, so it is never adopted automatically")


def _meaning(verified: "Verified") -> str:
    step = verified.step
    meaning = wording(step.verdict).meaning
    if step.verdict not in GAINS:
        overfit = overfit_reason(verified.runs, verified.manifest)
        if overfit is not None:
            return overfit
    match step.verdict, step.word:
        case "confirmed", "holds" | "":
            return meaning
        case "confirmed", _:
            return "there is a gain here, but the pairs do not show that it is as large as claimed"
        case "refuted", _ if step.reason:
            return step.reason
        case "refuted", _:
            return "it is worse than its base" if (step.to_nano or 0) < 0 else meaning
        case "unconfirmed", _ if (step.to_nano or 0) < 0:
            return "it measured worse than its base here"
        case "unconfirmed", _ if step.is_quick:
            return "it was not refuted; there are too few pairs to confirm it"
        case "unrunnable", _:
            return f"{step.reason}: this does not count against the claim"
    return meaning


def _document(verified: "Verified") -> dict[str, object]:
    step, (paired, again) = verified.step, separate_repeat(verified.runs)
    pairs: dict[int, dict[str, float | None]] = {}
    for run in paired:
        pairs.setdefault(run.seed, {})[run.role] = from_nano(run.secret_nano)
    return {
        "task": {"id": verified.manifest.id.hex(), "name": verified.manifest.name},
        "class": verified.hardware_class,
        "author": step.author.hex(),
        "base": step.base.hex(),
        "candidate": step.tree.hex(),
        "claimed": None
        if step.gain_nano is None
        else {"gain": step.gain_nano / NANO, "lower": from_nano(step.lower_nano)},
        "pairs": [
            {"seed": seed, "base": pair.get("base"), "candidate": pair.get("candidate")}
            for seed, pair in pairs.items()
        ],
        "gain": from_nano(step.measured_nano),
        "lower": from_nano(step.from_nano),
        "upper": from_nano(step.to_nano),
        "log_e": None if step.log_e_milli is None else step.log_e_milli / 1000,
        "alpha": step.alpha_micro / 1e6,
        "verdict": step.verdict,
        "claim": step.word or None,
        "reason": step.reason or None,
        "marks": None if verified.marks is None else [describe(mark) for mark in verified.marks],
        "again": again
        and {
            "seed": again.seed,
            "published": from_nano(step.published_nano),
            "here": from_nano(again.metric_nano),
        },
        "runs": len(verified.runs),
        "seconds": round(sum(run.ms + run.serve_ms for run in verified.runs) / 1000, 1),
        "measured": [run_json(run) for run in verified.runs],
        "rerun": hex_or_none(step.record),
    }


def _check(claim: str, *, as_json: bool) -> None:
    """Check the integrity of a claim and print the findings. Nothing is run.

    An intact claim is not necessarily true. Raises SafetyError if a check fails.
    """
    bundle = _bundle(claim)
    findings = check_bundle(bundle)
    body = bundle.subject.body
    task = body.task if isinstance(body, Subject) else b""
    claimed = claimed_by(bundle.subject, manifest_of(bundle, task))
    holds = all(finding.ok for finding in findings)
    marks = marks_in(bundle)
    if as_json:
        print_json(
            {
                "about": bundle.about.hex(),
                "kind": bundle.subject.kind,
                "author": bundle.subject.author.hex(),
                "ok": holds,
                "checks": [asdict(one) for one in findings],
                "marks": None if marks is None else [describe(mark) for mark in marks],
                "claimed": claimed
                and {
                    "gain": claimed.value_nano / NANO,
                    "lower": claimed.lower_nano() / NANO,
                    "pairs": claimed.pairs,
                },
            }
        )
    else:
        for one in findings:
            click.echo(f"{'ok' if one.ok else 'FAULT':<6} {one.name:<9} {plain(one.detail)}")
        author = short(bundle.subject.author)
        if claimed is not None:
            click.echo(
                f"key {author} claims a gain of {claimed.value_nano / NANO:+.6f}"
                f" (at least {claimed.lower_nano() / NANO:+.6f}, {claimed.pairs} pairs);"
                " nothing was run to check this gain"
            )
        else:
            click.echo(f"key {author} {_NO_CLAIM}")
        _print_marks(marks)
    if not holds:
        raise SafetyError("the claim is invalid", "do not run or adopt it")


def _bundle(claim: str) -> Bundle:
    if Path(claim).is_file():  # works without a home
        return read_bundle(Path(claim))
    with reading() as (store, blobs):
        return bundle_of(store, blobs, claim)
