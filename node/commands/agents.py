"""`agent skill`, `agent propose` and `try`: make experiments as an agent or a person."""

import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from statistics import stdev
from string import Template
from typing import TYPE_CHECKING, Any

import click

from agent.model.figures import keep_rule
from node.commands.basics import json_option, print_result, refuse_other_options, task_options
from node.home.home import Home
from node.home.settings_in_force import config_of
from node.terminal.terminal import print_json
from protocol.codecs import plain
from protocol.rule import DEFAULT, screening_policy
from protocol.styles import Style
from protocol.units import NANO, from_nano
from trainer.task_folder.task import Task
from trainer.task_kinds import words_of

if TYPE_CHECKING:
    from node.on_demand.trying import TryOutcome


@click.command()
@task_options()
@json_option("Print one JSON document.")
def skill(task: str | None, text: Path | None, as_json: bool) -> None:
    """Print a guide for a coding agent: its task, the commands, and when a patch is kept."""
    from node.on_demand.session import task_meant

    home = Home.here()
    config = config_of(home, {"task": task, "text": text})
    _, found = task_meant(home, config, is_named=task is not None)
    named = ""
    if task:
        named = f" --task {shlex.quote(task)}"
    elif text:
        named = f" --text {shlex.quote(str(text))}"
    skill_text = instructions(found, named)
    document = {"task": {"id": found.id.hex(), "name": found.name}, "skill": skill_text}
    print_result(document, plain(skill_text, lines=True), as_json=as_json)


def instructions(task: Task, flags: str) -> str:
    """Return the guide for a coding agent; `flags` are the options that select the task."""
    from node.line.branch import most_keeps

    manifest = task.manifest
    limits, metric = manifest.limits, manifest.metric
    floor = manifest.noise_floor_nano
    words = words_of(manifest)
    template = files("node").joinpath("skill.md").read_text(encoding="utf-8")
    return Template(template).substitute(
        task=task.name,
        name=task.name,
        flags=flags,
        head_flags=flags and f" --task {task.name}",
        files=", ".join(task.editable),
        first=task.editable[0],
        editable=", ".join(f"`{path}`" for path in task.editable),
        metric=metric.name,
        unit=metric.unit,
        better="lower" if metric.direction == "min" else "higher",
        budget_words=f"The budget of every run is {words.budget}.",
        limits=words.limits,
        growth_kib=limits.max_source_growth_bytes // 1024,
        noise=f"{floor / NANO:g}" if floor else "an unknown number of",
        keep_rule=keep_rule(screening_policy(Style.of(manifest), DEFAULT), base="the working line"),
        keeps=most_keeps(manifest, DEFAULT),
        program=task.program.strip(),
    )


@click.command()
@click.option("--dry-run", is_flag=True, help="Show the prompt's size and model; send nothing.")
@click.option("--print-prompt", is_flag=True, help="Print the whole prompt; send nothing.")
@task_options()
@json_option("Print one JSON document.")
def propose(
    dry_run: bool, print_prompt: bool, task: str | None, text: Path | None, as_json: bool
) -> None:
    """Ask the proposer for one patch of the working line and print it; run nothing.

    The proposer is the model or coding agent in the setting `agent`. If it proposes nothing, the
    built-in search does. Asking a model or agent counts towards the day's limits. Exit code 1:
    every proposal was tried before.
    """
    from node.on_demand.advice import ask_for_advice

    is_dry = dry_run or print_prompt
    document = ask_for_advice(task=task, text=text, is_dry=is_dry)
    if as_json:
        print_json(dict(document))
    elif is_dry:
        _print_prompt(document, is_whole=print_prompt)
    else:
        _print_proposal(document)
    if not document.get("prompt" if is_dry else "proposal"):
        raise SystemExit(1)


