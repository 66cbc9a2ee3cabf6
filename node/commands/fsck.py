"""`fsck`: is everything whole, `--rebuild` to mend it; `gc`: remove what nobody needs."""

from dataclasses import asdict

import click

from node.commands.basics import json_option
from node.home.home import Home
from node.terminal.terminal import plain, print_json
from protocol.errors import ArnodeError


@click.command()
@click.option("--rebuild", is_flag=True, help="Mend what can be mended; damaged files are kept.")
@json_option()
def fsck(rebuild: bool, as_json: bool) -> None:
    """Check store, blobs and journal. Ends with 1 when something is not whole."""
    from node.terminal.progress import reporting
    from node.upkeep.fsck import examine, mend, remarks

    home = Home.here()
    mended: list[str] = []
    with reporting() as progress:
        if rebuild:
            with home.lock():
                mended = mend(home, progress)
        problems = examine(home, progress)
    known = [] if problems else remarks(home)
    if as_json:
        print_json({"ok": not problems, "mended": mended, "problems": problems, "remarks": known})
    else:
        for line in mended:
            click.echo(f"mended: {plain(line)}")
        for line in problems:
            click.echo(f"problem: {plain(line)}")
        for line in known:
            click.echo(f"remark: {plain(line)}")
        if not problems:
            click.echo("store, blobs and journal are whole")
    if problems:
        hint = (
            "what is left needs a hand: see each line"
            if rebuild
            else "`arnode fsck --rebuild` mends what can be mended and keeps what was damaged"
        )
        raise ArnodeError(f"{len(problems)} problem(s) in {home.root}", hint)


@click.command()
@json_option()
def gc(as_json: bool) -> None:
    """Remove sources that nothing names and others' intents of more than a day ago."""
    from node.store.eviction import collect
    from node.terminal.progress import reporting

    home = Home.here()
    with home.lock(), reporting() as progress:
        done = collect(home, progress)
    if as_json:
        print_json(asdict(done))
        return
    click.echo(
        f"removed {done.blobs} blobs ({done.bytes:,} bytes) and {done.intents} old intents;"
        f" {done.released} records are no longer early"
    )
