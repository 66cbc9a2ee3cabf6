"""A task's judge, or script that replaces a language model, loaded once in its own sandbox.

No candidate's code runs in that sandbox. A new fork of the loaded process answers each question of
the node and then ends, so that nothing is left for the next question. A file that may write to disk
is loaded again for each question, in a sandbox that is discarded with everything written there.
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

_GRACE_S: Final = 5.0  # for the start of a fork, in addition to the limit
_WAITS: Final = 4  # seconds that an answer may take for each processor second of the limit
_START_S: Final = 60.0
_TURNS: Final = 10  # iterations of the event loop, enough to read available output
_AT_ONCE: Final = 3  # forks that may use their full memory at the same time
_SCRATCH_BYTES: Final = 16 << 20  # for the file itself and those next to it


class LoadedFile:
    """A loaded file. Its sandbox starts at the first question, and again if it has died.

    `name` names the task and the file in messages. The file to load is the first of `files`.
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
        """End its sandbox."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await self._end(sandbox)

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[Frames]:
        """Fork for one question, and yield its channel: the with block sends and receives frames.

        Raises ConfigurationError if the file cannot be loaded, or its data have changed.
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
        """True if each sandbox answers a single question."""
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
        """Limit the time of a with block that waits for an answer. The block may extend the limit.

        The kernel ends a fork that uses too many processor seconds; the time here is longer, so
        that other processes cannot make it too slow. Raises TimeoutError at the limit. A fork that
        still waits then could disturb the next question. So the whole sandbox is ended.
        """
        try:
            async with asyncio.timeout(_WAITS * self._means.limit_s + _GRACE_S) as limit:
                yield limit
        except TimeoutError:
            await self.close()
            raise

    @property
    def is_gone(self) -> bool:
        """True if the whole sandbox has ended, not only the fork that answers."""
        if self._is_for_one:
            return False  # no other question could end it
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
            await asyncio.sleep(0)  # let the loop read what was printed so far
        self._last_output = sandbox.output_tail()

    async def _start(self) -> Sandbox:
        sandbox = await Sandbox.launch(self._profile)
        self._work.begin(sandbox)
        is_confined = probe_tier().name != "full"
        # A fork must not be able to move a file that the next fork reads.
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
        """Return the error to raise for a file that fails; `what` describes the failure."""
        if self._sandbox is not None:
            await self._read_output(self._sandbox)
        said = _last_words(self._last_output)
        return ConfigurationError(
            f"{self._name} {what}{f' ({said})' if said else ''}",
            "test the judge with `arnode task check`",
        )


def _last_words(output: str) -> str:
    """Return the last complete traceback's last line, or else the last line of output."""
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
