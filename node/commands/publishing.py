"""Publish this node's reports, list peers' reports, and fetch their texts.

A peer's text is untrusted. It is fetched only when the user names its record. It is cleaned before
it is printed, and no proposer gets it.
"""

import sys
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import click

from node.commands.basics import print_result, short
from node.home.clock import clock_ms
from node.home.config import Config
from node.home.control_socket import Message, call, document
from node.home.current_network import current_network, running_member
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys
from node.home.networks import find_network
from node.home.next_start import next_start
from node.home.people import read_people
from node.home.settings_in_force import config_of
from node.reporting.blocks import Span, figures_column, quoted, table, words_column
from node.reporting.figures import time_of
from node.reporting.published import PublishedDocument, reports_document, text_of
from node.reporting.publishing import ReportDraft, draft_message, draft_of, refusal, sign_report
from node.reporting.report import Report
from node.reporting.terminal import print_blocks
from node.store.blobs import Blobs
from node.store.intake import Quotas
from node.store.named_tasks import labels, task_named
from node.store.store import Store
from node.terminal.progress import reporting
from node.terminal.terminal import ask_at_terminal, console, print_json
from protocol.codecs import plain
from protocol.errors import ArnodeError, NotRunningError, SafetyError, UsageError
from protocol.records import Record
from protocol.remarks import ReportBody
from protocol.units import from_nano

_POLL_S: Final = 0.5
_WAITED_S: Final = 60
_COUNTS: Final = ("experiments", "kept", "trials", "passed")
_COLUMNS: Final = (
    *map(words_column, ("id", "until", "hours", "task", "class", "author")),
    *map(figures_column, (*_COUNTS, "gain")),
    words_column("text"),
    words_column("title, as its author wrote it", wraps=True),
)
_MOST_TASKS: Final = 10_000
_LAST_MS: Final = 253_370_764_800_000  # in the year 9999; an author may claim a later time


def publish(
    home: Home, store: Store, report: Report, *, title: str | None, agrees: bool, as_json: bool
) -> None:
    """Sign the reports of all lines with new experiments, once the user has agreed.

    Raises UsageError if there is nothing to publish, SafetyError if all reports are refused,
    ArnodeError if the user declines.
    """
    config = config_of(home)
    running = running_member(home)
    network = find_network(home, current_network(config, running)).network
    found = [draft_of(store, report, line, title=title) for line in report.lines]
    drafts, refused = list[ReportDraft](), list[tuple[str, str]]()
    for draft in filter(None, found):
        why = refusal(home, store, draft.manifest, network)
        if why is None:
            drafts.append(draft)
        else:
            refused.append((draft.manifest.name, why))
    if not drafts and refused:
        name, why = refused[0]
        raise SafetyError(
            f"no report of task {plain(name)} is published: {why}",
            "`arnode report --format html` prints a report that you can pass on yourself",
        )
    if not drafts:
        raise UsageError(
            "nothing was measured in that time, so there is nothing to publish",
            "`--since 3d` looks further back",
        )
    if not (agrees or _agreed(home, drafts, refused, network.name)):
        raise ArnodeError(
            "nothing was published, because you declined", "`--yes` publishes without asking"
        )
    is_open = running is not None and running.network is not None
    rows = [_published(home, config, draft, network.name, is_open=is_open) for draft in drafts]
    when = (
        f"published in {network.name}"
        if is_open
        else f"signed: it is sent once this node is connected to {network.name} ({next_start()})"
    )
    print_result(
        {
            "network": network.name,
            "goes_out": "now" if is_open else "later",
            "reports": rows,
            "refused": [{"task": name, "why": why} for name, why in refused],
        },
        *(
            f"{row['id'][:12]} {plain(row['title'])}: {when if row['new'] else 'published before'}"
            for row in rows
        ),
        *(f"{plain(name)} is left out: {why}" for name, why in refused),
        as_json=as_json,
    )


