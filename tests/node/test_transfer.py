"""Patch × hardware class: each cell says who knows it, and the levels are never mixed."""

import json

import pytest

from node.home.home import Home
from node.loop.offers import class_slopes
from node.reporting.matrix import transfer_matrix
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.rerun import RerunBody
from protocol.runs import Env
from protocol.transfer import UNKNOWN
from protocol.units import NANO
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import GAIN_NANO, keep, promotion_trial, proposal_of, with_baseline
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.node.test_commands import arnode
from tests.protocol.worlds import rerun

HERE = BoardKey(net="main", task=TASK, hardware_class=HARDWARE_CLASS)
THERE = BoardKey(net="main", task=TASK, hardware_class="rtx4090-24g")
IDEA = proposal_of(BASELINE, "0.5").source


@pytest.fixture
def ada(home: Home, store: Store) -> PeerAuthor:
    with_baseline(home, store)
    return PeerAuthor(store, Blobs(home.blobs), number=50)


def test_a_claim_is_only_a_claim(store: Store, ada: PeerAuthor) -> None:
    ada.claims(IDEA, 6.0, title="a better rate")
    (step,) = transfer_matrix(store, [HERE])
    assert (step.base, step.tree, step.title) == (BASELINE.tree, IDEA.tree, "a better rate")
    cell = step.cells[HARDWARE_CLASS]
    assert (cell.level, cell.verdict, cell.keys) == ("claimed", "untested", 0)
    assert cell.gain is not None
    assert cell.gain.value_nano == pytest.approx(6 * SD_NANO, rel=0.03)


def says(
    author: PeerAuthor, gain_sd: float, verdict: str, hardware_class: str, claim: bytes
) -> None:
    gains = [round(gain_sd * SD_NANO)] * 4
    said = rerun(author.key, IDEA.tree, gains, verdict, base=BASELINE.tree, target=claim)
    author.publish(
        RerunBody(
            **{
                name: getattr(said, name)
                for name in ("base", "tree", "target", "proof", "runs", "verdict")
            },
            task=TASK,
            hardware_class=hardware_class,
            env=Env(),
        )
    )


def test_others_are_counted_by_key_and_their_word_is_theirs(
    home: Home, store: Store, ada: PeerAuthor
) -> None:
    claim = ada.claims(IDEA, 6.0)
    for number, verdict, gain_sd in (
        (51, "refuted", 0.0),
        (52, "refuted", 0.0),
        (54, "refuted", 5.0),
    ):
        other = PeerAuthor(store, Blobs(home.blobs), number=number)
        says(other, gain_sd, verdict, HARDWARE_CLASS, claim)
    other = PeerAuthor(store, Blobs(home.blobs), number=53)
    says(other, 5.0, "confirmed", THERE.hardware_class, claim)
    (step,) = transfer_matrix(store, [HERE, THERE])
    here, there = step.cells[HARDWARE_CLASS], step.cells[THERE.hardware_class]
    assert (here.level, here.verdict, here.keys) == ("others", "refuted", 2)
    assert here.gain is not None
    assert here.gain.value_nano > 5 * SD_NANO, "still what its author claims"
    assert (there.level, there.verdict, there.keys) == ("others", "confirmed", 1)
    assert there.gain is None, "nobody claims a figure there"


def test_what_was_measured_here_goes_first(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.5")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    (step,) = transfer_matrix(store, [HERE])
    cell = step.cells[HARDWARE_CLASS]
    assert (cell.level, cell.verdict) == ("here", "confirmed")


def test_it_is_shown(
    home: Home,
    ada: PeerAuthor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    ada.claims(IDEA, 6.0, title="a better rate")
    text = arnode(capsys, "leaderboard", "--transfer")
    assert "a better rate" in text
    assert f"{HARDWARE_CLASS:<20}" in text
    assert "claimed" in text
    document = json.loads(arnode(capsys, "leaderboard", "--transfer", "--json"))
    (patch,) = document["patches"]
    cell = patch["classes"][HARDWARE_CLASS]
    assert (cell["verdict"], cell["keys"]) == ("untested", 0)
    assert cell["gain"] == pytest.approx(6 * SD_NANO / NANO, rel=0.03)


def test_what_others_found_of_claims_from_elsewhere_says_what_they_are_worth_here(
    home: Home, store: Store, ada: PeerAuthor
) -> None:
    claim = ada.claims(IDEA, 6.0)
    assert class_slopes(store, "main", TASK, HARDWARE_CLASS) == {}
    (usual,) = class_slopes(store, "main", TASK, THERE.hardware_class).values()
    assert (usual.mean, usual.count) == (UNKNOWN.mean, 0)
    other = PeerAuthor(store, Blobs(home.blobs), number=53)
    says(other, 5.0, "confirmed", THERE.hardware_class, claim)
    (slope,) = class_slopes(store, "main", TASK, THERE.hardware_class).values()
    assert (slope.count, slope.mean > UNKNOWN.mean) == (1, True)
    ada_again = class_slopes(store, "main", TASK, HARDWARE_CLASS)
    assert ada_again[THERE.hardware_class].count == 1, "other pairs say what is usual"


def test_an_authors_own_word_on_another_class_is_no_pair(
    home: Home, store: Store, ada: PeerAuthor
) -> None:
    claim = ada.claims(IDEA, 6.0)
    says(ada, 5.0, "confirmed", THERE.hardware_class, claim)
    (usual,) = class_slopes(store, "main", TASK, THERE.hardware_class).values()
    assert (usual.mean, usual.count) == (UNKNOWN.mean, 0)
