"""Two nodes of one owner: one tries what the other keeps, before any claim of a gain."""

from pathlib import Path

import pytest

from node.home.home import Home
from node.home.keyfile import load_keys
from node.line.experiment import PEER
from node.store.experiments import Experiment
from node.store.store import Store
from tests.integration.nodes import addresses, answered, arnode, arnode_json, running_node

TASK = ("--task", "tiny-short")  # everybody's, so that it is reported


@pytest.mark.soak
def test_what_one_node_keeps_is_tried_by_the_other_before_it_is_a_claim(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    keys = []
    for home in (one, other):
        Home(home).prepare()
        keys.append(load_keys(Home(home)).author.public.hex())
    listed = tmp_path / "fleet.txt"
    listed.write_text(answered(one, "network", "friends", "sign", *keys).stdout)
    for home in (one, other):
        Home(home).config.write_text(f'friends = "fleet:{keys[0]}"\n')
        answered(home, "network", "friends", "take", str(listed))
    arnode(one, "network", "init", "lab", "--private")
    # A session this short tries nothing early, so that what it keeps is no claim for ten minutes.
    with running_node(one, "--network", "lab", "--yes", "--for", "20m", task=TASK) as finder:
        finder.wait_until(lambda: bool(addresses(one)))
        here = addresses(one)[0]
        line = answered(
            one, "network", "invite", "--network", "lab", "--address", here
        ).stdout.strip()
        # It has no ideas of its own: what it tries is the other's.
        with running_node(other, "--join", line, "--agent", "none", task=TASK) as hearer:
            hearer.wait_for("task tiny-short on")
            hearer.wait_until(lambda: bool(of_peers(other)))
            (peer,) = arnode_json(other, "network", "peers")["peers"]
            assert (peer["author"], peer["trust"]) == (keys[0], "own fleet")
            hearer.interrupt()
            assert hearer.end() == 0
        finder.interrupt()
        assert finder.end() == 0
    tried = of_peers(other)[0]
    with Store.open_read_only(Home(one)) as store:
        confirmed = [entry for entry in store.experiments.listed() if entry.stage == "confirm"]
    assert all(tried.ts_ms < entry.ts_ms for entry in confirmed), "nothing was claimed of it yet"
    assert tried.metric_nano is not None, "measured here"


def of_peers(home: Path) -> list[Experiment]:
    """Return the peers' patches that a node tried."""
    with Store.open_read_only(Home(home)) as store:
        return [one for one in store.experiments.listed() if one.origin == PEER]
