"""A report as JSON: ids and hashes in hex, metrics and gains in the metric's unit."""

from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import Any, cast

from node.home.clock import clock_ms
from node.reporting.concluded import ConcludedIdea, ConcludedTrial, Spend, StackedPatch, TimeSpan
from node.reporting.night import NightDocument, night_document
from node.reporting.open_home import OpenHome
from node.reporting.origin_gains import OriginGains
from node.reporting.owner import note_document
from node.reporting.peers_part import Interval, OwnClaim, RemovedPatch, TriedClaim, interval_of
from node.reporting.queries import OfNight
from node.reporting.report import Head, LineReport, Report, report_of
from node.store.imported import Imported
from node.terminal.durations import ms_before
from protocol.record_kinds import Origin
from protocol.units import NANO, from_nano

_Json = dict[str, object]


class ReportDocument(NightDocument):
    """A report as blocks to draw, and as the data that `arnode report --json` prints."""

    models: dict[str, Any]
    lines: list[dict[str, Any]]
    imported: list[dict[str, Any]]


def report_document(report: Report, zone: tzinfo | None) -> ReportDocument:
    """Return a report as data and blocks. Times in text are in `zone`, or local if None."""
    return cast("ReportDocument", {**report_json(report), **night_document(report, zone)})


def report_json(report: Report) -> _Json:
    """Return a report's data for scripts."""
    return {
        "since": report.span.since_ms,
        "until": report.span.until_ms,
        "models": {
            "questions": report.model_costs.calls,
            "tokens": report.model_costs.tokens,
            "usd": report.model_costs.usd_nano / NANO,
        },
        "lines": [_line(line) for line in report.lines],
        "imported": [_imported(one) for one in report.imported],
    }


def report_page(at: OpenHome, query: OfNight) -> ReportDocument:
    """Return the report from a moment until now, or until a recording's end.

    Raises UsageError if `since` is not valid.
    """
    until_ms = clock_ms() if at.recorded_ms is None else at.recorded_ms
    now = datetime.fromtimestamp(until_ms / 1000).astimezone()
    since_ms = ms_before(query.since, now)
    span = TimeSpan(since_ms=since_ms, until_ms=until_ms)
    return report_document(report_of(at.store, span, net=at.net), None)


def _imported(one: Imported) -> _Json:
    return {
        "id": one.id.hex(),
        "name": one.name,
        "form": one.log.form,
        "level": "unsigned",
        "read": len(one.log.read),
        "text": len(one.log.text_lines),
        "segments": [
            {"metric": segment.metric, "direction": segment.direction, "read": one.count(number)}
            for number, segment in enumerate(one.log.segments)
        ],
    }


def _line(line: LineReport) -> _Json:
    metric = line.metric
    return {
        "task": {"id": line.task_id.hex(), "name": line.task},
        "class": line.hardware_class,
        "env": dict(line.env.items),
        "metric": {"name": metric.name, "unit": metric.unit, "direction": metric.direction},
        "scoring": line.scoring,
        "noise_sd": line.noise_sd,
        "head": {"before": _head(line.before), "after": _head(line.after), "new": line.is_new},
        "open_keeps": line.open_keeps,
        "gain": line.gain_nano / NANO,
        "experiments": [_idea(idea) for idea in line.ideas],
        "trials": [_confirmation(one) for one in line.confirmations],
        "claims": [_tried(one) for one in line.peers.tried],
        "own_claims": [_own(one) for one in line.peers.own],
        "parts": [_removed(one) for one in line.peers.removed],
        "company": asdict(line.company),
        "insights": list(line.lessons),
        "counted_share": None if line.counted_share is None else round(line.counted_share, 3),
        "stopped": asdict(line.stopped),
        "cost": {"device_ms": dict(line.device_ms), **_spend(line.spend)},
        "origins": [_gains(row) for row in line.origins],
    }


