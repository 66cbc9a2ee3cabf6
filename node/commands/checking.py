"""`task check`: find the faults of a task before a node works on it."""

import asyncio
from contextlib import aclosing
from dataclasses import asdict

import click

from node.commands.basics import json_option
from node.terminal.progress import reporting
from node.terminal.terminal import print_json
from protocol.codecs import plain, printed_lines
from trainer.measuring.checks import Remark

_WORDS = {"ok": "ok", "note": "note", "fault": "FAULT"}


@click.command()
@click.argument("name", metavar="DIR|NAME")
@json_option("Print one JSON document.")
def check(name: str, as_json: bool) -> None:
    """Check a built-in task, or a task in a folder, for faults.

    For a program task it shows the noise, and checks four things: the same seed gives the same
    instances and scores; the baseline stays within its limits; comparing the baseline with itself
    shows no gain; and the judge rejects wrong answers. This takes minutes. Exit code 1: the task
    has a fault.
    """
    from node.on_demand.checking import checked
    from node.on_demand.session import find_command_session

    command = find_command_session(name, None)

    async def work() -> list[Remark]:
        remarks: list[Remark] = []
        with reporting() as progress:
            async with aclosing(checked(command, progress)) as found:
                async for remark in found:
                    remarks.append(remark)
                    if not as_json:
                        _print_remark(remark)
        return remarks

    remarks = asyncio.run(work())
    faults = sum(remark.level == "fault" for remark in remarks)
    notes = sum(remark.level == "note" for remark in remarks)
    if as_json:
        print_json(
            {
                "task": {"id": command.task.id.hex(), "name": command.task.name},
                "ok": not faults,
                "remarks": [asdict(remark) for remark in remarks],
            }
        )
    else:
        click.echo(f"{command.task.name}: {_counted(faults, 'fault')}, {_counted(notes, 'note')}")
    if faults:
        raise SystemExit(1)


def _print_remark(remark: Remark) -> None:
    """Print a remark. A task's judge is untrusted, so its text is cleaned."""
    hint = f"; hint: {plain(remark.hint)}" if remark.hint else ""
    click.echo(f"{_WORDS[remark.level]:<6} {remark.about:<13} {plain(remark.what)}{hint}")
    for line in printed_lines(remark.printed):
        click.echo(line)


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
