"""`arnode approve` and the API: list what waits, decide, with and without a node."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.commands.cli import main
from node.home.clock import clock_ms
from node.home.home import Home
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.proposals import approve, edit, find_proposal, note_rule, open_proposal, reject
from node.reporting.status import status_document
from node.reporting.status_text import print_status
from node.store.named_tasks import remember_session
from node.store.store import Store
from node.web.commands import Answer
from tests.node.examples import BASELINE, KEY, LINE
from tests.node.line_writers import line_writer_of, proposal_of
from tests.node.page import Visitor, visiting
from tests.node.test_page_events import Frames
from trainer.host.device import Device

JOINED = "a\u200drate"  # a character that may be stored and is not seen


@pytest.fixture
def waiting(line_writer: LineWriter, here: Device) -> list[int]:
    """The numbers of two proposals that wait."""
    store = line_writer.store
    remember_session(store, LINE)
    note_rule(store, LINE, "wait")
    proposals = (proposal_of(BASELINE, rate, title=f"{rate} it") for rate in ("0.5", "0.6"))
    return [open_proposal(line_writer, Idea.of(line_writer, one)).id for one in proposals]


def arnode(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """Run a command line in this process and return stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsys.readouterr()
    assert caught.value.code == code, captured.err
    return captured.out, captured.err


def test_the_list_shows_what_an_owner_needs(
    line_writer: LineWriter, waiting: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    out, hint = arnode(capsys, "approve")
    assert out.startswith(f"{waiting[0]}  0.5 it\n  tiny, by search, ")
    assert "+LEARNING_RATE = 0.5" in out
    assert "waits until you answer" in out
    assert "arnode approve ID" in hint
    document = json.loads(arnode(capsys, "approve", "--json")[0])
    assert (document["approve"], document["waiting"]) == ("wait", 2)
    first = document["proposals"][0]
    assert (first["id"], first["state"], first["why"]) == (waiting[0], "waiting", "a local step")
    assert (first["class"], first["due"]) == (LINE.hardware_class, None)
    note_rule(line_writer.store, LINE, "30m:skip")
    assert "is dropped at" in arnode(capsys, "approve")[0]


def test_decisions_without_a_node_are_in_the_store(
    line_writer: LineWriter,
    waiting: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = map(str, waiting)
    arnode(capsys, "approve", first, "--reject", "-m", "no")
    assert find_proposal(line_writer.store, waiting[0]).step.note == "no"
    assert arnode(capsys, "approve", second, "--source")[0] == "LEARNING_RATE = 0.6\n"
    mine = tmp_path / "mine.py"
    mine.write_text("LEARNING_RATE = 0.7\n")
    answer = json.loads(arnode(capsys, "approve", second, "--edit", str(mine), "--json")[0])
    assert answer == {"v": 1, "id": waiting[1], "state": "edited"}
    assert "edited" in arnode(capsys, "approve")[0]
    assert arnode(capsys, "approve", "--all")[0] == "no proposal waits for you\n"


def test_all_that_wait_are_approved_at_once(
    line_writer: LineWriter, waiting: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert arnode(capsys, "approve", "--all")[0] == "approved 2 proposals\n"
    states = {find_proposal(line_writer.store, number).step.state for number in waiting}
    assert states == {"approved"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--reject", "needs the ID"),
        ("-m why", "needs the ID"),
        ("99", "there is no proposal 99"),
        ("1 -m why", "-m needs --reject"),
        ("--all --reject", "--all does not use --reject"),
        ("1 --reject --edit x", "--reject does not use --edit"),
        ("{id} --edit missing.py", "cannot be read"),
    ],
)
def test_a_wrong_command_line_is_one_error(
    waiting: list[int], capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    words = line.replace("{id}", str(waiting[0])).split()
    assert said in arnode(capsys, "approve", *words, code=2)[1]


def test_unseen_characters_are_printed_as_text(
    line_writer: LineWriter, waiting: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = proposal_of(BASELINE, "0.8", title=JOINED)
    open_proposal(line_writer, replace(Idea.of(line_writer, proposal), model=JOINED, why=JOINED))
    out, _ = arnode(capsys, "approve")
    assert "\u200d" not in out
    assert out.count("a\\u200drate") == 3


def test_status_says_how_many_wait(
    line_writer: LineWriter, waiting: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    document = status_document(line_writer.store, author=KEY.public, net="main", sandbox="full")
    print_status({**document, "v": 1})
    assert "2 proposals wait for you: `arnode approve`" in capsys.readouterr().out


def test_nothing_is_listed_where_nothing_waits(
    home: Home, here: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "`arnode start --approve`" in arnode(capsys, "approve")[1]


# The API


def deciding(home: Home, store: Store) -> Mapping[str, Answer]:
    """The answers of a node, as far as they concern proposals."""
    blobs = line_writer_of(home, store).blobs

    async def let(asked: Any) -> Any:
        return {"state": approve(store, asked.id, now_ms=clock_ms()).step.state}

    async def drop(asked: Any) -> Any:
        return {"state": reject(store, asked.id, asked.note, now_ms=clock_ms()).step.state}

    async def change(asked: Any) -> Any:
        job = edit(store, blobs, asked.id, asked.files, now_ms=clock_ms())
        return {"state": job.step.state}

    return {"approve": let, "reject": drop, "edit": change}


def test_proposals_are_decided_over_the_api_and_listeners_hear_of_it(
    home: Home, line_writer: LineWriter, waiting: list[int]
) -> None:
    first, second = waiting
    store = line_writer.store

    async def work(visitor: Visitor) -> None:
        async with Frames(visitor).listening() as frames:
            for number in waiting:
                _, event = await frames.next("proposal")
                assert (event["id"], event["waiting"]) == (number, 2)
            page = (await visitor.get(f"proposals/{first}")).json
            assert page["files"] == {"train.py": "LEARNING_RATE = 0.5\n"}
            assert "+LEARNING_RATE = 0.5" in page["diff"]
            rejected = await visitor.post(f"proposals/{first}/reject", {"note": "no"})
            assert rejected.json == {"v": 1, "state": "rejected"}
            _, event = await frames.next("proposal")
            assert (event["id"], event["state"], event["waiting"]) == (first, "rejected", 1)
            files = {"files": {"train.py": "LEARNING_RATE = 0.7\n"}}
            edited = await visitor.post(f"proposals/{second}/edit", files)
            assert edited.json["state"] == "edited"
            again = await visitor.post(f"proposals/{second}/approve", {})
            assert (again.status, again.json["detail"]) == (
                400,
                f"proposal {second} is edited already",
            )
            for path, status in (("99", 404), ("0", 404), ("x", 404), ("1%0a", 404)):
                assert (await visitor.get(f"proposals/{path}")).status == status, path
            assert [one["id"] for one in (await visitor.get("proposals")).json["proposals"]] == [
                second
            ]

    async def ask() -> None:
        async with asyncio.timeout(60), visiting(home, answers=deciding(home, store)) as visitor:
            await work(visitor)

    asyncio.run(ask())


def test_who_may_only_read_decides_nothing(
    home: Home, line_writer: LineWriter, waiting: list[int]
) -> None:
    async def ask() -> None:
        answers = deciding(home, line_writer.store)
        async with visiting(home, right="read", answers=answers) as visitor:
            for path, body in (
                ("approve", {}),
                ("reject", {"note": ""}),
                ("edit", {"files": {"train.py": "x = 1\n"}}),
            ):
                found = await visitor.post(f"proposals/{waiting[0]}/{path}", body)
                assert found.status == 403
            assert (await visitor.get("proposals")).json["waiting"] == 2

    asyncio.run(ask())
