"""A lane elsewhere, as the loop sees it: a runner whose runs are made on another machine.

What was under way when the lane went away has no outcome, and is made again: `run` raises PutOff,
as for a run that a session's end put off.
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

_Ended: TypeAlias = tuple[RunOutcome, bytes | None]  # and what it made, if that was asked for


class _AwayError(ArnodeError):
    """The lane went away, or put the run off: it is made again."""


class _ToldCurve(LossCurve):
    """A curve that fills elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._told: tuple[LossPoint, ...] = ()
        self._told_steps: int | None = None

    @property
    def points(self) -> tuple[LossPoint, ...]:
        return self._told

    @property
    def steps(self) -> int | None:
        return self._told_steps

    def show(self, points: list[tuple[int, int]], steps: int | None) -> None:
        """Take in how it looks now."""
        self._told = tuple(LossPoint(step=step, loss_nano=nano) for step, nano in points)
        self._told_steps = steps


@dataclass(slots=True, kw_only=True)
class _UnderWay:
    """What is to be told of a run that is under way, and asked about it."""

    needs_audit: NeedsAudit
    on_trained: Callable[[], None]
    on_training: Callable[[LossCurve], None]
    is_hopeless: Callable[[LossCurve], str | None]
    curve: _ToldCurve


class RemoteRunner:
    """Measures on lane `number`, while it is there; `send` hands a message to it."""

    def __init__(self, task: Task, number: int, send: Callable[[Message], None]) -> None:
        self.task = task
        self.number = number
        self._send = send
        self._device: Device | None = None
        self.machine = ""  # that it is on, empty before it was there
        self._is_there = False
        self._is_timed = False
        self._tolerance = 0.0
        self._is_hurried = False
        self._calls: Calls[_Ended] = Calls()
        self._runs: dict[int, _UnderWay] = {}
        self._asked: set[asyncio.Task[None]] = set()  # audits, whose answers are on their way
        self._on_wait: Callable[[], None] = lambda: None
        self._on_change: Callable[[], None] = lambda: None

    # As the loop sees it

    @property
    def is_there(self) -> bool:
        """Whether the lane is open."""
        return self._is_there

    @property
    def is_timed(self) -> bool:
        """Whether the baseline was measured since the lane was opened."""
        return self._is_timed

    @property
    def device(self) -> Device:
        """What the lane measures on: a device like all other lanes'.

        Raises ArnodeError before any of them was there.
        """
        if self._device is None:
            raise ArnodeError(f"lane {self.number} was never there")
        return self._device

    @property
    def metric_tolerance(self) -> float:
        """The audits' tolerance there, in the metric's unit; 0 before `calibrate`."""
        return self._tolerance

    async def open(self) -> None:
        """Do nothing: its own machine watches the device."""

    async def close(self) -> None:
        """Do nothing: the lane ends with its connection."""

    def expect_no_more(self) -> None:
        """Have nothing started ahead there for a run after the next."""
        self._send(["no more"])

    def hurry(self) -> None:
        """Let no run wait for an idle minute any more."""
        self._is_hurried = True
        self._send(["hurry"])

    def tell_waits(self, on_wait: Callable[[], None]) -> None:
        """Have somebody told whenever a run begins to wait for an idle minute."""
        self._on_wait = on_wait

    def tell_presence(self, on_change: Callable[[], None]) -> None:
        """Have somebody told whenever the lane comes or goes."""
        self._on_change = on_change

    @property
    def waits_s(self) -> tuple[float, ...]:
        """Nothing: a run that waits there keeps the other runs of its lane waiting."""
        return ()

    def is_used_by_others(self) -> bool:
        """Say no: what others do there its own machine flags."""
        return False

    async def calibrate(self, seed: int) -> RunOutcome:
        """Measure what the baseline costs there. Raises PutOff if that comes to nothing."""
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
        """Have a source trained and scored there, as `trainer.runner.Runner.run` does."""
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
            curve=_ToldCurve(),
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
        """Have somebody's evidence judged there."""
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

    # As the lane is heard

    def expect(self, device: Device) -> None:
        """Take note of what it will measure on."""
        self._device = device

    def came(self) -> None:
        """The lane is there."""
        self._is_there = True
        if self._is_hurried:
            self._send(["hurry"])
        self._on_change()

    def lost(self) -> None:
        """The lane went away, and what was under way with it."""
        was_there, self._is_there, self._is_timed = self._is_there, False, False
        self._calls.fail_all(_AwayError("the lane went away"))
        if was_there:
            self._on_change()

    def heard(self, message: Message) -> None:
        """Take in what an open lane says. Raises ChannelError for what is no message."""
        match message:
            case ["ended", int(number), dict(value), float() | int() as tolerance]:
                told = LaneOutcome.from_value(as_value(value))
                if isinstance(told, Rejected):
                    raise ChannelError(f"an outcome that is none: {told.reason}")
                outcome = told.outcome()
                self._tolerance = max(self._tolerance, float(tolerance))
                self._calls.answer(number, (outcome, told.product))
            case ["put off", int(number)]:
                self._calls.fail(number, _AwayError("the run was put off"))
            case ["waits"]:
                self._on_wait()
            case [str(what), int(number), *more]:
                if (run := self._runs.get(number)) is not None:
                    self._heard_of(run, what, number, more)
            case other:
                raise ChannelError(f"an unknown message: {str(other)[:80]}")

    def _heard_of(self, run: _UnderWay, what: str, number: int, more: list[Message]) -> None:
        match what, more:
            case "trains", []:
                run.curve = _ToldCurve()
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
                raise ChannelError(f"an unknown message: {what[:80]}")

    async def _audit(self, run: _UnderWay, number: int, public: int, secret: int) -> None:
        self._send(["audits", number, await run.needs_audit(public, secret)])


def device_of(opened: Opened) -> Device:
    """Return the device that a lane says to be."""
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
                raise ChannelError("a curve that is none")
    return pairs
