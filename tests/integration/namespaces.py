"""Machines for tests that want routers between nodes: Linux network namespaces, made and removed.

    a ── router ─┐                           10.0.1.2 behind 192.31.196.11
                 ├── outside (192.31.196.1)
    b ── router ─┘                           10.0.2.2 behind 192.31.196.12

Behind a router a machine can open connections to `outside`, and nobody can open one to it: the
router rewrites addresses where the kernel's tools for that are there. Where they are not, it is a
firewall that lets in what comes from `PORT` of `outside`.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

OUTSIDE = "192.31.196.1"
PORT = 4001
_PREFIX = f"arnode{os.getpid()}"


def why_not() -> str | None:
    """Return what this machine lacks for namespaces, None if it lacks nothing."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    for tool in ("ip", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no `{tool}` here"
    probe = _ip("netns", "add", f"{_PREFIX}probe", check=False)
    if probe.returncode:
        return f"no network namespace can be made: {probe.stderr.strip()}"
    _ip("netns", "delete", f"{_PREFIX}probe")
    return None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A namespace; `seen_as` is its address as others see it."""

    name: str
    host: str
    seen_as: str

    @property
    def entering(self) -> tuple[str, ...]:
        """Return the prefix of a command that runs there."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a short command there."""
        return _run([*self.entering, *words], check=check)

    def can_open(self, host: str, port: int) -> bool:
        """Return whether a connection from here succeeds."""
        probe = f"import socket; socket.create_connection(({host!r}, {port}), 1)"
        return not self.run(sys.executable, "-c", probe, check=False).returncode

    def can_bind(self, host: str) -> bool:
        """Return whether the machine has an address of its own."""
        probe = f"import socket; socket.create_server(({host!r}, 0), family=socket.AF_INET6)"
        return not self.run(sys.executable, "-c", probe, check=False).returncode


@dataclass(frozen=True, kw_only=True)
class World:
    """The machines: one that everybody reaches, two behind routers."""

    outside: Machine
    a: Machine
    b: Machine


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Make the machines for the length of a block."""
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(_machine("out", OUTSIDE))
        outside.run("ip", "link", "add", "wan", "type", "bridge")
        outside.run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "wan")
        outside.run("ip", "link", "set", "wan", "up")

        def home(number: int, name: str) -> Machine:
            router = stack.enter_context(_machine(f"r{name}", f"192.31.196.{10 + number}"))
            behind = stack.enter_context(_machine(name, f"10.0.{number}.2"))
            _plug(outside, router)
            if _join(router, behind, f"10.0.{number}.1"):
                return replace(behind, seen_as=router.host)
            outside.run("ip", "route", "add", f"10.0.{number}.0/24", "via", router.host)
            return behind

        yield World(outside=outside, a=home(1, "a"), b=home(2, "b"))


@contextlib.contextmanager
def on_one_wire(hosts: Sequence[Sequence[str]]) -> Iterator[list[Machine]]:
    """Make machines that all reach each other, each with these addresses from 8.0.0.0/5."""
    with contextlib.ExitStack() as stack:
        wire = stack.enter_context(_machine("wire", ""))
        wire.run("ip", "link", "add", "wan", "type", "bridge")
        wire.run("ip", "link", "set", "wan", "up")
        machines = []
        for number, (first, *others) in enumerate(hosts):
            machine = stack.enter_context(_machine(f"m{number}", first))
            _plug(wire, machine, bits=5)
            for other in others:
                machine.run("ip", "addr", "add", f"{other}/5", "dev", "wan")
            machines.append(machine)
        yield machines


@contextlib.contextmanager
def _machine(name: str, host: str) -> Iterator[Machine]:
    machine = Machine(name=f"{_PREFIX}{name}", host=host, seen_as=host)
    _ip("netns", "add", machine.name)
    try:
        machine.run("ip", "link", "set", "lo", "up")
        yield machine
    finally:
        _ip("netns", "delete", machine.name)


def _plug(outside: Machine, router: Machine, *, bits: int = 24) -> None:
    """Connect a router's `wan` to the outer bridge, in a network with this prefix length."""
    port = router.name.removeprefix(_PREFIX)
    outside.run("ip", "link", "add", port, "type", "veth", "peer", "wan", "netns", router.name)
    outside.run("ip", "link", "set", port, "master", "wan", "up")
    router.run("ip", "addr", "add", f"{router.host}/{bits}", "dev", "wan")
    router.run("ip", "link", "set", "wan", "up")


def _join(router: Machine, home: Machine, gateway: str) -> bool:
    """Connect a machine to its router, and return whether that rewrites addresses."""
    router.run("ip", "link", "add", "lan", "type", "veth", "peer", "lan", "netns", home.name)
    for machine, host in ((router, gateway), (home, home.host)):
        machine.run("ip", "addr", "add", f"{host}/24", "dev", "lan")
        machine.run("ip", "link", "set", "lan", "up")
    home.run("ip", "route", "add", "default", "via", gateway)
    router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    if _translate(router):
        return True
    pass_in = ("from", OUTSIDE, "to", home.host, "iif", "wan", "ipproto", "tcp")
    router.run("ip", "rule", "add", "pref", "10", *pass_in, "sport", str(PORT), "lookup", "main")
    router.run("ip", "rule", "add", "pref", "20", "to", home.host, "iif", "wan", "prohibit")
    return False


def _translate(router: Machine) -> bool:
    rules = (
        "table ip nat { chain out { type nat hook postrouting priority 100 ; "
        "oifname wan masquerade ; } ; }"
    )
    legacy = "iptables -t nat -A POSTROUTING -o wan -j MASQUERADE"
    return any(
        shutil.which(words[0]) is not None and not router.run(*words, check=False).returncode
        for words in (["nft", rules], legacy.split())
    )


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _run(["ip", *words], check=check)


def _run(words: Sequence[str], *, check: bool) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert not check or not done.returncode, f"{words}: {done.stderr}"
    return done