def _head(head: Head | None) -> _Json | None:
    if head is None:
        return None
    return {"tree": head.tree.hex(), "metric": head.metric, "recheck_pending": head.recheck_pending}


def _idea(idea: ConcludedIdea) -> _Json:
    entry = idea.entry
    return {
        "id": entry.id.hex(),
        "ts": entry.ts_ms,
        "title": entry.title,
        "decision": entry.decision,
        "because": idea.decision,
        "status": entry.status,
        "reason": idea.reason or None,
        "metric": from_nano(entry.metric_nano),
        "gain_sd": idea.gain_sd,
        "claimed_sd": idea.claimed_sd,
        "stack": idea.fate,
        "owner_note": note_document(idea.owner_note) if idea.owner_note else None,
        "authors": [author.hex() for author in idea.authors],
        "device_ms": idea.device_ms,
        **_origin(idea.origin),
        **_spend(idea.spend),
    }


def _confirmation(one: ConcludedTrial) -> _Json:
    return {
        "id": one.entry.id.hex(),
        "ts": one.entry.ts_ms,
        "kind": one.kind.KIND,
        "verdict": one.verdict,
        "in_force": one.stands,
        "pairs": one.measured.pairs if one.measured else None,
        "gain": from_nano(one.gain_nano),
        **_bounds(interval_of(one.measured)),
        "tree": one.entry.tree.hex(),
        "author": one.author.hex() if one.author else None,
        "parts": [_part(part) for part in one.parts],
        "note": one.note,
        "device_ms": one.device_ms,
    }


def _part(part: StackedPatch) -> _Json:
    authors = [author.hex() for author in part.authors]
    return {"title": part.title, "authors": authors, **_origin(part.origin)}


def _tried(one: TriedClaim) -> _Json:
    return {
        "ts": one.ts_ms,
        "how": one.how,
        "title": one.title,
        "authors": [author.hex() for author in one.authors],
        "claimed": {"gain": from_nano(one.claimed_nano), "gain_sd": one.claimed_sd},
        "others": one.others and asdict(one.others),
        "here": {
            "verdict": one.here,
            "gain": from_nano(one.measured.gain_nano) if one.measured else None,
            **_bounds(one.measured),
            "gain_sd": one.gain_sd,
        },
    }


def _own(one: OwnClaim) -> _Json:
    claimed, here = one.claimed, one.here
    return {
        "result": one.result.hex(),
        "title": one.title,
        "claimed": {"gain": claimed.value_nano / NANO, "lower": claimed.lower_nano() / NANO},
        "others": {**asdict(one.others), "new": one.new},
        "here": {"verdict": here.verdict, "gain": here.gain and here.gain.value_nano / NANO},
    }


def _removed(one: RemovedPatch) -> _Json:
    return {
        "ts": one.ts_ms,
        "title": one.title,
        "verdict": one.verdict,
        "gain": from_nano(one.measured.gain_nano) if one.measured else None,
        **_bounds(one.measured),
    }


def _gains(row: OriginGains) -> _Json:
    return {
        **_origin(row.origin),
        "tried": row.tried,
        "kept": row.kept,
        "device_ms": row.device_ms,
        **_spend(row.spend),
        "gain_alone": row.alone_nano / NANO,
        "gain_shared": row.shared_nano / NANO,
        "gain_per_device_hour": row.per_device_hour,
        "gain_per_usd": row.per_usd,
    }


def _origin(origin: Origin) -> _Json:
    program = origin.program.hex() if origin.program else None
    return {"proposer": origin.proposer, "model": origin.model, "program": program}


def _spend(spend: Spend) -> _Json:
    return {"tokens": spend.tokens, "usd": spend.usd_nano / NANO}


def _bounds(interval: Interval | None) -> _Json:
    return {
        "lower": from_nano(interval.lower_nano) if interval else None,
        "upper": from_nano(interval.upper_nano) if interval else None,
    }
