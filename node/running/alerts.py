"""The alerts of a running node, opened by its settings."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys
from node.home.notify import Outlet, outlet
from node.running.alert import Alert, AlertMessage, end_of
from node.running.alert_outlets import LIMIT_S, Outlets
from node.running.alert_quota import AlertQuota
from protocol.errors import ConfigurationError, UsageError


class Alerts:
    """A sender of alerts within the limits of `AlertQuota`."""

    def __init__(
        self,
        outlets: Outlets,
        quota: AlertQuota,
        *,
        node: str,
        clock_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self._outlets = outlets
        self._quota = quota
        self._node = node
        self._clock_ms = clock_ms

    async def send(self, alert: Alert) -> None:
        """Send an alert, or count it for the next one. Errors of outlets are not raised."""
        now_ms = self._clock_ms()
        held_back = self._quota.admit(alert.kind, now_ms)
        if held_back is not None:
            await self._outlets.send(
                AlertMessage(alert=alert, node=self._node, ts_ms=now_ms, held_back=held_back)
            )


@contextlib.contextmanager
def open_alerts(home: Home, config: Config, *, limit_s: float = LIMIT_S) -> Iterator[Alerts | None]:
    """Yield the sender of this node's alerts; None if `notify` is empty.

    An error raised in the block is sent as an alert too, except a UsageError, which only the
    terminal shows. The caller holds the home's lock. Raises ConfigurationError if an outlet's
    program is missing.
    """
    if not config.notify:
        yield None
        return
    alerts = Alerts(
        Outlets([_found(outlet(word)) for word in config.notify], limit_s=limit_s),
        AlertQuota(home.alerts),
        node=identity_of(load_keys(home), config).name,
    )
    try:
        yield alerts
    except UsageError:
        raise
    except Exception as fault:
        asyncio.run(alerts.send(end_of(fault)))
        raise


def _found(named: Outlet) -> Outlet:
    """Return the outlet with the full path of its program."""
    if named.way != "command":
        return named
    wanted, *arguments = named.words
    program = shutil.which(str(Path(wanted).expanduser()))
    if program is None:
        raise ConfigurationError(
            f"`notify` names the program {wanted}, which is missing or not executable",
            "give its path, or remove it from `notify`",
        )
    return Outlet(way=named.way, words=(program, *arguments))
