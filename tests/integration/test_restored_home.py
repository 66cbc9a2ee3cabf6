"""A home that was put back from an older copy, whose key signed more since: with real nodes."""

import shutil
from pathlib import Path

import pytest

from node.home.home import Home
from node.home.keyfile import load_keys
from node.store.store import Store
from tests.integration.nodes import addresses, answered, arnode, running_node

TASK = ("--task", "circles-26")


@pytest.mark.soak
def test_it_goes_on_behind_what_its_peers_have_of_it(tmp_path: Path) -> None:
    peer, home, copy = (tmp_path / name for name in ("peer", "home", "copy"))
    arnode(peer, "network", "init", "lab", "--private")
    with running_node(peer, "--network", "lab", "--yes", "--agent", "none", task=TASK) as other:
        other.wait_until(lambda: bool(addresses(peer)))
        here = addresses(peer)[0]
        line = answered(
            peer, "network", "invite", "--network", "lab", "--address", here
        ).stdout.strip()
        with running_node(
            home, "--join", line, "--yes", "--max-experiments", "2", task=TASK
        ) as node:
            assert node.end() == 0
        shutil.copytree(home, copy, symlinks=True)
        copied = max(numbers(home, of=home))
        with running_node(home, "--network", "lab", "--yes", task=TASK) as node:
            node.wait_until(lambda: max(numbers(peer, of=home), default=0) > copied)
            node.interrupt()
            assert node.end() == 0
        known = max(numbers(peer, of=home))
        shutil.rmtree(home)
        shutil.copytree(copy, home, symlinks=True)
        assert max(numbers(home, of=home)) == copied
        renamed = {"ARNODE_NAME": "restored"}  # which it would sign before it knows anybody
        words = ("--network", "lab", "--yes", "--max-experiments", "1")
        with running_node(home, *words, task=TASK, env=renamed) as node:
            assert node.end() == 0, node.all_said()
        assert max(numbers(home, of=home)) > known
        other.interrupt()
        assert other.end() == 0
    for place in (peer, home):
        with Store.open_read_only(Home(place)) as store:
            assert store.boards.reused_number(author(home)) is None


def author(home: Path) -> bytes:
    return load_keys(Home(home)).author.public


def numbers(place: Path, *, of: Path) -> list[int]:
    """The numbers of a home's own records, as far as they are in a place."""
    with Store.open_read_only(Home(place)) as store:
        statement = "SELECT seq FROM record WHERE author = ?"
        return [seq for (seq,) in store.database.rows(statement, (author(of),))]
