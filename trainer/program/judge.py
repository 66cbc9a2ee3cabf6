"""Asks a task's judge in its sandbox to make instances, check answers and talk with candidates.

The judge's sandbox never runs a candidate's code. A fork answers each question. The verdict on an
answer is either figures or the reason it is wrong. If the judge fails while it checks an answer,
the answer is wrong.
"""

import asyncio
import contextlib
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgpack

from protocol.errors import ConfigurationError
from trainer.measuring.host_load import LaneWork
from trainer.program.asking import Questions
from trainer.program.harness.endpoint import MOST_BYTES
from trainer.program.harness.files import File
from trainer.program.harness.tags import (
    CHECK,
    INSTANCE,
    MAKE,
    MESSAGE,
    OVER,
    QUESTION,
    REPLY,
    TALK,
    VERDICT,
)
from trainer.program.loaded import LoadedFile
from trainer.program.manifest import JUDGE, ProgramRecipe
from trainer.program.seeds import InstanceName
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded

_VERDICT_BYTES: Final = 64 << 10
_NO_END: Final = json.dumps({"wrong": "the judge did not finish checking it"}).encode()
_CHECKS, _MAKES = 2, 3  # attempts, because another question may end the judge meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judge's verdict on an answer: figures by name, or in `wrong` the reason it is wrong."""

    figures: dict[str, float] = field(default_factory=dict)
    wrong: str = ""


class Conversation:
    """A conversation about one instance: the judge's messages and a candidate's replies."""

    def __init__(self, loaded: LoadedFile, frames: Frames, most_bytes: int) -> None:
        self._loaded = loaded
        self._frames = frames
        self._most_bytes = most_bytes
        self._said: list[tuple[bytes, bytes]] = []
        self._message = b""
        self.replied_bytes = 0

    async def message(self) -> bytes | None:
        """Return the judge's next message, None at the end of the conversation."""
        expected = {MESSAGE: self._most_bytes, OVER: 0}
        async with self._loaded.in_time():
            tag, payload = await self._frames.receive_one(expected)
        self._message = payload
        return payload if tag == MESSAGE else None

    async def reply(self, reply: bytes) -> None:
        """Send the judge a candidate's reply to the last message."""
        self._said.append((self._message, reply))
        self.replied_bytes += len(reply)
        async with self._loaded.in_time():
            await self._frames.send(REPLY, reply)

    @property
    def transcript(self) -> bytes:
        """The whole conversation, as an answer to be checked."""
        return bytes(msgpack.packb(self._said))


