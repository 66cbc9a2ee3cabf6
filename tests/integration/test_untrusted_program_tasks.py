"""Untrusted program tasks: one with an exaggerated claim, one whose judge attacks the node.

One dishonest node announces both tasks; the node that fetches them by their ids survives the one
and refutes the other.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgpack
import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.blobs import Blobs
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.record_kinds import AdoptBody, ResultBody
from protocol.rerun import RerunBody
from tests.integration.claims import publish_claim, write_published
from tests.integration.nodes import addresses, answered, arnode, arnode_json, running_node
from tests.tasks.sums import JUDGE, SOLVE, TASK, write_sums
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

LEVEL_NANO = 8_000_000_000  # the baseline is off by 8
WORSE = SOLVE.replace("OFF = 8", "OFF = 9").encode()
FIXED = TASK.replace("public = 2\nsecret = 2", 'fixed = ["one", "two"]')
MANY = TASK.replace("secret = 2", "secret = 8")  # so that few pairs say much
# Anything that is not refused would show: a key that is read is printed, and new files stay.
TRAP = (
    """\
import os
import signal
import socket

for _ in range(2):
    if not os.fork():
        os.setsid()
        signal.pause()
FOUND = []
for path in KEYS:
    for look in (lambda: open(path, "r+b").read(), lambda: os.remove(path)):
        try:
            FOUND.append(repr(look()))
        except OSError:
            pass
for address in (("127.0.0.1", PORT), ("192.0.2.1", 80)):
    try:
        FOUND.append(socket.create_connection(address, timeout=1))
    except OSError:
        pass
if FOUND:
    raise SystemExit(f"ESCAPED {FOUND}")
"""
    + JUDGE.partition("def check")[0]
    + """\
def check(instance, answer):
    for number in range(3, 64):
        try:
            os.write(number, b"Y" + (1 << 40).to_bytes(8, "big") + b'{"figures": {"error": -1}}')
        except OSError:
            pass
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
            os.fork()
        except OSError:
            pass
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostilePeers:
    """A home that has fetched both tasks of a dishonest node, which runs; and what that claims."""

    home: Path
    sums: Task
    trap: Task
    claim: bytes


@pytest.fixture(scope="module")
def hostile_peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostilePeers]:
    place = tmp_path_factory.mktemp("strangers")
    one, other = place / "one", place / "other"
    keys = [str(Home(home).key) for home in (one, other)]
    trap = TRAP.replace("KEYS", repr(keys)).replace("PORT", "22")
    write_sums(place / "sums", task=MANY)
    write_sums(place / "trap", task=TASK.replace('"sums"', '"trap"'), judge=trap)
    sums, trapped = (load_task(place / name, data_dir=place) for name in ("sums", "trap"))
    answered(one, "network", "init", "lab", "--private")
    for task in (trapped, sums):
        source = task.source.replacing("solve.py", WORSE)
        claim = publish_claim(
            Home(one), "lab", task, source, gain_nano=6_000_000_000, level_nano=LEVEL_NANO
        )
    flags = ("--task", str(place / "sums"))
    with running_node(one, "--network", "lab", "--yes", "--agent", "none", task=flags) as liar:
        liar.wait_until(lambda: bool(addresses(one)))
        here = addresses(one)[0]
        line = answered(
            one, "network", "invite", "--network", "lab", "--address", here
        ).stdout.strip()
        with running_node(other, "--join", line, "--yes", "--agent", "none") as hearer:
            hearer.wait_for("task unhurried on")
            hearer.wait_until(lambda: all(is_announced(other, task) for task in (sums, trapped)))
            for task in (sums, trapped):
                answered(other, "task", "fetch", task.id.hex())
            hearer.interrupt()
            hearer.end()
        yield HostilePeers(home=other, sums=sums, trap=trapped, claim=claim)
        liar.interrupt()
        assert liar.end() == 0


