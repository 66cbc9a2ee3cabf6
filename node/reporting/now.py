"""A node's present activity: its runs, evidence and latest messages, and Prometheus gauges."""

import os
from collections.abc import Iterator
from typing import Final, TypedDict

from node.line.trial import Confirmation
from node.loop.research import Research
from node.store.store import Store
from protocol.units import NANO
from trainer.measuring.loss_curve import as_pairs


class RunNowDocument(TypedDict):
    """A run in progress, and its duration so far.

    `curve` has the points [step, loss] that the run has printed so far; they are not verified.
    """

    title: str
    stage: str
    text: str
    seconds: float
    curve: list[tuple[int, float]]


class RunNextDocument(TypedDict):
    """A run that is planned."""

    title: str
    stage: str
    text: str


class EvidenceDocument(TypedDict):
    """The progress of a trial against the head.

    `share` is the fraction of the needed evidence that the trial has gathered.
    """

    pairs: int
    share: float
    gain: float | None
    lower: float | None
    upper: float | None


DeviceDocument = TypedDict(
    "DeviceDocument", {"class": str, "load": float, "memory_bytes": int, "memory_total_bytes": int}
)
"""The machine: its load as a share of the cores, and its memory in use."""


class RunningDocument(TypedDict):
    """The node's activity. `also_running` counts further runs in progress.

    `until` is the end of a pause, null if it has no set end.
    """

    title: str
    stage: str
    text: str
    seconds: float
    also_running: int
    paused: bool
    until: str | None
    runs: list[RunNowDocument]
    next: list[RunNextDocument]
    evidence: EvidenceDocument | None
    messages: list[str]
    device: DeviceDocument
    runs_done: int
    runs_per_hour: float
    counted_share: float


class NowDocument(TypedDict):
    """The node's activity; null if no node runs."""

    now: RunningDocument | None


NOTHING: Final[NowDocument] = {"now": None}
_MESSAGES: Final = 20
_NEXT: Final = 5
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def now_document(research: Research) -> NowDocument:
    """Return a session's activity. Call it in the process that runs the session."""
    activity, pausing = research.activity, research.pausing
    until = pausing.until.isoformat(timespec="seconds") if pausing.until else None
    return {
        "now": {
            "title": activity.title,
            "stage": activity.stage,
            "text": activity.stage_text,
            "seconds": round(activity.stage_seconds, 1),
            "also_running": activity.also_running,
            "paused": pausing.is_on,
            "until": until,
            "runs": [
                {
                    "title": run.title,
                    "stage": run.stage,
                    "text": run.text,
                    "seconds": round(run.seconds, 1),
                    "curve": as_pairs(run.points),
                }
                for run in activity.at_work
            ],
            "next": [
                {"title": run.title, "stage": run.stage, "text": run.text}
                for run in research.upcoming(_NEXT)
            ],
            "evidence": _evidence(activity.confirmation),
            "messages": list(activity.messages)[-_MESSAGES:],
            "device": _device(research.line_key.hardware_class),
            "runs_done": activity.runs,
            "runs_per_hour": round(activity.runs_per_hour, 1),
            "counted_share": round(activity.counted_share, 3),
        }
    }


def _evidence(confirmation: Confirmation | None) -> EvidenceDocument | None:
    if confirmation is None:
        return None
    latest = confirmation.latest
    return {
        "pairs": len(confirmation.pairs),
        "share": latest.evidence_share if latest else 0.0,
        "gain": latest.gain if latest else None,
        "lower": latest.lower if latest else None,
        "upper": latest.upper if latest else None,
    }


def _device(hardware_class: str) -> DeviceDocument:
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    free = os.sysconf("SC_AVPHYS_PAGES") * _PAGE_BYTES
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return {
        "class": hardware_class,
        "load": round(load, 2),
        "memory_bytes": total - free,
        "memory_total_bytes": total,
    }


def gauges(store: Store, now: NowDocument) -> Iterator[str]:
    """Yield a home's metrics in Prometheus' text format 0.0.4.

    They cover the store, and this session if a node runs.
    """
    running = now["now"]
    values: dict[str, tuple[str, float]] = {
        "records": ("Stored records.", store.records.count()),
        "running": ("1 if a node runs.", int(running is not None)),
    }
    if running is not None:
        values |= {
            "runs_done": ("Runs that ended in this session.", running["runs_done"]),
            "runs_per_hour": ("Runs per hour in this session.", running["runs_per_hour"]),
            "counted_share": (
                "Share of the time with a run in training.",
                running["counted_share"],
            ),
            "paused": ("1 if the node is paused.", int(running["paused"])),
        }
    for name, (what, value) in values.items():
        yield f"# HELP arnode_{name} {what}\n# TYPE arnode_{name} gauge\narnode_{name} {value:g}\n"
    yield "# HELP arnode_experiments Experiments by decision.\n"
    yield "# TYPE arnode_experiments gauge\n"
    for line in store.jobs.lines():
        manifest = store.records.manifest(line.task)
        where = f'task="{manifest.name if manifest else ""}",class="{line.hardware_class}"'
        for decision, count in store.experiments.tried(line.key).items():
            yield f'arnode_experiments{{{where},decision="{decision}"}} {count}\n'
        if line.reference_nano:
            level = sum(line.reference_nano) / len(line.reference_nano) / NANO
            yield f"arnode_working_metric{{{where}}} {level:g}\n"
