"""The delivery of alerts to the outlets in the settings: ntfy, a webhook, a command.

Each outlet has ten seconds. Its first failure is logged, later ones only after it worked again. A
failing outlet delays neither other outlets nor the node.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from node.home.notify import Outlet
from node.running.alert import AlertKind, AlertMessage
from protocol.codecs import plain

LIMIT_S: Final = 10.0
_OK: Final = range(200, 300)
# names of priorities in ntfy: https://docs.ntfy.sh/publish/#message-priority
_PRIORITIES: Final[dict[AlertKind, str]] = {"ended": "high", "disk": "high"}
_log = logging.getLogger("node")


class NotTakenError(Exception):
    """An outlet rejected a message."""


class Outlets:
    """The outlets in the settings, and which of them failed at the last delivery."""

    def __init__(self, outlets: Sequence[Outlet], *, limit_s: float = LIMIT_S) -> None:
        self._outlets = tuple(outlets)
        self._limit_s = limit_s
        self._failing: set[Outlet] = set()

    async def send(self, message: AlertMessage) -> None:
        """Send a message to all outlets at once; return when each has accepted it or failed."""
        await asyncio.gather(*(self._try(outlet, message) for outlet in self._outlets))

    async def _try(self, outlet: Outlet, message: AlertMessage) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await _send(outlet, message)
        except TimeoutError:
            self._note(outlet, f"it did not accept it within {self._limit_s:g} s")
        except (NotTakenError, OSError) as fault:
            self._note(outlet, str(fault) or type(fault).__name__)
        else:
            self._failing.discard(outlet)

    def _note(self, outlet: Outlet, why: str) -> None:
        if outlet not in self._failing:
            self._failing.add(outlet)
            _log.warning("an alert did not reach %s: %s", plain(outlet.shown), plain(why))


async def _send(outlet: Outlet, message: AlertMessage) -> None:
    document = json.dumps(message.document()).encode()
    match outlet.way:
        case "ntfy":
            headers = {
                "Title": f"arnode: {message.alert.kind}",
                "Priority": _PRIORITIES.get(message.alert.kind, "default"),
            }
            await _post(outlet.words[0], message.text.encode(), headers)
        case "webhook":
            await _post(outlet.words[0], document, {"Content-Type": "application/json"})
        case "command":
            await _run(outlet.words, document)


async def _post(url: str, data: bytes, headers: dict[str, str]) -> None:
    import aiohttp

    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=data, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status not in _OK:
                raise NotTakenError(f"it answered {answer.status}")
    except aiohttp.ClientError as fault:
        raise NotTakenError(f"{type(fault).__name__}") from fault  # its message has the URL


async def _run(argv: Sequence[str], document: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal should reach only the node
    )
    try:
        await process.communicate(document)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise NotTakenError(f"it ended with exit code {process.returncode}")
