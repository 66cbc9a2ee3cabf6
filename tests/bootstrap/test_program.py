"""A bootstrap node as its operator has it: commands on its home reach it, an invite leads to it."""

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.home.home import Home
from node.home.invites import read_invite
from node.home.keyfile import read_keys
from tests.integration.nodes import COMMAND, PATIENCE_S, answered, environment, fault_of

LISTEN = "/ip4/127.0.0.1/tcp/0"


@contextlib.contextmanager
def bootstrap_node(home: Path, network: str) -> Iterator[subprocess.Popen[bytes]]:
    """`arnode network bootstrap` at work: it listens when the block begins."""
    words = ("network", "bootstrap", "--network", network, "--http", "none", "--listen", LISTEN)
    process = subprocess.Popen([*COMMAND, *words], env=environment(home), stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        said: list[bytes] = []
        os.set_blocking(process.stderr.fileno(), False)
        deadline_s = time.monotonic() + PATIENCE_S
        while b"listening at" not in b"".join(said):
            assert process.poll() is None, said
            assert time.monotonic() < deadline_s, said
            said.append(process.stderr.read() or b"")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def read_json(home: Path, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answered(home, *words, "--json").stdout)
    return document


def test_commands_on_its_home_reach_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "needs the address" in fault_of(home, "network", "invite", code=2)
    answered(home, "network", "init", "lab", "--private")
    with bootstrap_node(home, "lab") as process:
        invite = answered(home, "network", "invite")
        invited = read_invite(invite.stdout)
        assert invited.name == "lab"
        assert invited.secret is not None
        assert "this invite is for the network lab\n" in invite.stderr
        (address,) = invited.bootstrap
        assert address.key == read_keys(Home(home)).transport.public
        with socket.create_connection((address.host, address.port), timeout=10):
            pass
        status = read_json(home, "status")
        assert (status["running"], status["network"]["name"]) == (True, "lab")
        assert status["network"]["addresses"] == [str(address)]
        node = read_json(home, "network", "show")["node"]
        assert node["addresses"] == [str(address)]
        assert node["peer_id"] == address.peer
        assert read_json(home, "network", "peers")["peers"] == []
        assert read_json(home, "leaderboard")["network"] == "lab"
        for words in (("pause",), ("agent", "propose", "--print-prompt")):
            assert "does no research" in fault_of(home, *words, code=2)
        answered(home, "stop")
        assert process.wait(PATIENCE_S) == 0
    assert "no node is running" in fault_of(home, "stop", code=3)
