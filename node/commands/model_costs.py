"""`agent spending`: list the cost of each question to a model or coding agent; correct one."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from node.commands.basics import Count, json_option
from node.home.clock import clock_ms
from node.home.home import Home
from node.home.settings_in_force import config_of
from node.proposing.day import Fixed, correct_call, day_document, today
from node.store.store import Store
from node.terminal.terminal import print_json
from protocol.codecs import plain
from protocol.errors import UsageError

_MOST_USD = 1e6
_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@click.argument("day", metavar="[DAY]", type=_DAY, required=False)
@click.option(
    "--correct",
    "number",
    type=Count(1, 10**15),
    help="The number of the question to correct.",
)
@click.option(
    "--usd",
    type=click.FloatRange(0, _MOST_USD, max_open=True),
    help="What the provider charged, in USD.",
)
@click.option("--tokens-in", type=Count(0, 10**9), help="The number of tokens in the prompt.")
@click.option("--tokens-out", type=Count(0, 10**9), help="The number of tokens in the answer.")
@click.option("--why", default="", help="A note for yourself.")
@json_option("Print one JSON document.")
def spending(
    day: datetime | None,
    number: int | None,
    usd: float | None,
    tokens_in: int | None,
    tokens_out: int | None,
    why: str,
    as_json: bool,
) -> None:
    """List the costs of models and coding agents on DAY (UTC, default: today).

    `--correct N` replaces the cost of question N by `--usd`, `--tokens-in` and `--tokens-out`. The
    day's limits then use the new cost. The old figures and every correction stay in the list.
    """
    home = Home.here()
    config = config_of(home)
    figures = (usd, tokens_in, tokens_out)
    if (number is None) != all(figure is None for figure in figures):
        raise UsageError(
            "a correction needs a question's number and its real cost",
            "`arnode agent spending --correct 12 --usd 0.05`",
        )
    if usd is not None and not math.isfinite(usd):
        raise UsageError(f"`--usd` is {usd}", "give an amount in USD, such as 0.05")
    if number is not None:
        fixed = Fixed(usd=usd, tokens_in=tokens_in, tokens_out=tokens_out, why=why)
        document = correct_call(home, config, number, fixed, now_ms=clock_ms())
    else:
        date = day.date().isoformat() if day else today(clock_ms())
        with Store.open_read_only(home) as store:
            document = day_document(store, config, date)
    if as_json:
        print_json(dict(document))
    elif number is not None:
        _print_call(document)
    else:
        _print_day(document)


def _print_day(document: Mapping[str, Any]) -> None:
    for call in document["calls"]:
        _print_call(call)
    spent, limits = document["spent"], document["limits"]
    words = [
        f"{spent[name]:{form}} of {_limit(limits[name], form)} {what}"
        for name, form, what in (
            ("usd", ".4f", "USD"),
            ("calls", ",", "questions"),
            ("visits", ",", "visits of coding agents"),
            ("tokens", ",", "tokens"),
        )
    ]
    click.echo(f"{document['day']} (UTC): {'; '.join(words)}")


def _limit(limit: object, form: str) -> str:
    return "unlimited" if limit is None else format(limit, form)


def _print_call(call: Mapping[str, Any]) -> None:
    what = "visit" if call["visit"] else "question"
    click.echo(
        f"{call['id']:>6}  {call['ts']}  {plain(call['model'])}  {what}  {call['state']}"
        f"  {call['tokens_in']:,} + {call['tokens_out']:,} tokens  {call['usd']:.6f} USD"
    )
    if charged := call["charged"]:
        why = f": {plain(call['why'])}" if call["why"] else ""
        click.echo(
            f"{'':>6}  corrected from {charged['tokens_in']:,} + {charged['tokens_out']:,} tokens,"
            f" {charged['usd']:.6f} USD{why}"
        )