def _print_prompt(document: Mapping[str, Any], *, is_whole: bool) -> None:
    if document["silence"] is not None:
        click.echo(f"there is no prompt: {plain(document['silence'])}", err=True)
        return
    who, turns = document["who"], document["prompt"]
    size = sum(len(turn["content"]) for turn in turns)
    asked = who if who not in ("search", "none") else f"no model ({who} needs no prompt)"
    room = f"; limit: {plain(room_left)}" if (room_left := document["room"]) else ""
    click.echo(f"a prompt of {size:,} characters for {plain(asked)}{room}", err=True)
    for turn in turns if is_whole else []:
        click.echo(f"##### {turn['role']} #####\n{plain(turn['content'], lines=True)}")


def _print_proposal(document: Mapping[str, Any]) -> None:
    if document["silence"] is not None:
        click.echo(f"{plain(document['silence'])}; the built-in search is used instead", err=True)
    if proposal := document["proposal"]:
        who, model = proposal["proposer"], proposal["model"]
        click.echo(f"{plain(proposal['title'])}\n{plain(proposal['why'])}")
        click.echo(f"proposed by {plain(f'{who} ({model})' if model else who)}\n")
        click.echo(plain(proposal["diff"], lines=True), nl=False)
    else:
        click.echo("every proposal was tried before", err=True)
    cost = document["cost"]
    if calls := cost["calls"]:
        tokens = f"{cost['tokens_in']:,} + {cost['tokens_out']:,} tokens"
        questions = "1 question" if calls == 1 else f"{calls} questions"
        click.echo(f"{questions}, {tokens}, {cost['usd']:g} USD", err=True)


@click.command("try")
@click.option(
    "-m",
    "why",
    default="",
    metavar="WHY",
    help="What you changed and why; its first line is the title.",
)
@click.option("--folder", type=Path, help="The folder with the source (default: this one).")
@click.option(
    "--from",
    "place",
    metavar="TASK|ID|below",
    help="Instead of a folder, try one patch, or those of another task's head or the rung below.",
)
@task_options()
@json_option("Print one JSON document.")
def try_(
    why: str,
    folder: Path | None,
    place: str | None,
    task: str | None,
    text: Path | None,
    as_json: bool,
) -> None:
    """Measure your edited source in this folder against the working line, and keep or discard it.

    Your source is judged like the node's own proposals: by a screen and, if that looks good, a
    recheck with a new seed. The result is recorded. Exit code 0: kept or discarded; 1: the run
    failed; 7: the evaluator rejected the source.

    With --from, patches are tried that another task's head consists of. All that are kept then go
    through one promotion trial. A gain on the other task is no evidence on this one.
    """
    if place is not None:
        refuse_other_options("--from", "place", "task", "as_json")
        from node.commands.carrying import try_from

        try_from(place, to=task, as_json=as_json)
        return
    from node.commands.measure import print_why_unranked
    from node.line.attempts import trailer
    from node.on_demand.trying import try_folder

    answer = try_folder(folder or Path(), why.strip(), task=task, text=text)
    print_why_unranked(answer.manifest)
    if as_json:
        print_json(_document(answer))
    else:
        click.echo(trailer(answer.attempt, answer.manifest.metric.name), nl=False)
    raise SystemExit(answer.attempt.exit_code)


def _document(answer: "TryOutcome") -> dict[str, object]:
    from node.commands.measure import run_json

    attempt, judged = answer.attempt, answer.attempt.judged
    reference_metrics = (
        [nano / NANO for nano in attempt.reference_nano] if attempt.is_working else []
    )
    return {
        "task": {"id": answer.key.task.hex(), "name": answer.manifest.name},
        "scoring": answer.manifest.scoring,
        "tree": attempt.tree.hex(),
        "class": answer.key.hardware_class,
        "runs": [run_json(run) for run in attempt.runs],
        "metric": from_nano(attempt.metric_nano),
        "sd": stdev(reference_metrics) if len(reference_metrics) > 1 else None,
        "decision": attempt.word,
        "because": attempt.because,
        "against": attempt.against or None,
        "repeat": answer.is_repeat,
        "result": attempt.record and attempt.record.hex(),
        "working": attempt.working.hex(),
        "moved": attempt.has_moved,
        "promotion_trial": judged
        and {"verdict": judged.word, "note": judged.note, "result": judged.record.hex()},
        "log": attempt.log_tail if attempt.metric_nano is None else None,
    }
