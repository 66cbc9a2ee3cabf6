"""The node's interface to the worker process that calls a model.

The worker starts at the first question, restarts when it dies, and ends with its `async with`
block.

    async with ModelWorker(settings, hidden=[home.root]) as worker:
        facts = await worker.facts()
        outcome = await worker.ask(question)

If the worker dies, no exception is raised: the question in progress fails, and may have cost money.
The worker is as untrusted as the server that it calls.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, Self

from agent.completion import PROMPT_BYTES, CompletionRequest, FaultKind
from agent.worker.key_watch import STOPPED, KeyWatch, leaked, without_secrets
from agent.worker.messages import (
    FRAMING,
    MAX_MESSAGES,
    MAX_TIMEOUT_MS,
    Cancel,
    Down,
    Failure,
    FromCore,
    FromWorker,
    ModelFacts,
    ModelSettings,
    Reply,
    WorkerRequest,
)
from node.processes.channel import Calls, ProcessChannel
from node.processes.child import ChildProgram
from node.processes.supervisor import Supervisor
from protocol.errors import ArnodeError, ConfigurationError
from protocol.framing import ChannelError

PROGRAM: Final = "agent.worker.program"
START_S: Final = 180.0  # importing litellm from a cold disk on a laptop
UP_S: Final = 60.0  # how long a question waits for the restart of the worker
GRACE_S: Final = 15.0  # a worker may exceed a question's time limit by at most this
NEW_KEY: Final = "revoke the key at its provider, and give another server a new one"
_DEATHS: Final = 3  # in a row, before the worker's first message
_AT_ONCE: Final = 16
_PARTING_S: Final = 1.0
_log = logging.getLogger(__name__)


class ModelWorker:
    """A worker that runs from the first question until its `async with` block ends."""

    def __init__(
        self, settings: ModelSettings, *, hidden: Sequence[Path], watch: KeyWatch | None = None
    ) -> None:
        """Take the worker's settings.

        `hidden` are folders that the process must not see, the node's home first. `watch` detects
        keys that no answer may reveal; the default is the model's own key.
        """
        self._settings = settings
        self._watch = watch or KeyWatch([settings.api_key] if settings.api_key else [])
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._calls: Calls[Reply | Failure] = Calls()
        self._channel: ProcessChannel[FromCore | FromWorker] | None = None
        self._is_up = asyncio.Event()
        self._facts: asyncio.Future[ModelFacts] = asyncio.get_running_loop().create_future()
        self._deaths = 0
        program = ChildProgram(
            name="the worker that asks models",
            module=PROGRAM,
            framing=FRAMING,
            hidden=tuple(hidden),
        )
        self._supervisor = Supervisor(program, self._live, on_death=self._note_death)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop()
        self._facts.cancel()

    async def facts(self) -> ModelFacts:
        """Return the facts about the model. This starts the worker, which takes seconds.

        Raises ConfigurationError without litellm, ArnodeError if the worker does not start.
        """
        self._supervisor.start()
        return await asyncio.shield(self._facts)

    async def ask(self, question: CompletionRequest) -> Reply | Failure:
        """Return the model's answer or a failure, at most `GRACE_S` after the question's limit.

        An answer that reveals a key is never returned, and every later question fails.
        """
        if self._watch.is_revealed(self._settings.api_key):
            return leaked(1, STOPPED)
        answer = await self._answer(question)
        kept = await asyncio.to_thread(without_secrets, answer, self._watch)
        if isinstance(kept, Failure) and kept.fault == "leaked_key":
            _log.warning("the model %s: %s; %s", self._settings.model, kept.detail, NEW_KEY)
        return kept

    async def _answer(self, question: CompletionRequest) -> Reply | Failure:
        self._supervisor.start()
        size_bytes = sum(len(one.content.encode("utf-8", "replace")) for one in question.messages)
        if size_bytes > PROMPT_BYTES or not 0 < len(question.messages) <= MAX_MESSAGES:
            return _failed("overflow", f"a prompt of {size_bytes} bytes", may_have_cost=False)
        async with self._turns:
            try:
                async with asyncio.timeout(UP_S):
                    await self._is_up.wait()
            except TimeoutError:
                return _failed("worker", "the worker is not running", may_have_cost=False)
            with self._calls.open() as (number, answer):
                ask = WorkerRequest(
                    id=number,
                    messages=question.messages,
                    max_tokens=question.max_tokens,
                    timeout_ms=min(max(1, int(question.timeout_s * 1000)), MAX_TIMEOUT_MS),
                )
                return await self._asked(ask, answer)

    async def _asked(
        self, ask: WorkerRequest, answer: asyncio.Future[Reply | Failure]
    ) -> Reply | Failure:
        channel = self._channel
        if channel is None:
            return _failed("worker", "the worker just died", may_have_cost=False)
        try:
            async with asyncio.timeout(ask.timeout_ms / 1000 + GRACE_S):
                await channel.send(ask)
                return await answer
        except ChannelError:
            return _failed("worker", "the worker died", may_have_cost=True)
        except TimeoutError:
            # The worker exceeded its own time limit: it hangs, with all its other questions.
            channel.close()
            self._note_down()
            return _failed("timeout", "the worker no longer answers", may_have_cost=True)
        except asyncio.CancelledError:
            with contextlib.suppress(ChannelError, TimeoutError):
                async with asyncio.timeout(_PARTING_S):
                    await channel.send(Cancel(id=ask.id))
            raise

    async def _live(self, channel: ProcessChannel[FromCore | FromWorker]) -> NoReturn:
        try:
            await channel.send(self._settings)
            try:
                async with asyncio.timeout(START_S):
                    first = await channel.receive()
            except TimeoutError:
                raise ChannelError(f"it did not start within {START_S:g} s") from None
            if isinstance(first, Down):
                raise _why_down(first)
            self._note_up(channel, first)
            while True:
                self._take(await channel.receive())
        finally:
            self._note_down()

    def _note_death(self, why: ArnodeError, wait_s: float) -> bool:
        self._deaths += 1
        is_final = self._deaths == _DEATHS or isinstance(why, ConfigurationError)
        if is_final and not self._facts.done():
            self._facts.set_exception(why)
            self._facts.exception()  # mark it as retrieved: its caller may be cancelled
            return False
        _log.warning("%s; it restarts in %g s", why.message, wait_s)
        return True

    def _note_up(
        self, channel: ProcessChannel[FromCore | FromWorker], first: FromCore | FromWorker
    ) -> None:
        if not isinstance(first, ModelFacts):
            raise ChannelError(f"an unexpected frame: {first.kind}")
        if not self._facts.done():
            self._facts.set_result(first)
        self._channel = channel
        self._is_up.set()

    def _take(self, message: FromCore | FromWorker) -> None:
        if not isinstance(message, Reply | Failure):
            raise ChannelError(f"an unexpected frame: {message.kind}")
        self._calls.answer(message.id, message)

    def _note_down(self) -> None:
        self._channel = None
        self._is_up.clear()
        self._calls.fail_all(ChannelError("the worker died"))


def _why_down(down: Down) -> ArnodeError:
    if down.reason == "not_installed":
        return ConfigurationError(
            "litellm is not installed, but models are called through it",
            "install it: `pip install 'arnode[llm]'` (or `uv tool install 'arnode[llm]'`)",
        )
    return ArnodeError(f"the worker cannot call the model: {down.detail}", "see `arnode doctor`")


def _failed(fault: FaultKind, detail: str, *, may_have_cost: bool) -> Failure:
    return Failure(
        id=1, fault=fault, detail=detail, retry_ms=None, usage=None, may_have_cost=may_have_cost
    )
