"""The listening sockets of the page.

They stay open when a server on them closes, so that no other program takes the port before the
next server starts. Other users of the machine may still take it while no node runs. They could then
leave a service worker in a browser that visits them. So a browser opens a page on loopback under a
random name for each start (`NAME.localhost`, RFC 6761). Data stored under an earlier name has no
effect. Browsers look up such a name at both loopback addresses, so this node must hold both.
"""

import errno
import ipaddress
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from node.home.values import FREE_PAGE
from protocol.errors import ConfigurationError

DEFAULT_PORT: Final = 7842
LOOPBACK: Final = "127.0.0.1"
_LOOPBACKS: Final = (LOOPBACK, "::1")
_BACKLOG: Final = 128
_TRIES: Final = 8  # to find a port that is free at both loopback addresses
_NAME_BYTES: Final = 8
_ALTERNATIVE: Final = (
    'set `web` to another port or another address of this machine, to "auto" or to "none"'
)
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A set of listening sockets.

    `name` is the host name for browsers; None means the address. `taken_port` is the default port
    if another program uses it, so that this listener uses a different one.
    """

    sockets: tuple[socket.socket, ...]
    host: str
    port: int
    name: str | None = None
    taken_port: int | None = None

    @property
    def url(self) -> str:
        """The address for programs, such as `http://127.0.0.1:7842/`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def browser_url(self) -> str:
        """The address for a browser."""
        return self.url if self.name is None else f"http://{self.name}:{self.port}/"

    @property
    def notice(self) -> str | None:
        """A notice for the owner if the default port is taken, else None."""
        if self.taken_port is None:
            return None
        return (
            f"port {self.taken_port} is in use by another program, so the page is at port"
            f" {self.port}, with new tokens\n"
            f"hint: close pages of arnode that are open at port {self.taken_port}, and use the link"
            " that is printed here"
        )


def address_of(setting: str) -> tuple[str | None, int | None]:
    """Parse the setting `web` into host and port. Both are None for `auto`."""
    if setting == FREE_PAGE:
        return None, None
    host, _, port = setting.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextmanager
def listening(
    host: str | None, port: int | None, *, alternative: str = _ALTERNATIVE
) -> Iterator[Listener]:
    """Listen at an address for the length of a block.

    Without an address it listens on loopback, at the default port or, if that is taken, at a free
    one. Raises ConfigurationError if this fails, with `alternative` as its hint.
    """
    with ExitStack() as stack:
        if host is None or port is None:
            listener = _usual()
        elif host in _LOOPBACKS:
            listener = _at_loopback(host, port, alternative)
        else:
            sockets = _named(host, port, alternative)
            listener = Listener(sockets=sockets, host=host, port=_port_of(sockets[0]))
        for one in listener.sockets:
            stack.enter_context(one)
        yield listener


def _usual() -> Listener:
    """Listen on all loopback addresses, at the default port or at a port that is free on each.

    Raises ConfigurationError.
    """
    for wanted in (DEFAULT_PORT, *[0] * _TRIES):
        try:
            sockets = _all_loopbacks(wanted)
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                continue
            raise _refused(LOOPBACK, wanted, fault, _ALTERNATIVE) from fault
        if not sockets:
            raise ConfigurationError(
                f"this machine has no loopback address, neither {' nor '.join(_LOOPBACKS)}",
                'bring it up with `ip link set lo up`, or set `web` to "none"',
            )
        return Listener(
            sockets=sockets,
            host=sockets[0].getsockname()[0],
            port=_port_of(sockets[0]),
            name=_new_name(),
            taken_port=None if wanted else DEFAULT_PORT,
        )
    raise ConfigurationError(
        "no port is free for the page", 'set `web` to an address with a port, or to "none"'
    )


def _at_loopback(host: str, port: int, alternative: str) -> Listener:
    """Listen at one loopback address, and at the other one if its port is free.

    Raises ConfigurationError.
    """
    try:
        own = _bound(host, port)
    except OSError as fault:
        raise _refused(host, port, fault, alternative) from fault
    port = _port_of(own)
    (other,) = (one for one in _LOOPBACKS if one != host)
    name: str | None = _new_name()
    sockets = [own]
    try:
        sockets.append(_bound(other, port))
    except OSError as fault:
        if fault.errno not in _ABSENT:
            name = None  # the name could lead a browser to another program
    return Listener(sockets=tuple(sockets), host=host, port=port, name=name)


def _all_loopbacks(port: int) -> tuple[socket.socket, ...]:
    """Listen at one port on each loopback address that the machine has. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for host in _LOOPBACKS:
            try:
                sockets.append(_bound(host, _port_of(sockets[0]) if sockets else port))
            except OSError as fault:
                if fault.errno not in _ABSENT:
                    raise
    except OSError:
        for one in sockets:
            one.close()
        raise
    return tuple(sockets)


def _named(host: str, port: int, alternative: str) -> tuple[socket.socket, ...]:
    """Listen at each address of a host. Raises ConfigurationError."""
    sockets: list[socket.socket] = []
    try:
        kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
        found = socket.getaddrinfo(host, port, type=kind, flags=flags)
        for address in dict.fromkeys(str(one[4][0]) for one in found):
            sockets.append(_bound(address, port))  # noqa: PERF401 (closed below if one fails)
    except (OSError, UnicodeError) as fault:
        for one in sockets:
            one.close()
        raise _refused(host, port, fault, alternative) from fault
    return tuple(sockets)


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    version = ipaddress.ip_address(host.partition("%")[0]).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _refused(
    host: str, port: int, fault: OSError | UnicodeError, alternative: str
) -> ConfigurationError:
    reason = (getattr(fault, "strerror", None) or "not a host").lower()
    is_taken = getattr(fault, "errno", None) == errno.EADDRINUSE
    hint = f"stop the program that listens there, or {alternative}" if is_taken else alternative
    return ConfigurationError(f"the page cannot listen on {host}:{port}: {reason}", hint)


def _new_name() -> str:
    return f"{secrets.token_hex(_NAME_BYTES)}.localhost"


def _port_of(one: socket.socket) -> int:
    port: int = one.getsockname()[1]
    return port