@pytest.mark.soak
def test_a_judge_that_attacks_is_contained_and_a_claim_that_is_inflated_refuted(
    hostile_peers: HostilePeers,
) -> None:
    home = hostile_peers.home
    flags = [word for task in (hostile_peers.trap, hostile_peers.sums) for word in named(task)]
    with running_node(home, "--yes", "--agent", "none", task=flags) as node:
        node.wait_for("task trap has no more turns: the task's baseline failed here")
        node.wait_for("task sums on any")
        node.wait_until(lambda: has_tried_it(hostile_peers))
        output = arnode(home, "verify", hostile_peers.claim.hex(), code=4).stdout
        assert re.search(r"refuted: with seed \d+ its author published 2, here it is 9", output)
        node.interrupt()
        assert node.end() == 0
        assert not any("ESCAPED" in line for line in node.said)
    assert Home(home).key.exists()
    with Store.open_read_only(Home(home)) as store:
        own = [record.body for record in store.records.own()]
    assert not any(isinstance(body, AdoptBody) for body in own)
    assert [body.verdict for body in own if isinstance(body, RerunBody)] == ["refuted"]
    assert hostile_peers.trap.id not in {body.task for body in own if isinstance(body, ResultBody)}
    (row,) = arnode_json(home, "leaderboard", "--task", hostile_peers.sums.id.hex())["rows"]
    assert row["result"] == hostile_peers.claim.hex()
    assert (row["others"]["refuted"], row["here"]["verdict"]) == (1, "refuted")
    assert arnode_json(home, "home", "fsck")["problems"] == []


@pytest.mark.soak
def test_of_fixed_instances_one_pair_refutes_and_an_answer_that_is_shown_spares_the_program(
    tmp_path: Path,
) -> None:
    folder, home = tmp_path / "sums", tmp_path / "home"
    write_sums(folder, task=FIXED)
    task = load_task(folder, data_dir=tmp_path)
    for name, source, answers in (
        ("said", WORSE, None),
        ("shown", b"while True:\n    pass\n", msgpack.packb([b"1", b"2"])),
    ):
        liar, bundle = Home(tmp_path / name), tmp_path / f"{name}.bundle"
        tree = task.source.replacing("solve.py", source)
        claim = publish_claim(
            liar,
            "main",
            task,
            tree,
            gain_nano=2_000_000_000,
            level_nano=LEVEL_NANO,
            answer=answers,
        )
        write_published(bundle, liar, claim)
        output = arnode(
            home, "verify", str(bundle), code=4, env={"ARNODE_TASK": str(folder)}
        ).stdout
        assert re.search(r"refuted: with seed \d+ its author published 6, here it is \d", output)
    with Store.open_read_only(Home(home)) as store:
        said, shown = (
            record.body for record in store.records.own() if isinstance(record.body, RerunBody)
        )
    for body, flags in ((said, ()), (shown, ("shown",))):
        assert body.verdict == "refuted"
        assert [run.flags for run in body.runs if run.role == "candidate"] == [flags]
        assert len(body.runs) == 2
        assert body.again is not None
        assert body.again.flags == flags
    board = arnode_json(home, "leaderboard", "--task", str(folder))["rows"]
    assert [row["others"]["refuted"] for row in board] == [1, 1]


@pytest.mark.soak
def test_what_a_node_finds_on_fixed_instances_shows_its_answer(tmp_path: Path) -> None:
    folder, home, other = tmp_path / "sums", tmp_path / "home", tmp_path / "other"
    write_sums(folder, task=FIXED)
    with running_node(home, task=("--task", str(folder))) as node:
        node.wait_for("confirmed after 1 pair.* it is the new head")
        node.interrupt()
        node.end()
    with Store.open_read_only(Home(home)) as store:
        records = store.records.own()
    (claim, *_) = [
        record
        for record in records
        if isinstance(record.body, ResultBody) and record.body.stage == "confirm"
    ]
    assert isinstance(claim.body, ResultBody)
    (answer,) = claim.body.answers
    assert len(msgpack.unpackb(Blobs(Home(home).blobs).get(answer))) == 2
    write_published(tmp_path / "claim.bundle", Home(home), claim.id)
    env = {"ARNODE_TASK": str(folder)}
    bundle = str(tmp_path / "claim.bundle")
    document = json.loads(arnode(other, "verify", bundle, "--json", env=env).stdout)
    assert document["verdict"] == "confirmed"
    assert document["again"]["published"] == document["again"]["here"]
    assert len(document["pairs"]) == 1
    assert Blobs(Home(other).blobs).has(answer)


def has_tried_it(hostile_peers: HostilePeers) -> bool:
    """Return whether the node has tried the claimed tree and not kept it."""
    line = LineKey(task=hostile_peers.sums.id, hardware_class="any")
    with Store.open_read_only(Home(hostile_peers.home)) as store:
        steps = [job.step for job in store.jobs.closed_jobs(line, ExperimentStep)]
        return [step.decision for step in steps if step.idea.author] == ["screened_out"]


def named(task: Task) -> tuple[str, str]:
    return "--task", task.id.hex()[:12]


def is_announced(home: Path, task: Task) -> bool:
    with Store.open_read_only(Home(home)) as store:
        return store.records.manifest(task.id) is not None
