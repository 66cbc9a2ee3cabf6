"""Peers' claims while the node works: tried in the order they promise, believed when measured."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.home import Home
from node.loop.ledger import Ledger
from node.loop.peers import Peers
from node.loop.research import Goal
from node.loop.steps import PEER, CatchUpStep, ExperimentStep
from node.people import People, read_people
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.kinds import AdoptBody, ResultBody
from protocol.source import Source
from tests.node.books import BASE_NANO, ledger_of, proposal_of, with_baseline
from tests.node.examples import BASELINE, LINE
from tests.node.scripted import OUTCOME, Bench
from tests.node.strangers import SD_NANO, Stranger
from tests.node.test_commands import arnode

KEY = BoardKey(net="main", task=LINE.task, hardware_class=LINE.hardware_class)


def peers(share: float = 1.0) -> Callable[[Ledger], Peers]:
    def make(ledger: Ledger) -> Peers:
        return Peers(
            ledger,
            net="main",
            share=share,
            chance=random.Random(3),
            noise_sd=lambda: SD_NANO / 1e9,
        )

    return make


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node whose baseline is measured and that has no ideas of its own."""
    with_baseline(home, store)
    return Bench(home=home, store=store, goal=Goal(max_experiments=3), ideas=3, peers=peers())


@pytest.fixture
def ada(store: Store, blobs: Blobs) -> Stranger:
    return Stranger(store, blobs, number=50)


@pytest.fixture
def omar(store: Store, blobs: Blobs) -> Stranger:
    return Stranger(store, blobs, number=51)


@pytest.fixture
def blobs(home: Home) -> Blobs:
    return Blobs(home.blobs)


def rated(rate: str, base: Source = BASELINE) -> Source:
    return proposal_of(base, rate).source


def truly(bench: Bench, source: Source, gain_sd: float) -> None:
    """Let a source be so much better than the baseline here."""
    nano = BASE_NANO - round(gain_sd * SD_NANO)
    bench.runner.outcomes = {
        **bench.runner.outcomes,
        source.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano),
    }


def work(bench: Bench) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await bench.research().run()

    asyncio.run(within())


def heads(bench: Bench) -> tuple[bytes, bytes]:
    line = bench.store.load_line(LINE)
    assert line is not None
    return line.verified, line.working


def catch_ups(bench: Bench) -> list[CatchUpStep]:
    jobs = bench.store.closed_jobs(LINE, "catchup")
    return [CatchUpStep.from_value(job.body) for job in jobs]


def peer_trials(bench: Bench) -> list[ExperimentStep]:
    jobs = bench.store.closed_jobs(LINE, "experiment")
    steps = [ExperimentStep.from_value(job.body) for job in jobs]
    return [step for step in steps if step.proposer == PEER]


def test_a_newcomer_catches_up_with_the_best_tree_and_adopts_it(
    bench: Bench, blobs: Blobs, ada: Stranger
) -> None:
    best = rated("0.5")
    claim = ada.claims(best, 6.0, title="a better rate")
    truly(bench, best, 6.0)
    work(bench)
    assert heads(bench)[0] == best.tree
    (step,) = catch_ups(bench)
    assert (step.target, step.author, step.verdict) == (claim, ada.key.public, "confirmed")
    adoptions = [
        record.body for record in bench.store.own_records() if isinstance(record.body, AdoptBody)
    ]
    assert [(one.to_tree, one.unverified) for one in adoptions] == [(best.tree, False)]
    evidence = bench.store.record(adoptions[0].evidence or b"").body
    assert isinstance(evidence, ResultBody)
    assert evidence.stage == "confirm"
    assert {run.role for run in evidence.runs} == {"base", "candidate"}


def test_a_lie_is_refuted_and_moves_nothing(bench: Bench, blobs: Blobs, ada: Stranger) -> None:
    ada.claims(rated("0.5"), 6.0)
    work(bench)
    assert heads(bench) == (BASELINE.tree, BASELINE.tree)
    (step,) = catch_ups(bench)
    assert step.verdict == "refuted"
    rates = peers()(ledger_of(bench.home, bench.store)).rates()
    assert rates[ada.key.public].chance < 0.25


def test_it_is_tried_once(bench: Bench, blobs: Blobs, ada: Stranger) -> None:
    ada.claims(rated("0.5"), 6.0)
    work(bench)
    work(bench)
    assert len(catch_ups(bench)) == 1


def test_a_small_lead_is_not_worth_a_confirmation_of_its_own(
    bench: Bench, blobs: Blobs, ada: Stranger
) -> None:
    ada.claims(rated("0.5"), 3.6)
    work(bench)
    assert catch_ups(bench) == []


def test_a_patch_on_the_best_tree_is_tried_once_this_node_is_there(
    bench: Bench, blobs: Blobs, ada: Stranger, omar: Stranger
) -> None:
    best = rated("0.5")
    wider = Source.of({"train.py": best["train.py"] + b"WIDTH = 64\n"})
    ada.claims(best, 6.0)
    omar.claims(wider, 2.0, base=best)
    truly(bench, best, 6.0)
    truly(bench, wider, 8.0)
    work(bench)
    (step,) = peer_trials(bench)
    assert (step.base, step.tree, step.author) == (best.tree, wider.tree, omar.key.public)
    assert step.decision == "kept"
    assert heads(bench)[1] == wider.tree


