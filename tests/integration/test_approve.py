"""A real node whose proposals wait for the owner: approved, rejected, edited, unanswered."""

from pathlib import Path
from typing import Any

from tests.integration.nodes import answered, arnode_json, fault_of, running_node

FIRST = 4  # proposals that wait at once


def open_proposals(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = arnode_json(home, "approve")["proposals"]
    return found


def experiments(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = arnode_json(home, "log")["experiments"]
    return [one for one in found if one["stage"] != "baseline"]


def test_nothing_runs_before_it_is_approved_and_a_kill_loses_no_decision(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "no proposal waits for you" in fault_of(home, "approve", "7", code=2)
    with running_node(home, "--approve") as node:
        node.wait_until(lambda: len(open_proposals(home)) == FIRST)
        status = node.wait_for_status(
            stage=f"waiting for your decision on {FIRST} proposals: `arnode approve`"
        )
        assert status["proposals_waiting"] == FIRST
        assert experiments(home) == []
        node.kill()
    first, second, third, fourth = open_proposals(home)
    assert all(one["diff"] and one["state"] == "waiting" for one in (first, second, third, fourth))
    # Without a node, decisions go into the store.
    answered(home, "approve", str(first["id"]), "--reject", "-m", "Leave that alone.")
    said = answered(home, "approve", str(second["id"])).stdout
    assert f"proposal {second['id']} is approved; it runs after `arnode start`" in said
    assert [one["id"] for one in open_proposals(home)] == [
        one["id"] for one in (second, third, fourth)
    ]
    with running_node(home, "--approve") as node:
        node.wait_until(lambda: len(experiments(home)) == 1)
        assert experiments(home)[0]["title"] == second["title"]
        # The edited source runs in place of the proposed one.
        source = answered(home, "approve", str(third["id"]), "--source").stdout
        mine = tmp_path / "mine.py"
        mine.write_text(source + "\nMINE = 1\n")
        answered(home, "approve", str(third["id"]), "--edit", str(mine))
        node.wait_until(lambda: len(experiments(home)) == 2)
        edited = experiments(home)[0]
        assert (edited["title"], edited["origin"]) == (third["title"], "edited")
        assert "+MINE = 1" in answered(home, "diff", edited["id"]).stdout
        answered(home, "approve", str(fourth["id"]))
        node.kill()  # whether it had begun or not, it runs once
    with running_node(home, "--approve") as node:
        node.wait_until(lambda: len(experiments(home)) >= 3)
        node.wait_until(lambda: len(open_proposals(home)) == FIRST)
        titles = [one["title"] for one in experiments(home)]
        assert titles.count(fourth["title"]) == 1
        assert first["title"] not in [*titles, *(one["title"] for one in open_proposals(home))]
        assert "has begun already" in fault_of(home, "approve", str(second["id"]), code=2)
        node.interrupt()
        node.end()


def test_what_nobody_answers_runs_after_the_span_or_is_dropped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_node(home, "--approve", "2s") as node:
        node.wait_for("nobody answered, so it runs")
        node.wait_until(lambda: len(experiments(home)) >= 1)
        node.interrupt()
        node.end()
    waited = {one["id"]: one["title"] for one in open_proposals(home) if one["state"] == "waiting"}
    with running_node(home, "--approve=1s:skip") as node:
        node.wait_for("nobody answered, so it is not run")
        node.wait_until(lambda: waited.keys().isdisjoint(one["id"] for one in open_proposals(home)))
        node.interrupt()
        node.end()
    assert set(waited.values()).isdisjoint(one["title"] for one in experiments(home))
