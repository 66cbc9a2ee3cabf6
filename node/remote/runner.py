"""A remote lane as the research loop sees it: a runner whose runs are made on another machine.

If the lane disconnects during a run, `run` raises PutOff, as if the session's end had postponed it.
The run has no outcome and is repeated.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from node.processes.channel import Calls
from node.remote.contract import LaneOutcome, Opened, Wanted, as_value, packed
from protocol.errors import ArnodeError, Rejected
from protocol.framing import ChannelError, Message
from protocol.hardware import HardwareClass
from protocol.source import Source
from trainer.host.device import Device
from trainer.measuring.kind import NeedsAudit, always
from trainer.measuring.loss_curve import LossCurve, LossPoint
from trainer.measuring.outcome import Answers, RunOutcome
from trainer.measuring.training import PutOff
from trainer.task_folder.task import Task

_Ended: TypeAlias = tuple[RunOutcome, bytes | None]  # with the run's product, if requested


class _AwayError(ArnodeError):
    """The lane disconnected or postponed the run, which is repeated."""


class _ReportedCurve(LossCurve):
    """A loss curve that is filled from a lane's messages."""

    def __init__(self) -> None:
        super().__init__()
        self._reported: tuple[LossPoint, ...] = ()
        self._reported_steps: int | None = None

    @property
    def points(self) -> tuple[LossPoint, ...]:
        return self._reported

    @property
    def steps(self) -> int | None:
        return self._reported_steps

    def show(self, points: list[tuple[int, int]], steps: int | None) -> None:
        """Replace the curve's points."""
        self._reported = tuple(LossPoint(step=step, loss_nano=nano) for step, nano in points)
        self._reported_steps = steps


@dataclass(slots=True, kw_only=True)
class _UnderWay:
    """The callbacks of a run in progress."""

    needs_audit: NeedsAudit
    on_trained: Callable[[], None]
    on_training: Callable[[LossCurve], None]
    is_hopeless: Callable[[LossCurve], str | None]
    curve: _ReportedCurve


