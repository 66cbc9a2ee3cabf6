"""The secret splits of a task, each drawn and ordered by a secret key of 32 bytes.

A key is made after the sources to be measured with it are fixed, and is used for one trial in
pairs. Only the node that made it has it (`node.line.splits`). So a script that leaks something of
one split reveals nothing about the next split.

A process that has seen secret text can vary its answers slightly, and so hide what it read in the
last digits of a score. Those digits would reach the next proposer, and every peer once they are
signed. So figures are rounded before they are reported. docs/threat-model.md lists how many bits a
run can still leak.
"""

import math
import secrets
from typing import Final

from protocol.manifest import TaskManifest
from protocol.runs import Audit
from protocol.units import NANO
from trainer.language_model.data import TaskData
from trainer.language_model.evaluator import AuditStatistics, LogProbs, Tolerance
from trainer.language_model.manifest import EVALUATORS
from trainer.language_model.scoring import ScoredRows
from trainer.language_model.text.vocabulary import RowNumbers

KEY_BYTES = 32
# Metrics are rounded to 1/8 of the noise floor, which adds 0.1 % to the variance of a run.
METRIC_PARTS: Final = 8


class LogProbCache:
    """The log-probabilities of source trees on the secret rows of the latest shared split.

    Only those of the baseline and those that passed their audit are kept. An audit prefers
    positions where a tree's log-probability differs from another tree's.
    """

    def __init__(self) -> None:
        self._key = b""
        self._by_tree: dict[bytes, LogProbs] = {}

    def note(self, key: bytes, tree: bytes, log_probs: LogProbs) -> None:
        """Keep a tree's log-probabilities on the split of a key; drop those on other splits."""
        if key != self._key:
            self._key, self._by_tree = key, {}
        self._by_tree[tree] = log_probs

    def by_another(self, key: bytes, tree: bytes) -> LogProbs | None:
        """Return the latest log-probabilities of another tree on the split of a key, or None."""
        known = self._by_tree if key == self._key else {}
        others = [log_probs for other, log_probs in known.items() if other != tree]
        return others[-1] if others else None


class SecretSplits:
    """Draws the rows that runs are scored on, and rounds their metrics."""

    def __init__(self, manifest: TaskManifest, data: TaskData) -> None:
        self.evaluator = EVALUATORS[manifest.evaluator]
        self.worth_of_one = self.evaluator.worth_of_one(data.public_rows, data.byte_counts)
        self._manifest = manifest
        self._data = data
        self._shared: ScoredRows | None = None
        self._most_nano = self.evaluator.most_nano(data.public_rows, data.byte_counts)

    def draw(self, key: bytes | None) -> ScoredRows:
        """Return the scored rows for a key; without a key, rows whose secret score decides nothing.

        Call it only after training has ended, so that the run cannot depend on the rows.
        """
        if self._shared is not None and self._shared.key == key:
            return self._shared
        drawn_with = secrets.token_bytes(KEY_BYTES) if key is None else key
        spare = self._data.spare_rows if key is None else None
        drawn = ScoredRows.mixed(
            self._data.public_rows,
            self._data.secret_rows(drawn_with) if spare is None else spare,
            key=drawn_with,
        )
        if key is not None:
            self._shared = drawn
        return drawn

    def metric(self, log_probs: LogProbs, scored: ScoredRows, split: RowNumbers) -> int:
        """Return the rounded metric on a split, given the log-probabilities of all rows."""
        rows, byte_counts = scored.rows[split], self._data.byte_counts
        return self.coarse(self.evaluator.metric_nano(log_probs[split], rows, byte_counts))

    def coarse(self, nano: int) -> int:
        """Return a metric rounded by `coarse_metric`, with this task's noise floor and limit."""
        floor_nano = self._manifest.noise_floor_nano
        return coarse_metric(nano, noise_floor_nano=floor_nano, most_nano=self._most_nano)


def grain_nano(noise_floor_nano: int) -> int:
    """Return the rounding step of metrics in 1e-9 units: an eighth of the task's noise floor."""
    return max(1, noise_floor_nano // METRIC_PARTS)


def coarse_metric(nano: int, *, noise_floor_nano: int, most_nano: int) -> int:
    """Round a metric to a multiple of the grain, after cutting it to at most `most_nano`."""
    grain = grain_nano(noise_floor_nano)
    return (2 * min(nano, most_nano) + grain) // (2 * grain) * grain


def coarse_audit(statistics: AuditStatistics, tolerance: Tolerance) -> Audit:
    """Round an audit's figures to multiples of its tolerance tau.

    An audit compares reported log-probabilities with those that the model gives when its targets
    are withheld (`trainer.language_model.evaluator`). The mean difference is rounded to
    the nearest multiple, the standard error and the largest difference to the next higher one.

    In an audit that passes, all differences are within one tau. So the figures reveal little more
    than that it passed.
    """
    tau_nano = max(1, round(tolerance.tau * NANO))
    return Audit(
        k=statistics.k,
        mean_nano=round(statistics.mean * NANO / tau_nano) * tau_nano,
        se_nano=math.ceil(statistics.standard_error * NANO / tau_nano) * tau_nano,
        max_nano=math.ceil(statistics.largest * NANO / tau_nano) * tau_nano,
    )