class Judge:
    """One lane's judge."""

    def __init__(
        self,
        task: str,
        recipe: ProgramRecipe,
        *,
        encoding: str,
        interactive: bool,
        asks: bool = False,
        has_evaluated: bool = False,
        work: LaneWork,
        hash_seed: int = 0,
    ) -> None:
        """Create a judge. It starts at the first question.

        `has_evaluated` is True if an imported evaluator calls the candidate. Answers are then the
        evaluator's verdicts.
        """
        self._task = task
        files = [File(path=JUDGE, data=recipe.judge), *recipe.fixed]
        self._has_evaluated = has_evaluated
        job: dict[str, object] = {"encoding": encoding, "interactive": interactive, "asks": asks}
        name = f"task {task}: its judge"
        means = recipe.judge_means
        self._loaded = LoadedFile(name, files, job, work=work, means=means, hash_seed=hash_seed)

    async def close(self) -> None:
        """End its sandbox."""
        await self._loaded.close()

    async def make(self, names: Sequence[InstanceName], *, most_bytes: int) -> list[bytes]:
        """Return the instances of these names. They are made twice, in separate processes.

        Raises ConfigurationError if the judge fails, or makes different ones from the same seeds.
        """
        making = (self._make(names, most_bytes) for _ in range(2))
        both: list[list[bytes]] = []
        # Wait for both, so that neither starts a sandbox later that nobody closes.
        for made in await asyncio.gather(*making, return_exceptions=True):
            if isinstance(made, BaseException):
                raise made
            both.append(made)
        first, second = both
        digests = [[hashlib.sha256(one).digest() for one in made] for made in (first, second)]
        if digests[0] != digests[1]:
            raise ConfigurationError(
                f"task {self._task}: its judge makes different instances from the same seed",
                "let instance() depend only on its arguments: use no clock, no randomness but "
                "random_of(seed), and store nothing between calls",
            )
        return first

    async def check(
        self, instance: bytes, answer: bytes, asking: Callable[[], Questions] | None = None
    ) -> Verdict:
        """Return the verdict on an answer. `asking` is a factory of `Questions` for the judge.

        If an evaluator called the candidate, the answer is its verdict. Raises ArnodeError if a
        model failed and the judge did not cause this.
        """
        if self._has_evaluated:
            return verdict_of(answer)
        for _ in range(_CHECKS):
            questions = None if asking is None else asking()
            try:
                async with self._loaded.asked() as frames, self._loaded.in_time() as limit:
                    await frames.send(CHECK, msgpack.packb([instance, answer]))
                    payload = await _judged(frames, limit, questions)
            except SandboxEnded:
                if self._loaded.is_gone:
                    continue  # another answer may have ended the whole sandbox
                payload = _NO_END
            except (ForgedFrame, TimeoutError):
                payload = _NO_END
            if questions is not None and questions.fault is not None:
                raise questions.fault
            return verdict_of(payload)
        return verdict_of(_NO_END)

    @contextlib.asynccontextmanager
    async def talk(self, instance: bytes, *, most_bytes: int) -> AsyncIterator[Conversation]:
        """Yield a conversation about an instance, open during the with block.

        Raises SandboxEnded in the block if the judge ends, or takes too long to send a message.
        """
        try:
            async with self._loaded.asked() as frames:
                async with self._loaded.in_time():
                    await frames.send(TALK, instance)
                yield Conversation(self._loaded, frames, most_bytes)
        except TimeoutError as error:
            raise SandboxEnded from error

    async def _make(self, names: Sequence[InstanceName], most_bytes: int) -> list[bytes]:
        asked = msgpack.packb([[name.seed, name.judges_split, name.index] for name in names])
        for left in reversed(range(_MAKES)):
            made: list[bytes] = []
            try:
                async with self._loaded.asked() as frames, self._loaded.in_time():
                    await frames.send(MAKE, asked)
                    for _ in names:
                        made.append((await frames.receive_one({INSTANCE: most_bytes}))[1])  # noqa: PERF401
            except (SandboxEnded, ForgedFrame, TimeoutError) as error:
                if isinstance(error, SandboxEnded) and self._loaded.is_gone and left:
                    continue  # an answer checked meanwhile may have ended the sandbox
                raise await self._loaded.fault(
                    f"did not make instance {names[len(made)].index}"
                ) from error
            break
        return made


async def _judged(frames: Frames, limit: asyncio.Timeout, questions: Questions | None) -> bytes:
    """Return the judge's verdict. The judge's clock stops while a model is asked."""
    expected = {VERDICT: _VERDICT_BYTES}
    if questions is not None:
        expected[QUESTION] = MOST_BYTES
    while True:
        tag, payload = await frames.receive_one(expected)
        if tag == VERDICT or questions is None:
            return payload
        ends_s, began_s = limit.when(), asyncio.get_running_loop().time()
        assert ends_s is not None  # noqa: S101 -- it was given one
        limit.reschedule(None)
        reply = await questions.answer(payload)
        limit.reschedule(ends_s + asyncio.get_running_loop().time() - began_s)
        await frames.send(REPLY, reply)


def verdict_of(payload: bytes) -> Verdict:
    """Return the verdict in a judge's reply.

    The reply is untrusted: the answer under check may have taken over the judge's process.
    """
    try:
        match json.loads(payload):
            case {"wrong": str() as wrong}:
                return Verdict(wrong=wrong)
            case {"figures": dict() as said} if set(map(type, said.values())) <= {int, float}:
                figures = {str(name): float(figure) for name, figure in said.items()}
            case _:
                return Verdict(wrong="the judge returned no verdict")
    except (ValueError, TypeError, OverflowError, RecursionError):
        return Verdict(wrong="the judge returned no verdict")
    if not all(map(math.isfinite, figures.values())):
        return Verdict(wrong="the judge returned figures that are not finite")
    return Verdict(figures=figures)
