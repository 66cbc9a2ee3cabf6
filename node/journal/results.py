"""`results.tsv` in autoresearch's columns: commit, metric, memory_gb, status, description.

Status is keep, discard or crash; a crash has 0 for its metric, as there. The metric's column is
called what the task calls it.
"""

from node.journal.notebook import shown_metric
from node.store.experiments import Experiment
from node.terminal.terminal import plain

_KEPT = {"baseline", "kept", "adopted"}
_CRASHED = {"failed", "rejected"}
_GIB = 1 << 30
_COMMIT_DIGITS = 7  # what `git rev-parse --short` gave autoresearch


def header(metric_name: str) -> str:
    """Return the first line."""
    return f"commit\t{metric_name}\tmemory_gb\tstatus\tdescription\n"


def line_of(experiment: Experiment, commit: str) -> str:
    """Return the line of one experiment."""
    if experiment.decision in _CRASHED or experiment.metric_nano is None:
        metric, memory, status = "0.000000", "0.0", "crash"
    else:
        metric = shown_metric(experiment.metric_nano)
        memory = f"{experiment.peak_mem_bytes / _GIB:.1f}"
        status = "keep" if experiment.decision in _KEPT else "discard"
    description = plain(experiment.title)
    return f"{commit[:_COMMIT_DIGITS]}\t{metric}\t{memory}\t{status}\t{description}\n"
