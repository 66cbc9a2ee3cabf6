"""`start`, and what is said to a running node: `status`, `stop`, `pause`, `resume`."""

import os
from datetime import datetime
from pathlib import Path

import click

from node.config import Config, load_config
from node.home import Home
from node.terminal import print_json
from protocol.errors import ArnodeError, UsageError


@click.command()
@click.option("--task", help="A built-in task's name, or a task folder (default: tiny).")
@click.option("--text", type=Path, help="Work on this file or folder of text instead.")
@click.option("--max-experiments", type=click.IntRange(1), help="Stop after so many experiments.")
@click.option("--for", "duration", metavar="SPAN", help="Stop after this long, like 8h or 45m.")
@click.option("--until", metavar="HH:MM", help="Stop at this time of day.")
@click.option("--name", help="The name this node's records carry (default: from its key).")
@click.option(
    "--allow-partial-sandbox",
    is_flag=True,
    default=None,
    help="Run own experiments where only a weaker sandbox can be had.",
)
def start(
    task: str | None,
    text: Path | None,
    max_experiments: int | None,
    duration: str | None,
    until: str | None,
    name: str | None,
    allow_partial_sandbox: bool | None,
) -> None:
    """Run the node here: propose, measure, verify, record, until it is stopped.

    The first Ctrl-C finishes the run at hand and stops, the second stops at once; whatever
    happens, the next start goes on where this one was.
    """
    from node.durations import parse_duration, seconds_until
    from node.loop.agenda import Goal
    from node.program import start_node

    if duration and until:
        raise UsageError("--for and --until exclude each other", "give one of them")
    home = Home.locate(os.environ)
    flags = {
        "task": task,
        "text": str(text) if text else None,
        "max_experiments": max_experiments,
        "name": name,
        "allow_partial_sandbox": allow_partial_sandbox,
    }
    config = load_config(home.config, env=os.environ, flags=flags).config
    duration_s = parse_duration(duration) if duration else None
    if until:
        duration_s = seconds_until(until, datetime.now().astimezone())
    goal = Goal(max_experiments=config.max_experiments, duration_s=duration_s)
    start_node(home, config, goal)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """Say how things stand; works with and without a running node."""
    document = _status_document()
    if as_json:
        print_json(document)
        return
    from node.views.status_text import print_status

    print_status(document)


@click.command()
@click.option("--at-checkpoint", is_flag=True, help="Judge the working line first.")
def stop(at_checkpoint: bool) -> None:
    """Let the running node finish the run at hand and stop."""
    _call("stop", {"at_checkpoint": at_checkpoint})
    click.echo("stopping; `arnode status` says when it is done", err=True)


@click.command()
def pause() -> None:
    """Let the running node finish the run at hand and wait."""
    _call("pause", {})


@click.command()
def resume() -> None:
    """Let the running node go on after a pause."""
    _call("resume", {})


def _call(command: str, arguments: dict[str, bool]) -> None:
    from node.control import call

    call(Home.locate(os.environ).socket, command, dict(arguments))


def _status_document() -> dict[str, object]:
    from node.control import call, is_running

    home = Home.locate(os.environ)
    _config(home)
    if is_running(home.socket):
        document = call(home.socket, "status")
        if not isinstance(document, dict):
            raise ArnodeError("the node's answer makes no sense", "see `arnode logs`")
        return dict(document)
    from node.keyfile import read_keys
    from node.store.store import Store
    from node.views.status import status_document
    from trainer.tier import probe_tier

    author = read_keys(home).author.public if home.key.exists() else None
    with Store.open_read_only(home) as store:
        return dict(status_document(store, author=author, sandbox=probe_tier().name))


def _config(home: Home) -> Config:
    return load_config(home.config, env=os.environ).config
