"""A real node whose task's data are on their way: tiny runs, and then the task, in one process."""

from pathlib import Path

import pytest

from node.home.home import Home
from tests.integration.nodes import arnode, arnode_json, running_node
from tests.trainer.hub import served, write_unpinned

NAMES = ("shard_0.parquet", "shard_1.parquet", "shard_8.parquet", "shard_9.parquet")


@pytest.mark.soak
def test_tiny_runs_until_the_first_shards_are_there_and_the_rest_comes_while_it_runs(
    home: Path, shards: Path, tmp_path: Path
) -> None:
    with served(shards) as hub:
        folder = write_unpinned(tmp_path / "unpinned", hub.url)
        hub.stalled |= {NAMES[0], NAMES[1]}
        with running_node(home, task=("--task", str(folder))) as node:
            node.wait_for("task tiny on")
            node.wait_for(r"unpinned's data are being fetched \(.+\): meanwhile tiny runs")
            node.wait_until(lambda: f"GET {NAMES[0]}" in hub.asked)
            hub.stalled.discard(NAMES[0])
            node.wait_for("unpinned's data are here: tiny ends after the current run")
            node.wait_for("task unpinned on")
            node.wait_for(
                "training text is still loading; runs start with the part that is already here"
            )
            node.wait_for("measuring|baseline measured")
            hub.stalled.clear()
            node.wait_for("all training text is here")
            node.interrupt()
            assert node.end() == 0
    assert arnode_json(home, "home", "fsck")["problems"] == []


@pytest.mark.soak
@pytest.mark.parametrize("how", ["interrupt", "stop"])
def test_a_stop_meanwhile_ends_everything(
    home: Path, shards: Path, tmp_path: Path, how: str
) -> None:
    with served(shards) as hub:
        hub.stalled.add(NAMES[0])
        folder = write_unpinned(tmp_path / "unpinned", hub.url)
        with running_node(home, task=("--task", str(folder))) as node:
            node.wait_for("meanwhile tiny runs")
            node.wait_until(lambda: f"GET {NAMES[0]}" in hub.asked)
            if how == "stop":
                node.wait_until(lambda: arnode_json(home, "status")["running"])
                arnode(home, "stop")
            else:
                node.interrupt()
            assert node.end() in (0, 130)
        hub.stalled.clear()
        assert not any("task unpinned on" in line for line in node.said)
        # The child went too: its locks are free.
        assert "waiting" not in arnode(home, "task", "prepare", str(folder)).stderr


@pytest.mark.soak
def test_a_node_killed_meanwhile_goes_on(home: Path, shards: Path, tmp_path: Path) -> None:
    with served(shards) as hub:
        hub.stalled.add(NAMES[0])
        folder = write_unpinned(tmp_path / "unpinned", hub.url)
        with running_node(home, task=("--task", str(folder))) as node:
            node.wait_for("meanwhile tiny runs")
            node.wait_until(lambda: f"GET {NAMES[0]}" in hub.asked)
            node.kill()
        hub.stalled.clear()
        arnode(home, "task", "prepare", str(folder))
        with running_node(home, task=("--task", str(folder))) as node:
            node.wait_for("task unpinned on")
            node.interrupt()
            node.end()
    assert arnode_json(home, "home", "fsck")["problems"] == []
    assert not list(Home(home).data.glob("pins/.*-*"))
