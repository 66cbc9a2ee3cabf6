"""`config show | path | check`: the settings in force and where each came from."""

import dataclasses
import os

import click

from node.commands.basics import json_option
from node.home.home import Home
from node.settings.config import load_config
from node.terminal.terminal import plain, print_json


@click.group()
def config() -> None:
    """The node's settings: flag, ARNODE_* variable, file, default, in this order."""


@config.command("show")
@json_option()
def show_config(as_json: bool) -> None:
    """Print every setting, its value and where it came from."""
    settings = load_config(Home.here().config, env=os.environ)
    values = dataclasses.asdict(settings.config)
    if as_json:
        print_json({"config": values, "origins": dict(settings.origins)})
        return
    width = max(map(len, values))
    for name, value in values.items():
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        shown = "-" if value in {None, "", ()} else plain(text)
        click.echo(f"{name:<{width}}  {shown}  ({plain(settings.origins[name])})")


@config.command("path")
def config_path() -> None:
    """Print where the file is or would be."""
    click.echo(Home.here().config)


@config.command("check")
def check_config() -> None:
    """Say whether the settings are right."""
    path = Home.here().config
    load_config(path, env=os.environ)
    click.echo(f"{path}: {'right' if path.exists() else 'not there, so the defaults hold'}")
