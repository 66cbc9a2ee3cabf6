"""`home` and `completion`: show files, keys and settings, and change settings."""

import dataclasses
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from node.commands.basics import MOST_SHOWN, Count, json_option, print_result
from node.commands.table import SummaryGroup
from node.home.config import SETTINGS
from node.home.config_file import change_settings
from node.home.control_socket import is_running
from node.home.home import Home
from node.home.keyfile import read_keys, renew_keys
from node.home.next_start import next_start
from node.home.settings_in_force import load_config, parse_setting, unused_variables
from node.line.open_task import require_known
from protocol.codecs import plain
from protocol.errors import NotRunningError
from trainer.host.capacity import usable_cores

_SHOWN_LINES = 50
_POLL_S = 0.3
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@json_option()
def paths(as_json: bool) -> None:
    """Show where the node's files are, and what each holds. ARNODE_HOME selects another home.

    Some exist only once they are needed.
    """
    home = Home.here()
    contents = home.contents()
    width = max(len(path.name) for path, _ in contents.values())
    rows = (f"  {path.name:<{width}}  {holds}" for path, holds in contents.values())
    document = {"home": str(home.root)} | {name: str(path) for name, (path, _) in contents.items()}
    print_result(document, str(home.root), *rows, as_json=as_json)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
@click.option("-n", "--limit", type=Count(0, MOST_SHOWN), default=_SHOWN_LINES, show_default=True)
@json_option("Print JSON lines.")
def logs(follow: bool, limit: int, as_json: bool) -> None:
    """Show the node's log."""
    path = Home.here().log
    if not path.exists():
        raise NotRunningError("no node has run in this home yet", "start one: `arnode start`")
    lines = path.read_text("utf-8", "replace").splitlines()
    size = path.stat().st_size
    shown = lines[-limit:] if limit else []
    for line in chain(shown, _coming(path, size) if follow else ()):
        click.echo(json.dumps({"v": 1, "line": line}) if as_json else plain(line, lines=True))
        sys.stdout.flush()


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell: `eval "$(arnode completion bash)"`."""
    from click.shell_completion import get_completion_class

    from node.commands.cli import cli

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(cli, {}, "arnode", "_ARNODE_COMPLETE").source())


def _coming(path: Path, position: int) -> Iterator[str]:
    """Yield whole lines of a file as they are written, across log rotation."""
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


@click.group(cls=SummaryGroup)
def key() -> None:
    """Show and renew the node's keys."""


@key.command("show")
@json_option()
def show_key(as_json: bool) -> None:
    """Print the node's public keys."""
    home = Home.here()
    keys = read_keys(home)
    author, transport = keys.author.public.hex(), keys.transport.public.hex()
    print_result(
        {"author": author, "transport": transport, "path": str(home.key)},
        f"author     {author}",
        f"transport  {transport}",
        as_json=as_json,
    )


@key.command("renew")
@json_option()
def renew_key(as_json: bool) -> None:
    """Replace this node's keys. The new author key names the old one; the old file is kept.

    Renew the keys if the author key signed two records with the same number, or if somebody else
    may have the key. The new key signs new records; older records remain those of the old key.
    """
    home = Home.here()
    with home.lock():
        kept = renew_keys(home)
    author = read_keys(home).author.public.hex()
    print_result(
        {"author": author, "path": str(home.key), "old": str(kept)},
        f"author     {author}",
        f"the old key is kept in {kept}",
        as_json=as_json,
    )


@click.group(cls=SummaryGroup)
def config() -> None:
    """Show and check settings. Flags override ARNODE_* variables, which override config.toml."""


@config.command("show")
@json_option()
def show_config(as_json: bool) -> None:
    """Print every setting, its value and the origin of the value."""
    settings = load_config(Home.here().config, env=os.environ)
    values = dataclasses.asdict(settings.config)
    width = max(map(len, values))
    lines = []
    for name, value in values.items():
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        shown = "-" if value in {None, "", ()} else plain(text)
        lines.append(f"{name:<{width}}  {shown}  ({plain(settings.origins[name])})")
    print_result({"config": values, "origins": dict(settings.origins)}, *lines, as_json=as_json)


@config.command("path")
def config_path() -> None:
    """Print the path of the settings file, whether or not it exists."""
    click.echo(Home.here().config)


@config.command("set")
@click.argument("key")
@click.argument("value")
def set_config(key: str, value: str) -> None:
    """Change one setting in config.toml; all other lines stay as they are.

    `arnode home config show` lists the keys.

    Several values are separated by commas; "" removes the setting. A running node uses the change
    after its next start.
    """
    home = Home.here()
    parsed = parse_setting(key, _listed(value)) if value else None
    if key == "task" and value:
        require_known(home, value)
    home.prepare()
    change_settings(home.config, {key: list(parsed) if isinstance(parsed, tuple) else parsed})
    click.echo(f"{home.config}: {key} {f'= {plain(value)}' if value else 'has its default'}")
    variable = SETTINGS[key].variable
    if variable in os.environ:
        click.echo(f"{variable} is set and takes precedence", err=True)
    if is_running(home.socket):
        click.echo(f"the running node uses it after its next start: {next_start()}", err=True)


def _listed(value: str) -> str:
    """Return a list in the notation of config.toml as words separated by commas."""
    if not value.startswith("["):
        return value
    try:
        words = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
    return ",".join(map(str, words))


@config.command("check")
def check_config() -> None:
    """Check the settings file and the ARNODE_* variables."""
    path = Home.here().config
    config = load_config(path, env=os.environ).config
    for variable in unused_variables(os.environ):
        click.echo(f"warning: {plain(variable)} has no effect: there is no such setting", err=True)
    cores = usable_cores()
    if config.lanes != "auto" and config.lanes > cores and config.ray is None:
        click.echo(
            f"warning: `lanes` is {config.lanes}, but only {cores} cores can be used here, so "
            "tasks with a token budget do not start",
            err=True,
        )
    click.echo(f"{path}: {'valid' if path.exists() else 'no such file, the defaults apply'}")