class RemoteRunner:
    """A runner on lane `number`, usable while the lane is open; `send` sends the lane a message."""

    def __init__(self, task: Task, number: int, send: Callable[[Message], None]) -> None:
        self.task = task
        self.number = number
        self._send = send
        self._device: Device | None = None
        self.machine = ""  # the lane's machine; empty before the lane was first open
        self._is_there = False
        self._is_timed = False
        self._tolerance = 0.0
        self._is_hurried = False
        self._calls: Calls[_Ended] = Calls()
        self._runs: dict[int, _UnderWay] = {}
        self._asked: set[asyncio.Task[None]] = set()  # audit requests without an answer yet
        self._on_wait: Callable[[], None] = lambda: None
        self._on_change: Callable[[], None] = lambda: None

    # The interface that the loop uses

    @property
    def is_there(self) -> bool:
        """True if the lane is open."""
        return self._is_there

    @property
    def is_timed(self) -> bool:
        """True if the baseline was measured since the lane was opened."""
        return self._is_timed

    @property
    def device(self) -> Device:
        """The lane's device. All open lanes have equal devices.

        Raises ArnodeError before the first lane was open.
        """
        if self._device is None:
            raise ArnodeError(f"lane {self.number} was never open")
        return self._device

    @property
    def metric_tolerance(self) -> float:
        """The largest error of a score that the lane's audits accept; 0 before `calibrate`.

        It is in the metric's unit.
        """
        return self._tolerance

    async def open(self) -> None:
        """Do nothing: the lane's machine watches the device."""

    async def close(self) -> None:
        """Do nothing: the lane ends with its connection."""

    def expect_no_more(self) -> None:
        """Make the lane prepare nothing for runs after the next one."""
        self._send(["no more"])

    def hurry(self) -> None:
        """Make runs start without waiting for an idle minute from now on."""
        self._is_hurried = True
        self._send(["hurry"])

    def notify_waits(self, on_wait: Callable[[], None]) -> None:
        """Call `on_wait` whenever a run starts to wait until other programs rest."""
        self._on_wait = on_wait

    def notify_presence(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the lane opens or is lost."""
        self._on_change = on_change

    @property
    def waits_s(self) -> tuple[float, ...]:
        """Always empty: while a run waits, its lane cannot start another one instead."""
        return ()

    def is_used_by_others(self) -> bool:
        """Return False: the lane's machine flags runs that were made while others used it."""
        return False

    async def calibrate(self, seed: int) -> RunOutcome:
        """Measure the baseline's cost on the lane. Raises PutOff if there is no result."""
        self._is_timed = False
        outcome, _ = await self._ask("calibrate", seed)
        self._is_timed = True
        return outcome

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
        on_product: Callable[[bytes], None] | None = None,
    ) -> RunOutcome:
        """Train and score a source on the lane, as `trainer.runner.Runner.run` does."""
        left_s = session_ends_s - time.monotonic()
        wanted = Wanted(
            files=source.files,
            seed=seed,
            split=split,
            incumbent=packed(incumbent),
            left_ms=max(0, round(1000 * left_s)) if math.isfinite(left_s) else None,
            is_fresh=is_fresh,
            wants_product=on_product is not None,
        )
        under_way = _UnderWay(
            needs_audit=needs_audit,
            on_trained=on_trained,
            on_training=on_training,
            is_hopeless=is_hopeless,
            curve=_ReportedCurve(),
        )
        try:
            value = cast("Message", wanted.to_value())
            outcome, product = await self._ask("run", value, under_way=under_way)
        finally:
            on_trained()
        if outcome.status == "ok" and source.tree == self.task.source.tree:
            self._is_timed = True
        if on_product is not None and product is not None:
            on_product(product)
        return outcome

    async def judged(self, evidence: bytes, seed: int) -> RunOutcome:
        """Judge a peer's evidence on the lane, without running the peer's code."""
        return (await self._ask("judge", evidence, seed))[0]

    async def _ask(self, what: str, *more: Message, under_way: _UnderWay | None = None) -> _Ended:
        if not self.is_there:
            raise PutOff
        with self._calls.open() as (number, answer):
            if under_way is not None:
                self._runs[number] = under_way
            self._send([what, number, *more])
            try:
                return await answer
            except _AwayError as fault:
                raise PutOff from fault
            except asyncio.CancelledError:
                self._send(["cancel", number])
                raise
            finally:
                self._runs.pop(number, None)

    # Messages from the lane

    def expect(self, device: Device) -> None:
        """Set the device that the lane will have."""
        self._device = device

    def on_open(self) -> None:
        """Mark the lane as open."""
        self._is_there = True
        if self._is_hurried:
            self._send(["hurry"])
        self._on_change()

    def on_lost(self) -> None:
        """Mark the lane as disconnected, and fail its open requests."""
        was_there, self._is_there, self._is_timed = self._is_there, False, False
        self._calls.fail_all(_AwayError("the lane was lost"))
        if was_there:
            self._on_change()

    def on_message(self, message: Message) -> None:
        """Handle a message of an open lane. Raises ChannelError for an invalid one."""
        match message:
            case ["ended", int(number), dict(value), float() | int() as tolerance]:
                lane_outcome = LaneOutcome.from_value(as_value(value))
                if isinstance(lane_outcome, Rejected):
                    raise ChannelError(f"it sent an invalid outcome: {lane_outcome.reason}")
                outcome = lane_outcome.outcome()
                self._tolerance = max(self._tolerance, float(tolerance))
                self._calls.answer(number, (outcome, lane_outcome.product))
            case ["put off", int(number)]:
                self._calls.fail(number, _AwayError("the run was postponed"))
            case ["waits"]:
                self._on_wait()
            case [str(what), int(number), *more]:
                if (run := self._runs.get(number)) is not None:
                    self._handle_progress(run, what, number, more)
            case other:
                raise ChannelError(f"it sent an unknown message: {str(other)[:80]}")

    def _handle_progress(self, run: _UnderWay, what: str, number: int, more: list[Message]) -> None:
        match what, more:
            case "trains", []:
                run.curve = _ReportedCurve()
                run.on_training(run.curve)
            case "curve", [list(points), int() | None as steps]:
                run.curve.show(_pairs(points), steps)
                if why := run.is_hopeless(run.curve):
                    self._send(["hopeless", number, why])
            case "trained", []:
                run.on_trained()
            case "claims", [int(public), int(secret)]:
                asked = asyncio.create_task(self._audit(run, number, public, secret))
                self._asked.add(asked)
                asked.add_done_callback(self._asked.discard)
            case _:
                raise ChannelError(f"it sent an unknown message: {what[:80]}")

    async def _audit(self, run: _UnderWay, number: int, public: int, secret: int) -> None:
        self._send(["audits", number, await run.needs_audit(public, secret)])


def device_of(opened: Opened) -> Device:
    """Return the device that a lane reports."""
    return Device(
        hardware_class=HardwareClass(opened.hardware_class, opened.family),
        environment=dict(opened.environment.items),
        cuda=opened.cuda,
    )


def _pairs(points: list[Message]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for point in points:
        match point:
            case [int(step), int(nano)]:
                pairs.append((step, nano))
            case _:
                raise ChannelError("it sent an invalid curve")
    return pairs
