"""The program of one lane: it opens the task that a node names, and measures what that asks for.

It speaks over its standard input and output (`node.remote.contract`), ends with them, and its
sandboxes with it. Whoever started it may be on another machine. It has a home of its own, of which
it uses the prepared data alone.
"""

import asyncio
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast

from node.home.home import Home
from node.line.identity import version
from node.line.open_task import Session, open_session
from node.processes.channel import Channel
from node.remote.contract import FRAMING, Opened, Opening, Told, Wanted, as_value, unpacked
from node.settings.config import Config
from node.settings.sandboxing import require_peer_sandbox, require_sandbox
from node.terminal.progress import Progress, in_thread
from protocol.codecs import fit_line
from protocol.errors import ArnodeError, Rejected, UsageError
from protocol.framing import ChannelError, Message
from protocol.runs import Env
from trainer.cards.cards import probe_devices
from trainer.measuring.lane import LaneRunner
from trainer.measuring.loss_curve import LossCurve, as_pairs
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.steady import Steady
from trainer.measuring.training import PutOff
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task, settled_task

_CURVE_S = 1.0  # from one look at a curve that fills to the next


def main() -> None:
    """Be the program that Ray starts: arguments are the cards to choose from, none for all."""
    serve_standard(gpus=sys.argv[1:])


def serve_standard(*, gpus: Sequence[str]) -> None:
    """Serve the node at the other end of standard input and output until it goes.

    `gpus` are the cards to choose from, as the setting of that name has them; none for all.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    said = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no message
    asyncio.run(_serve_over(0, said, gpus=gpus))


async def _serve_over(heard: int, said: int, *, gpus: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(heard, "rb", 0))
    transport, flow = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(said, "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, flow, None, loop)
    await serve(Channel(reader, writer, FRAMING), Home.here(), gpus=gpus)


async def serve(channel: Channel[Message], home: Home, *, gpus: Sequence[str] = ()) -> None:
    """Open what the node names, and answer it until the channel ends."""
    try:
        await channel.send(["here", version()])
        opening = _read_opening(await channel.receive())
        try:
            session = await _opened(opening, home, gpus, channel)
        except ArnodeError as fault:
            await channel.send(["refused", fit_line(fault.message, 400), fit_line(fault.hint, 400)])
            return
        try:
            await channel.send(["open", cast("Message", _told_of(session).to_value())])
            await Serving(channel, session.runner).run()
        finally:
            await session.close()
    except ChannelError:
        pass  # the node has gone
    finally:
        channel.close()


def _read_opening(message: Message) -> Opening:
    match message:
        case ["open", dict() as value] if isinstance(
            opening := Opening.from_value(as_value(value)), Opening
        ):
            return opening
    raise ChannelError("what was said first opens no task", "update arnode on both machines")


async def _opened(
    opening: Opening, home: Home, gpus: Sequence[str], channel: Channel[Message]
) -> Session:
    loop = asyncio.get_running_loop()

    def progress(what: str, share: float) -> None:
        told: Message = ["opens", fit_line(what, 200), round(1000 * share)]
        asyncio.run_coroutine_threadsafe(channel.send(told), loop)

    return await in_thread(partial(_open, opening, home, gpus), progress)


def _open(opening: Opening, home: Home, gpus: Sequence[str], progress: Progress) -> Session:
    settings = Config(
        allow_partial_sandbox=opening.allow_partial_sandbox,
        peers_in_container=opening.peers_in_container,
    )
    require_sandbox(settings)
    if opening.runs_strangers:
        require_peer_sandbox(settings)
    home.prepare()
    task = _task(opening, home, progress)
    session = open_session(
        home,
        task,
        progress,
        devices=probe_devices(task.manifest, gpus)[:1],
        data_url=opening.data_url,
        forks_strangers=True,  # the node says of each run whether it may be
        patience_s=opening.patience_ms / 1000,
        audit_key=opening.audit_key,
    )
    session.data.load_rest(progress)
    return session


def _task(opening: Opening, home: Home, progress: Progress) -> Task:
    """Return the task, which must be the very one that the node works on."""
    task = settled_task(
        partial(load_task, opening.task, data_dir=home.data),
        data_dir=home.data,
        data_url=opening.data_url,
        progress=progress,
    )
    if task.id != opening.id:
        raise UsageError(
            f"task {opening.task} is another one here ({task.id.hex()[:12]}) than at the node"
            f" ({opening.id.hex()[:12]})",
            "have the same version of arnode, and of the task's folder, on both machines",
        )
    return task


def _told_of(session: Session) -> Opened:
    device = session.runner.device
    return Opened(
        machine=platform.node()[:64] or "?",
        hardware_class=device.slug,
        family=device.hardware_class.family,
        cuda=device.cuda,
        environment=Env.of(device.environment),
    )


class Serving:
    """Answers a node's questions with what a runner measures."""

    def __init__(self, channel: Channel[Message], runner: LaneRunner) -> None:
        self._channel = channel
        self._runner = runner
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._work: dict[int, asyncio.Task[None]] = {}
        self._audits: dict[int, asyncio.Future[bool]] = {}
        self._hopeless: dict[int, str] = {}

    async def run(self) -> None:
        """Answer until the channel ends. Raises ChannelError then."""
        self._runner.tell_waits(lambda: self._say(["waits"]))
        sending = asyncio.create_task(self._send())
        hearing = asyncio.create_task(self._hear())
        try:
            await asyncio.wait({sending, hearing}, return_when="FIRST_COMPLETED")
            for task in (sending, hearing):
                if task.done():
                    task.result()
        finally:
            tasks = [sending, hearing, *self._work.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _say(self, message: Message) -> None:
        self._outbox.put_nowait(message)

    async def _send(self) -> None:
        while True:
            await self._channel.send(await self._outbox.get())

    async def _hear(self) -> None:
        while True:
            match await self._channel.receive():
                case ["calibrate", int(number), int(seed)]:
                    self._begin(number, self._runner.calibrate(seed))
                case ["run", int(number), dict(value)]:
                    wanted = Wanted.from_value(as_value(value))
                    if isinstance(wanted, Rejected):
                        raise ChannelError(f"a run that is none: {wanted.reason}")
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
                    raise ChannelError(f"an unknown message: {str(other)[:80]}")

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
            self._say(["failed", number, fit_line(fault.message, 400), fit_line(fault.hint, 400)])
        else:
            if steady.slept_s:  # nothing of it is looked at
                self._say(["put off", number])
                return
            told = Told.of(outcome, product[0] if product else None)
            value = cast("Message", told.to_value())
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
        """Show a curve as it fills."""
        told: list[tuple[int, float]] = []
        while True:
            await asyncio.sleep(_CURVE_S)
            points = curve.points
            if as_pairs(points) != told:
                told = as_pairs(points)
                pairs: Message = [[point.step, point.loss_nano] for point in points]
                self._say(["curve", number, pairs, curve.steps])


def _ends_s(left_ms: int | None) -> float:
    return math.inf if left_ms is None else time.monotonic() + left_ms / 1000


def _ignored(_product: bytes) -> None:
    """Keep nothing of what a run made."""
