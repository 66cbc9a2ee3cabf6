"""`arnode leaderboard`: three columns of knowing, and never one for another."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.manifest import Budget
from protocol.record_kinds import TaskBody
from protocol.records import MAIN_NET, Record, sign_record
from protocol.source import Source
from tests.node.answering import running
from tests.node.examples import HARDWARE_CLASS
from tests.node.examples import MANIFEST as SMALL_MANIFEST
from tests.node.line_writers import with_baseline
from tests.node.peer_authors import PeerAuthor
from tests.node.test_commands import arnode
from tests.protocol.examples import AUTHOR, MANIFEST, PATCH, START_MS
from tests.protocol.worlds import CLASS, KEYS, TREES, World, adopt, confirm, rerun, retract
from tests.trainer.nvml import FakeCard, FakeDriver

NOW_MS = START_MS + 60_000
STEADY = (100_000_000, 101_000_000, 99_000_000, 100_000_000)
SMALL = (40_000_000, 41_000_000, 39_000_000, 40_000_000)
Show = Callable[..., str]


@pytest.fixture
def claims_world(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two claims; the better one was confirmed and refuted by a key each, and found smaller here.

    Another key says that it confirms it, after two pairs.
    """
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    world = World()
    announce = sign_record(
        KEYS[0], net=MAIN_NET, seq=0, prev=None, ts_ms=START_MS, body=TaskBody(manifest=MANIFEST)
    )
    world.records.append(announce)
    patch = world.say(KEYS[0], PATCH)
    claim = replace(confirm(TREES[0], STEADY, env="torch2.13-cpu"), patch=patch.id)
    best = world.say(KEYS[0], claim)
    world.say(KEYS[1], confirm(TREES[1], SMALL, env="torch2.14-cpu"))
    aim = best.id
    world.say(KEYS[1], rerun(KEYS[1], TREES[0], STEADY, "confirmed", target=aim))
    world.say(KEYS[2], rerun(KEYS[2], TREES[0], STEADY[:2], "confirmed", target=aim))
    world.say(KEYS[3], rerun(KEYS[3], TREES[0], (0, 1, 0, 1), "refuted", target=aim))
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    answer = rerun(AUTHOR, TREES[0], SMALL, "smaller", target=best.id)
    store.append_own(AUTHOR, answer, ts_ms=NOW_MS)
    return world


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command on the board of the examples' class."""

    def run(*words: str, code: int = 0) -> str:
        return arnode(capsys, "leaderboard", "--class", CLASS, *words, code=code)

    return run


def rows(show: Show, *words: str) -> list[dict[str, Any]]:
    """Return the rows of the JSON document."""
    document: list[dict[str, Any]] = json.loads(show("--json", *words))["rows"]
    return document


def test_the_document_has_the_promised_fields(claims_world: World, show: Show) -> None:
    document = json.loads(show("--json"))
    digests = {"network_version", "set_digest", "board_digest"}
    assert set(document) == {"v", "network", "task", "class", "rows", "imported"} | digests
    assert document["task"] == {"id": MANIFEST.id.hex(), "name": "tiny"}
    promised = {
        *("rank", "rank_last", "tie", "tree", "author", "result", "title", "metric"),
        *(
            "gain_anchor",
            "anchor_pairs",
            "gain_anchor_lower",
            "gain",
            "gain_lower",
            "pairs",
            "tries",
            "others",
            "here",
            "env",
        ),
        *("flags", "unread"),
    }
    best, second = document["rows"]
    assert set(best) == promised
    assert (best["rank"], best["tree"]) == (1, TREES[0].hex())
    assert best["gain_anchor"] == 0.1
    assert best["metric"] == 1.9
    assert (second["rank"], second["here"]) == (2, None)
    assert (best["title"], second["title"]) == (PATCH.title, None)


