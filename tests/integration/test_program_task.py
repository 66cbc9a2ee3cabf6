"""A program task of one's own between two nodes: found, fetched by its id, verified, adopted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from protocol.record_kinds import AdoptBody
from tests.integration.nodes import addresses, answered, arnode, fault_of, running_node
from tests.tasks.sums import write_sums
from trainer.task_folder.folder import BUILTIN_FOLDER
from trainer.task_kinds import load_task


def write_bins(folder: Path) -> None:
    """Write a small `bin-packing` that begins with worst fit, under a name by which nobody has it.

    The files that the shipped task begins with are next to it.
    """
    shutil.copytree(BUILTIN_FOLDER / "bin-packing", folder)
    shutil.copytree(folder, folder.with_name("handed in"))
    for name, old, new in (
        ("task.toml", 'name = "bin-packing"', 'name = "bins"'),
        ("task.toml", 'moves = "moves.toml"\n', ""),
        ("task.toml", "public = 16\nsecret = 16", "public = 2\nsecret = 8"),
        ("judge.py", "ITEMS = 1_000", "ITEMS = 200"),
        ("solve.py", "return -cost", "return cost"),
    ):
        text = (folder / name).read_text()
        assert text.count(old) == 1
        kept, _, _ = text.partition("# Constants that a move brings along")
        (folder / name).write_text(kept.replace(old, new))


@pytest.mark.parametrize("write", [write_sums, pytest.param(write_bins, marks=pytest.mark.soak)])
def test_a_gain_is_found_by_one_and_fetched_verified_and_adopted_by_the_other(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    one, other, folder = tmp_path / "one", tmp_path / "other", tmp_path / "task"
    write(folder)
    task = load_task(folder, data_dir=tmp_path)
    answered(one, "network", "init", "lab", "--private")
    own = ("--task", str(folder))
    soon = {"ARNODE_PROMOTION_TRIAL_HOURS": "0.001"}  # what is kept is judged
    with running_node(one, "--network", "lab", "--yes", task=own, env=soon) as finder:
        if (handed_in := folder.with_name("handed in")).exists():
            finder.wait_for("baseline measured")
            arnode(one, "try", "--folder", str(handed_in))
        finder.wait_for("confirmed after .* it is the new head")
        answered(one, "pause")  # the machine is the other's from now on
        here = addresses(one)[0]
        line = answered(
            one, "network", "invite", "--network", "lab", "--address", here
        ).stdout.strip()
        output = fault_of(other, "run", "--task", task.id.hex(), code=2)
        assert "there is no task" in output
        with running_node(other, "--join", line, "--yes", "--agent", "none") as hearer:
            hearer.wait_until(lambda: is_announced(other, task.id))
            output = fault_of(other, "run", "--task", task.id.hex(), code=2)
            assert f"arnode task fetch {task.id.hex()}" in output
            answered(other, "task", "fetch", task.id.hex()[:12])
            hearer.interrupt()
            hearer.end()
        named = ("--task", task.id.hex()[:12])
        # It has no ideas of its own, so that what it adopts is the other's.
        with running_node(other, "--yes", "--agent", "none", task=named) as verifier:
            verifier.wait_until(lambda: has_adopted_a_peers_tree(one, other))
            verifier.interrupt()
            verifier.end()
        finder.interrupt()
        finder.end()
    assert task.name in answered(other, "leaderboard", "--task", task.id.hex()[:12]).stdout


def is_announced(home: Path, task: bytes) -> bool:
    with Store.open_read_only(Home(home)) as store:
        return store.records.manifest(task) is not None


def has_adopted_a_peers_tree(one: Path, other: Path) -> bool:
    with Store.open_read_only(Home(one)) as theirs, Store.open_read_only(Home(other)) as ours:
        found, adopted = (
            {one.body.to_tree for one in store.records.own() if isinstance(one.body, AdoptBody)}
            for store in (theirs, ours)
        )
        return bool(found & adopted)
