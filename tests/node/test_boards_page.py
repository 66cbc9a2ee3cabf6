"""A leaderboard as the page gets it: groups of equals, one scale, and the cost of a re-run."""

from dataclasses import replace
from typing import Any

import pytest

from node.home.home import Home
from node.line.rerun import WantedClaim, open_rerun
from node.reporting.boards_page import BoardPage, board_page
from node.reporting.queries import OfBoard
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.record_kinds import TaskBody
from protocol.records import MAIN_NET, sign_record
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import with_baseline
from tests.node.open_homes import open_home_of
from tests.node.peer_authors import PeerAuthor
from tests.node.test_commands import arnode
from tests.node.test_leaderboard import NOW_MS
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS
from tests.protocol.worlds import CLASS, KEYS, TREES, World, confirm, rerun

NEAR = (100_000_000, 101_000_000, 99_000_000, 100_000_000)
FAR = tuple(5 * gain for gain in NEAR)
INVENTED = tuple(15 * gain for gain in NEAR)


def page(home: Home, store: Store, task: bytes, hardware_class: str) -> BoardPage:
    asked = OfBoard(task=task.hex(), hardware_class=hardware_class)
    return board_page(open_home_of(home, store), asked)


def board(home: Home, store: Store, *claims: Any, reruns: tuple[Any, ...] = ()) -> BoardPage:
    """Return the board of claims, each by another key."""
    body, world = TaskBody(manifest=MANIFEST), World()
    world.records.append(
        sign_record(KEYS[0], net=MAIN_NET, seq=0, prev=None, ts_ms=START_MS, body=body)
    )
    for number, claim in enumerate(claims):
        world.say(SigningKey.from_seed(bytes([number + 20]) * 32), claim)
    for one in reruns:
        world.say(KEYS[1], one)
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    return page(home, store, MANIFEST.id, CLASS)


def equals(*, first: int = 1) -> list[Any]:
    return [replace(confirm(TREES[one], NEAR), size_bytes=one) for one in range(first, 4)]


def test_rows_of_a_group_share_their_first_and_last_rank(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = board(home, store, confirm(TREES[0], FAR), *equals())["rows"]
    assert [(row["rank"], row["rank_last"]) for row in rows] == [(1, 1), (2, 4), (2, 4), (2, 4)]
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    # A filter or a limit shows fewer rows of a group, and never another range.
    table = arnode(capsys, "leaderboard", "--class", CLASS, "--top", "3")
    assert [line.split()[0] for line in table.splitlines() if " +0." in line] == ["1", "2-4", "2-4"]


def test_a_row_without_rank_has_no_last_rank(home: Home, store: Store) -> None:
    (row,) = board(home, store, confirm(TREES[0], NEAR[:3]))["rows"]
    assert (row["rank"], row["rank_last"]) == (None, None)


def test_claims_set_the_scale_until_somebody_measures(home: Home, store: Store) -> None:
    found = board(home, store, confirm(TREES[0], INVENTED), *equals())
    assert found["scale"] == (0.0, 1.5)
    assert found["noise"] == MANIFEST.noise_floor_nano / 1e9


def test_an_invented_gain_does_not_flatten_the_bars_of_measured_ones(
    home: Home, store: Store
) -> None:
    measured = rerun(KEYS[1], TREES[1], NEAR, "confirmed")
    found = board(home, store, confirm(TREES[0], INVENTED), *equals(), reruns=(measured,))
    assert found["scale"] == (0.0, 0.2)


def test_a_loss_that_was_measured_here_is_on_the_scale(home: Home, store: Store) -> None:
    store.append_own(
        AUTHOR, rerun(AUTHOR, TREES[1], [-gain for gain in NEAR], "refuted"), ts_ms=NOW_MS
    )
    found = board(home, store, *equals())
    assert found["scale"] == (-0.1, 0.1)


def test_a_reruns_cost_is_unknown_before_the_first_run_here(home: Home, store: Store) -> None:
    found = board(home, store, *equals())
    assert found["verify"] == {"pairs": 7.5, "most_pairs": 20, "time": None}
    assert found["verify_quick"] == {"pairs": 4, "most_pairs": 4, "time": None}
    assert found["open_reruns"] == {}


def test_cost_and_open_job_of_a_rerun_are_those_of_this_node(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)  # a run took 5.8 s
    candidate = Source.of({"train.py": b"LEARNING_RATE = 0.3\n"})
    author = PeerAuthor(store, Blobs(home.blobs), number=50)
    claim = author.claims(candidate, 6.0)
    wanted = WantedClaim(base=BASELINE, candidate=candidate, target=claim, author=author.key.public)
    job = open_rerun(line_writer, wanted)
    found = page(home, store, TASK, HARDWARE_CLASS)
    assert found["verify"]["time"] == "about 87 s, at most 4 min"
    assert found["verify_quick"]["time"] == "at most 70 s"
    assert found["open_reruns"] == {claim.hex(): job.id}
