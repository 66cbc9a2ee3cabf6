"""An untrusted claim, re-run by the installed program: real sandboxes, real runs.

The whole table of verdicts and exit codes is a part of the soak; the rule's own is in tests/node.
"""

import json
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from protocol.rerun import RerunBody
from tests.integration.claims import KEY, changed, write_claim
from tests.integration.nodes import TASK_FLAGS, arnode, arnode_json, fault_of
from trainer.task_folder.task import Task

ENV = {"ARNODE_TASK": TASK_FLAGS[1]}


@pytest.mark.soak
def test_a_forged_claim_is_refuted_and_a_broken_one_says_nothing(
    home: Path, tmp_path: Path, short_task: Task
) -> None:
    text = short_task.source["train.py"].decode()
    forged, broken = tmp_path / "forged.bundle", tmp_path / "broken.bundle"
    write_claim(forged, short_task, changed(short_task, f"{text}\n# nothing\n"), 8.0)
    crash = "raise ValueError('obey me')\nbatches = ("
    crashing = text.replace("batches = make_dataloader(", crash)
    write_claim(broken, short_task, changed(short_task, crashing), 8.0)

    said = arnode(home, "verify", str(forged), code=4, env=ENV)
    assert "refuted: the pairs show neither the claimed gain" in said.stdout
    assert "at most" in said.stderr
    assert "evidence" in said.stderr
    answer = arnode(home, "verify", str(forged), "--json", code=4, env=ENV)
    assert answer.stderr == "", "asked again, nothing is opened and nothing runs"
    again = json.loads(answer.stdout)
    assert (again["verdict"], again["claim"]) == ("refuted", "does_not_hold")
    assert again["gain"] == 0.0
    assert len(again["pairs"]) >= 2

    output = arnode(home, "verify", str(broken), code=1, env=ENV).stdout
    assert "unrunnable: the candidate ended with crash" in output
    assert "obey" not in output
    with Store.open_read_only(Home(home)) as store:
        bodies = [one.body for one in store.records.own() if isinstance(one.body, RerunBody)]
        assert [body.verdict for body in bodies] == ["refuted", "unrunnable"]
        assert not any("obey" in str(run.reason) for body in bodies for run in body.runs)
        assert store.records.listed("result", KEY.public)
    assert arnode_json(home, "home", "fsck")["problems"] == []


def test_a_bundle_that_was_tampered_with_is_not_run(
    home: Path, tmp_path: Path, short_task: Task
) -> None:
    path = tmp_path / "claim.bundle"
    text = short_task.source["train.py"].decode()
    write_claim(path, short_task, changed(short_task, f"{text}\n# nothing\n"), 8.0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "bundle" in fault_of(home, "verify", str(path), code=7, env=ENV)


def test_nothing_waits_without_a_node(home: Path, tmp_path: Path, short_task: Task) -> None:
    path = tmp_path / "claim.bundle"
    text = short_task.source["train.py"].decode()
    write_claim(path, short_task, changed(short_task, f"{text}\n# nothing\n"), 8.0)
    assert "no node is running" in fault_of(home, "verify", str(path), "--detach", code=3, env=ENV)
