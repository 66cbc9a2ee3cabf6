"""Reports as signed records: figures for programs, and a text for nodes that request it.

A record is about one line. Its text is what `arnode report` prints about that line, with times in
UTC. The text omits imported files, whose names are private to this machine, the owner's notes, and
model calls for other tasks. If a task must not leave this machine, its reports are not published.
"""

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final, cast

from node.home.consent import TaskOf
from node.home.control_socket import Message
from node.home.home import Home
from node.home.keyfile import Identity
from node.home.network_definition import Network
from node.line.promotion_trial import PromotionTrial
from node.reporting.concluded import TimeSpan
from node.reporting.night import as_markdown
from node.reporting.report import Head, LineReport, Report
from node.store.blobs import Blobs
from node.store.model_calls import ModelCostTotals
from node.store.named_tasks import task_source
from node.store.store import Store
from node.terminal.vocabulary import many
from protocol.codecs import fit_line
from protocol.encoding import MAX_INT, Value
from protocol.errors import ArnodeError, Rejected, UsageError
from protocol.evidence import GAINS
from protocol.manifest import TaskManifest
from protocol.records import Record
from protocol.remarks import MAX_EVIDENCE, MAX_TITLE, ReportBody
from protocol.runs import Figures
from protocol.units import NANO
from trainer.task_kinds import builtin_ids, load_task

MOST_TEXT_BYTES: Final = 512 * 1024  # must fit into a message to the running node
_SHORTER: Final = (20, 5, 1)  # items of a list to show; the next number if the text is too long


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDraft:
    """An unsigned report: its record's body and its text."""

    body: ReportBody
    text: bytes
    manifest: TaskManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The record of a report; `is_new` is False if it was signed before."""

    record: Record
    is_new: bool


def draft_of(
    store: Store, report: Report, line: LineReport, *, title: str | None = None
) -> ReportDraft | None:
    """Return a line's report, not signed yet; None if the span has no measurement of the line."""
    manifest = store.records.manifest(line.task_id)
    if line.before is None or line.after is None or manifest is None:
        return None
    if not (line.ideas or line.confirmations or line.is_new):
        return None
    text = _text(line, report.span)
    body = ReportBody(
        task=line.task_id,
        hardware_class=line.hardware_class,
        title=fit_line(title or _title(line), MAX_TITLE),
        since_ms=report.span.since_ms,
        until_ms=report.span.until_ms,
        base=line.before.tree,
        head=line.after.tree,
        figures=Figures.of(_figures(line, line.before, line.after)),
        text=hashlib.sha256(text).digest(),
        size_bytes=len(text),
        evidence=_evidence(line),
    )
    return ReportDraft(body=body, text=text, manifest=manifest)


def sign_report(
    store: Store, blobs: Blobs, identity: Identity, body: ReportBody, text: bytes, *, now_ms: int
) -> Signed:
    """Sign a report and store its text, unless the same report was signed before and not retracted.

    Raises UsageError if the text does not match the body's hash.
    """
    if len(text) != body.size_bytes or hashlib.sha256(text).digest() != body.text:
        raise UsageError(
            "the report's text does not match its record", "run `arnode report --publish` again"
        )
    author = identity.keys.author
    for known in store.records.listed("report", author.public, newest_first=True):
        is_same = isinstance(known.body, ReportBody) and (
            (known.net, known.body.task, known.body.hardware_class, known.body.text)
            == (identity.net, body.task, body.hardware_class, body.text)
        )
        if is_same and store.records.retraction(known.id) is None:
            return Signed(record=known, is_new=False)
    blobs.put(text)
    with store.transaction():
        record = store.append_own(author, body, ts_ms=now_ms, net=identity.net)
    return Signed(record=record, is_new=True)


def draft_message(draft: ReportDraft) -> dict[str, Message]:
    """Return the message that asks the running node to sign a report."""
    return {"body": cast("Message", draft.body.to_value()), "text": draft.text}


