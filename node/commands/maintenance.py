"""`doctor`, `home fsck` and `home gc`: check the machine, repair the home, and free space."""

from dataclasses import asdict
from pathlib import Path

import click

from node.commands.basics import json_option, print_result
from node.home.home import Home
from node.maintenance.fsck import examine, repair
from node.store.eviction import collect
from node.terminal.progress import reporting
from node.terminal.terminal import print_json, say
from protocol.codecs import plain
from protocol.errors import ArnodeError, ConfigurationError

_EXIT_PROBLEM = 6
_DETAIL = 25  # the column of what a check found


@click.command()
@click.option(
    "--self-test",
    is_flag=True,
    help="Test the NVIDIA card for some minutes, and write gpu-report.json here.",
)
@json_option("Print one JSON document.")
def doctor(self_test: bool, as_json: bool) -> None:
    """Check this machine: sandbox, torch, disk, key, data, git, device."""
    if self_test:
        _selftest_cards(as_json=as_json)
        return
    from node.maintenance.doctor import examine as examine_machine

    checks = []
    for check in examine_machine(Home.here()):
        checks.append(check)
        if not as_json:
            say(f"  {check.status:<8} {check.name:<12}  {plain(check.detail)}", hang=_DETAIL)
            if check.hint:
                say(f"{'':{_DETAIL}}hint: {plain(check.hint)}")
    is_well = all(check.status != "problem" for check in checks)
    if as_json:
        print_json({"ok": is_well, "checks": [asdict(check) for check in checks]})
    if not is_well:
        raise SystemExit(_EXIT_PROBLEM)


def _selftest_cards(*, as_json: bool) -> None:
    """Run the self-test on each class of cards, keep the results and write the report.

    The next start of the node uses the results. Raises ConfigurationError if there is no usable
    card.
    """
    from trainer.card_selftest.machine import (
        REPORT,
        devices_to_test,
        no_driver,
        run_selftests,
        write_report,
    )
    from trainer.card_selftest.report import save_report
    from trainer.cards.cards import probe_cards

    found = probe_cards()
    wanted = devices_to_test(found)
    if not wanted:
        fault = no_driver(found)
        raise ConfigurationError(f"{fault.name}: {fault.said}; {fault.instead}", fault.hint)
    home, report = Home.here(), Path(REPORT)
    home.prepare()
    with home.lock():  # no node of this home uses the card meanwhile
        results = run_selftests(wanted, say=lambda line: say(plain(line), err=True))
        for result, _ in results:
            save_report(result, home.data)
    write_report(results, report)
    say(f"the report is {report.resolve()}; it does not identify you or your node", err=True)
    if as_json:
        print_json({"reports": [result.document(card) for result, card in results]})
    if not all(result.passed for result, _ in results):
        raise SystemExit(_EXIT_PROBLEM)


@click.command()
@click.option(
    "--rebuild", is_flag=True, help="Repair what can be repaired; keep a copy of damaged files."
)
@json_option()
def fsck(rebuild: bool, as_json: bool) -> None:
    """Check the home's store, blobs and journal. Exit code 1: something is damaged."""
    home = Home.here()
    repaired: list[str] = []
    with reporting() as progress:
        if rebuild:
            with home.lock():
                repaired = repair(home, progress)
        problems = examine(home, progress)
    if as_json:
        print_json({"ok": not problems, "repaired": repaired, "problems": problems})
    else:
        for what, lines in (("repaired", repaired), ("problem", problems)):
            for line in lines:
                click.echo(f"{what}: {plain(line)}")
        if not problems:
            click.echo("store, blobs and journal are intact")
    if problems:
        hint = (
            "fix the remaining problems by hand"
            if rebuild
            else "`arnode home fsck --rebuild` repairs what it can and copies damaged files first"
        )
        raise ArnodeError(f"{len(problems)} problem(s) in {home.root}", hint)


@click.command()
@json_option()
def gc(as_json: bool) -> None:
    """Remove unused sources, and peers' announcements of experiments that are over a day old."""
    home = Home.here()
    with home.lock(), reporting() as progress:
        done = collect(home, progress)
    print_result(
        asdict(done),
        f"removed {done.blobs} blobs ({done.bytes:,} bytes) and {done.intents} old announcements;"
        f" accepted {done.released} records that were dated in the future",
        as_json=as_json,
    )
