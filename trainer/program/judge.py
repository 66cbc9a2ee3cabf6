"""A task's judge as the node asks it: it makes instances, checks answers, speaks with candidates.

It lives in a sandbox of its own, which no candidate's code enters, and answers each question by a
fork. What it says of an answer is figures or a reason; whatever else happens to it while it looks
at an answer counts against that answer.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgpack

from protocol.errors import ConfigurationError
from trainer.measuring.host_load import LaneWork
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File, pack_files
from trainer.program.harness.tags import (
    ASK,
    CHECK,
    INSTANCE,
    MAKE,
    MESSAGE,
    OVER,
    REPLY,
    TALK,
    VERDICT,
)
from trainer.program.manifest import JUDGE, ProgramRecipe
from trainer.program.seeds import InstanceName
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded
from trainer.sandbox.inside.channel import JOB, SERVING
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import sealed
from trainer.sandbox.seccomp import seccomp_program
from trainer.sandbox.tier import probe_tier

LIMIT_S: Final = 60  # of one question
_START_S: Final = 60.0
_FORK_BYTES: Final = 2 << 30  # a fork's memory
_SANDBOX_BYTES: Final = 6 << 30  # of all together
_SCRATCH_BYTES: Final = 16 << 20
_VERDICT_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge says of an answer: figures by name, or in `wrong` why there are none."""

    figures: dict[str, float] = field(default_factory=dict)
    wrong: str = ""


class Conversation:
    """One instance spoken about: messages of the judge, replies of a candidate."""

    def __init__(self, frames: Frames, most_bytes: int) -> None:
        self._frames = frames
        self._most_bytes = most_bytes
        self._said: list[tuple[bytes, bytes]] = []
        self._message = b""

    async def message(self) -> bytes | None:
        """Return what the judge says next; None: it has nothing more to say."""
        expected = {MESSAGE: self._most_bytes, OVER: 0}
        tag, payload = await self._frames.receive_one(expected)
        self._message = payload
        return payload if tag == MESSAGE else None

    async def reply(self, reply: bytes) -> None:
        """Say what a candidate replied to the last message."""
        self._said.append((self._message, reply))
        await self._frames.send(REPLY, reply)

    @property
    def transcript(self) -> bytes:
        """All that was said, as an answer to be checked."""
        return bytes(msgpack.packb(self._said))


class Judge:
    """One lane's judge; it is started when it is first asked, and again when it has died."""

    def __init__(
        self, task: str, recipe: ProgramRecipe, *, encoding: str, interactive: bool, work: LaneWork
    ) -> None:
        self._task = task
        self._files = [File(path=JUDGE, data=recipe.judge), *recipe.fixed]
        self._job = {"file": JUDGE, "encoding": encoding, "interactive": interactive}
        self._work = work
        self._sandbox: Sandbox | None = None
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        """End it."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            self._work.end(sandbox)
            await sandbox.close()

    async def make(self, names: Sequence[InstanceName], *, most_bytes: int) -> list[bytes]:
        """Return the instances of these names, made twice, in processes of their own.

        Raises ConfigurationError if the judge fails, or makes others from the same seeds.
        """
        first, second = await asyncio.gather(*(self._make(names, most_bytes) for _ in range(2)))
        digests = [[hashlib.sha256(one).digest() for one in made] for made in (first, second)]
        if digests[0] != digests[1]:
            raise ConfigurationError(
                f"task {self._task}: its judge makes other instances from the same seed",
                "instance() must follow from its arguments alone: no clock, no chance but "
                "random_of(seed), nothing kept between calls",
            )
        return first

    async def check(self, instance: bytes, answer: bytes) -> Verdict:
        """Return what an answer is worth."""
        try:
            async with self._asked() as frames, asyncio.timeout(LIMIT_S):
                await frames.send(CHECK, msgpack.packb([instance, answer]))
                _, payload = await frames.receive_one({VERDICT: _VERDICT_BYTES})
        except (SandboxEnded, ForgedFrame, TimeoutError):
            return Verdict(wrong="the judge came to no end with it")
        said = json.loads(payload)
        if "wrong" in said:
            return Verdict(wrong=said["wrong"])
        figures = said["figures"]
        if not all(math.isfinite(figure) for figure in figures.values()):
            return Verdict(wrong="the judge's figures of it are not finite")
        return Verdict(figures=figures)

    @contextlib.asynccontextmanager
    async def talk(self, instance: bytes, *, most_bytes: int) -> AsyncIterator[Conversation]:
        """Speak about an instance while the block lasts."""
        async with self._asked() as frames:
            await frames.send(TALK, instance)
            yield Conversation(frames, most_bytes)

    async def _make(self, names: Sequence[InstanceName], most_bytes: int) -> list[bytes]:
        asked = msgpack.packb([[name.seed, name.split, name.index] for name in names])
        made: list[bytes] = []
        try:
            async with self._asked() as frames, asyncio.timeout(LIMIT_S):
                await frames.send(MAKE, asked)
                for _ in names:
                    made.append((await frames.receive_one({INSTANCE: most_bytes}))[1])  # noqa: PERF401
        except (SandboxEnded, ForgedFrame, TimeoutError) as error:
            raise self._fault(f"made no instance {names[len(made)].index}") from error
        return made

    @contextlib.asynccontextmanager
    async def _asked(self) -> AsyncIterator[Frames]:
        """Have the judge fork for one question, which follows in the block."""
        sandbox = await self._started()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                await sandbox.send(ASK, descriptor=theirs.fileno())
            yield Frames(ours)

    async def _started(self) -> Sandbox:
        async with self._starting:
            if self._sandbox is not None and self._sandbox.has_ended:
                await self.close()
            if self._sandbox is None:
                self._sandbox = await self._start()
        return self._sandbox

    async def _start(self) -> Sandbox:
        sandbox = await Sandbox.launch(_profile())
        self._work.begin(sandbox)
        is_confined = probe_tier().name != "full"
        limits = {
            "filter": seccomp_program(single_process=True, is_confined=is_confined).hex(),
            "memory_bytes": _FORK_BYTES,
            "limit_s": LIMIT_S,
        }
        try:
            with sealed(pack_files(self._files)) as files:
                await sandbox.send(JOB, json.dumps(self._job | limits).encode(), files)
            async with asyncio.timeout(_START_S):
                await sandbox.receive(SERVING)
        except (SandboxEnded, ForgedFrame, TimeoutError) as error:
            await sandbox.settled()
            self._sandbox = sandbox
            fault = self._fault("cannot be loaded")
            await self.close()
            raise fault from error
        except BaseException:
            self._work.end(sandbox)
            await sandbox.close()
            raise
        return sandbox

    def _fault(self, what: str) -> ConfigurationError:
        said = self._sandbox.output_tail().strip().rpartition("\n")[2] if self._sandbox else ""
        return ConfigurationError(
            f"task {self._task}: its judge {what}{f' ({said})' if said else ''}",
            "`arnode task check` tries a judge by itself",
        )


def _profile() -> Profile:
    return Profile(
        role="judge",
        harness=HARNESS,
        memory_bytes=_SANDBOX_BYTES,
        scratch_bytes=_SCRATCH_BYTES,
        output_bytes=64 << 20,
        threads=256,
        single_process=False,
    )
