"""The report of a home's lines in a span: changes of the head, the evidence, and the cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from node.line.branch import kept_in
from node.line.early_stop import Stopped, stopped_in
from node.line.head_by_hand import manifest_of, the_line
from node.line.head_recheck import head_recheck_reason
from node.line.noise import known_noise, shown_sd
from node.reporting.company import Company, CompanyCounter
from node.reporting.concluded import Concluded, ConcludedIdea, ConcludedTrial, Spend, TimeSpan
from node.reporting.device_time import counted_share_of, device_ms_of
from node.reporting.origin_gains import OriginGains, gains_by_origin, verified_nano
from node.reporting.peers_part import PeersPart, ReportedPeers
from node.reporting.points import Point, points_of
from node.store.experiments import Adoption, Experiment
from node.store.imported import Imported
from node.store.jobs import Line
from node.store.model_calls import ModelCostTotals, costs_between
from node.store.store import Store
from node.terminal.progress import Progress, silent
from protocol.manifest import MetricSpec
from protocol.record_kinds import ResultBody
from protocol.remarks import InsightBody
from protocol.runs import Env
from protocol.styles import Style
from protocol.units import from_nano

# The first and last time in the span of everything that has a time. Report records are excluded,
# so that publishing a report does not change the report of the same night.
_MOMENTS: Final = tuple(
    f"SELECT min({column}), max({column}) FROM {table} WHERE {column} BETWEEN ? AND ? AND {which}"  # noqa: S608 (constants)
    for table, column, which in (
        ("record", "ts_ms", "kind != 'report'"),
        ("job", "created_ms", "TRUE"),
        ("model_call", "ts_ms", "TRUE"),
        ("imported", "at_ms", "TRUE"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The verified head at a moment, and the metric of its latest baseline or confirmation.

    `recheck_pending` is the reason the present head has to be measured again. It is None if nothing
    is pending, and for earlier heads.
    """

    tree: bytes
    metric: float | None
    recheck_pending: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport:
    """The events on one line in a span.

    `before` and `after` are the heads at the ends of the span, None until the baseline is measured.
    If that happened in the span, `is_new` is True and `before` is the baseline. `open_keeps` counts
    kept patches that wait for a promotion trial. `device_ms` is the device time by purpose.
    `counted_share` is the share of time spent training, between the home's first and last event.
    `stopped` is the effect of stopping screens early.
    """

    task: str
    task_id: bytes
    hardware_class: str
    env: Env
    metric: MetricSpec
    scoring: str
    noise_sd: float
    is_new: bool
    before: Head | None
    after: Head | None
    open_keeps: int
    gain_nano: int
    ideas: tuple[ConcludedIdea, ...]
    confirmations: tuple[ConcludedTrial, ...]
    peers: PeersPart
    company: Company
    lessons: tuple[str, ...]
    device_ms: tuple[tuple[str, int], ...]
    counted_share: float | None
    stopped: Stopped
    spend: Spend
    origins: tuple[OriginGains, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A home's report.

    `span` is the time from the first to the last event in the requested span. `model_costs` sums
    all model calls in the requested span, also those without a result. `imported` has other tools'
    files that were imported in the requested span.
    """

    span: TimeSpan
    model_costs: ModelCostTotals
    lines: tuple[LineReport, ...]
    imported: tuple[Imported, ...] = ()


def report_of(
    store: Store, span: TimeSpan, *, net: str, task: str | None = None, progress: Progress = silent
) -> Report:
    """Return the report of a span on every line, or on the line of the named task.

    Raises UsageError if no line has this task.
    """
    lines = store.jobs.lines() if task is None else [the_line(store, task)]
    return Report(
        span=_eventful(store, span),
        model_costs=costs_between(store.database, span.since_ms, span.until_ms),
        lines=tuple(_line_report(store, line, span, net, progress) for line in lines),
        imported=tuple(
            one for one in store.imported.listed() if span.since_ms <= one.at_ms <= span.until_ms
        ),
    )


def _eventful(store: Store, span: TimeSpan) -> TimeSpan:
    """Return the time from the first to the last event in a span, or the span if it has no events.

    So a node that ran for only 15 minutes does not report on a whole day.
    """
    moments = [
        moment
        for statement in _MOMENTS
        for row in store.database.rows(statement, (span.since_ms, span.until_ms))
        for moment in row
        if moment is not None
    ]
    return TimeSpan(since_ms=min(moments), until_ms=max(moments)) if moments else span


def _line_report(
    store: Store, line: Line, span: TimeSpan, net: str, progress: Progress
) -> LineReport:
    manifest = manifest_of(store, line)
    history, moves = store.experiments.listed(line.key), store.experiments.adoptions(line.key)
    measured = [
        entry
        for entry in history
        if entry.stage in ("baseline", "confirm") and entry.metric_nano is not None
    ]
    head_at = partial(_head_at, measured=measured, moves=moves, baseline=manifest.baseline_tree)
    entries = [entry for entry in history if entry.ts_ms in span]
    concluded = Concluded(store, line, entries)
    is_exact = Style.of(manifest).is_exact
    ideas = tuple(
        replace(idea, gain_sd=None, claimed_sd=None) if is_exact else idea
        for idea in concluded.ideas(progress)
    )
    confirmations = tuple(concluded.confirmations())
    peers = ReportedPeers(store, line.key, net).part(span, ideas, confirmations)
    known_sd = known_noise(store, line.key, manifest.noise_floor_nano).sd
    noise_sd = shown_sd(known_sd, Style.of(manifest))
    newest = store.records.get(history[-1].id) if history else None
    before, after = head_at(span.since_ms), head_at(span.until_ms)
    if after and after.tree == line.verified:
        after = replace(after, recheck_pending=head_recheck_reason(store, line))
    return LineReport(
        task=manifest.name,
        task_id=line.task,
        hardware_class=line.hardware_class,
        env=newest.body.env if newest and isinstance(newest.body, ResultBody) else Env(),
        metric=manifest.metric,
        scoring=manifest.scoring,
        noise_sd=noise_sd,
        is_new=before is None,
        before=before or (head_at(measured[0].ts_ms) if measured else None),
        after=after,
        open_keeps=kept_in(store, line.stack),
        gain_nano=verified_nano(confirmations),
        ideas=ideas,
        confirmations=confirmations,
        peers=peers,
        company=CompanyCounter(store, line.key, span).company(),
        lessons=_lessons(store, line, span, newest.author) if newest else (),
        device_ms=device_ms_of(store, line, span, entries, ideas, confirmations, peers),
        counted_share=counted_share_of(store, line.key, _eventful(store, span)),
        stopped=stopped_in(store, line.key, since_ms=span.since_ms, until_ms=span.until_ms),
        spend=sum((idea.spend for idea in ideas), Spend()),
        origins=gains_by_origin(ideas, confirmations),
        points=points_of(
            history,
            moves,
            span,
            confirmations,
            noise_sd=noise_sd,
            sign=manifest.metric.sign,
        ),
    )


def _head_at(
    ts_ms: int, measured: Sequence[Experiment], moves: Sequence[Adoption], baseline: bytes
) -> Head | None:
    """Return the verified head at a time; None before the baseline was measured."""
    if not measured or measured[0].ts_ms > ts_ms:
        return None
    trees = [move.body.to_tree for move in moves if move.ts_ms <= ts_ms]
    tree = trees[-1] if trees else baseline
    metrics = [
        entry.metric_nano for entry in measured if entry.tree == tree and entry.ts_ms <= ts_ms
    ]
    return Head(tree=tree, metric=from_nano(metrics[-1]) if metrics else None)


def _lessons(store: Store, line: Line, span: TimeSpan, author: bytes) -> tuple[str, ...]:
    """Return the insights on the line that this node wrote itself, oldest first."""
    own = [one for one in store.records.listed("insight", author) if one.ts_ms in span]
    return tuple(
        one.body.message
        for one in own
        if isinstance(one.body, InsightBody)
        and (one.body.task, one.body.hardware_class) == (line.task, line.hardware_class)
    )
