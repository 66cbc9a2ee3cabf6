"""Styles: the ways to evaluate a task's pairs. A task's style depends only on its manifest.

- `runs`: a seed draws noise, so base and candidate are two samples of runs (language models).
- `differences`: a seed draws instances that both runs use. So only the difference of a pair is
  evidence, not its single runs (programs on drawn instances).
- `exact`: instances are fixed and there is no noise, so the sign of one pair decides.

protocol/rule.py decides from pairs of each style. protocol/evidence.py computes what readers of
records conclude.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, TypeAlias

from protocol.manifest import TaskManifest

StyleName: TypeAlias = Literal["runs", "differences", "exact"]

# The pairs that fit into one record, next to one more run of the base and runs of the anchor.
MOST_PAIRS: Final = 29
# With this many instances, a loss on one instance in twenty is missed with a probability of 4 %.
LEAST_INSTANCES: Final = 64
# Metrics that differ from run to run even on the same instance.
_NEVER_EXACT: Final = frozenset({"wall_s", "cpu_s", "instructions", "peak_mb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The style of a task's pairs; fewer than `least_pairs` pairs show nothing.

    `floor_nano` is the task's noise floor, for one run. The number of instances may differ
    between the splits: a run's noise on the public one is `public_scatter` times that on the secret
    one. `is_measured`: scores vary even on the same instances, as times do.
    """

    name: StyleName = "runs"
    least_pairs: int = 1
    floor_nano: int = 0
    public_scatter: float = 1.0
    is_measured: bool = False

    @classmethod
    def of(cls, manifest: TaskManifest) -> Self:
        """Return the style of a task."""
        program, floor_nano = manifest.program, manifest.noise_floor_nano
        if manifest.kind != "program" or program is None:
            return cls(floor_nano=floor_nano)
        is_measured = bool(program.model_budgets) or manifest.metric.name in _NEVER_EXACT
        drawn = program.instances
        if not drawn.fixed:
            style = cls.drawing(drawn.secret, public=drawn.public, floor_nano=floor_nano)
            return replace(style, is_measured=is_measured)
        name: StyleName = "differences" if is_measured else "exact"
        return cls(name=name, floor_nano=floor_nano, is_measured=is_measured)

    @classmethod
    def drawing(cls, secret: int, *, public: int | None = None, floor_nano: int = 0) -> Self:
        """Return the style of a task whose runs draw `secret` and `public` instances each.

        If `public` is None, it is equal to `secret`.
        """
        pairs = -(-LEAST_INSTANCES // max(1, secret))
        return cls(
            name="differences",
            least_pairs=min(MOST_PAIRS, pairs),
            floor_nano=floor_nano,
            public_scatter=math.sqrt(secret / (public or secret)) if secret else 1.0,
        )

    @property
    def is_exact(self) -> bool:
        """True if runs of one source always have the same score, so that one pair decides."""
        return self.name == "exact"

    def anchor_pairs(self, wanted: int) -> int:
        """Return how many of the `wanted` pairs against the baseline are needed: 1 if exact."""
        return min(1, wanted) if self.is_exact else wanted


RUNS: Final = Style()
