"""`carry`: what a node found on one rung is judged on the next by its own rule, on real runs."""

from pathlib import Path

from node.home.home import Home
from node.store.store import Store
from protocol.record_kinds import PatchBody
from tests.conftest import RUNG_TASK, SHORT_TASK
from tests.integration.nodes import arnode, arnode_json, fault_of
from trainer.task_folder.folder import BUILTIN_FOLDER

SHORT, RUNG = ("--task", str(SHORT_TASK)), ("--to", str(RUNG_TASK))
RATE = "LEARNING_RATE = 1e-2"
BASELINE = (BUILTIN_FOLDER / "tiny" / "train.py").read_text()


def test_a_find_is_carried_up_and_judged_there(tmp_path: Path) -> None:
    place, folder = tmp_path / "home", tmp_path / "work"
    Home(place).prepare()
    folder.mkdir()
    fault = fault_of(place, "carry", *RUNG, code=2)
    assert "has not worked on the rung below rung" in fault
    for rate in ("1e-6", "3e-2"):  # the first leaves the baseline where it is
        (folder / "train.py").write_text(BASELINE.replace(RATE, f"LEARNING_RATE = {rate}"))
        arnode(place, "try", "--folder", str(folder), *SHORT)
        if rate == "1e-6":
            fault = fault_of(place, "carry", *RUNG, code=2)
            assert "is its baseline: there is nothing to carry" in fault
    newest = arnode_json(place, "log", "--json")["experiments"][0]
    told = arnode_json(place, "carry", newest["id"], *RUNG, "--json")
    (change,) = told["changes"]
    assert change["found_on"]["patch"] == newest["patch"]
    assert change["decision"] in ("kept", "screened_out", "rechecked_out")
    with Store.open_read_only(Home(place)) as store:
        patches = [one.body for one in store.records.listed("patch")]
        (carried,) = [one for one in patches if isinstance(one, PatchBody) and one.found_on]
        manifest = store.records.manifest(carried.task)
        assert manifest is not None
        assert carried.found_on is not None
        assert manifest.below == carried.found_on.task
    said = arnode(place, "transfer").stdout
    assert "holds on" in said
    again = arnode_json(place, "transfer", "--json")["carried"]
    assert [one["patch"] for one in again] == [newest["patch"]]
    learnt = arnode_json(place, "insights", *SHORT, "--json")
    assert {one["task"]["name"] for one in learnt["kinds"]} == {"short", "rung"}
    assert "kinds of change, kept of those tried:" in arnode(place, "insights", *SHORT).stdout


def test_a_ladder_shares_the_time_and_ends_by_the_clock(tmp_path: Path) -> None:
    place = tmp_path / "home"
    Home(place).prepare()
    flags = ("--task", str(RUNG_TASK), "--ladder", "1", "--turn", "4s", "--network", "none")
    done = arnode(place, "start", *flags, "--for", "20s")
    assert "its turn is over: rung is next" in done.stderr
    assert "its turn is over: short is next" in done.stderr
    with Store.open_read_only(Home(place)) as store:
        assert len(store.jobs.lines()) == 2


def test_a_task_without_a_rung_below_says_so(tmp_path: Path) -> None:
    place = tmp_path / "home"
    Home(place).prepare()
    fault = fault_of(place, "start", *SHORT, "--ladder", "1", "--network", "none", code=2)
    assert "short names no rung below it" in fault