def _agreed(
    home: Home, drafts: Sequence[ReportDraft], refused: Sequence[tuple[str, str]], network: str
) -> bool:
    """Show what will be published, and ask the user to agree.

    Raises UsageError without a terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "publishing needs your agreement, but this is not a terminal", "`--yes` gives it"
        )
    author = short(load_keys(home).author.public)
    lines = [
        *(f"{plain(one.body.title)}  ({len(one.text):,} bytes of text)" for one in drafts),
        *(f"{plain(name)} is left out: {why}" for name, why in refused),
        (
            f"Publishing in {network} under your key {author}… is permanent. All nodes there get "
            "the figures and a title. Anyone who asks gets the text that `arnode report` prints, "
            "with titles, reasons, device hours and what models cost."
        ),
    ]
    return ask_at_terminal(lines, "Publish it?")


def _published(
    home: Home, config: Config, draft: ReportDraft, network: str, *, is_open: bool
) -> dict[str, Any]:
    """Have the running node sign a report, or sign it in this process if none runs."""
    try:
        reply = document(call(home.socket, "publish_report", draft_message(draft)))
        identity, is_new = cast("bytes", reply.get("id")), bool(reply.get("new"))
    except NotRunningError:
        quotas = Quotas(total=config.max_records)
        with home.lock(), Store.open(home, quotas=quotas) as store:
            signer = identity_of(load_keys(home), config)
            signed = sign_report(
                store, Blobs(home.blobs), signer, draft.body, draft.text, now_ms=clock_ms()
            )
        identity, is_new = signed.record.id, signed.is_new
    return {
        "id": identity.hex(),
        "new": is_new,
        "task": {"id": draft.manifest.id.hex(), "name": draft.manifest.name},
        "class": draft.body.hardware_class,
        "title": draft.body.title,
        "figures": dict(draft.body.figures.items),
        "text_bytes": draft.body.size_bytes,
    }


def list_reports(home: Home, store: Store, *, task: str | None, as_json: bool) -> None:
    """List the reports that peers published in the network in use, newest first."""
    wanted = None
    if task is not None:
        wanted = task_named(store, task, store.records.manifests(_MOST_TASKS))
    found = reports_document(
        store,
        Blobs(home.blobs),
        wanted,
        net=current_network(config_of(home), running_member(home)),
        blocked=read_people(home.people).blocked,
        with_own=False,
    )
    if as_json:
        print_json(found)
        return
    rows = found["reports"]
    if not rows:
        click.echo("no peer has published a report yet", err=True)
        return
    names = labels(store, {bytes.fromhex(row["task"]) for row in rows})
    shown = table(_COLUMNS, [_row(row, names[bytes.fromhex(row["task"])]) for row in rows])
    print_blocks(console(), shown)
    click.echo(
        "these are the authors' figures, not checked; `arnode report --fetch ID` fetches a text"
    )


def _row(row: PublishedDocument, task: str) -> tuple[Span, ...]:
    figures = row["figures"]
    gain = from_nano(figures.get("gain_nano"))
    return (
        row["id"][:12],
        time_of(min(row["until"], _LAST_MS), None),
        f"{(row['until'] - row['since']) / 3_600_000:.1f}",
        quoted(task),
        quoted(row["class"]),
        row["author"][:12],
        *(str(figures.get(name, "–")) for name in _COUNTS),
        "–" if gain is None else f"{gain:+.6f}",
        "here" if row["has_text"] else "–",
        quoted(row["title"]),
    )


def fetch_text(home: Home, store: Store, wanted: str, *, as_json: bool) -> None:
    """Fetch a report's text from peers of the running node, and print it cleaned.

    Raises ArnodeError if no peer has sent it within 60 seconds.
    """
    record = store.records.find(wanted)
    body = report_body(record)
    blobs, ends_s = Blobs(home.blobs), time.monotonic() + _WAITED_S
    with reporting() as progress:
        while not blobs.has(body.text):
            asked: dict[str, Message] = {"id": record.id}
            if not call(home.socket, "fetch_report", asked):
                progress(f"fetching the text of {short(record.id)}", 0.0)
                if time.monotonic() > ends_s:
                    raise ArnodeError(
                        f"no connected peer has the text of {short(record.id)}",
                        "leave the node running and try again: its author has it",
                    )
                time.sleep(_POLL_S)
    text = text_of(blobs, body)
    print_result({"id": record.id.hex(), "text": text}, text or "", as_json=as_json)


def report_body(record: Record) -> ReportBody:
    """Return the body of a report record. Raises UsageError for a record of another kind."""
    if isinstance(record.body, ReportBody):
        return record.body
    raise UsageError(
        f"{short(record.id)} is a {record.kind}, not a report", "`arnode report --peers` lists them"
    )
