"""A task's own file as the node asks it: loaded once in a sandbox that no candidate's code enters.

Each question is answered by a fork that ends with it, so that nothing is left for the next one. A
judge is such a file, and a script that stands in for a language model.
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
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File, pack_files
from trainer.program.harness.tags import ASK
from trainer.program.launching import launched
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded
from trainer.sandbox.inside.channel import JOB, SERVING
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import READ, ruleset
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import sealed
from trainer.sandbox.seccomp import seccomp_program
from trainer.sandbox.tier import probe_tier

LIMIT_S: Final = 60  # of one question
_START_S: Final = 60.0
_TURNS: Final = 10  # of the loop, from output that can be read to output that is
_FORK_BYTES: Final = 2 << 30  # a fork's memory
_SANDBOX_BYTES: Final = 6 << 30  # of all together
_SCRATCH_BYTES: Final = 16 << 20


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
        hash_seed: int = 0,
    ) -> None:
        self._name = name
        self._files = files
        self._job = {"file": files[0].path, **job}
        self._work = work
        self._hash_seed = hash_seed
        self._sandbox: Sandbox | None = None
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        """End it."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            self._work.end(sandbox)
            await sandbox.close()

    @contextlib.asynccontextmanager
    async def asked(self) -> AsyncIterator[Frames]:
        """Have it fork for one question, which follows in the block."""
        sandbox = await self._started()
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                await sandbox.send(ASK, descriptor=theirs.fileno())
            yield Frames(ours)

    @property
    def is_gone(self) -> bool:
        """Whether all of it has ended, and not only what was answering a question."""
        sandbox = self._sandbox
        return sandbox is None or sandbox.has_ended or not status_number(sandbox.pid, "VmRSS")

    async def _started(self) -> Sandbox:
        async with self._starting:
            if self._sandbox is not None and self.is_gone:
                await self.close()
            if self._sandbox is None:
                self._sandbox = await self._start()
        return self._sandbox

    async def _start(self) -> Sandbox:
        sandbox = await launched(_profile(self._hash_seed))
        self._work.begin(sandbox)
        is_confined = probe_tier().name != "full"
        # A question is answered by what cannot even move a file that the next one reads.
        only_read = asdict(ruleset({Path("/"): READ})) if landlock_abi() else None
        limits = {
            "ruleset": only_read,
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
            fault = await self.fault("cannot be loaded")
            await self.close()
            raise fault from error
        except BaseException:
            self._work.end(sandbox)
            await sandbox.close()
            raise
        return sandbox

    async def fault(self, what: str) -> ConfigurationError:
        """Return what is told of a file that does not do what it should."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)  # what it has printed by now is read
        said = "" if self._sandbox is None else _last_words(self._sandbox.output_tail())
        return ConfigurationError(
            f"{self._name} {what}{f' ({said})' if said else ''}",
            "`arnode task check` tries a judge by itself",
        )


def _last_words(output: str) -> str:
    """Return what a traceback ends with; another may have begun after it."""
    lines = [one for one in output.splitlines() if one.strip()]
    ends = [one for one in lines if not one.startswith((" ", "Traceback"))]
    return ends[-1].strip() if ends else ""


def _profile(hash_seed: int) -> Profile:
    return Profile(
        role="judge",
        harness=HARNESS,
        memory_bytes=_SANDBOX_BYTES,
        scratch_bytes=_SCRATCH_BYTES,
        output_bytes=64 << 20,
        threads=256,
        single_process=False,
        hash_seed=hash_seed,
    )
