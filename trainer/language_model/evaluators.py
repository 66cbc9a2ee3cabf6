"""Frozen evaluators, one module per string that a manifest's `evaluator` may name.

An evaluator owns its metric: what it is called, its unit, and which way is better.
"""

from typing import Final

from protocol.errors import ConfigurationError
from protocol.manifest import MetricSpec, TaskManifest
from trainer.language_model import lm_bpb_1

# name, unit and direction
METRICS: Final = {lm_bpb_1.EVALUATOR: lm_bpb_1.METRIC}


def metric_fault(evaluator: str, metric: MetricSpec) -> tuple[str, str] | None:
    """Return which field of a metric is not what its evaluator measures, and what that is."""
    for field, owned in zip(("name", "unit", "direction"), METRICS[evaluator], strict=True):
        if getattr(metric, field) != owned:
            return field, owned
    return None


def check_metric(manifest: TaskManifest) -> None:
    """Raise ConfigurationError unless a task's metric is its evaluator's, which is known here.

    Said the other way round, its losses would be published as gains.
    """
    if manifest.evaluator not in METRICS:
        raise ConfigurationError(
            f"task {manifest.name}: there is no evaluator {manifest.evaluator!r} here",
            f"possible: {', '.join(METRICS)}; or install the version that the task comes from",
        )
    if fault := metric_fault(manifest.evaluator, manifest.metric):
        field, owned = fault
        raise ConfigurationError(
            f"task {manifest.name}: its metric's {field} is {getattr(manifest.metric, field)!r}, "
            f"but {manifest.evaluator} measures {owned!r}",
            f"only a task whose metric.{field} is {owned!r} can be run",
        )
