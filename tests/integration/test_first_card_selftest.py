"""A start with the card self-test first; the processor stands in for the card."""

import contextlib
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import UNHURRIED_TASK
from tests.integration.nodes import arnode, arnode_json, running_node, ticks_below, used_ticks

# `arnode`, but with an untested card whose self-test takes few steps.
PROGRAM: Final = """
from node.commands.cli import main
from node.running import program
from node.running.first_card import TaskHere, UntestedCard
from trainer.card_selftest import sizing
from trainer.card_selftest.machine import on_processor

sizing._STEPS = 2
device, card = on_processor()
untested_card = UntestedCard(device=device, card=card)
program.task_here = lambda _home, config: TaskHere(task=config.task, untested_card=untested_card)
main()
"""
COMMAND: Final = (sys.executable, "-c", PROGRAM)
IN_SANDBOX: Final = "abilities: testing"


def alive(pids: set[int]) -> set[int]:
    """Return those of these processes that still run. Source: proc(5)."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z":
                found.add(pid)  # one that has ended is there until somebody asks how
    return found


@pytest.mark.parametrize(
    ("paused_in", "is_reported"),
    [
        (IN_SANDBOX, True),
        pytest.param("whole runs: four", False, marks=pytest.mark.soak),
    ],
)
def test_a_selftest_is_paused_restarted_and_ended(
    home: Path, paused_in: str, is_reported: bool
) -> None:
    with running_node(home, command=COMMAND) as node:
        node.wait_for(paused_in)
        node.wait_until(lambda: len(ticks_below(node.process.pid)) > 0)
        at_work = set(ticks_below(node.process.pid))
        assert (
            arnode_json(home, "status")["self_test"]["stage"] == "the processor runs its self-test"
        )
        assert arnode_json(home, "pause")["runs_ended"] == 1
        assert alive(at_work) == set()
        assert used_ticks(node.process.pid) == 0
        assert arnode_json(home, "status")["self_test"]["stage"] == "paused"
        arnode(home, "resume")
        node.wait_for(IN_SANDBOX)
        node.wait_until(lambda: len(ticks_below(node.process.pid)) > 0)
        at_work = set(ticks_below(node.process.pid))
        if is_reported:
            arnode(home, "stop")
        else:
            node.interrupt()
        assert node.end() == (0 if is_reported else 130)
    assert alive(at_work) == set()
    if is_reported:
        again = f"Resume: arnode start --task {UNHURRIED_TASK}"
        assert node.said[-1] == f"stopped: nothing was measured yet. {again}"
    else:
        assert node.said[-1] == "arnode: interrupted"
    assert arnode_json(home, "home", "fsck")["problems"] == []
    assert arnode_json(home, "status")["lines"] == []
