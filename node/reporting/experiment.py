"""One experiment with all facts that this node has about it."""

from collections.abc import Sequence
from typing import TypedDict

from node.line.promotion_trial import PromotionTrial
from node.reporting.experiments import ExperimentDocument, experiment_document
from node.reporting.open_home import OpenHome
from node.reporting.owner import NoteDocument, note_document
from node.reporting.queries import OfId
from node.reporting.reasons import reason_words, remark_of
from node.reporting.records import RecordDocument, diff_of, record_document
from node.reporting.tasks import GainDocument, gain_document
from node.store.blobs import Blobs
from node.store.experiments import Experiment
from node.store.jobs import StoredOutcome
from node.store.notes import experiment_notes
from node.store.store import Store
from node.store.traces import trace_of
from node.terminal.vocabulary import wording
from protocol.errors import ArnodeError, UsageError
from protocol.evidence import Evidence
from protocol.gains import FigureScale, pairs_of
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.runs import Run
from protocol.styles import Style
from protocol.units import from_nano
from trainer.measuring.loss_curve import as_pairs


class RunDocument(TypedDict):
    """One run as stated in a record, which rounds the score on the secret split.

    `curve` has the points [step, loss] that the run printed. It is not part of the record.
    """

    seed: int
    role: str
    status: str
    metric: float | None
    secret: float | None
    ms: int
    cpu_ms: int
    peak_mem: int
    flags: list[str]
    reason: str | None
    curve: list[tuple[int, float]]


class PairDocument(TypedDict):
    """The scores of base and candidate with one seed, on the secret split."""

    seed: int
    base: float | None
    candidate: float | None


class AncestorDocument(TypedDict):
    """A patch in the ancestry of a tree."""

    tree: str
    patch: str | None
    title: str
    experiment: str | None


class OneExperimentDocument(GainDocument):
    """An experiment, its record, its diff, its runs and pairs, and its lineage, newest first.

    `words` give the reason for the decision. `log_tail` is the end of its last run's output.
    `owner_note` is the owner's note on it. `trace` is the number of the visit of a model or a
    coding agent that proposed it. Both are private to this node.
    """

    experiment: ExperimentDocument
    record: RecordDocument
    diff: str | None
    pairs: list[PairDocument]
    runs: list[RunDocument]
    words: str
    note: str
    log_tail: str | None
    lineage: list[AncestorDocument]
    owner_note: NoteDocument | None
    trace: int | None


_STEPS = 50


def experiment_found(store: Store, wanted: str) -> tuple[Experiment, Record]:
    """Return the experiment whose id begins with `wanted`. Raises UsageError if there is none."""
    record = store.records.find(wanted)
    entry = store.experiments.find(record.id)
    if entry is None:
        raise UsageError(f"{wanted} is not an experiment of this node", "see `arnode log`")
    return entry, record


def one_experiment_document(store: Store, blobs: Blobs, wanted: str) -> OneExperimentDocument:
    """Return all facts about an experiment. Raises UsageError if there is none with that id."""
    entry, record = experiment_found(store, wanted)
    body = record.body
    assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
    manifest = store.records.manifest(entry.task)
    # A recheck's runs were used to select the patch, so they do not show how large the gain is.
    pairs = _pairs(body.runs) if body.stage == "confirm" else []
    outcomes = store.jobs.outcomes_of(body.runs)
    note = experiment_notes(store, entry.line).get(entry.id)
    return {
        "experiment": experiment_document(store, entry),
        "record": record_document(store, blobs, record),
        "diff": _diff(store, blobs, record),
        "pairs": pairs,
        "runs": [_run(run, outcomes) for run in body.runs],
        **_gain(body, manifest, pairs),
        "words": _words(store, entry, reason_words(entry, body, manifest)),
        "note": remark_of(body, manifest),
        "log_tail": outcomes[-1].log_tail if outcomes else None,
        "lineage": _lineage(store, entry),
        "owner_note": note_document(note) if note else None,
        "trace": trace_of(store.database, entry.id),
    }


def experiment_page(at: OpenHome, query: OfId) -> OneExperimentDocument:
    """Return all facts about the experiment that a query names."""
    return one_experiment_document(at.store, at.blobs, query.id)


def _words(store: Store, entry: Experiment, words: str) -> str:
    """Return the reason for an experiment's decision, and a later finding that it was overfit."""
    stacks = store.jobs.closed_jobs(entry.line, PromotionTrial)
    was_overfit = any(
        job.step.measured and job.step.measured.is_overfit and entry.patch in job.step.stack
        for job in stacks
    )
    if entry.stage != "keep" or not was_overfit:
        return words
    return f"{words}; in its promotion trial {wording('overfit').meaning}"


def _diff(store: Store, blobs: Blobs, record: Record) -> str | None:
    try:
        return diff_of(store, blobs, record)
    except ArnodeError:  # a baseline has no diff, and files may be missing here
        return None


def _run(run: Run, outcomes: Sequence[StoredOutcome]) -> RunDocument:
    curve = next((one.curve for one in outcomes if one.run == run), ())
    return {
        "seed": run.seed,
        "role": run.role,
        "status": run.status,
        "metric": from_nano(run.metric_nano),
        "secret": from_nano(run.secret_nano),
        "ms": run.ms,
        "cpu_ms": run.cpu_ms,
        "peak_mem": run.peak_mem_bytes,
        "flags": list(run.flags),
        "reason": run.reason,
        "curve": as_pairs(curve),
    }


def _pairs(runs: Sequence[Run]) -> list[PairDocument]:
    found: dict[int, PairDocument] = {}
    for run in runs:
        pair = found.setdefault(run.seed, {"seed": run.seed, "base": None, "candidate": None})
        if run.role == "base":
            pair["base"] = from_nano(run.secret_nano)
        elif run.role == "candidate":
            pair["candidate"] = from_nano(run.secret_nano)
    return [pair for pair in found.values() if None not in (pair["base"], pair["candidate"])]


def _gain(
    body: ResultBody, manifest: TaskManifest | None, pairs: Sequence[PairDocument]
) -> GainDocument:
    """Return the gain that a record's pairs show. Its fields are null without manifest or pairs."""
    if manifest is None or not pairs:
        return gain_document(None)
    shown = Evidence.of(
        pairs_of(body.runs, "base", FigureScale.of(manifest), secret=True),
        manifest.noise_floor_nano,
        Style.of(manifest),
    )
    return gain_document(shown.gain)


def _lineage(store: Store, entry: Experiment) -> list[AncestorDocument]:
    """Return the patches from the baseline to an experiment's tree, newest first."""
    steps: list[AncestorDocument] = []
    makers = {one.tree: one for one in store.experiments.listed(entry.line)}
    at: Experiment | None = entry
    while at is not None and len(steps) < _STEPS:
        steps.append(
            {
                "tree": at.tree.hex(),
                "patch": None if at.patch is None else at.patch.hex(),
                "title": at.title,
                "experiment": at.id.hex(),
            }
        )
        before = makers.get(at.parent) if at.parent != at.tree else None
        at = before if before is not None and before.n < at.n else None
    return steps
