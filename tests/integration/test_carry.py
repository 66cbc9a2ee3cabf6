"""`try --from`: finds of one rung are judged on the next by its own rule, on real runs."""

import shutil
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from protocol.record_kinds import PatchBody
from tests.conftest import UNHURRIED_TASK
from tests.integration.nodes import answered, arnode, arnode_json, fault_of
from tests.tasks.sums import SOLVE, TASK, write_sums


@pytest.fixture
def sums(tmp_path: Path) -> tuple[str, str]:
    """The flag of the lower rung."""
    write_sums(tmp_path / "sums")
    return "--task", str(tmp_path / "sums")


@pytest.fixture
def rung(tmp_path: Path, sums: tuple[str, str]) -> str:
    """The rung above, where nothing is ever kept."""
    above = TASK.replace('name = "sums"', 'name = "rung"').replace("floor = 0.5", "floor = 64")
    write_sums(tmp_path / "rung", task=f'{above}\n[ladder]\nbelow = "../sums"\n')
    return str(tmp_path / "rung")


@pytest.mark.soak
def test_a_find_is_transferred_up_and_judged_there(
    tmp_path: Path, sums: tuple[str, str], rung: str
) -> None:
    place, folder, to = tmp_path / "home", tmp_path / "work", ("--task", rung)
    Home(place).prepare()
    folder.mkdir()
    fault = fault_of(place, "try", "--from", "below", *to, code=2)
    assert "has not worked on the rung below rung" in fault
    for off in (9, 3):  # the first leaves the baseline where it is
        (folder / "solve.py").write_text(SOLVE.replace("OFF = 8", f"OFF = {off}"))
        arnode(place, "try", "--folder", str(folder), *sums)
        if off == 9:
            fault = fault_of(place, "try", "--from", "below", *to, code=2)
            assert "is its baseline: there is nothing to transfer" in fault
    newest = arnode_json(place, "log")["experiments"][0]
    document = arnode_json(place, "try", "--from", newest["id"], *to)
    (change,) = document["changes"]
    assert change["found_on"]["patch"] == newest["patch"]
    assert change["decision"] in ("kept", "screened_out", "rechecked_out")
    with Store.open_read_only(Home(place)) as store:
        patches = [one.body for one in store.records.listed("patch")]
        (carried,) = [one for one in patches if isinstance(one, PatchBody) and one.found_on]
        manifest = store.records.manifest(carried.task)
        assert manifest is not None
        assert carried.found_on is not None
        assert manifest.below == carried.found_on.task
    said = answered(place, "leaderboard", "--transfer").stdout
    assert "kept or confirmed in" in said
    again = arnode_json(place, "leaderboard", "--transfer")["carried"]
    assert [one["patch"] for one in again] == [newest["patch"]]
    learnt = arnode_json(place, "log", "--importance", *sums)
    assert {one["task"]["name"] for one in learnt["kinds"]} == {"sums", "rung"}
    assert (
        "kinds of change, and how many patches were kept:"
        in answered(place, "log", "--importance", *sums).stdout
    )


@pytest.mark.soak
def test_a_ladder_shares_the_time_and_ends_by_the_clock(tmp_path: Path, rung: str) -> None:
    place = tmp_path / "home"
    for task in ("sums", "rung"):  # time passes, not that of the processor
        shutil.copy(UNHURRIED_TASK / "solve.py", tmp_path / task)
        written = tmp_path / task / "task.toml"  # with enough to try, or it ends before the clock
        written.write_text(written.read_text().replace("high = 8", "high = 400"))
    flags = ("--task", rung, "--ladder", "1", "--turn", "1s", "--network", "none")
    done = arnode(place, "start", *flags, "--for", "20s")
    assert "this task's turn is over: rung is next" in done.stderr
    assert "this task's turn is over: sums is next" in done.stderr
    with Store.open_read_only(Home(place)) as store:
        assert len(store.jobs.lines()) == 2


def test_a_task_without_a_rung_below_says_so(tmp_path: Path, sums: tuple[str, str]) -> None:
    flags = (*sums, "--ladder", "1", "--network", "none")
    fault = fault_of(tmp_path / "home", "start", *flags, code=2)
    assert "sums has no rung below it" in fault
