"""The program as its user has it: real processes, sandboxes and runs."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

from node.home.home import Home
from node.line.job_kinds import KINDS
from node.store.named_tasks import line_of_session
from node.store.store import Store
from protocol.record_kinds import AdoptBody
from tests.integration.nodes import (
    TASK_FLAGS,
    UNHURRIED_FLAGS,
    answered,
    arnode,
    arnode_json,
    fault_of,
    running_node,
    used_ticks,
)
from tests.tasks.sums import SOLVE, write_sums

MEASURING = "measuring the cost of the baseline"
RUN_FIELDS = {
    "seed", "status", "metric", "secret", "ms", "cpu_ms", "serve_ms", "tokens", "peak_mem",
    "audit", "flags", "reason",
}  # fmt: skip
COMPARE_FIELDS = {
    "v", "base", "candidate", "claimed", "pairs", "gain", "lower", "upper", "log_e", "alpha",
    "verdict", "claim", "runs", "seconds", "rerun", "scoring",
}  # fmt: skip


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """The folder of a program task whose baseline is off by eight."""
    write_sums(tmp_path / "sums")
    return tmp_path / "sums"


@pytest.fixture
def better(sums: Path, tmp_path: Path) -> Path:
    """A source that gains sixteen standard deviations."""
    (tmp_path / "better").mkdir()
    path = tmp_path / "better" / "solve.py"
    path.write_text(SOLVE.replace("OFF = 8", "OFF = 0"))
    return path


def decisions(home: Path) -> list[str]:
    return [entry["decision"] for entry in reversed(arnode_json(home, "log")["experiments"])]


# A session that ended by itself


def test_a_session_ends_by_itself_with_what_it_announced(worked: Path) -> None:
    entries = arnode_json(worked, "log")["experiments"]
    stages = [entry["stage"] for entry in reversed(entries)]
    assert stages[0] == "baseline"
    assert stages[1:] == ["screen"] * 3
    with Store.open_read_only(Home(worked)) as store:
        assert line_of_session(store) == store.jobs.lines()[0].key


def test_the_records_form_a_chain_of_verified_signatures(worked: Path) -> None:
    with Store.open_read_only(Home(worked)) as store:
        own = store.records.own()  # reads no record whose signature is wrong
    assert [record.seq for record in own] == list(range(len(own)))
    assert [record.prev for record in own] == [None, *(record.id for record in own[:-1])]
    assert {record.author.hex() for record in own} == {
        arnode_json(worked, "home", "key", "show")["author"]
    }


def test_store_blobs_and_journal_are_whole(worked: Path) -> None:
    assert arnode_json(worked, "home", "fsck")["problems"] == []


def test_the_journal_reads_as_a_lab_notebook(worked: Path) -> None:
    (journal,) = (worked / "journal").iterdir()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(journal), *words], capture_output=True, text=True, check=True
        ).stdout

    experiments = arnode_json(worked, "log")["experiments"]
    for entry in experiments:
        message = git("log", "-1", "--format=%B", f"refs/arnode/{entry['id']}")
        assert f"Arnode-Record: {entry['id']}" in message
        assert f"{entry['metric']:.6f}" in message
    head = answered(worked, "head").stdout
    assert git("show", "main:solve.py") == head
    assert (journal / "solve.py").read_text() == head


def test_results_open_as_a_table_in_autoresearchs_columns(worked: Path) -> None:
    (journal,) = (worked / "journal").iterdir()
    exported = answered(worked, "export", "results.tsv").stdout
    assert (journal / "results.tsv").read_text() == exported
    rows = list(csv.DictReader(exported.splitlines(), delimiter="\t"))
    assert set(rows[0]) == {"commit", "error", "memory_gb", "status", "description"}
    assert len(rows) == len(decisions(worked))


def test_status_works_without_a_node(worked: Path) -> None:
    document = arnode_json(worked, "status")
    assert document["running"] is False
    (line,) = document["lines"]
    assert line["task"]["name"] == "unhurried"
    assert line["experiments"]["total"] == 3
    assert "not running" in answered(worked, "status").stdout


def test_show_and_diff_report_an_experiment(worked: Path) -> None:
    entry = arnode_json(worked, "log")["experiments"][-2]
    for wanted in (entry["id"], entry["id"][:8]):
        shown = arnode_json(worked, "show", wanted)
        assert (shown["id"], shown["kind"], shown["signature_ok"]) == (entry["id"], "result", True)
        assert shown["level"] == "here"
        assert shown["body"]["patch"] in shown["related"]
    diff = answered(worked, "diff", entry["id"]).stdout
    assert diff.startswith("--- a/solve.py\n+++ b/solve.py\n@@ ")
    assert entry["title"] in answered(worked, "log").stdout


@pytest.mark.soak
def test_a_replay_measures_the_same_public_figure_and_its_json_is_as_documented(
    worked: Path, tmp_path: Path
) -> None:
    entry = next(e for e in arnode_json(worked, "log")["experiments"] if e["stage"] == "screen")
    folder = tmp_path / "replay"
    description = arnode_json(worked, "export", "experiment", entry["id"], str(folder))
    assert description["tree"] == entry["tree"]
    recorded = arnode_json(worked, "show", entry["id"])["body"]["runs"]
    seeds = [word for run in recorded for word in ("--seed", str(run["seed"]))]
    assert " ".join(seeds) in description["command"]
    again = arnode_json(
        worked, "run", *UNHURRIED_FLAGS, "--source", str(folder / "solve.py"), *seeds
    )
    assert set(again) >= {"v", "task", "tree", "class", "runs", "metric", "sd", "decision"}
    assert again["tree"] == entry["tree"]
    for run, known in zip(again["runs"], recorded, strict=True):
        assert set(run) == RUN_FIELDS
        assert round(run["metric"] * 1e9) == known["metric"]  # no split is drawn twice


def test_a_replayed_folder_names_its_command(worked: Path, tmp_path: Path) -> None:
    entry = arnode_json(worked, "log")["experiments"][0]
    answered(worked, "export", "experiment", entry["id"], str(tmp_path / "replay"))
    script = (tmp_path / "replay" / "replay.sh").read_text()
    assert "exec arnode run --source solve.py" in script
    assert json.loads((tmp_path / "replay" / "replay.json").read_text())["record"] == entry["id"]


# Measuring by hand


@pytest.mark.soak
def test_one_tree_and_seed_measure_the_same_bits(home: Path) -> None:
    document = arnode_json(home, "run", *TASK_FLAGS, "--seed", "7", "--seed", "7")
    first, second = document["runs"]
    assert (first["metric"], first["secret"]) == (second["metric"], second["secret"])
    assert document["sd"] == 0


@pytest.mark.soak
def test_an_obvious_gain_is_confirmed(tmp_path: Path, sums: Path, better: Path) -> None:
    words = ("compare", "baseline", str(better), "--task", str(sums))
    document = arnode_json(tmp_path / "home", *words)
    assert set(document) == COMPARE_FIELDS
    assert document["verdict"] == "confirmed"
    assert 0 < document["lower"] < document["gain"] < document["upper"]
    assert document["runs"] == 2 * len(document["pairs"])
    assert len({pair["seed"] for pair in document["pairs"]}) == len(document["pairs"])


@pytest.mark.soak
def test_an_obvious_loss_is_not(tmp_path: Path, sums: Path, better: Path) -> None:
    words = ("compare", str(better), str(sums / "solve.py"), "--task", str(sums))
    document = arnode_json(tmp_path / "home", *words, code=5)
    assert document["verdict"] == "unconfirmed"
    assert document["gain"] < 0


def test_a_source_that_crashes_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no')\n")
    words = ("run", "--source", str(broken), *UNHURRIED_FLAGS)
    document = arnode_json(tmp_path / "home", *words, code=1)
    assert document["runs"][0]["status"] == "crash"
    assert document["metric"] is None


# Moving the head by hand


def test_the_head_is_adopted_and_reverted_with_a_record_of_each(copied: Path) -> None:
    entries = arnode_json(copied, "log")["experiments"]
    screened = next(entry for entry in entries if entry["stage"] == "screen")
    before = arnode_json(copied, "status")["lines"][0]["head"]["tree"]
    refused = fault_of(copied, "head", "--set", screened["id"][:12], code=7)
    assert "--unverified" in refused
    answered(copied, "head", "--set", screened["id"][:12], "--unverified")
    assert arnode_json(copied, "status")["lines"][0]["head"]["tree"] == screened["tree"]
    answered(copied, "head", "--undo")
    assert arnode_json(copied, "status")["lines"][0]["head"]["tree"] == before
    with Store.open_read_only(Home(copied)) as store:
        bodies = [record.body for record in store.records.own()[-2:]]
    assert [isinstance(body, AdoptBody) for body in bodies] == [True, True]
    moves = [(b.from_tree.hex(), b.to_tree.hex()) for b in bodies if isinstance(b, AdoptBody)]
    assert moves == [(before, screened["tree"]), (screened["tree"], before)]
    assert next(b.unverified for b in bodies if isinstance(b, AdoptBody))
    assert arnode_json(copied, "home", "fsck")["problems"] == []


# A running node


def test_a_running_node_is_asked_paused_resumed_and_stopped(copied: Path) -> None:
    with running_node(copied) as node:
        node.wait_for(MEASURING)
        assert arnode_json(copied, "status")["running"] is True
        assert "is running on the home" in fault_of(copied, "start", *UNHURRIED_FLAGS, code=6)
        assert "running" in fault_of(copied, "head", "--undo", code=1)
        document = arnode_json(copied, "pause")
        assert (document["paused"], document["until"], document["runs_ended"]) == (True, None, 1)
        node.wait_until(lambda: used_ticks(node.process.pid) == 0)
        node.wait_for_status(stage="paused")
        assert "nothing was running" in answered(copied, "pause", "--for", "2h").stderr
        assert arnode_json(copied, "status")["lines"][0]["now"]["stage"].startswith("paused until ")
        count = len(decisions(copied))
        answered(copied, "resume")
        # Not by what it says: an experiment may have ended between the request and the pause.
        node.wait_until(lambda: len(decisions(copied)) > count)
        answered(copied, "stop")
        assert node.end() == 0
    assert "no node is running" in fault_of(copied, "stop", code=3)
    assert arnode_json(copied, "home", "fsck")["problems"] == []
    assert node.said[0] in answered(copied, "home", "logs").stdout


@pytest.mark.soak
def test_a_stop_at_a_promotion_trial_judges_what_was_kept(
    tmp_path: Path, sums: Path, better: Path
) -> None:
    home, task = tmp_path / "home", ("--task", str(sums))
    # Alone, so that no idea of the node's own comes between.
    kept = arnode_json(home, "try", *task, "-m", "the sum itself", "--folder", str(better.parent))
    assert kept["decision"] == "keep"
    with running_node(home, task=task) as node:
        node.wait_for(MEASURING)
        arnode(home, "stop", "--after-promotion-trial")
        assert node.end() == 0
        assert any("promotion trial of" in line for line in node.said)
    assert decisions(home)[-1] in {"adopted", "unconfirmed"}
    assert arnode_json(home, "status")["lines"][0]["working"]["keeps"] == 0


def test_the_first_interrupt_finishes_the_run_at_hand_and_the_second_ends_at_once(
    copied: Path,
) -> None:
    with running_node(copied) as node:
        node.wait_for_status(stage="screen")
        node.interrupt()
        node.wait_for("stopping after this run; Ctrl-C again to stop now")
        assert node.end() == 0
    # Ctrl-C reaches the whole process group, but neither runs nor the journal's git.
    assert "journal was not updated" not in answered(copied, "home", "logs").stdout
    with Store.open_read_only(Home(copied)) as store:
        (line,) = store.jobs.lines()
        first_jobs = store.jobs.open_jobs(line.key, *KINDS)
        first_runs = [run for job in first_jobs for run in store.jobs.runs_of(job.id)]
    with running_node(copied) as node:
        node.wait_for(" sd ")
        node.interrupt()
        node.wait_for("stopping after this run; Ctrl-C again to stop now")
        node.interrupt()
        assert node.end() == 130
    found = decisions(copied)
    assert "failed" not in found
    with Store.open_read_only(Home(copied)) as store:
        for run in first_runs:
            again = store.jobs.runs_of(run.job_id)[run.ordinal]
            assert (again.seed, again.tree) == (run.seed, run.tree)
    assert arnode_json(copied, "home", "fsck")["problems"] == []
