"""A lane's answers to its node: the outcomes of runs, and their progress."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

from node.processes.channel import ProcessChannel, first_of
from node.remote.contract import LaneOutcome, Wanted, as_value, fault_lines, unpacked
from protocol.errors import ArnodeError, Rejected, describe_fault
from protocol.framing import ChannelError, Message
from trainer.host.power_state import Steady
from trainer.measuring.lane import LaneRunner
from trainer.measuring.loss_curve import LossCurve, as_pairs
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import PutOff

_CURVE_S: Final = 1.0  # between two checks of a growing curve


class Serving:
    """A server of a node's requests, which makes the runs."""

    def __init__(self, channel: ProcessChannel[Message], runner: LaneRunner) -> None:
        self._channel = channel
        self._runner = runner
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._work: dict[int, asyncio.Task[None]] = {}
        self._audits: dict[int, asyncio.Future[bool]] = {}
        self._hopeless: dict[int, str] = {}

    async def run(self, following: Awaitable[Message]) -> None:
        """Answer requests until the channel closes, which raises ChannelError.

        `following` returns the first request.
        """
        self._runner.notify_waits(lambda: self._say(["waits"]))
        try:
            await first_of(self._channel.pass_on(self._outbox), self._receive(following))
        finally:
            work = [*self._work.values()]
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _say(self, message: Message) -> None:
        self._outbox.put_nowait(message)

    async def _receive(self, following: Awaitable[Message]) -> None:
        message = await following
        while True:
            self._take(message)
            message = await self._channel.receive()

    def _take(self, message: Message) -> None:
        match message:
            case ["calibrate", int(number), int(seed)]:
                self._begin(number, self._runner.calibrate(seed))
            case ["run", int(number), dict(value)]:
                wanted = Wanted.from_value(as_value(value))
                if isinstance(wanted, Rejected):
                    raise ChannelError(f"the node requested an invalid run: {wanted.reason}")
                product: list[bytes] = []
                self._begin(number, self._measure(number, wanted, product), product)
            case ["judge", int(number), bytes(evidence), int(seed)]:
                self._begin(number, self._runner.judged(evidence, seed))
            case ["audits", int(number), bool(is_audited)]:
                if (asked := self._audits.get(number)) is not None and not asked.done():
                    asked.set_result(is_audited)
            case ["hopeless", int(number), str(why)]:
                self._hopeless[number] = why
            case ["cancel", int(number)]:
                if (task := self._work.get(number)) is not None:
                    task.cancel()
            case ["hurry"]:
                self._runner.hurry()
            case ["no more"]:
                self._runner.expect_no_more()
            case other:
                raise ChannelError(f"the node sent an unknown message: {str(other)[:80]}")

    def _begin(
        self, number: int, work: Awaitable[RunOutcome], product: Sequence[bytes] = ()
    ) -> None:
        task = asyncio.create_task(self._answer(number, work, product))
        self._work[number] = task
        task.add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        for kept in (self._work, self._audits, self._hopeless):
            kept.pop(number, None)

    async def _answer(
        self, number: int, work: Awaitable[RunOutcome], product: Sequence[bytes]
    ) -> None:
        steady = Steady()
        try:
            outcome = await work
        except PutOff:
            self._say(["put off", number])
        except ArnodeError as fault:
            self._say(["failed", number, *fault_lines(fault)])
        except Exception as fault:  # noqa: BLE001 (a supervisor: the node gets the error)
            self._say(["failed", number, *fault_lines(ArnodeError(describe_fault(fault)))])
        else:
            if steady.slept_s:  # the machine was suspended: the outcome is not used
                self._say(["put off", number])
                return
            sent = LaneOutcome.of(outcome, product[0] if product else None)
            value = cast("Message", sent.to_value())
            self._say(["ended", number, value, self._runner.metric_tolerance])

    async def _measure(self, number: int, wanted: Wanted, product: list[bytes]) -> RunOutcome:
        watching: list[asyncio.Task[None]] = []

        async def needs_audit(public: int, secret: int) -> bool:
            asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._audits[number] = asked
            self._say(["claims", number, public, secret])
            return await asked

        def on_training(curve: LossCurve) -> None:
            self._say(["trains", number])
            for task in watching:
                task.cancel()
            watching.append(asyncio.create_task(self._watch(number, curve)))

        try:
            return await self._runner.run(
                wanted.source,
                wanted.seed,
                split=wanted.split,
                needs_audit=needs_audit,
                incumbent=unpacked(wanted.incumbent),
                on_trained=self._once(["trained", number]),
                session_ends_s=_ends_s(wanted.left_ms),
                is_fresh=wanted.is_fresh,
                on_training=on_training,
                is_hopeless=lambda _curve: self._hopeless.get(number),
                on_product=product.append if wanted.wants_product else _ignored,
            )
        finally:
            for task in watching:
                task.cancel()

    def _once(self, message: Message) -> Callable[[], None]:
        left = [message]

        def say() -> None:
            while left:
                self._say(left.pop())

        return say

    async def _watch(self, number: int, curve: LossCurve) -> None:
        """Send a curve as it grows."""
        sent: list[tuple[int, float]] = []
        while True:
            await asyncio.sleep(_CURVE_S)
            points = curve.points
            if as_pairs(points) != sent:
                sent = as_pairs(points)
                pairs: Message = [[point.step, point.loss_nano] for point in points]
                self._say(["curve", number, pairs, curve.steps])


def _ends_s(left_ms: int | None) -> float:
    return math.inf if left_ms is None else time.monotonic() + left_ms / 1000


def _ignored(_product: bytes) -> None:
    """Ignore a run's product, such as weights: the node did not request it."""