def test_rows_are_read_for_marks_when_asked(
    home: Home,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    with_baseline(home, store)
    blobs = Blobs(home.blobs)
    marked = Source.of({"train.py": b"import socket\nLEARNING_RATE = 0.3\n"})
    gone = Source.of({"train.py": b"LEARNING_RATE = 0.4\n"})
    PeerAuthor(store, blobs, number=50).claims(marked, 6.0)
    PeerAuthor(store, blobs, number=51).claims(gone, 4.0)
    blobs.path(gone.tree).unlink()
    words = ("leaderboard", "--class", HARDWARE_CLASS)
    assert all("marks" not in row for row in json.loads(arnode(capsys, *words, "--json"))["rows"])
    read = json.loads(arnode(capsys, *words, "--marks", "--json"))["rows"]
    said = {row["tree"]: row["marks"] for row in read}
    assert said[marked.tree.hex()] == ["train.py line 1: import socket (import)"]
    assert said[gone.tree.hex()] is None
    table = arnode(capsys, *words, "--marks")
    assert "marked: import" in table
    assert "not here" in table


def test_rows_in_a_language_that_no_lint_reads_say_so_unasked(
    home: Home,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    blobs, baseline = Blobs(home.blobs), Source.of({"ask.py": b"X = 1\n", "solve.c": b"int a;\n"})
    blobs.put_source(baseline)
    files = tuple((path, sha256(data).digest()) for path, data in baseline.files)
    manifest = replace(SMALL_MANIFEST, files=files)
    changes = ("solve.c", b"int b;\n"), ("ask.py", b"import socket\n")
    for number, (path, data) in enumerate(changes, 50):
        somebody = PeerAuthor(store, blobs, number=number, task=manifest.id)
        if number == 50:
            somebody.publish(TaskBody(manifest=manifest))
        somebody.claims(baseline.replacing(path, data), 5.0, base=baseline)
    words = ("leaderboard", "--class", HARDWARE_CLASS)
    document = json.loads(arnode(capsys, *words, "--json"))["rows"]
    assert sorted(row["unread"] for row in document) == [[], ["C"]]
    assert "unread: C" in arnode(capsys, *words)
    read = json.loads(arnode(capsys, *words, "--marks", "--json"))["rows"]
    assert sorted(row["marks"] for row in read) == [
        ["ask.py line 1: import socket (import)"],
        ["solve.c: unread: C"],
    ]
    table = arnode(capsys, *words, "--marks")
    assert "unread: C" in table
    assert "marked: import" in table


def test_what_was_measured_here_is_not_what_is_claimed(claims_world: World, show: Show) -> None:
    best = rows(show)[0]
    # This node's own re-run counts among the others of anybody's board, as everybody's does.
    others = best["others"]
    counted = {"confirmed": 1, "smaller": 1, "refuted": 1, "unsupported": 1, "adopted": 0}
    assert {name: others[name] for name in counted} == counted
    assert (others["gain_anchor"], others["anchor_pairs"]) == (0.1, 4)
    assert 0 < others["gain_anchor_lower"] < 0.1
    assert best["gain_anchor"] == 0.1
    assert best["here"]["verdict"] == "smaller"
    assert best["here"]["gain"] == 0.0387  # half a noise floor over four pairs less
    assert best["here"]["lower"] < 0.04 < best["here"]["upper"]
    assert best["here"]["pairs"] == 4


def test_levels_environments_and_numbers_choose_rows(claims_world: World, show: Show) -> None:
    def trees(*words: str) -> list[str]:
        return [row["tree"] for row in rows(show, *words)]

    first, second = TREES[0].hex(), TREES[1].hex()
    assert trees() == [first, second]
    assert trees("--level", "others") == [first]
    assert trees("--level", "here") == [first]
    assert trees("--top", "1") == [first]
    assert trees("--env", "torch=torch2.14-cpu") == [second]
    assert trees("--env", "torch=other") == []
    assert rows(show, "--env", "torch=torch2.14-cpu")[0]["rank"] == 2, "the board's own rank"


def test_digests_do_not_depend_on_what_is_shown(claims_world: World, show: Show) -> None:
    whole, part = (json.loads(show("--json", *words)) for words in ((), ("--top", "1")))
    assert whole["board_digest"] == part["board_digest"]
    assert whole["set_digest"] == part["set_digest"]


def test_the_table_keeps_the_levels_apart(claims_world: World, show: Show) -> None:
    text = show()
    heading, names, best, second = text.splitlines()[:4]
    assert heading == f"tiny on {CLASS}, network main, gain in val_bpb"
    assert names.split() == [
        *("rank", "id", "claimed", "gain", "at", "least", "val_bpb", "tries", "rerun"),
        *("others", "here"),
    ]
    of_best, of_second = (claims_world.records[number].id.hex()[:12] for number in (2, 3))
    assert best.split()[:3] == ["1", of_best, "+0.100000"]
    assert best.rstrip().endswith("+1 ~1 -1 ?1  smaller +0.040000")
    assert second.split()[:2] == ["2", of_second]
    assert "not measured" in second
    assert "keys, not people" in text


def test_an_own_confirmation_counts_as_passed_once_it_was_adopted(
    claims_world: World, show: Show, store: Store
) -> None:
    store.append_own(AUTHOR, confirm(TREES[1], SMALL), ts_ms=NOW_MS)
    assert rows(show)[1]["here"]["verdict"] == "unconfirmed"
    store.append_own(AUTHOR, adopt(TREES[1]), ts_ms=NOW_MS)
    assert rows(show)[1]["here"]["verdict"] == "confirmed"


def test_a_running_nodes_news_shows_at_once(claims_world: World, show: Show, store: Store) -> None:
    assert len(rows(show)) == 2
    claim: Record = claims_world.records[3]
    assert claim.author == KEYS[1].public
    taken_back = claims_world.say(KEYS[1], retract(claim.id))
    store.intake.ingest([taken_back.wire], now_ms=NOW_MS)
    assert [row["tree"] for row in rows(show)] == [TREES[0].hex()]


def test_without_a_board_it_says_how_one_comes_about(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    with pytest.raises(SystemExit) as ended:
        main(["leaderboard"])
    assert ended.value.code == 0
    assert "no leaderboard of the network main yet" in capsys.readouterr().err
    assert json.loads(arnode(capsys, "leaderboard", "--json"))["rows"] == []


@pytest.fixture
def claim_in_lab(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One claim, in the network `lab` alone."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    bodies = (TaskBody(manifest=MANIFEST), confirm(TREES[0], STEADY))
    wires = [
        sign_record(KEYS[0], net="lab", seq=seq, prev=None, ts_ms=START_MS + seq, body=body).wire
        for seq, body in enumerate(bodies)
    ]
    assert len(store.intake.ingest(wires, now_ms=NOW_MS, net="lab").new) == len(wires)


@pytest.mark.parametrize("how", ["flag", "setting", "running node"])
@pytest.mark.parametrize(
    ("command", "shown"), [("leaderboard", "rows"), ("leaderboard --transfer", "patches")]
)
def test_boards_are_those_of_the_network_in_force(
    claim_in_lab: None,
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    shown: str,
    how: str,
) -> None:
    asked: Callable[..., str] = partial(arnode, capsys, *command.split(), "--json")
    elsewhere = json.loads(asked())
    assert (elsewhere["network"], elsewhere[shown]) == ("main", [])
    if how == "running node":
        with running(home, {"name": "lab", "addresses": []}):
            document = json.loads(asked())
    elif how == "setting":
        monkeypatch.setenv("ARNODE_NET", "lab")
        document = json.loads(asked())
    else:
        document = json.loads(asked("--network", "lab"))
    assert document["network"] == "lab"
    assert [row["tree"] for row in document[shown]] == [TREES[0].hex()]


@pytest.mark.parametrize("command", ["leaderboard", "leaderboard --transfer"])
def test_a_network_without_a_board_names_those_that_have_one(
    claim_in_lab: None, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit):
        main(command.split())
    assert "network main yet" in (said := capsys.readouterr().err)
    assert "other networks with leaderboards: lab (`--network NAME`)" in said
    assert "no network 'labb'" in arnode(capsys, *command.split(), "--network", "labb", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "nanochat"), "known tasks: tiny"),
        (("--env", "torch"), "NAME=TEXT"),
        (("--level", "rumour"), "claimed"),
        (("--top", "0"), "0"),
    ],
)
def test_a_bad_question_is_answered_with_what_can_be_asked(
    claims_world: World, show: Show, words: tuple[str, ...], said: str
) -> None:
    assert said in show(*words, code=2)


def test_a_class_without_a_board_names_those_that_have_one(
    claims_world: World, capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    elsewhere = replace(confirm(TREES[2], STEADY), hardware_class="h200-141g")
    key = SigningKey.from_seed(bytes([9] * 32))
    record = claims_world.say(key, elsewhere)
    store.intake.ingest([record.wire], now_ms=NOW_MS)
    said = arnode(capsys, "leaderboard", "--class", "rtx4090-24g", code=2)
    assert f"{CLASS}, h200-141g" in said
    shown = json.loads(arnode(capsys, "leaderboard", "--class", "h200-141g", "--json"))
    assert [row["tree"] for row in shown["rows"]] == [TREES[2].hex()]


def test_on_a_machine_with_several_cards_it_is_of_those_that_the_node_may_use(
    home: Home,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    cards = [FakeCard(name=f"NVIDIA GeForce RTX {each}", mib=24564) for each in (4090, 3090)]
    FakeDriver(cards=cards).install(monkeypatch)
    timed = replace(MANIFEST, budget=Budget(unit="seconds", amount=300))
    world = World()
    world.say(KEYS[0], TaskBody(manifest=timed))
    for slug, tree in (("rtx4090-24g", TREES[0]), ("rtx3090-24g", TREES[1])):
        claim = replace(confirm(tree, STEADY), task=timed.id, hardware_class=slug)
        world.say(KEYS[0], claim)
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    shown = [json.loads(arnode(capsys, "leaderboard", "--json"))["class"]]
    monkeypatch.setenv("ARNODE_GPUS", "1")
    shown.append(json.loads(arnode(capsys, "leaderboard", "--json"))["class"])
    assert shown == ["rtx4090-24g", "rtx3090-24g"]
