"""`start`, and what is said to a running node: `status`, `stop`, `pause`, `resume`."""

import os
from datetime import datetime
from pathlib import Path

import click

from node.home.home import Home
from node.settings.config import Config, load_config
from node.terminal.terminal import print_json
from protocol.errors import ArnodeError, UsageError


@click.command()
@click.option("--task", help="A built-in task's name, or a task folder (default: tiny).")
@click.option("--text", type=Path, help="Work on this file or folder of text instead.")
@click.option(
    "--gpus", metavar="LIST", help="The NVIDIA cards to use, like 0,1 (default: all of a class)."
)
@click.option("--agent", metavar="knobs|none", help="Who proposes (default: knobs).")
@click.option("--max-experiments", type=click.IntRange(1), help="Stop after so many experiments.")
@click.option("--for", "duration", metavar="SPAN", help="Stop after this long, like 8h or 45m.")
@click.option("--until", metavar="HH:MM", help="Stop at this time of day.")
@click.option("--schedule", metavar="HH:MM-HH:MM", help="Start runs in these hours only.")
@click.option(
    "--when-idle", is_flag=True, help="Start runs only while others need the machine little."
)
@click.option(
    "--max-watts", type=click.IntRange(1), help="Let each NVIDIA card draw no more than this."
)
@click.option("--name", help="The name this node's records carry (default: from its key).")
@click.option("--join", "line", metavar="LINE", help="Join a network by an `arnode invite` line.")
@click.option("--network", metavar="NAME|none", help="The network to speak to, or none.")
@click.option(
    "--bootstrap", multiple=True, metavar="ADDR", help="A peer to begin with, more than once."
)
@click.option("--yes", "agrees", is_flag=True, help="Agree to join the network without a question.")
@click.option(
    "--allow-partial-sandbox",
    is_flag=True,
    default=None,
    help="Run own experiments where only a weaker sandbox can be had.",
)
def start(
    task: str | None,
    text: Path | None,
    gpus: str | None,
    agent: str | None,
    max_experiments: int | None,
    duration: str | None,
    until: str | None,
    schedule: str | None,
    when_idle: bool,
    max_watts: int | None,
    name: str | None,
    line: str | None,
    network: str | None,
    bootstrap: tuple[str, ...],
    agrees: bool,
    allow_partial_sandbox: bool | None,
) -> None:
    """Run the node here: propose, measure, verify, record, until it is stopped.

    The first Ctrl-C finishes the run at hand and stops, the second stops at once; whatever
    happens, the next start goes on where this one was.
    """
    from node.loop.agenda import Goal
    from node.networks.consent import Wishes
    from node.networks.invites import read_invite
    from node.networks.joining import join_network
    from node.running.program import start_node
    from node.terminal.durations import parse_duration, parse_hours, seconds_until

    if duration and until:
        raise UsageError("--for and --until exclude each other", "give one of them")
    home = Home.locate(os.environ)
    wishes = Wishes(network=network, has_invite=line is not None, agrees=agrees)
    if line is not None:
        join_network(home, read_invite(line))
    flags = {
        "task": task,
        "text": str(text) if text else None,
        "gpus": gpus,
        "agent": agent,
        "max_experiments": max_experiments,
        "max_watts": max_watts,
        "name": name,
        "bootstrap": bootstrap or None,
        "allow_partial_sandbox": allow_partial_sandbox,
        **wishes.settings,
    }
    config = load_config(home.config, env=os.environ, flags=flags).config
    duration_s = parse_duration(duration) if duration else None
    if until:
        duration_s = seconds_until(until, datetime.now().astimezone())
    goal = Goal(
        max_experiments=config.max_experiments,
        duration_s=duration_s,
        hours=parse_hours(schedule) if schedule else None,
        when_idle=when_idle,
    )
    start_node(home, config, goal, wishes)


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def peers(as_json: bool) -> None:
    """Show whom the running node is connected with."""
    from node.home.control import call
    from node.views.status_text import print_peers

    document = call(Home.locate(os.environ).socket, "peers")
    if not isinstance(document, dict):
        raise ArnodeError("the node's answer makes no sense", "see `arnode logs`")
    if as_json:
        print_json(document)
    else:
        print_peers(document)


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
    from node.home.control import call

    call(Home.locate(os.environ).socket, command, dict(arguments))


def _status_document() -> dict[str, object]:
    from node.home.control import call, is_running

    home = Home.locate(os.environ)
    _config(home)
    if is_running(home.socket):
        document = call(home.socket, "status")
        if not isinstance(document, dict):
            raise ArnodeError("the node's answer makes no sense", "see `arnode logs`")
        return dict(document)
    from node.home.keyfile import read_keys
    from node.store.store import Store
    from node.views.status import status_document
    from trainer.sandbox.tier import probe_tier

    author = read_keys(home).author.public if home.key.exists() else None
    with Store.open_read_only(home) as store:
        return dict(status_document(store, author=author, sandbox=probe_tier().name))


def _config(home: Home) -> Config:
    return load_config(home.config, env=os.environ).config
