"""A task's own file as the node asks it: loaded once in a sandbox that no candidate's code enters.

Each question is answered by a fork that ends with it, so that nothing is left for the next one. A
judge is such a file, and a script that stands in for a language model. One that may write files is
loaded anew for each question, in a sandbox whose end takes along what was written.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.host.processes import status_number
from trainer.measuring.host_load import LaneWork
from trainer.program.data import JudgeResources
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File, pack_files
from trainer.program.harness.tags import ASK
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded
from trainer.sandbox.inside.channel import JOB, SERVING
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import READ, WRITE, ruleset
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import sealed
from trainer.sandbox.seccomp import seccomp_program
from trainer.sandbox.tier import probe_tier

_GRACE_S: Final = 5.0  # beyond that, in which a fork's own alarm has ended it
_START_S: Final = 60.0
_TURNS: Final = 10  # of the loop, from output that can be read to output that is
_AT_ONCE: Final = 3  # forks that may take all of their memory
_SCRATCH_BYTES: Final = 16 << 20  # of the file itself, and what lies beside it


class LoadedFile:
    """One of them; it is started when it is first asked, and again when it has died.

    `name` is what it is called to people, with its task; the first of `files` is it.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[File],
        job: dict[str, object],
        *,
        work: LaneWork,
        means: JudgeResources | None = None,
        hash_seed: int = 0,
    ) -> None:
        self._name = name
        self._files = files
        self._job = {"file": files[0].path, **job}
        self._work = work
        self._means = means or JudgeResources()
        self._profile = _profile(self._means, hash_seed)
        self._sandbox: Sandbox | None = None
        self._last_output = ""
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        """End it."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await self._end(sandbox)

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[Frames]:
        """Have it fork for one question, which follows in the block.

        Raises ConfigurationError if it cannot be loaded, or its data are no longer what they were.
        """
        for folder in self._means.data:
            await asyncio.to_thread(folder.check)
        if not self._is_for_one:
            async with self._question(await self._started()) as frames:
                yield frames
            return
        sandbox = await self._start()
        try:
            async with self._question(sandbox) as frames:
                yield frames
        finally:
            await self._end(sandbox)

    @property
    def _is_for_one(self) -> bool:
        """Whether a sandbox of it answers a single question."""
        return self._means.scratch_bytes > 0

    @contextlib.asynccontextmanager
    async def _question(self, sandbox: Sandbox) -> AsyncIterator[Frames]:
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                async with self.in_time():
                    await sandbox.send(ASK, descriptor=theirs.fileno())
            yield Frames(ours)

    @contextlib.asynccontextmanager
    async def in_time(self) -> AsyncIterator[asyncio.Timeout]:
        """Wait for it in the block, which may put the limit off.

        Raises TimeoutError where that takes longer than any question may: a fork that has not ended
        by then has put its alarm off, and would go on beside the next. So all of it is ended.
        """
        try:
            async with asyncio.timeout(self._means.limit_s + _GRACE_S) as limit:
                yield limit
        except TimeoutError:
            await self.close()
            raise

    @property
    def is_gone(self) -> bool:
        """Whether all of it has ended, and not only what was answering a question."""
        if self._is_for_one:
            return False  # nobody else's question could end it
        sandbox = self._sandbox
        return sandbox is None or sandbox.has_ended or not status_number(sandbox.pid, "VmRSS")

    async def _started(self) -> Sandbox:
        async with self._starting:
            if self._sandbox is not None and self.is_gone:
                await self.close()
            if self._sandbox is None:
                self._sandbox = await self._start()
        return self._sandbox

    async def _end(self, sandbox: Sandbox) -> None:
        try:
            await self._read_output(sandbox)
        finally:
            self._work.end(sandbox)
            await sandbox.close()

    async def _read_output(self, sandbox: Sandbox) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)  # what it has printed by now is read
        self._last_output = sandbox.output_tail()

    async def _start(self) -> Sandbox:
        sandbox = await Sandbox.launch(self._profile)
        self._work.begin(sandbox)
        is_confined = probe_tier().name != "full"
        # A question is answered by what cannot even move a file that the next one reads.
        only_read = asdict(ruleset({Path("/"): READ})) if landlock_abi() else None
        limits = {
            "ruleset": only_read,
            "filter": seccomp_program(single_process=True, is_confined=is_confined).hex(),
            "memory_bytes": self._means.memory_bytes,
            "scratch_bytes": self._means.scratch_bytes,
            "scratch_access": int(WRITE),
            "limit_s": self._means.limit_s,
        }
        try:
            with sealed(pack_files(self._files)) as files:
                await sandbox.send(JOB, json.dumps(self._job | limits).encode(), files)
            async with asyncio.timeout(_START_S):
                await sandbox.receive(SERVING)
        except (SandboxEnded, ForgedFrame, TimeoutError) as error:
            if isinstance(error, SandboxEnded):
                await sandbox.settled()
            await self._end(sandbox)
            raise await self.fault("cannot be loaded") from error
        except BaseException:
            self._work.end(sandbox)
            await sandbox.close()
            raise
        return sandbox

    async def fault(self, what: str) -> ConfigurationError:
        """Return what is told of a file that does not do what it should."""
        if self._sandbox is not None:
            await self._read_output(self._sandbox)
        said = _last_words(self._last_output)
        return ConfigurationError(
            f"{self._name} {what}{f' ({said})' if said else ''}",
            "`arnode task check` tries a judge by itself",
        )


def _last_words(output: str) -> str:
    """Return what a traceback ends with; another may have begun after it."""
    lines = [one for one in output.splitlines() if one.strip()]
    ends = [one for one in lines if not one.startswith((" ", "Traceback"))]
    return ends[-1].strip() if ends else ""


def _profile(means: JudgeResources, hash_seed: int) -> Profile:
    return Profile(
        role="judge",
        harness=HARNESS,
        memory_bytes=_AT_ONCE * means.memory_bytes,
        scratch_bytes=_SCRATCH_BYTES + means.scratch_bytes,
        output_bytes=64 << 20,
        threads=256,
        single_process=False,
        packages=means.packages,
        data=tuple(folder.shown for folder in means.data),
        hash_seed=hash_seed,
    )
