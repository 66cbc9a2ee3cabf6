"""The worker process that asks a model, as the core has it: started when first needed, started
again when it dies, ended with its block.

    async with ModelWorker(settings, hidden=[home.root]) as worker:
        facts = await worker.facts()
        outcome = await worker.ask(question)

Nothing is raised because a worker died: a question that was on its way then failed, and may have
cost. It is believed no more than the server that it asks.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from agent.completion import PROMPT_BYTES, FaultKind, Question
from agent.worker.channel import ChannelClosedError, WorkerChannel
from agent.worker.messages import (
    MAX_MESSAGES,
    MAX_TIMEOUT_MS,
    Ask,
    Cancel,
    Down,
    Facts,
    Failure,
    FromCore,
    FromWorker,
    Reply,
    Settings,
)
from node.processes.backoff import Backoff
from node.processes.child import running_child, without_sight
from node.processes.programs import program_command
from protocol.errors import ArnodeError, ConfigurationError

PROGRAM: Final = "agent.worker.program"
START_S: Final = 180.0  # importing litellm from a cold disk on a laptop
UP_S: Final = 60.0  # how long a question waits for a worker that is started again
GRACE_S: Final = 15.0  # what a worker may take longer than a question's own time
_DEATHS: Final = 3  # in a row before it ever said anything
_AT_ONCE: Final = 16
_PARTING_S: Final = 1.0
_log = logging.getLogger(__name__)


class ModelWorker:
    """Keeps a worker as long as its block lasts, from the first question on."""

    def __init__(self, settings: Settings, *, hidden: Sequence[Path]) -> None:
        """`hidden`: folders that the process must not see, the node's home first."""
        self._settings = settings
        self._hidden = tuple(hidden)
        self._numbers = itertools.count(1)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[int, asyncio.Future[Reply | Failure]] = {}
        self._channel: WorkerChannel | None = None
        self._is_up = asyncio.Event()
        self._facts: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        self._facts.cancel()

    async def facts(self) -> Facts:
        """Return what is known of the model; this starts the worker, which takes seconds.

        Raises:
            ConfigurationError: litellm is not installed.
            ArnodeError: the worker does not start.
        """
        self._start()
        return await asyncio.shield(self._facts)

    async def ask(self, question: Question) -> Reply | Failure:
        """Return what the model says, or why it says nothing; a little after its time at most."""
        self._start()
        size_bytes = sum(len(one.content.encode("utf-8", "replace")) for one in question.messages)
        if size_bytes > PROMPT_BYTES or not 0 < len(question.messages) <= MAX_MESSAGES:
            return _failed("overflow", f"a prompt of {size_bytes} bytes", may_have_cost=False)
        ask = Ask(
            id=next(self._numbers),
            messages=question.messages,
            max_tokens=question.max_tokens,
            timeout_ms=min(max(1, int(question.timeout_s * 1000)), MAX_TIMEOUT_MS),
        )
        async with self._turns:
            try:
                async with asyncio.timeout(UP_S):
                    await self._is_up.wait()
            except TimeoutError:
                return _failed("worker", "the worker is not there", may_have_cost=False)
            return await self._asked(ask)

    async def _asked(self, ask: Ask) -> Reply | Failure:
        channel = self._channel
        if channel is None:
            return _failed("worker", "the worker has just died", may_have_cost=False)
        answer: asyncio.Future[Reply | Failure] = asyncio.get_running_loop().create_future()
        self._waiting[ask.id] = answer
        try:
            async with asyncio.timeout(ask.timeout_ms / 1000 + GRACE_S):
                await channel.send(ask)
                return await answer
        except ChannelClosedError:
            return _failed("worker", "the worker died", may_have_cost=True)
        except TimeoutError:
            # Its own clock has failed it: it hangs, and whatever else it was asked hangs with it.
            channel.close()
            self._note_down()
            return _failed("timeout", "the worker does not answer any more", may_have_cost=True)
        except asyncio.CancelledError:
            with contextlib.suppress(ChannelClosedError, TimeoutError):
                async with asyncio.timeout(_PARTING_S):
                    await channel.send(Cancel(id=ask.id))
            raise
        finally:
            del self._waiting[ask.id]

    def _start(self) -> None:
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise())

    async def _supervise(self) -> None:
        """Run one process after the other, and wait longer between those that die young."""
        backoff, deaths = Backoff(), 0
        while True:
            born = time.monotonic()
            try:
                why = await self._live()
            except Exception as fault:  # noqa: BLE001 (a supervisor: the node goes on without)
                why = ArnodeError(f"no worker can be run: {type(fault).__name__}: {fault}")
            deaths += 1
            is_final = deaths == _DEATHS or isinstance(why, ConfigurationError)
            if is_final and not self._facts.done():
                self._facts.set_exception(why)
                self._facts.exception()  # whoever asked may have gone
                return
            wait_s = backoff.wait_s(time.monotonic() - born)
            _log.warning("%s; it is started again in %g s", why.message, wait_s)
            await asyncio.sleep(wait_s)

    async def _live(self) -> ArnodeError:
        """Run one process until it ends, and return why it did."""
        command = await asyncio.to_thread(
            without_sight,
            # Without -B: compiled once, litellm is there in two seconds instead of twelve.
            program_command(PROGRAM, flags=("-I",)),
            self._hidden,
            "the worker that asks models",
        )
        async with running_child(command, WorkerChannel.over) as child:
            try:
                await child.channel.send(self._settings)
                async with asyncio.timeout(START_S):
                    first = await child.channel.receive()
                if isinstance(first, Down):
                    return _why_down(first)
                self._note_up(child.channel, first)
                while True:
                    self._take(await child.channel.receive())
            except TimeoutError:
                return ArnodeError(f"the worker did not start within {START_S:g} s")
            except ChannelClosedError as fault:
                return ArnodeError(f"the worker died ({fault.message})")
            finally:
                self._note_down()

    def _note_up(self, channel: WorkerChannel, first: FromCore | FromWorker) -> None:
        if not isinstance(first, Facts):
            raise ChannelClosedError(f"an unexpected frame: {first.kind}")
        if not self._facts.done():
            self._facts.set_result(first)
        self._channel = channel
        self._is_up.set()

    def _take(self, message: FromCore | FromWorker) -> None:
        if not isinstance(message, Reply | Failure):
            raise ChannelClosedError(f"an unexpected frame: {message.kind}")
        answer = self._waiting.get(message.id)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _note_down(self) -> None:
        self._channel = None
        self._is_up.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(_failed("worker", "the worker died", may_have_cost=True))


def _why_down(down: Down) -> ArnodeError:
    if down.reason == "not_installed":
        return ConfigurationError(
            "litellm is not installed, without which no model can be asked",
            "install it: `pip install 'arnode[llm]'` (or `uv tool install 'arnode[llm]'`)",
        )
    return ArnodeError(f"the worker cannot ask: {down.detail}", "see `arnode doctor`")


def _failed(fault: FaultKind, detail: str, *, may_have_cost: bool) -> Failure:
    return Failure(
        id=1, fault=fault, detail=detail, retry_ms=None, usage=None, may_have_cost=may_have_cost
    )
