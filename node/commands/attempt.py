"""`try`: any edit, by any agent or person, measured and judged by the node's rule."""

from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

import click

from node.commands.basics import json_option, task_options
from node.terminal.terminal import print_json
from protocol.units import NANO, from_nano

if TYPE_CHECKING:
    from node.on_demand.trying import Answer


@click.command("try")
@click.option("-m", "why", default="", metavar="WHY", help="What it is and why; line 1 titles it.")
@click.option(
    "--folder", type=Path, default=Path(), help="The folder with the source (default: this one)."
)
@task_options("the running node's, else tiny")
@json_option("Print one JSON document.")
def try_(why: str, folder: Path, task: str | None, text: Path | None, as_json: bool) -> None:
    """Measure and judge the edited source in this folder against the working line.

    It is run as the node's own proposals are: a screen, if promising a second run with a fresh
    seed; kept or discarded, and recorded. Exit code 0: decided; 1: it failed; 7: rejected by the
    evaluator.
    """
    from node.line.attempts import trailer
    from node.on_demand.trying import try_folder

    answer = try_folder(folder, why.strip(), task=task, text=text)
    if as_json:
        print_json(_document(answer))
    else:
        click.echo(trailer(answer.attempt, answer.manifest.metric.name), nl=False)
    raise SystemExit(answer.attempt.exit_code)


def _document(answer: "Answer") -> dict[str, object]:
    from node.commands.measure import run_json

    attempt, judged = answer.attempt, answer.attempt.judged
    bank = [nano / NANO for nano in attempt.bank_nano] if attempt.is_working else []
    return {
        "task": {"id": answer.key.task.hex(), "name": answer.manifest.name},
        "tree": attempt.tree.hex(),
        "class": answer.key.hardware_class,
        "runs": [run_json(run) for run in attempt.runs],
        "metric": from_nano(attempt.metric_nano),
        "sd": stdev(bank) if len(bank) > 1 else None,
        "decision": attempt.word,
        "because": attempt.because,
        "repeat": answer.is_repeat,
        "result": attempt.record and attempt.record.hex(),
        "working": attempt.working.hex(),
        "checkpoint": judged
        and {"verdict": judged.word, "note": judged.note, "result": judged.record.hex()},
        "log": attempt.log_tail if attempt.metric_nano is None else None,
    }
