"""Programs in a sandbox: start them, read their output, see what ended them."""

import asyncio
from dataclasses import replace

import pytest

from trainer.host.device import Device
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.program.harness import HARNESS as LIGHT_HARNESS
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox

MIB = 1 << 20
DEAF = """
import os, signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
"""


def profile(**changes: int | bool | Device) -> Profile:
    fields = {"memory_bytes": 800 * MIB, "scratch_bytes": 8 * MIB, **changes}
    return Profile(role="serve", harness=HARNESS, **fields)  # type: ignore[arg-type]


def light_profile(*, single_process: bool = True) -> Profile:
    """Return limits of a sandbox that starts without torch, for tests that send it no program."""
    limits = profile(single_process=single_process)
    return replace(limits, role="judge", harness=LIGHT_HARNESS)


def inside(code: str, limits: Profile | None = None) -> str:
    """Return the output of a program that ran to its end."""
    return _settled(code, limits).output_tail()


def ran_out_of_memory(code: str) -> bool:
    """Return True if a program ended because its device had no more memory."""
    return _settled(code, None).ran_out_of_memory


def _settled(code: str, limits: Profile | None) -> Sandbox:
    async def run() -> Sandbox:
        sandbox = await Sandbox.launch(limits or profile())
        try:
            await sandbox.send(JOB, program_message(code, "serve"))
            async with asyncio.timeout(60):
                with pytest.raises(SandboxEnded):
                    await sandbox.receive(b"?")
            await sandbox.settled()
            assert sandbox.end is None, sandbox.output_tail()
        finally:
            await sandbox.close()
        return sandbox

    return asyncio.run(run())


def ended(code: str, limits: Profile) -> Sandbox:
    """Return the closed sandbox of a program that a limit had to end."""

    async def run() -> Sandbox:
        sandbox = await Sandbox.launch(limits)
        try:
            await sandbox.send(JOB, program_message(code, "serve"))
            async with asyncio.timeout(30):
                with pytest.raises(SandboxEnded):
                    await sandbox.receive(b"?")
        finally:
            await sandbox.close()
        return sandbox

    return asyncio.run(run())
