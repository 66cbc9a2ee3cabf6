"""Why an experiment was kept or discarded, in words.

The loop's note begins with its decision, which says more than "discarded" does. On exact tasks one
run decides, so the usual words about rechecks would be wrong there.
"""

from node.store.experiments import Experiment
from node.terminal.vocabulary import WORDINGS, wording
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.styles import Style

_EXACT_KEPT = "scores of this task are exact, so any gain counts: it is in the working line"
_EXACT_EQUAL = "exactly the score of the working line"
_EXACT_WORSE = "a worse score than the working line's"


def reason_words(entry: Experiment, body: ResultBody, manifest: TaskManifest | None) -> str:
    """Return the reason for the decision on an experiment."""
    decision, _ = _parts(body)
    outcome = decision if decision and entry.decision == "discarded" else entry.decision
    is_exact = _is_exact(manifest)
    if is_exact and outcome == "kept":
        return _EXACT_KEPT
    if is_exact and outcome == "screened_out" and entry.gain_nano is not None:
        return _EXACT_EQUAL if entry.gain_nano == 0 else _EXACT_WORSE
    return wording(outcome).meaning


def remark_of(body: ResultBody, manifest: TaskManifest | None) -> str:
    """Return a note without the decision that it begins with.

    It is empty on exact tasks, since the gain in sd says nothing there.
    """
    decision, remark = _parts(body)
    return "" if decision is not None and _is_exact(manifest) else remark


def _parts(body: ResultBody) -> tuple[str | None, str]:
    decision, _, remark = body.note.partition(": ")
    return (decision, remark) if decision in WORDINGS else (None, body.note)


def _is_exact(manifest: TaskManifest | None) -> bool:
    return manifest is not None and Style.of(manifest).is_exact
