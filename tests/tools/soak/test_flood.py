"""A node at work, all that `arnode start` runs, while outsiders send garbage at every layer."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.nodes import PATIENCE_S, arnode, arnode_json, running_node

_MORE = 1  # experiments that begin and end meanwhile, besides the one under way
_ENDLESS = 10**6
_NO_OUTPUT = subprocess.DEVNULL


def listens_at(home: Path) -> list[str]:
    addresses: list[str] = arnode_json(home, "status")["network"]["addresses"]
    return addresses


def experiments(home: Path) -> int:
    return len(arnode_json(home, "log")["experiments"])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_research_goes_on_while_outsiders_flood_the_node(home: Path) -> None:
    # A task of one's own stays at home. Nobody else is there but those who come to harm it.
    env = {"ARNODE_LISTEN": "/ip4/127.0.0.1/tcp/0"}
    with running_node(home, "--yes", env=env, task=("--task", "tiny")) as node:
        node.wait_until(lambda: bool(listens_at(home)))
        node.wait_until(lambda: experiments(home) > 0)
        # Attackers have machines of their own; here they come after the node.
        attack = ["nice", "-n", "10", sys.executable, "-m", "tools.soak.attackers"]
        attack += [listens_at(home)[0], str(_ENDLESS), "flood"]
        with subprocess.Popen(attack, stdout=_NO_OUTPUT) as flood:
            try:
                node.wait_for("peer 12D3")  # one line of an offender
                before = experiments(home)
                node.wait_until(lambda: experiments(home) > before + _MORE)
                assert flood.poll() is None, "it ended before the research had gone on"
            finally:
                flood.kill()
        assert listens_at(home)
        node.interrupt()
        assert node.end() == 0
    assert flood.wait(PATIENCE_S) < 0
    arnode(home, "home", "fsck")
