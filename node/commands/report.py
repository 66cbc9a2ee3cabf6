"""`report`: what happened overnight, from the store alone."""

from datetime import datetime

import click

from node.commands.basics import json_option, reading
from node.home.clock import clock_ms
from node.home.home import Home
from node.report.concluded import Span
from node.report.lines import report_of
from node.settings.config import config_of
from node.terminal.durations import moment_before
from node.terminal.progress import reporting
from node.terminal.terminal import print_json
from protocol.errors import UsageError

_DEFAULT = "24h"


@click.command()
@click.option(
    "--since",
    default=_DEFAULT,
    show_default=True,
    metavar="T",
    help="From when: 12h or 3d ago, 22:00, 2026-03-01, or 2026-03-01T22:00.",
)
@click.option(
    "--format", "form", type=click.Choice(["md", "html"]), help="Markdown (the default) or a page."
)
@click.option("--task", help="Of one task, where this home works on several.")
@json_option("Everything in it as one JSON document.")
def report(since: str, form: str | None, task: str | None, as_json: bool) -> None:
    """Say what happened: `arnode report --since 12h --format html > night.html`.

    What was tried, kept and refuted, which checkpoints passed, what peers claimed, what it cost and
    whose gain it was. Works with and without a running node.
    """
    if as_json and form is not None:
        raise UsageError("--json and --format exclude each other", "give one of them")
    net = config_of(Home.here()).net
    until_ms = clock_ms()
    now = datetime.fromtimestamp(until_ms / 1000).astimezone()
    since_ms = round(moment_before(since, now).timestamp() * 1000)
    span = Span(since_ms=since_ms, until_ms=until_ms)
    with reading() as (store, _), reporting() as progress:
        found = report_of(store, span, net=net, task=task, progress=progress)
    if as_json:
        from node.report.document import report_json

        print_json(report_json(found))
        return
    if form == "html":
        from node.web.night_file import as_file as told
    else:
        from node.report.words import as_markdown as told
    click.echo(told(found, None), nl=False)