def read_draft(value: dict[str, Value]) -> ReportBody:
    """Return the report's body from the `body` of a `draft_message`, or raise UsageError."""
    body = ReportBody.from_value(value)
    if isinstance(body, Rejected):
        raise UsageError(
            "this is not a report that can be published", "use `arnode report --publish`"
        )
    return body


def refusal(home: Home, store: Store, manifest: TaskManifest, network: Network) -> str | None:
    """Return the reason a task's reports may not be published in a network; None if they may."""
    match whose_task(home, store, manifest, network.name):
        case TaskOf.THIS_MACHINE:
            return f"no other node of {network.name} has the task, so its reports are not published"
        case TaskOf.ITS_USER if network.secret is None:
            return "this task is your own, so its reports are published only in private networks"
        case _:
            return None


def whose_task(home: Home, store: Store, manifest: TaskManifest, net: str) -> TaskOf:
    """Return how a task may be shared in a network; only on this machine if it is unknown here.

    A task that others announced may be shared with everybody, but only in the network of the
    announcement.
    """
    if manifest.id in builtin_ids(home.data).values():
        return TaskOf.EVERYBODY
    if store.records.is_announced_by_others(manifest.id, net):
        return TaskOf.EVERYBODY
    with suppress(ArnodeError):  # the task was removed, or is being changed
        task = load_task(task_source(store, manifest.id) or manifest.name, data_dir=home.data)
        if task.id == manifest.id:
            return TaskOf.of(task, data_dir=home.data)
    return TaskOf.THIS_MACHINE


def _text(line: LineReport, span: TimeSpan) -> bytes:
    """Return the report of one line alone, its lists cut until it fits the size limit.

    Raises ArnodeError if it never fits.
    """
    ideas = tuple(replace(idea, owner_note=None) for idea in line.ideas)
    without_notes = replace(line, ideas=ideas)
    alone = Report(span=span, model_costs=ModelCostTotals(), lines=(without_notes,))
    for shown in _SHORTER:
        text = as_markdown(alone, UTC, shown=shown).encode()
        if len(text) <= MOST_TEXT_BYTES:
            return text
    raise ArnodeError(
        "the report is too long to publish", "publish a shorter time span: `--since 12h`"
    )


def _title(line: LineReport) -> str:
    """Return a title with the counts and the verified gain."""
    kept = sum(idea.is_kept for idea in line.ideas)
    title_text = f"{line.task}: {many(len(line.ideas), 'experiment')}, {kept} kept"
    if line.gain_nano:
        title_text += f", verified gain {line.gain_nano / NANO:+.6f} {line.metric.unit}"
    return title_text


def _figures(line: LineReport, before: Head, after: Head) -> dict[str, int]:
    """Return the figures under the names in docs/protocol.md."""
    decisions = Counter[str](idea.entry.decision for idea in line.ideas)
    trials = [one for one in line.confirmations if one.kind is PromotionTrial]
    figures = {
        "experiments": len(line.ideas),
        **{name: decisions[name] for name in ("kept", "discarded", "failed", "rejected")},
        "trials": len(trials),
        "passed": sum(one.verdict in GAINS for one in trials),
        "claims": len(line.peers.tried),
        "gain_nano": line.gain_nano,
        "device_ms": sum(ms for _, ms in line.device_ms),
        "tokens": line.spend.tokens,
        "usd_nano": line.spend.usd_nano,
    }
    heads = {"before_nano": before.metric, "after_nano": after.metric}
    figures |= {name: round(metric * NANO) for name, metric in heads.items() if metric is not None}
    return {name: max(-MAX_INT, min(MAX_INT, figure)) for name, figure in figures.items()}


def _evidence(line: LineReport) -> tuple[bytes, ...]:
    """Return the results that support a report: passed, unretracted trials, then kept patches."""
    in_force = [one.entry.id for one in line.confirmations if one.stands]
    kept = [idea.entry.id for idea in line.ideas if idea.is_kept]
    return tuple(dict.fromkeys([*in_force, *kept]))[:MAX_EVIDENCE]
