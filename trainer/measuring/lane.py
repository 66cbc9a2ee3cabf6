"""What a loop needs of whatever measures sources on one lane, wherever that is."""

import math
from collections.abc import Callable
from typing import Protocol

from protocol.source import Source
from trainer.host.device import Device
from trainer.measuring.kind import NeedsAudit, always
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import Answers, RunOutcome
from trainer.task_folder.task import Task


class LaneRunner(Protocol):
    """Measures sources of one task on one device, one at a time; as `trainer.runner.Runner` does.

    A lane of another machine may be away: then `run` raises PutOff.
    """

    task: Task

    @property
    def device(self) -> Device:
        """What it measures on."""

    @property
    def machine(self) -> str:
        """The name of the machine that it is on, empty for this one."""

    @property
    def is_there(self) -> bool:
        """Whether runs can be measured there now."""

    @property
    def is_timed(self) -> bool:
        """Whether it is known what the baseline costs there in this session."""

    @property
    def metric_tolerance(self) -> float:
        """The audits' tolerance in the metric's unit; 0 before `calibrate`."""

    async def open(self) -> None:
        """Watch the device from now on. Raises CardLost if it is not there any more."""

    async def close(self) -> None:
        """End what waits for a run."""

    def expect_no_more(self) -> None:
        """Start nothing ahead for a run after the next, which may be the last."""

    def hurry(self) -> None:
        """Let no run wait for an idle minute any more: `run` raises PutOff instead."""

    def tell_waits(self, on_wait: Callable[[], None]) -> None:
        """Have somebody told whenever a run begins to wait for an idle minute."""

    def tell_presence(self, on_change: Callable[[], None]) -> None:
        """Have somebody told whenever `is_there` changes."""

    @property
    def waits_s(self) -> tuple[float, ...]:
        """For how many seconds at most each run that waits for an idle minute goes on waiting."""

    def is_used_by_others(self) -> bool:
        """Whether others used the device noticeably since this was last asked."""

    async def calibrate(self, seed: int) -> RunOutcome:
        """Measure what the baseline costs there in this session.

        Raises ArnodeError when it does not come through, PutOff if the lane went away.
        """

    async def run(
        self,
        source: Source,
        seed: int,
        *,
        split: bytes | None = None,
        needs_audit: NeedsAudit = always,
        incumbent: Answers | None = None,
        on_trained: Callable[[], None] = lambda: None,
        session_ends_s: float = math.inf,
        is_fresh: bool = False,
        on_training: Callable[[LossCurve], None] = lambda _curve: None,
        is_hopeless: Callable[[LossCurve], str | None] = lambda _curve: None,
        on_product: Callable[[bytes], None] = lambda _product: None,
    ) -> RunOutcome:
        """Train a source with a seed and score it (`trainer.runner.Runner.run`)."""

    async def judged(self, evidence: bytes, seed: int) -> RunOutcome:
        """Return what somebody's evidence is worth, without running anything of theirs."""
