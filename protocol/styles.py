"""How the pairs of a task are read, which follows from its manifest alone.

- `runs`: a seed draws noise, so base and candidate are two samples of runs (language models).
- `differences`: a seed draws instances that both meet, so a pair is one difference and its runs by
  themselves say nothing (programs on drawn instances).
- `exact`: instances are fixed and nothing scatters, so one pair decides by its sign.

What is decided from pairs of each is in protocol/rule.py, what readers of records see in
protocol/evidence.py.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias

from protocol.manifest import TaskManifest

StyleName: TypeAlias = Literal["runs", "differences", "exact"]

# Pairs that one record has room for, with a base that is run once more and runs of the anchor.
MOST_PAIRS: Final = 29
# A loss that only one instance in twenty shows is missed by so many with a chance of 4 %.
LEAST_INSTANCES: Final = 64
# What a node measures of a program otherwise each time, also on the same instance.
_NEVER_EXACT: Final = frozenset({"wall_s", "cpu_s", "instructions", "peak_mb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How pairs are read; below `least_pairs` differences show nothing, whatever they are.

    `floor_nano` is the task's noise floor, of one run. On the public split, which has another
    number of instances, a run scatters `public_scatter` times as much as on the secret one.
    """

    name: StyleName = "runs"
    least_pairs: int = 1
    floor_nano: int = 0
    public_scatter: float = 1.0

    @classmethod
    def of(cls, manifest: TaskManifest) -> Self:
        """Return that of a task."""
        program, floor_nano = manifest.program, manifest.noise_floor_nano
        if manifest.kind != "program" or program is None:
            return cls(floor_nano=floor_nano)
        if program.instances.fixed:
            is_measured = bool(program.model_budgets) or manifest.metric.name in _NEVER_EXACT
            return cls(name="differences" if is_measured else "exact", floor_nano=floor_nano)
        drawn = program.instances
        return cls.drawing(drawn.secret, public=drawn.public, floor_nano=floor_nano)

    @classmethod
    def drawing(cls, secret: int, *, public: int | None = None, floor_nano: int = 0) -> Self:
        """Return that of a task of which a run draws so many; as many `public` ones if None."""
        pairs = -(-LEAST_INSTANCES // max(1, secret))
        return cls(
            name="differences",
            least_pairs=min(MOST_PAIRS, pairs),
            floor_nano=floor_nano,
            public_scatter=math.sqrt(secret / (public or secret)) if secret else 1.0,
        )

    def anchor_pairs(self, wanted: int) -> int:
        """How many pairs of those that are wanted beside the task's baseline it takes."""
        return min(1, wanted) if self.name == "exact" else wanted


RUNS: Final = Style()