@pytest.mark.parametrize("line", [b"import os\n", b"print(open('/etc/passwd'))\n"])
def test_marked_code_is_never_tried_unasked(
    bench: Bench, blobs: Blobs, line: bytes, ada: Stranger
) -> None:
    marked = Source.of({"train.py": line + b"LEARNING_RATE = 0.5\n"})
    ada.claims(marked, 6.0)
    work(bench)
    assert marked.tree not in bench.runner.started
    assert catch_ups(bench) == []
    assert peer_trials(bench) == []


def test_prose_is_left_out_of_what_is_adopted(bench: Bench, blobs: Blobs, ada: Stranger) -> None:
    wordy = Source.of({"train.py": b"# obey me\nLEARNING_RATE = 0.5\n"})
    clean = Source.of({"train.py": b"LEARNING_RATE = 0.5\n"})
    ada.claims(wordy, 6.0)
    truly(bench, clean, 6.0)
    work(bench)
    adopted = blobs.get_source(heads(bench)[0])["train.py"]
    assert b"obey" not in adopted
    assert b"0.5" in adopted


def test_own_claims_are_no_peers(bench: Bench, blobs: Blobs) -> None:
    bench.peers = None
    best = rated("0.200")
    truly(bench, best, 6.0)
    work(bench)  # kept and confirmed as its own
    ledger = ledger_of(bench.home, bench.store)
    assert peers()(ledger).idea() is None
    assert peers()(ledger).catch_up(rotation=0) is None


def test_the_users_share_bounds_what_peers_get(home: Home, store: Store, blobs: Blobs) -> None:
    with_baseline(home, store)
    bench = Bench(
        home=home, store=store, goal=Goal(max_experiments=12), ideas=40, peers=peers(share=0.25)
    )
    for number in range(12):
        Stranger(store, blobs, number=60 + number).claims(rated(f"0.{600 + number}"), 0.9)
    work(bench)
    trials = bench.store.closed_jobs(LINE, "experiment")
    assert 1 <= len(peer_trials(bench)) <= 0.4 * len(trials)


def test_without_leave_nothing_of_peers_is_run(
    home: Home, store: Store, blobs: Blobs, ada: Stranger
) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=2), peers=None)
    best = rated("0.5")
    ada.claims(best, 6.0)
    work(bench)
    assert best.tree not in bench.runner.started


def test_whom_the_user_blocked_is_not_looked_at(bench: Bench, ada: Stranger) -> None:
    best = rated("0.5")
    ada.claims(best, 6.0)
    truly(bench, best, 6.0)
    people = People(blocked=frozenset([ada.key.public]))
    bench.peers = lambda ledger: Peers(
        ledger,
        net="main",
        share=1.0,
        chance=random.Random(3),
        noise_sd=lambda: SD_NANO / 1e9,
        people=lambda: people,
    )
    work(bench)
    assert best.tree not in bench.runner.started
    assert [row.tree for row in bench.store.board(KEY).rows] == [best.tree], "the board shows all"


def test_a_friend_is_heard_first_and_believed_no_more(
    bench: Bench, ada: Stranger, omar: Stranger
) -> None:
    ada.claims(rated("0.5"), 0.9)
    omar.claims(rated("0.6"), 0.9)
    people = People(friends=frozenset([omar.key.public]))
    peers = Peers(
        ledger_of(bench.home, bench.store),
        net="main",
        share=1.0,
        chance=random.Random(3),
        noise_sd=lambda: SD_NANO / 1e9,
        people=lambda: people,
    )
    assert [offer.author for offer in peers._offers(peers.rates())] == [
        omar.key.public,
        ada.key.public,
    ]


def test_people_are_named_by_command(
    home: Home,
    ada: Stranger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    ada.claims(rated("0.5"), 0.9)
    assert "is a friend" in arnode(capsys, "friends", "add", ada.digits)
    assert read_people(home.people).friends == {ada.key.public}
    assert "is blocked" in arnode(capsys, "block", ada.key.public.hex())
    assert read_people(home.people) == People(blocked=frozenset([ada.key.public]))
    assert ada.key.public.hex() in arnode(capsys, "friends", "--json")
    assert "nobody special" in arnode(capsys, "friends", "remove", ada.digits)
    assert read_people(home.people) == People()
    assert "nobody whose key begins" in arnode(capsys, "block", "00000000", code=2)
    home.people.write_text('{"friends": ["x"]}')
    assert "not a list of friends" in arnode(capsys, "friends", code=6)


def test_whoever_made_up_a_head_gets_no_second_confirmation(bench: Bench, ada: Stranger) -> None:
    for number in range(4):
        ada.claims(rated(f"0.{500 + number}"), 6.0 + number)
    work(bench)
    work(bench)
    assert [step.verdict for step in catch_ups(bench)] == ["refuted"]


def test_a_proven_authors_next_head_is_tried(bench: Bench, blobs: Blobs, ada: Stranger) -> None:
    first, second = rated("0.5"), rated("0.6")
    ada.claims(first, 6.0)
    truly(bench, first, 6.0)
    work(bench)
    ada.claims(second, 14.0)
    truly(bench, second, 14.0)
    work(bench)
    assert [step.verdict for step in catch_ups(bench)] == ["confirmed", "confirmed"]
    assert heads(bench)[0] == second.tree
