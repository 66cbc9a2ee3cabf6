"""The start and the end of each stage of a run, by this node's clock: where the time goes.

train   spawn, import (ahead of the run, in a spare), build (compiling and warming up on dummy
        tokens), train (what counts: from handing over the data), export (of the weights)
score   spawn, import, load (of the weights), score
audit   as for score
train   attempt (a training that other programs disturbed, and that a later one replaced), baseline
        (a training of the baseline under the same load, which gives this run's ceiling)
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainer.sandbox.profile import Start

Part: TypeAlias = Literal["train", "score", "audit"]
StageName: TypeAlias = Literal[
    "spawn", "import", "build", "train", "export", "load", "score", "attempt", "baseline"
]
AHEAD: frozenset[StageName] = frozenset({"spawn", "import"})  # in a spare, during another's run


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of one of a run's sandboxes; times are in milliseconds since 1970."""

    part: Part
    name: StageName
    start_ms: int
    end_ms: int

    @property
    def counts(self) -> bool:
        """True if this is the training itself, during which the budget's clock runs."""
        return self.name == "train"


class Timeline:
    """The stages of one run.

    `clock` is in seconds from any zero; `epoch_s` is that zero in seconds since 1970.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, epoch_s: float | None = None
    ) -> None:
        self._clock = clock
        # Read once: a change of the system clock must not tear a run's stages apart.
        self._epoch_s = time.time() - clock() if epoch_s is None else epoch_s
        self._stages: list[Stage] = []
        self._open: dict[Part, tuple[StageName, float]] = {}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that have ended, in the order they began."""
        return in_order(self._stages)

    def started(self, part: Part, start: Start) -> None:
        """Record the start of a sandbox, which may be long before it was needed."""
        self.add(part, "spawn", start.asked_s, start.spawned_s)
        self.add(part, "import", start.spawned_s, start.warm_s)

    def enter(self, part: Part, name: StageName) -> None:
        """Begin a stage, and end the one before it in the same sandbox."""
        self.leave(part)
        self._open[part] = (name, self._clock())

    def leave(self, part: Part) -> None:
        """End the current stage of a sandbox, if there is one."""
        if part in self._open:
            name, start_s = self._open.pop(part)
            self.add(part, name, start_s, self._clock())

    def add(self, part: Part, name: StageName, start_s: float, end_s: float) -> None:
        """Record a finished stage, with its start and end by the clock."""
        start_ms, end_ms = (round(1000 * (self._epoch_s + at_s)) for at_s in (start_s, end_s))
        self._stages.append(Stage(part=part, name=name, start_ms=start_ms, end_ms=end_ms))


def in_order(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """Return stages in the order they began."""
    return tuple(sorted(stages, key=lambda one: (one.start_ms, one.end_ms)))
