"""A line's experiments, in a form that all experiment trackers understand.

Only this node's own experiments are exported. Titles may be a peer's text, so they go only into
plain-text fields, with invisible characters escaped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from agent.source.constants import changed_constants
from node.line.head_by_hand import manifest_of
from node.reporting.records import patch_diff
from node.store.blobs import Blobs
from node.store.experiments import Experiment
from node.store.jobs import Line
from node.store.store import Store
from node.terminal.progress import Progress, silent
from node.terminal.vocabulary import word
from protocol.codecs import plain
from protocol.errors import Rejected
from protocol.record_kinds import PatchBody, ResultBody
from protocol.units import NANO

_ID_DIGITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedLine:
    """The line that the experiments belong to: a task on a hardware class."""

    task: str
    task_id: bytes
    hardware_class: str
    metric: str

    @property
    def name(self) -> str:
        """The line's name for people."""
        return f"{self.task} ({self._digits}) on {self.hardware_class}"

    @property
    def key(self) -> str:
        """The line's name in files and trackers. Edits of the task do not change it."""
        return f"arnode-{self.task}-{self._digits}-{self.hardware_class}"

    @property
    def _digits(self) -> str:
        return self.task_id.hex()[:_ID_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """An experiment as a tracker stores it.

    `figures` has its numbers, `hyperparameters` the new values of changed constants, `tags` all
    other facts. `step` is its position in the line, from 0.
    """

    id: bytes
    step: int
    title: str
    is_failure: bool
    began_ms: int
    ended_ms: int
    figures: Mapping[str, float]
    hyperparameters: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def key(self) -> str:
        """Its id in the tracker: 32 hex digits, the same in every export."""
        return self.id[:16].hex()

    @property
    def name(self) -> str:
        """Its name in the tracker, unique in its line."""
        return f"{self.step:05d} {self.title}"


def tracked_line(store: Store, line: Line) -> TrackedLine:
    """Return a line with its task's name and metric."""
    manifest = manifest_of(store, line)
    return TrackedLine(
        task=manifest.name,
        task_id=line.task,
        hardware_class=line.hardware_class,
        metric=manifest.metric.name,
    )


def tracked_runs(
    store: Store, blobs: Blobs, line: Line, progress: Progress = silent
) -> Iterator[TrackedRun]:
    """Yield the experiments of a line, oldest first."""
    metric = manifest_of(store, line).metric.name
    entries = store.experiments.listed(line.key)
    for step, entry in enumerate(entries):
        progress("writing the experiments", step / len(entries))
        yield _run(store, blobs, step, entry, metric)


def _run(store: Store, blobs: Blobs, step: int, entry: Experiment, metric: str) -> TrackedRun:
    body = store.records.get(entry.id).body
    assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
    patch = store.records.patch(entry.patch) if entry.patch else None
    changes = changed_constants(_diff(blobs, patch)) if patch else {}
    failed = [run for run in body.runs if run.status != "ok"] if body.status != "ok" else []
    figures = {"gain": entry.gain_nano, metric: entry.metric_nano}
    model = patch.origin.model if patch else None
    tags = {
        "decision": word(entry.decision),
        "stage": entry.stage,
        "status": entry.status,
        "reason": plain(failed[-1].reason or "") if failed else "",
        "proposer": entry.origin,
        "model": plain(model or ""),
        "record": entry.id.hex(),
        "tree": entry.tree.hex(),
        "parent": entry.parent.hex(),
        "class": entry.hardware_class,
        **{f"was.{name}": old for name, (old, _) in changes.items()},
    }
    return TrackedRun(
        id=entry.id,
        step=step,
        title=plain(entry.title),
        is_failure=entry.status != "ok",
        began_ms=entry.ts_ms - body.cost.device_ms,
        ended_ms=entry.ts_ms,
        figures={  # a task's metric may have one of these names, and then takes precedence
            "device_seconds": body.cost.device_ms / 1000,
            "peak_memory_mb": entry.peak_mem_bytes / 1e6,
            **{name: nano / NANO for name, nano in figures.items() if nano is not None},
        },
        hyperparameters={name: new for name, (_, new) in changes.items()},
        tags={name: value for name, value in tags.items() if value},
    )


def _diff(blobs: Blobs, patch: PatchBody) -> str:
    """Return a patch's diff; empty if it is missing or unreadable."""
    if patch.diff.blob is not None and not blobs.has(patch.diff.blob):
        return ""
    text = patch_diff(blobs, patch)
    return "" if isinstance(text, Rejected) else text
