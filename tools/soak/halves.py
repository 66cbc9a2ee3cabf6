"""Two halves of a machine as network namespaces, which can be separated and joined again.

    left ── hub ── right        10.77.0.N and 10.77.1.N, an address for each node

The hub is a bridge in a namespace of its own. A cut detaches the right half from it. Both ends
still believe that they are connected, but their packets vanish, as behind a dead router. The
machine's own network is untouched. All namespaces end with the three holder processes. Needs user
namespaces, `unshare`, `nsenter` and `ip`.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import UsageError

_UNSHARED_WITHIN_S: Final = 10.0
_MOST: Final = 200  # addresses in one half


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place to run a node: a command prefix, and the address to listen at."""

    prefix: tuple[str, ...]
    host: str

    @property
    def listen(self) -> str:
        """The listening address with any free port."""
        return f"/ip4/{self.host}/tcp/0"


def loopback(number: int) -> Place:
    """Return a place on the machine itself, with its own loopback address."""
    return Place(prefix=(), host=f"127.77.0.{number + 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """The two halves. Odd-numbered places are in the right one."""

    hub: int
    left: int
    right: int

    def place(self, number: int) -> Place:
        """Return a node's place."""
        half = number % 2
        return Place(
            prefix=_inside(self.right if half else self.left),
            host=_host(half, number // 2 + 1),
        )

    def cut(self) -> None:
        """Disconnect the halves."""
        _run(self.hub, "ip", "link", "set", "dev", "right", "nomaster")

    def join(self) -> None:
        """Reconnect the halves."""
        _run(self.hub, "ip", "link", "set", "dev", "right", "master", "hub")


@contextlib.contextmanager
def halves(places: int) -> Iterator[Halves]:
    """Create both halves with room for `places` places, for the length of a block.

    Raises:
        UsageError: this machine does not allow it.
    """
    with contextlib.ExitStack() as stack:
        hub = _holder(stack, ["unshare", "--user", "--map-root-user", "--net"])
        left, right = (
            _holder(stack, [*_inside(hub), "unshare", "--net"]) for _ in ("left", "right")
        )
        _run(hub, "ip", "link", "add", "name", "hub", "type", "bridge")
        _run(hub, "ip", "link", "set", "dev", "hub", "up")
        for half, (name, pid) in enumerate((("left", left), ("right", right))):
            _run(
                *(hub, "ip", "link", "add", "name", name, "type", "veth"),
                *("peer", "name", "eth0", "netns", str(pid)),
            )
            _run(hub, "ip", "link", "set", "dev", name, "master", "hub", "up")
            _run(pid, "ip", "link", "set", "dev", "lo", "up")
            for number in range(1, min(places // 2 + 1, _MOST) + 1):
                address = f"{_host(half, number)}/16"
                _run(pid, "ip", "address", "add", address, "dev", "eth0")
            _run(pid, "ip", "link", "set", "dev", "eth0", "up")
        yield Halves(hub=hub, left=left, right=right)


def _host(half: int, number: int) -> str:
    return f"10.77.{half}.{number}"


def _inside(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials")


def _holder(stack: contextlib.ExitStack, unshare: Sequence[str]) -> int:
    """Start a process that holds a namespace open; return its id once the namespace exists."""
    try:
        process = subprocess.Popen(
            [*unshare, "sh", "-c", "echo here; exec sleep infinity"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError as fault:
        raise UsageError(f"{unshare[0]} is not installed", "install util-linux") from fault
    stack.callback(_end, process)
    assert process.stdout is not None
    started_s = time.monotonic()
    said = process.stdout.readline()
    if said != "here\n" or time.monotonic() - started_s > _UNSHARED_WITHIN_S:
        assert process.stderr is not None
        raise UsageError(
            f"no network namespace can be made here: {process.stderr.readline().strip()}",
            "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1",
        )
    return process.pid


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def _run(pid: int, *command: str) -> None:
    subprocess.run([*_inside(pid), *command], check=True)
