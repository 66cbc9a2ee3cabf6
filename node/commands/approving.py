"""`approve`: list the proposals that wait for the owner, and decide on them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from node.commands.basics import json_option, print_result, reading, refuse_other_options
from node.home.clock import clock_ms
from node.home.control_socket import call, document, is_running
from node.home.home import Home
from node.home.next_start import next_start
from node.line import proposals
from node.reporting.open_home import OpenHome
from node.reporting.proposals import ProposalPage, proposal_page, proposals_document
from node.reporting.queries import OfProposal
from node.store.blobs import Blobs
from node.store.store import Store
from node.terminal.durations import clock_words, span_words
from node.terminal.terminal import print_json
from node.terminal.vocabulary import many
from protocol.codecs import plain
from protocol.errors import UsageError
from protocol.hygiene import MAX_FILE_BYTES

_DIFF_LINES: Final = 60  # of each proposal in the list
_NONE: Final = "no proposal waits for you"


@click.command()
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--reject", "is_rejected", is_flag=True, help="Drop the proposal instead.")
@click.option("-m", "note", default="", metavar="WHY", help="With --reject: why, for its proposer.")
@click.option("--edit", "edited", type=Path, metavar="FILE", help="Run your source instead.")
@click.option("--source", "is_source", is_flag=True, help="Print the files that it changes.")
@click.option("--all", "is_all", is_flag=True, help="Approve all that wait.")
@json_option("Print one JSON document.")
def approve(
    number: int | None,
    is_rejected: bool,
    note: str,
    edited: Path | None,
    is_source: bool,
    is_all: bool,
    as_json: bool,
) -> None:
    """List the proposals that wait for you, or approve the one with this ID.

    Proposals wait if the setting `approve` says so (`arnode start --approve`). With --edit, your
    version of the changed file runs instead; --source prints the proposed one. It is recorded as
    edited, and judged as usual. A rejected change is not proposed again.
    """
    if is_all:
        refuse_other_options("--all", "is_all", "as_json")
        _approve_all(as_json=as_json)
    elif number is None:
        if is_rejected or edited or is_source or note:
            raise UsageError("this needs the ID of a proposal", "`arnode approve` lists them")
        _list(as_json=as_json)
    elif is_source:
        refuse_other_options("--source", "number", "is_source")
        _print_source(number)
    elif is_rejected:
        refuse_other_options("--reject", "number", "is_rejected", "note", "as_json")
        _report(number, _decide("reject", {"id": number, "note": note}), as_json=as_json)
    elif note:
        raise UsageError("-m needs --reject", "add --reject, or leave out -m")
    elif edited is not None:
        files = _files(number, edited)
        _report(number, _decide("edit", {"id": number, "files": files}), as_json=as_json)
    else:
        _report(number, _decide("approve", {"id": number}), as_json=as_json)


def _decide(name: str, asked: Mapping[str, Any]) -> str:
    """Send a decision to the running node, or store it if none runs; return the new state."""
    home = Home.here()
    if is_running(home.socket):
        return str(document(call(home.socket, name, asked))["state"])
    if not home.store.exists():
        raise UsageError(_NONE, "`arnode start --approve` lets proposals wait for you")
    number, now_ms = asked["id"], clock_ms()
    with home.lock(), Store.open(home) as store:
        if name == "reject":
            job = proposals.reject(store, number, asked["note"], now_ms=now_ms)
        elif name == "edit":
            blobs = Blobs(home.blobs)
            job = proposals.edit(store, blobs, number, asked["files"], now_ms=now_ms)
        else:
            job = proposals.approve(store, number, now_ms=now_ms)
    return job.step.state


def _files(number: int, path: Path) -> dict[str, bytes]:
    """Return the owner's file under its name in the proposal's source. Raises UsageError."""
    with reading() as (store, blobs):
        source = blobs.get_source(proposals.find_proposal(store, number).step.idea.tree)
    names = [name for name, _ in source.files]
    meant = names if len(names) == 1 else [name for name in names if Path(name).name == path.name]
    if len(meant) != 1:
        raise UsageError(
            f"{path.name} is not the name of one editable file of this task",
            f"name the file like the one that it replaces: {', '.join(names)}",
        )
    try:
        with path.open("rb") as file:
            return {meant[0]: file.read(MAX_FILE_BYTES + 1)}
    except OSError as fault:
        raise UsageError(
            f"{path} cannot be read: {(fault.strerror or 'refused').lower()}",
            f"`arnode approve {number} --source` prints the proposed file",
        ) from fault


def _approve_all(*, as_json: bool) -> None:
    with reading() as (store, _):
        jobs = proposals.open_proposals(store)
    waiting = [job.id for job in jobs if job.step.state == "waiting"]
    decided = [{"id": one, "state": _decide("approve", {"id": one})} for one in waiting]
    shown = f"approved {many(len(decided), 'proposal')}" if decided else _NONE
    print_result({"decided": decided}, shown, as_json=as_json)


def _report(number: int, state: str, *, as_json: bool) -> None:
    then = ""
    if state != "rejected":
        is_there = is_running(Home.here().socket)
        then = "; it runs as soon as it can" if is_there else "; it runs after `arnode start`"
    shown = f"proposal {number} is {state}{then}"
    print_result({"id": number, "state": state}, shown, as_json=as_json)


def _print_source(number: int) -> None:
    with reading() as (store, blobs):
        files = _page(store, blobs, number)["files"]
    for name, text in files.items():
        if len(files) > 1:
            click.echo(f"# file: {name}")
        click.echo(text, nl=False)


def _page(store: Store, blobs: Blobs, number: int) -> ProposalPage:
    at = OpenHome(home=Home.here(), store=store, blobs=blobs)
    return proposal_page(at, OfProposal(id=number))


def _list(*, as_json: bool) -> None:
    with reading() as (store, blobs):
        found = proposals_document(store)
        pages = [_page(store, blobs, one["id"]) for one in found["proposals"]]
    if as_json:
        listed = [{**page["proposal"], "diff": page["diff"]} for page in pages]
        print_json({**found, "proposals": listed})
        return
    for page in pages:
        _print(page)
    if found["waiting"]:
        click.echo(
            "`arnode approve ID` lets one run; with --reject -m WHY it is dropped; --all approves"
            " all",
            err=True,
        )
    elif not pages:
        is_off = found["approve"] == proposals.NO_APPROVAL
        hint = f": {next_start('--approve')} lets proposals wait" if is_off else ""
        click.echo(f"{_NONE}{hint}", err=True)


def _print(page: ProposalPage) -> None:
    one = page["proposal"]
    who = f"{one['proposer']} ({one['model']})" if one["model"] else one["proposer"]
    facts = [
        plain(one["task"]),
        f"by {plain(who)}, {span_words((clock_ms() - one['ts']) / 1000)} ago",
    ]
    facts += [f"a run takes {span_words(one['run_s'])}"] if one["run_s"] else []
    facts += [f"{one['usd']:.4f} USD spent"] if one["usd"] else []
    click.secho(f"{one['id']}  {plain(one['title'])}", bold=True)
    click.echo(f"  {', '.join(facts)}")
    is_waiting = one["state"] == "waiting"
    click.echo(f"  {_due_words(one['due'], one['due_skips']) if is_waiting else one['state']}")
    if one["why"]:
        click.echo(f"  {plain(one['why'], lines=True)}")
    lines = page["diff"].splitlines()
    for line in lines[:_DIFF_LINES]:
        click.echo(f"    {plain(line)}")
    if more := len(lines[_DIFF_LINES:]):
        click.echo(f"    … {many(more, 'more line')}: see --json")
    click.echo()


def _due_words(due: int | None, due_skips: bool) -> str:
    if due is None:
        return "waits until you answer"
    now = datetime.now().astimezone()
    at = clock_words(datetime.fromtimestamp(due / 1000, now.tzinfo), now)
    return f"{'is dropped' if due_skips else 'runs'} at {at} if you do not answer"
