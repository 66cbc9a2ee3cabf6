"""A claim is run again as it was made: on seeds of its own, judged once, signed either way."""

import asyncio
from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.rerun import RerunStep, WantedClaim
from node.line.trial import ANCHOR_PAIRS, MAX_BASE_FAILURES
from node.loop.session_plan import Goal
from node.on_demand.verifying import _shown
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.rerun import RerunBody, rerun_seed
from protocol.rule import VERIFY_MOST_PAIRS
from protocol.runs import MAX_RUNS
from protocol.source import Source
from tests.node.examples import BASELINE, KEY, LINE, MANIFEST
from tests.node.line_writers import BASE_NANO, proposal_of, with_baseline
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import CRASHED, OUTCOME, Bench

SD_NANO = MANIFEST.noise_floor_nano
UNKNOWN_AUTHOR = bytes([7]) * 32
TARGET = bytes([9]) * 32
CANDIDATE = proposal_of(BASELINE, "0.5").source
BOARD = BoardKey(net="main", task=LINE.task, hardware_class=LINE.hardware_class)


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node whose baseline is measured, for a session that only answers."""
    with_baseline(home, store)
    return Bench(home=home, store=store, goal=Goal(is_on_demand=True))


@pytest.fixture
def ada(home: Home, bench: Bench) -> PeerAuthor:
    """Somebody with a claim of their own."""
    return PeerAuthor(bench.store, Blobs(home.blobs), number=50)


def claiming(gain_sd: float | None, *, candidate: Source = CANDIDATE) -> WantedClaim:
    gain_nano = None if gain_sd is None else round(gain_sd * SD_NANO)
    return WantedClaim(
        base=BASELINE,
        candidate=candidate,
        target=TARGET,
        author=UNKNOWN_AUTHOR,
        gain_nano=gain_nano,
        lower_nano=gain_nano and gain_nano // 2,
        alpha=0.05,
        max_pairs=16,
        is_quick=False,
        is_published=True,
    )


def truly(bench: Bench, gain_sd: float) -> None:
    """Set the candidate's true gain here."""
    nano = BASE_NANO - round(gain_sd * SD_NANO)
    bench.runner.outcomes = {
        CANDIDATE.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano),
    }


def verify(bench: Bench, wanted: WantedClaim) -> RerunStep:
    """Have a claim judged in a session of its own."""
    research = bench.research()
    job_id = research.rerun(wanted)

    async def work() -> None:
        async with asyncio.timeout(20):
            await research.run()

    asyncio.run(work())
    job = bench.store.jobs.get(job_id, RerunStep)
    assert job is not None
    assert job.state == "done"
    return job.step


def signed(bench: Bench) -> list[RerunBody]:
    records = bench.store.records.own()
    return [record.body for record in records if isinstance(record.body, RerunBody)]


@pytest.mark.parametrize(
    ("claimed_sd", "true_sd", "verdict", "word"),
    [
        (6.0, 6.0, "confirmed", "holds"),
        (30.0, 6.0, "smaller", "smaller"),
        (16.0, 3.0, "smaller", "smaller"),
        (6.0, 0.0, "refuted", "does_not_hold"),
        (0.2, 0.0, "unconfirmed", "holds"),
        (6.0, -6.0, "refuted", "does_not_hold"),
        (None, 6.0, "confirmed", ""),
        (None, 0.0, "unconfirmed", ""),
    ],
)
def test_a_claim_gets_the_word_that_its_pairs_bear_out(
    bench: Bench, claimed_sd: float | None, true_sd: float, verdict: str, word: str
) -> None:
    truly(bench, true_sd)
    step = verify(bench, claiming(claimed_sd))
    assert (step.verdict, step.word) == (verdict, word)
    (body,) = signed(bench)
    assert (body.verdict, body.target, body.base, body.tree) == (
        verdict,
        TARGET,
        BASELINE.tree,
        CANDIDATE.tree,
    )
    assert bench.decisions() == ["baseline"], "nothing of its own was tried"


def test_its_seeds_are_those_of_the_claim_and_this_key(bench: Bench) -> None:
    truly(bench, 0.0)
    verify(bench, claiming(2.0))
    (body,) = signed(bench)
    assert body.proof_by(KEY.public).holds()
    seeds = list(dict.fromkeys(run.seed for run in body.runs))
    assert seeds == [rerun_seed(body.proof, index) for index in range(len(seeds))]
    assert {run.role for run in body.runs} == {"base", "candidate"}


def test_a_candidate_that_fails_says_nothing_of_the_claim_and_nothing_of_its_own(
    bench: Bench,
) -> None:
    bench.runner.outcomes = {CANDIDATE.tree: CRASHED}
    step = verify(bench, claiming(6.0))
    assert step.verdict == "unrunnable"
    assert "it ended" in step.reason
    (body,) = signed(bench)
    assert body.verdict == "unrunnable"
    # What it printed last is in CRASHED's reason; in a record of ours it has no place.
    assert {run.reason for run in body.runs} == {None, "it ended"}


def test_a_quick_look_only_refutes(bench: Bench) -> None:
    quick = {"is_quick": True, "max_pairs": 4}
    truly(bench, 8.0)
    step = verify(bench, replace(claiming(8.0), **quick))
    assert step.verdict == "unconfirmed"
    truly(bench, 0.0)
    assert verify(bench, replace(claiming(9.0), **quick)).verdict == "refuted"
    truly(bench, 4.0)
    assert verify(bench, replace(claiming(24.0), **quick)).verdict == "smaller"


def test_the_same_question_is_answered_without_a_run(bench: Bench) -> None:
    truly(bench, 6.0)
    first = verify(bench, claiming(6.0))
    runs = len(bench.runner.started)
    assert verify(bench, claiming(6.0)) == first
    assert len(bench.runner.started) == runs
    assert len(signed(bench)) == 1


