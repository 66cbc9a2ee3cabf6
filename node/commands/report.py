"""`report`: summarize what happened overnight, from the store alone; list peers' reports."""

import sys
from datetime import datetime
from pathlib import Path

import click

from node.commands.basics import json_option, reading, shown_line
from node.home.clock import clock_ms
from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import Home
from node.home.keyfile import identity_of, read_keys
from node.home.settings_in_force import config_of
from node.reporting.concluded import TimeSpan
from node.reporting.night import SHOWN, as_markdown, whole_night
from node.reporting.report import report_of
from node.terminal.durations import ms_before
from node.terminal.progress import reporting
from node.terminal.terminal import console, print_json, say
from protocol.codecs import plain
from protocol.errors import UsageError

_DEFAULT = "24h"
_EVERYBODY = 0o644  # the card is made to be shared


@click.command()
@click.option(
    "--since",
    default=_DEFAULT,
    show_default=True,
    metavar="T",
    help="The start: 12h or 3d ago, 22:00, 2026-03-01, or 2026-03-01T22:00.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "html"]),
    help="Markdown (the default if not at a terminal) or HTML.",
)
@click.option("--task", help="Report only on this task.")
@click.option("--publish", is_flag=True, help="Publish the report: sign one record for each task.")
@click.option("--title", help="With --publish: the title (default: what was tried and kept).")
@click.option("--yes", is_flag=True, help="With --publish: publish without asking.")
@click.option("--peers", is_flag=True, help="List the reports that peers published.")
@click.option("--fetch", metavar="ID", help="Fetch the text of a published report.")
@click.option(
    "--card",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Write a picture to share, 1200 by 675 pixels.",
)
@json_option("Print everything as one JSON document.")
def report(
    since: str,
    form: str | None,
    task: str | None,
    publish: bool,
    title: str | None,
    yes: bool,
    peers: bool,
    fetch: str | None,
    card: Path | None,
    as_json: bool,
) -> None:
    """Report what happened: `arnode report --since 12h --format html > night.html`.

    The report shows what was tried, kept and refuted, which promotion trials passed, what peers
    claimed, what models and agents cost, and which proposers found the gains. The command works
    with and without a running node.

    `--publish` signs the report. Its figures and title are sent to the whole network, its text to
    anyone who asks for it. `--peers` lists the reports that peers published.
    """
    others = {
        "--publish": publish,
        "--peers": peers,
        "--fetch": fetch,
        "--format": form,
        "--card": card,
    }
    given = [name for name, value in others.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", "give one of them")
    if as_json and (form is not None or card is not None):
        what = "--format" if card is None else "--card"
        raise UsageError(f"--json and {what} exclude each other", "give one of them")
    if (title is not None or yes) and not publish:
        raise UsageError("--title and --yes need --publish", "add --publish")
    home = Home.here()
    if peers or fetch:
        from node.commands.publishing import fetch_text, list_reports

        with reading() as (store, _):
            if fetch:
                fetch_text(home, store, fetch, as_json=as_json)
            else:
                list_reports(home, store, task=task, as_json=as_json)
        return
    net = config_of(home).net
    until_ms = clock_ms()
    now = datetime.fromtimestamp(until_ms / 1000).astimezone()
    since_ms = ms_before(since, now)
    span = TimeSpan(since_ms=since_ms, until_ms=until_ms)
    if card is not None:
        _write_card(card, span, net, task)
        return
    with reading() as (store, _):
        with reporting() as progress:
            found = report_of(store, span, net=net, task=task, progress=progress)
        if publish:
            from node.commands.publishing import publish as publish_found

            publish_found(home, store, found, title=title, agrees=yes, as_json=as_json)
            return
    if as_json:
        from node.reporting.report_json import report_json

        print_json(report_json(found))
        return
    if form == "html":
        from node.web.night_file import as_file

        click.echo(as_file(found, None), nl=False)
    elif form is None and sys.stdout.isatty():
        from node.reporting.terminal import print_blocks

        print_blocks(console(), *whole_night(found, None), shown=SHOWN)
    else:
        click.echo(as_markdown(found, None), nl=False)


def _write_card(path: Path, span: TimeSpan, net: str, task: str | None) -> None:
    """Draw a picture of the named task's line, or the latest session's line, into a PNG file.

    Raises UsageError if the file cannot be written.
    """
    from node.reporting.card import card_of
    from node.reporting.card_picture import drawn

    home = Home.here()
    config = config_of(home)
    node = identity_of(read_keys(home), config).name if home.key.exists() else config.name
    with reading() as (store, _), reporting() as progress:
        meant = shown_line(store, task).task.hex()
        found = report_of(store, span, net=net, task=meant, progress=progress)
        (line,) = found.lines
        data = drawn(card_of(store, line, found.span, net=net, node=node, zone=None))
    with explaining_faults(path):
        try:
            write_file(path, data, mode=_EVERYBODY)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as fault:
            raise UsageError(
                f"cannot write {path}: {(fault.strerror or 'refused').lower()}",
                "name a file in an existing folder",
            ) from fault
    say(f"{plain(str(path))}: {line.task} on {line.hardware_class}", err=True)
