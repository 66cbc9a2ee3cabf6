"""`doctor`: each thing arnode needs, looked at by using it, with its mend."""

import os

import click

from node.terminal.terminal import plain, print_json

_EXIT_PROBLEM = 6


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Check this machine: sandbox, torch, disk, key, data, git, device."""
    from node.home.home import Home
    from node.upkeep.doctor import examine

    checks = []
    for check in examine(Home.locate(os.environ)):
        checks.append(check)
        if not as_json:
            click.echo(f"  {check.status:<8} {check.name:<10} {plain(check.detail)}")
            if check.mend:
                click.echo(f"  {'':<8} {'':<10} mend: {plain(check.mend)}")
    is_well = all(check.status != "problem" for check in checks)
    if as_json:
        rows = [
            {"name": c.name, "status": c.status, "detail": c.detail, "mend": c.mend} for c in checks
        ]
        print_json({"ok": is_well, "checks": rows})
    if not is_well:
        raise SystemExit(_EXIT_PROBLEM)
