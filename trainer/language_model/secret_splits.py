"""The secret splits of a task: each drawn by a secret key of 32 bytes, in an order that it decides.

A key is made once the sources are fixed that are measured with it, and serves one confirmation;
whoever makes it keeps it (`node.line.splits`). What a script could leak of one split therefore
tells nothing about the next one that counts.

A process that has seen secret text can shade what it answers, so that digits nobody needs would
carry what it read: to whoever proposes next, and to everybody once they are signed. So figures
leave here coarse; what each may still carry is in docs/threat-model.md, in bits a run.
"""

import math
import secrets
from typing import Final

from protocol.manifest import TaskManifest
from protocol.runs import Audit
from protocol.units import NANO
from trainer.language_model.data import TaskData
from trainer.language_model.evaluator import AuditStatistics, Claims, Tolerance
from trainer.language_model.manifest import EVALUATORS
from trainer.language_model.scoring import ScoredRows
from trainer.language_model.text.vocabulary import RowNumbers

KEY_BYTES = 32
METRIC_PARTS: Final = 8  # of the noise floor: an error that adds 0.1 % to the variance of a run


class Claimed:
    """What trees claimed of the secret rows of the last split that runs shared, and passed with.

    An audit looks where a claim differs from another tree's.
    """

    def __init__(self) -> None:
        self._key = b""
        self._by_tree: dict[bytes, Claims] = {}

    def note(self, key: bytes, tree: bytes, claims: Claims) -> None:
        """Keep what a tree claimed on the split of a key; those of another split are forgotten."""
        if key != self._key:
            self._key, self._by_tree = key, {}
        self._by_tree[tree] = claims

    def by_another(self, key: bytes, tree: bytes) -> Claims | None:
        """Return what a tree but this one claimed on the split of a key, if any has."""
        known = self._by_tree if key == self._key else {}
        others = [claims for other, claims in known.items() if other != tree]
        return others[-1] if others else None


class SecretSplits:
    """Draws what runs are scored on, and says how their metrics leave."""

    def __init__(self, manifest: TaskManifest, data: TaskData) -> None:
        self.evaluator = EVALUATORS[manifest.evaluator]
        self.worth_of_one = self.evaluator.worth_of_one(data.public_rows, data.byte_counts)
        self._manifest = manifest
        self._data = data
        self._shared: ScoredRows | None = None
        self._most_nano = self.evaluator.most_nano(data.public_rows, data.byte_counts)

    def draw(self, key: bytes | None) -> ScoredRows:
        """Return what runs with this key are scored on; without one, rows that decide nothing.

        To be called when there are weights: nothing in a run can follow from its rows.
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

    def metric(self, claims: Claims, scored: ScoredRows, split: RowNumbers) -> int:
        """Return what is told of the metric on a split, given the claims of all rows."""
        rows, byte_counts = scored.rows[split], self._data.byte_counts
        return self.coarse(self.evaluator.metric_nano(claims[split], rows, byte_counts))

    def coarse(self, nano: int) -> int:
        """Return what is told of an exact metric."""
        floor_nano = self._manifest.noise_floor_nano
        return coarse_metric(nano, noise_floor_nano=floor_nano, most_nano=self._most_nano)


def grain_nano(noise_floor_nano: int) -> int:
    """Return what metrics are multiples of, in 1e-9 units: an eighth of the task's noise floor."""
    return max(1, noise_floor_nano // METRIC_PARTS)


def coarse_metric(nano: int, *, noise_floor_nano: int, most_nano: int) -> int:
    """Return the nearest multiple of the grain; whatever is above `most_nano` is that."""
    grain = grain_nano(noise_floor_nano)
    return (2 * min(nano, most_nano) + grain) // (2 * grain) * grain


def coarse_audit(statistics: AuditStatistics, tolerance: Tolerance) -> Audit:
    """Return an audit's figures in whole taus, the largest difference and the error rounded up.

    What passes lies within a tau everywhere: so they say that it passed, and hardly more.
    """
    tau_nano = max(1, round(tolerance.tau * NANO))
    return Audit(
        k=statistics.k,
        mean_nano=round(statistics.mean * NANO / tau_nano) * tau_nano,
        se_nano=math.ceil(statistics.standard_error * NANO / tau_nano) * tau_nano,
        max_nano=math.ceil(statistics.largest * NANO / tau_nano) * tau_nano,
    )
