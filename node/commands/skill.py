"""`skill`: what a coding agent has to know to drive the loop, made from the task."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.commands.basics import json_option, task_options
from node.terminal.terminal import plain, print_json
from protocol.units import NANO

if TYPE_CHECKING:
    from trainer.task_folder.task import Task


@click.command()
@task_options()
@json_option("Print one JSON document.")
def skill(task: str | None, text: Path | None, as_json: bool) -> None:
    """Print instructions for a coding agent: the loop, the commands, the rule."""
    from node.home.home import Home
    from node.line.session import find_task
    from node.settings.config import config_of
    from node.terminal.progress import reporting

    home = Home.here()
    config = config_of(home, {"task": task, "text": text})
    wanted = Path(config.text) if config.text and task is None else None
    with reporting() as progress:
        found = find_task(home, name=config.task, text=wanted, progress=progress)
    named = ""
    if task:
        named = f" --task {shlex.quote(task)}"
    elif text:
        named = f" --text {shlex.quote(str(text))}"
    said = instructions(found, named)
    if as_json:
        print_json({"task": {"id": found.id.hex(), "name": found.name}, "skill": said})
    else:
        click.echo(plain(said, lines=True))


def instructions(task: "Task", flags: str) -> str:
    """Return the instructions for a task; `flags` choose it on the command line."""
    from importlib.resources import files
    from string import Template

    from protocol.rule import DEFAULT

    manifest = task.manifest
    limits, metric, budget = manifest.limits, manifest.metric, manifest.budget
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
        budget_words=f"The budget is {budget.amount:,} {budget.unit} of training, for everybody.",
        limit_s=limits.limit_s,
        weights_mb=limits.weights_mb,
        growth_kib=limits.max_source_growth_bytes // 1024,
        noise=f"{manifest.noise_floor_nano / NANO:g}",
        screen=f"{DEFAULT.screen_sd:g}",
        recheck=f"{DEFAULT.recheck_sd:g}",
        keeps=DEFAULT.keeps_per_checkpoint,
        program=task.program.strip(),
    )
