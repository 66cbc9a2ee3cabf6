"""Real nodes on machines of their own: two behind routers, in a private swarm joined by line.

Nobody can open a connection to either, so that all they have of each other goes through the
bootstrap node, as a relay.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.home.control_socket import is_running
from node.home.home import Home
from node.home.keyfile import load_keys
from node.store.store import Store
from tests.conftest import UNHURRIED_TASK
from tests.integration.namespaces import OUTSIDE, PORT, Machine, World, why_not, world
from tests.integration.nodes import COMMAND, answered, arnode, arnode_json, environment

_LACK = why_not()
pytestmark = pytest.mark.skipif(_LACK is not None, reason=f"no network namespaces: {_LACK}")

_WITHIN_S = 120.0  # on a busy machine
_LISTENING = "listening at "
_TRYING_S = 5.0
_QUIET = {"ARNODE_AGENT": "none", "ARNODE_PEER_CODE": "none", "ARNODE_TASK": str(UNHURRIED_TASK)}


@dataclass(frozen=True, kw_only=True)
class Program:
    """An arnode at work on a machine."""

    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, holds: Callable[[], bool], within_s: float = _WITHIN_S) -> None:
        """Wait for something, while the program lives."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            said = self.log.read_text()
            assert self.process.poll() is None, f"ended too early: {said}"
            assert time.monotonic() < deadline_s, f"too slow; it said {said}"
            time.sleep(0.2)

    def address(self) -> str:
        """Wait until a bootstrap node says where it listens."""
        self.wait_until(lambda: _LISTENING in self.log.read_text())
        return self.log.read_text().partition(_LISTENING)[2].split()[0]

    def network(self) -> dict[str, Any]:
        """Return the network's part of `arnode status`."""
        network: dict[str, Any] = arnode_json(self.home, "status")["network"]
        return network

    def reach(self) -> str:
        return str(self.network()["reach"]) if is_running(Home(self.home).socket) else ""


@contextlib.contextmanager
def running(machine: Machine, home: Path, *words: str, **settings: str) -> Iterator[Program]:
    log = home.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*machine.entering, *COMMAND, *words],
            env=environment(home, settings),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield Program(home=home, process=process, log=log)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """A private network with a bootstrap node at `address`, and the two that joined it."""

    machines: World
    address: str
    a: Program
    b: Program


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    root = tmp_path_factory.mktemp("swarm")
    well_known = root / "bootstrap"
    answered(well_known, "network", "init", "lab", "--private")
    with world() as machines, contextlib.ExitStack() as stack:

        def start(machine: Machine, name: str, *words: str) -> Program:
            listen = {"ARNODE_LISTEN": f"/ip4/{machine.host}/tcp/{PORT}"}
            return stack.enter_context(running(machine, root / name, *words, **_QUIET, **listen))

        bootstrap = start(
            machines.outside,
            "bootstrap",
            "network",
            "bootstrap",
            "--network",
            "lab",
            "--http",
            "none",
        )
        address = bootstrap.address()
        assert address.startswith(f"/ip4/{OUTSIDE}/tcp/{PORT}/p2p/")
        invited = answered(
            well_known, "network", "invite", "--network", "lab", "--address", address
        )
        line = invited.stdout.strip()
        arnode(root / "a", "network", "join", line)
        a = start(machines.a, "a", "start", "--yes", "--name", "anna")
        a.wait_until(lambda: a.reach() == "relay")
        b = start(machines.b, "b", "start", "--join", line, "--name", "bert")
        b.wait_until(lambda: b.reach() == "relay")
        yield Swarm(machines=machines, address=address, a=a, b=b)


def peers(program: Program) -> dict[str, dict[str, Any]]:
    found = arnode_json(program.home, "network", "peers")["peers"]
    return {peer["name"]: peer for peer in found if peer["name"]}


@pytest.mark.soak
def test_behind_their_routers_neither_reaches_the_other(swarm: Swarm) -> None:
    machines = swarm.machines
    for one, other in ((machines.a, machines.b), (machines.b, machines.a)):
        assert one.can_open(OUTSIDE, PORT)
        assert not one.can_open(other.host, PORT)
        assert not machines.outside.can_open(one.seen_as, PORT)


@pytest.mark.soak
def test_two_behind_routers_meet_through_the_relay(swarm: Swarm) -> None:
    for one, name in ((swarm.a, "bert"), (swarm.b, "anna")):
        one.wait_until(lambda one=one, name=name: name in peers(one))
        assert peers(one)[name]["direct"] is False
        status = one.network()
        assert (status["name"], status["reach"]) == ("lab", "relay")
        relayed = [address for address in status["addresses"] if "/p2p-circuit/p2p/" in address]
        assert relayed[0].startswith(f"/ip4/{OUTSIDE}/tcp/{PORT}/p2p/")
    assert "through a relay" in answered(swarm.a.home, "network", "peers").stdout
    assert "reached through a relay" in answered(swarm.a.home, "status").stdout


def test_what_one_publishes_arrives_at_the_other(swarm: Swarm) -> None:
    author = load_keys(Home(swarm.b.home)).author.public

    def is_there() -> bool:
        with Store.open_read_only(Home(swarm.a.home)) as store:
            return any(record.author == author for record in store.records.listed("profile"))

    swarm.a.wait_until(is_there)


@pytest.mark.soak
def test_who_has_no_secret_is_refused(swarm: Swarm, tmp_path: Path) -> None:
    home = tmp_path / "outsider"
    arnode(home, "network", "init", "lab")
    words = (
        "network",
        "bootstrap",
        "--network",
        "lab",
        "--bootstrap",
        swarm.address,
        "--http",
        "none",
    )
    listen = {"ARNODE_LISTEN": f"/ip4/{OUTSIDE}/tcp/{PORT + 1}"}
    with running(swarm.machines.outside, home, *words, **listen) as outsider:
        own = outsider.address()
        time.sleep(_TRYING_S)
        peers_of_a = arnode_json(swarm.a.home, "network", "peers")["peers"]
        outsider.process.terminate()  # and so it keeps its book
        outsider.process.wait(timeout=_WITHIN_S)
    (tried,) = json.loads((Home(home).networks / "lab.addresses.json").read_text())["addresses"]
    assert tried["address"] == swarm.address
    assert tried["tried_s"] > 0
    assert tried["success_s"] == 0
    assert own.rpartition("/")[2] not in {peer["peer"] for peer in peers_of_a}