def test_nobody_is_a_witness_of_their_own(bench: Bench) -> None:
    truly(bench, 6.0)
    step = verify(bench, replace(claiming(6.0), author=KEY.public))
    assert (step.verdict, step.record) == ("confirmed", None)
    assert signed(bench) == []


def test_what_the_user_keeps_to_themselves_is_not_signed(bench: Bench) -> None:
    truly(bench, 6.0)
    assert verify(bench, replace(claiming(6.0), is_published=False)).verdict == "confirmed"
    assert signed(bench) == []


def test_a_stop_in_the_middle_costs_no_pair(bench: Bench) -> None:
    """A kill or a stop is no free retry: finished pairs count, the next one has the next seed."""
    truly(bench, 0.0)
    research = bench.research()

    def stop(count: int) -> None:
        if count == 3:
            research.stop()

    bench.runner.on_start = stop
    job_id = research.rerun(claiming(2.0))
    asyncio.run(research.run())
    job = bench.store.jobs.get(job_id, RerunStep)
    assert job is not None
    assert job.state == "open"
    before = [run.seed for run in bench.store.jobs.runs_of(job_id) if run.outcome]
    assert len(before) == 3
    bench.runner.on_start = lambda _count: None
    verify(bench, claiming(2.0))
    after = [run.seed for run in bench.store.jobs.runs_of(job_id)]
    assert after[:3] == before
    assert after[3] in before


def test_no_research_is_said_to_pause_while_no_node_runs(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    truly(bench, 6.0)
    research = bench.research()
    job_id = research.rerun(claiming(6.0))
    asyncio.run(research.run())
    assert _shown()(bench.store, job_id)
    alone = capsys.readouterr().err
    assert "pauses" not in alone
    assert _shown("; your own research pauses")(bench.store, job_id)
    cost, *pairs = alone.splitlines()
    assert capsys.readouterr().err.splitlines() == [f"{cost}; your own research pauses", *pairs]


def test_on_a_new_home_the_baseline_is_measured_first(home: Home, store: Store) -> None:
    bench = Bench(home=home, store=store, goal=Goal(is_on_demand=True))
    truly(bench, 6.0)
    assert verify(bench, claiming(6.0)).verdict == "confirmed"
    assert bench.decisions() == ["baseline"]


def test_the_node_goes_on_with_its_own_afterwards(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    truly(bench, 6.0)
    verify(bench, claiming(6.0))
    assert bench.decisions() == ["baseline", "discarded"]


@pytest.mark.parametrize(
    ("claimed_sd", "true_sd", "verdict"),
    [(6.0, 6.0, "confirmed"), (30.0, 6.0, "smaller"), (6.0, 0.0, "refuted")],
)
def test_what_is_signed_is_borne_out_by_its_own_runs(
    bench: Bench, ada: PeerAuthor, claimed_sd: float, true_sd: float, verdict: str
) -> None:
    """It is measured on after the verdict, until those see it who do not know this machine."""
    claim = ada.claims(CANDIDATE, claimed_sd)
    truly(bench, true_sd)
    verify(bench, replace(claiming(claimed_sd), target=claim))
    (body,) = signed(bench)
    assert (body.verdict, body.alpha_millionths, body.max_pairs) == (verdict, 50_000, 16)
    (row,) = bench.store.boards.get(BOARD).rows
    assert (getattr(row, verdict), row.unsupported) == (1, 0)
    ranks = verdict != "refuted"
    assert (row.rerun_pairs >= 4) == ranks, "against the baseline the pairs are the anchor's"


def test_what_nobody_counts_is_not_measured_on(bench: Bench) -> None:
    truly(bench, 8.0)
    verify(bench, replace(claiming(8.0), is_published=False))
    alone = len(bench.runner.started)
    bench.runner.started.clear()
    verify(bench, claiming(8.0))
    assert alone < len(bench.runner.started)


def test_a_gain_over_another_base_is_measured_next_to_the_baseline_as_well(
    bench: Bench, ada: PeerAuthor
) -> None:
    base = proposal_of(BASELINE, "0.7").source
    claim = ada.claims(CANDIDATE, 6.0, base=base)
    truly(bench, 6.0)
    verify(bench, replace(claiming(6.0), base=base, target=claim))
    (body,) = signed(bench)
    anchors = [run.seed for run in body.runs if run.role == "anchor"]
    assert len(anchors) == 4
    assert set(anchors) <= {run.seed for run in body.runs if run.role == "candidate"}
    (row,) = bench.store.boards.get(BOARD).rows
    assert row.rerun_pairs == 4
    assert row.rank is not None


def test_as_many_pairs_as_may_be_asked_for_fit_into_a_record() -> None:
    runs = 2 * VERIFY_MOST_PAIRS + MAX_BASE_FAILURES - 1 + ANCHOR_PAIRS
    assert MAX_RUNS - 1 <= runs <= MAX_RUNS


def test_no_two_untrusted_runs_stand_side_by_side(bench: Bench) -> None:
    """They could pass on by timing what one of them is scored on."""
    truly(bench, 0.0)
    side_by_side: list[int] = []
    at_work = 0
    run = bench.runner.run

    async def counted(*words: object, **more: object) -> object:
        nonlocal at_work
        at_work += 1
        side_by_side.append(at_work)
        try:
            return await run(*words, **more)  # type: ignore[arg-type]
        finally:
            at_work -= 1

    bench.runner.run = counted  # type: ignore[assignment,method-assign]
    verify(bench, claiming(4.0))
    assert max(side_by_side) == 1
    assert len(side_by_side) >= 4
