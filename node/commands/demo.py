"""`demo`: run a small network on this machine for three minutes."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from node.commands.basics import json_option
from node.demo.story import play
from node.home.config import Config
from node.home.sandboxing import require_peer_sandbox
from node.processes.lifeline import temporary_folder
from node.terminal.progress import reporting
from node.terminal.terminal import print_json
from protocol.errors import ArnodeError


@click.command()
@json_option("Print the facts as one JSON document.")
@click.option("--keep", type=Path, help="Keep the nodes' homes and logs in this folder.")
def demo(as_json: bool, keep: Path | None) -> None:
    """Show how arnode works: four nodes on this machine, one of which lies. About 3 minutes.

    Nothing leaves this machine, and your own node is not used. At its end the demo stops its four
    nodes and removes their folder.
    """
    require_peer_sandbox(Config())
    if keep is not None and keep.exists():
        raise ArnodeError(f"{keep} exists already", "name a new folder")
    try:
        with temporary_folder() if keep is None else _kept(keep) as root, reporting() as progress:
            facts = asyncio.run(play(root, _print_line, progress, is_temporary=keep is None))
    except TimeoutError as fault:
        raise ArnodeError(
            "the demo did not finish in time",
            "try again on an idle machine; `--keep FOLDER` keeps the logs",
        ) from fault
    if as_json:
        print_json(facts.to_message())
    if not facts.holds:
        raise ArnodeError(
            f"the demo ended with unexpected verdicts: {facts.verdicts}",
            "try again: verdicts depend on chance",
        )


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700)
    yield folder.resolve()


def _print_line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
