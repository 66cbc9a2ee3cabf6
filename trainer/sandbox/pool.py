"""Sandboxes started ahead of time, so that an unforked one imports torch during the previous run.

The pool has one spare sandbox for each role. Taking a spare starts the next, until `start_no_next`.
A spare has seen no source, so it carries nothing from one run to another.
"""

import asyncio
import contextlib
from dataclasses import replace

from protocol.errors import SafetyError
from trainer.sandbox.profile import Profile, Role
from trainer.sandbox.sandbox import Sandbox

_STARTS = 3
_PAUSE_S = 0.3


class WarmPool:
    """A supply of warm sandboxes; `close` ends the spares."""

    def __init__(self, profiles: dict[Role, Profile]) -> None:
        self._profiles = profiles
        self._starts_next = True
        self._spares: dict[tuple[Role, bool], asyncio.Task[Sandbox]] = {}

    def warm(self, role: Role, *, is_fresh: bool = False) -> None:
        """Make sure that a spare of this role is starting; with `is_fresh` an unforked one."""
        if (role, is_fresh) not in self._spares:
            profile = replace(self._profiles[role], is_fresh=is_fresh)
            self._spares[role, is_fresh] = asyncio.create_task(Sandbox.launch(profile))

    def start_no_next(self) -> None:
        """Stop starting a new spare each time a sandbox is taken."""
        self._starts_next = False

    async def take(self, role: Role, *, is_fresh: bool = False) -> Sandbox:
        """Return a warm sandbox of this role; the caller closes it.

        Raises SafetyError if it fails to start several times in a row.
        """
        failures = 0
        while True:
            self.warm(role, is_fresh=is_fresh)
            spare = self._spares.pop((role, is_fresh))
            try:
                await asyncio.wait({spare})
            except asyncio.CancelledError:  # a cancelled run leaves it to the next one
                if self._spares.setdefault((role, is_fresh), spare) is not spare:
                    await _end(spare)
                raise
            try:
                sandbox = spare.result()
            except SafetyError:
                # Another run may have reached a per-user kernel limit, or the machine was briefly
                # too busy. That must not end a night of runs.
                failures += 1
                if failures >= _STARTS:
                    raise
                await asyncio.sleep(_PAUSE_S)
                continue
            if (
                self._starts_next
            ):  # never a fresh spare: it is not known yet if the next run needs one
                self.warm(role)
            if not sandbox.has_ended:
                return sandbox
            await sandbox.close()  # a spare that something killed while it waited

    async def close(self) -> None:
        spares = list(self._spares.values())
        self._spares.clear()
        for spare in spares:
            await _end(spare)


async def _end(spare: asyncio.Task[Sandbox]) -> None:
    spare.cancel()
    with contextlib.suppress(asyncio.CancelledError, SafetyError):
        await (await spare).close()
