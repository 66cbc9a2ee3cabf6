"""Changes of the machine and of the verified head's figures, which put the head in doubt.

A head is in doubt in three cases: its tree measures worse than in its last trial, on the public
split that all trials share; something has changed that figures depend on (torch, the driver, the
card); or its runs fail. The doubt is stored. The head is measured again once the working line has
no patches on top of it, unless a stack passes its trial first. A failing head is measured at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from node.line.line_writer import LineWriter
from node.line.trial import MetricReading
from node.store.jobs import Job, Line, LineKey, PlannedRun, Step
from node.store.store import Store, keep, kept_of, meta_key
from protocol.encoding import LIMIT_BYTES, Value, decode, encode
from protocol.fields import Mapped, Named, Natural
from protocol.rule import has_drifted
from protocol.runs import Env, Run

# Facts that shift a metric when they change. Cores, names and the operating system do not.
_DECISIVE = ("torch", "numpy", "cpu", "driver", "cuda_driver", "power_limit_w", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnvironment(Mapped):
    """The environment that figures depend on, and the last job before it began (0: no job)."""

    env: Env
    after_job: Annotated[Natural, Named("after")]


def decisive(env: Env) -> Env:
    """Return the part of an environment that figures depend on."""
    return Env.of({name: value for name, value in env.items if name in _DECISIVE})


def changes_between(before: Env, now: Env) -> str:
    """Return the differences between two environments, in words."""
    names = sorted({name for name, _ in (*before.items, *now.items)})
    return ", ".join(
        f"{name} {before.get(name)} → {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    )


def last_environment(store: Store, line: LineKey) -> LastEnvironment | None:
    """Return the environment of a line's last session; None before the first."""
    return kept_of(store, "environment", line, LastEnvironment, limit_bytes=LIMIT_BYTES)


def save_environment(store: Store, line: LineKey, found: LastEnvironment) -> None:
    """Store the environment of a line's runs from now on."""
    keep(store, "environment", line, found)


def detect_environment_change(line_writer: LineWriter, env: Env) -> str | None:
    """Store this session's environment; return its changes since the last session, or None.

    After a change the earlier noise is only a starting value, the reference runs are dropped and
    the head is in doubt.
    """
    store, line, now = line_writer.store, line_writer.key, decisive(env)
    before = last_environment(store, line)
    if before and before.env == now:
        return None
    changes = changes_between(before.env, now) if before else None
    with store.database.writing():
        after_job = store.jobs.last_job() if before else 0
        save_environment(store, line, LastEnvironment(env=now, after_job=after_job))
        if changes:
            line_writer.forget_reference_runs()
            if line_writer.line is not None:
                request_head_recheck(line_writer, changes)
    return changes


def request_head_recheck(
    line_writer: LineWriter, because: str, *, is_failing: bool = False
) -> None:
    """Request a new trial of the verified head, to be made once the working line equals it.

    With `is_failing`, the head no longer runs here and is measured at once.
    """
    tree = line_writer.known_line.verified
    value: Value = {"tree": tree, "because": because[:200], "fails": is_failing}
    line_writer.store.set_meta(meta_key("head_recheck", line_writer.key), encode(value))


def is_head_failing(line_writer: LineWriter) -> bool:
    """Return True if the verified head is in doubt because it does not run."""
    request = requested_head_recheck(line_writer)
    return request is not None and request.get("fails") is True


def needs_head_recheck(line_writer: LineWriter) -> bool:
    """Return True if a doubt is stored, even about a former head."""
    return line_writer.store.meta(meta_key("head_recheck", line_writer.key)) is not None


def clear_head_recheck(line_writer: LineWriter) -> None:
    """Delete the stored doubt, once a trial settles it or the head is replaced."""
    line_writer.store.forget_meta(meta_key("head_recheck", line_writer.key))


def requested_head_recheck(line_writer: LineWriter) -> dict[str, Value] | None:
    """Return the stored doubt about this line's current head; None without one."""
    return stored_head_recheck(line_writer.store, line_writer.known_line)


def stored_head_recheck(store: Store, line: Line) -> dict[str, Value] | None:
    """Return the stored doubt about a line's current head; None without one."""
    kept = store.meta(meta_key("head_recheck", line.key))
    request = decode(kept) if kept else None
    if not isinstance(request, dict) or request.get("tree") != line.verified:
        return None
    return request


def has_failed(run: Run) -> bool:
    """Return True if a run failed by itself, not because other programs disturbed it."""
    return run.status != "ok" and not run.was_cut_off_by_others


def drift_of(
    store: Store, job: Job[Any], head: bytes, reading: MetricReading, trials: Sequence[type[Step]]
) -> float | None:
    """Return by how much the head measured worse (> 0) or better in a trial than in the last one.

    The figure is in the metric's unit, on the public split, since trials share no secret split.
    Return None if chance explains the difference, or if the head had no other trial on this split.
    `trials` are the job kinds that try a tree against the head.
    """
    if reading.style.name == "differences":
        return None  # each trial has its own instances
    later = _publics(store.jobs.runs_of(job.id), head, reading)
    for trial in reversed(store.jobs.closed_jobs(job.line, *trials)):
        if trial.id >= job.id:
            continue
        earlier = _publics(store.jobs.runs_of(trial.id), head, reading)
        if not earlier or not later:
            continue
        if not has_drifted(earlier, later, reading.noise.sd):
            return None
        return sum(later) / len(later) - sum(earlier) / len(earlier)
    return None


def _publics(runs: Sequence[PlannedRun], tree: bytes, reading: MetricReading) -> list[float]:
    return [
        reading.value(one.run.metric_nano)
        for one in runs
        if one.tree == tree and one.run and one.run.metric_nano is not None
    ]
