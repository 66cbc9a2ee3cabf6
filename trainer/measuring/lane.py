"""The interface of a lane: it measures sources on this machine or on another."""

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
    """A runner of one task's sources on one device, one at a time, like `trainer.runner.Runner`.

    A lane on another machine may be unreachable. `run` then raises PutOff.
    """

    task: Task

    @property
    def device(self) -> Device:
        """The device that runs are measured on."""

    @property
    def machine(self) -> str:
        """The name of the lane's machine; empty for this machine."""

    @property
    def is_there(self) -> bool:
        """True if runs can be measured there now."""

    @property
    def is_timed(self) -> bool:
        """True if this session knows the baseline's cost on this lane."""

    @property
    def metric_tolerance(self) -> float:
        """The audits' tolerance in the metric's unit; 0 before `calibrate`."""

    async def open(self) -> None:
        """Start to watch the device. Raises CardLost if it is gone."""

    async def close(self) -> None:
        """End the sandboxes that wait for a run."""

    def expect_no_more(self) -> None:
        """Start no sandboxes in advance: the next run may be the last."""

    def hurry(self) -> None:
        """End all waits for an idle minute: `run` raises PutOff instead."""

    def notify_waits(self, on_wait: Callable[[], None]) -> None:
        """Call `on_wait` whenever a run begins to wait for an idle minute."""

    def notify_presence(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever `is_there` changes."""

    @property
    def waits_s(self) -> tuple[float, ...]:
        """The longest remaining wait, in seconds, of each run that waits for an idle minute."""

    def is_used_by_others(self) -> bool:
        """Return True if others used the device noticeably since the last call."""

    async def calibrate(self, seed: int) -> RunOutcome:
        """Measure what the baseline costs there in this session.

        Raises ArnodeError if its run fails, PutOff if the lane went away.
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
        """Return the outcome that a peer's evidence proves, without running the peer's code."""
