"""`paths`, `logs`, `completion`."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from node.commands.basics import json_option
from node.home.home import Home
from node.terminal.terminal import plain, print_json
from protocol.errors import NotRunningError

_SHOWN_LINES = 50
_POLL_S = 0.3
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@json_option()
def paths(as_json: bool) -> None:
    """Say where everything is. ARNODE_HOME moves it all."""
    home = Home.here()
    places = {
        "home": home.root,
        "store": home.store,
        "blobs": home.blobs,
        "journal": home.journal,
        "data": home.data,
        "key": home.key,
        "config": home.config,
        "networks": home.networks,
        "programs": home.programs,
        "log": home.log,
        "socket": home.socket,
    }
    if as_json:
        print_json({name: str(place) for name, place in places.items()})
        return
    for name, place in places.items():
        click.echo(f"{name:<8} {place}")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--limit", type=click.IntRange(0), default=_SHOWN_LINES, show_default=True)
@json_option("JSON lines.")
def logs(follow: bool, limit: int, as_json: bool) -> None:
    """Show what the node says."""
    path = Home.here().log
    if not path.exists():
        raise NotRunningError("no node has run on this home yet", "start one: `arnode start`")
    lines = path.read_text("utf-8", "replace").splitlines()
    size = path.stat().st_size
    for line in lines[-limit:] if limit else []:
        _print_line(line, as_json)
    if follow:
        for line in _coming(path, size):
            _print_line(line, as_json)


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell: `eval "$(arnode completion bash)"`."""
    from click.shell_completion import get_completion_class

    from node.commands.cli import cli

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(cli, {}, "arnode", "_ARNODE_COMPLETE").source())


def _print_line(line: str, as_json: bool) -> None:
    click.echo(json.dumps({"v": 1, "line": line}) if as_json else plain(line, lines=True))
    sys.stdout.flush()


def _coming(path: Path, position: int) -> Iterator[str]:
    """Yield whole lines as they are written, also after the file was rotated."""
    rest = b""
    while True:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < position:
            position, rest = 0, b""
        if size > position:
            with path.open("rb") as stream:
                stream.seek(position)
                data = stream.read()
            position += len(data)
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
        time.sleep(_POLL_S)
