"""`doctor`: each thing arnode needs, looked at by using it, with its mend."""

from dataclasses import asdict

import click

from node.commands.basics import json_option
from node.terminal.terminal import plain, print_json

_EXIT_PROBLEM = 6


@click.command()
@json_option("Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Check this machine: sandbox, torch, disk, key, data, git, device."""
    from node.home.home import Home
    from node.upkeep.doctor import examine

    checks = []
    for check in examine(Home.here()):
        checks.append(check)
        if not as_json:
            click.echo(f"  {check.status:<8} {check.name:<10} {plain(check.detail)}")
            if check.mend:
                click.echo(f"  {'':<8} {'':<10} mend: {plain(check.mend)}")
    is_well = all(check.status != "problem" for check in checks)
    if as_json:
        print_json({"ok": is_well, "checks": [asdict(check) for check in checks]})
    if not is_well:
        raise SystemExit(_EXIT_PROBLEM)
