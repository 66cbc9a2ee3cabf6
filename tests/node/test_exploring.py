"""A line that gets nowhere: what it does instead, in turn; no kill leaves it in between."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line import plateaus
from node.line.branch import BranchStep, branch_of
from node.line.catch_up import CatchUpStep
from node.line.environment_change import request_head_recheck
from node.line.experiment import COMBINING, ExperimentStep
from node.line.head_by_hand import move_head
from node.line.head_recheck import HeadRecheckStep
from node.line.promotion_trial import PromotionTrial
from node.loop.exploring import Exploring
from node.loop.peer_claims import Peers
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.database import Database
from node.store.jobs import Job, Line
from node.store.journal import Journal
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.runs import Env
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, LINE, TASK
from tests.node.line_writers import (
    BASE_NANO,
    conclude,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.node.scripted import OUTCOME, Bench
from tests.protocol.worlds import rerun

pytestmark = pytest.mark.usefixtures("inspected_here")

HEAD_NANO = BASE_NANO - 5 * SD_NANO


def rated(rate: str) -> Source:
    return proposal_of(BASELINE, rate).source


HEAD = rated("0.5")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plateaus of eight experiments, and branches of six."""
    monkeypatch.setattr(plateaus, "ENOUGH", 0.36)
    monkeypatch.setattr(plateaus, "_PATIENCE", 6)


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node that adopted one patch and finds nothing better."""
    line_writer = with_baseline(home, store)
    conclude(line_writer, proposal_of(BASELINE, "0.5"), "kept", HEAD_NANO, HEAD_NANO)
    promotion_trial(line_writer, gain_nano=5 * SD_NANO)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=10))
    measures(bench, HEAD, HEAD_NANO)
    return bench


def measures(bench: Bench, source: Source, nano: int) -> None:
    bench.runner.outcomes = {
        **bench.runner.outcomes,
        source.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano),
    }


def work(bench: Bench, experiments: int) -> None:
    bench.goal = Goal(max_experiments=experiments)

    async def within() -> None:
        async with asyncio.timeout(60):
            await bench.research().run()

    asyncio.run(within())


def line_of(store: Store) -> Line:
    line = store.jobs.line(LINE)
    assert line is not None
    return line


def branches(store: Store) -> list[BranchStep]:
    return [job.step for job in store.jobs.closed_jobs(LINE, BranchStep)]


def experiments(store: Store) -> list[ExperimentStep]:
    jobs = store.jobs.closed_jobs(LINE, ExperimentStep)
    return [job.step for job in jobs]


def is_whole(bench: Bench) -> bool:
    journal = Journal(bench.home, bench.store, Blobs(bench.home.blobs), LINE)
    journal.catch_up()
    return journal.check() == []


# Away and back


def test_where_nothing_is_kept_the_line_goes_on_from_an_older_head(bench: Bench) -> None:
    work(bench, 8)
    assert branches(bench.store) == []
    work(bench, 3)
    (step,) = branches(bench.store)
    assert (step.where, step.tree, step.is_taken) == ("older", BASELINE.tree, True)
    line = line_of(bench.store)
    assert (line.verified, line.working) == (HEAD.tree, BASELINE.tree)
    assert {one.base for one in experiments(bench.store)[-3:]} == {BASELINE.tree}
    said = "nothing was kept in the last 8 experiments: going on from the task's baseline"
    assert said in bench.said
    assert is_whole(bench)


def test_its_first_runs_are_what_it_is_screened_against(bench: Bench) -> None:
    work(bench, 11)
    (job,) = bench.store.jobs.closed_jobs(LINE, BranchStep)
    runs = [one.outcome.run.metric_nano for one in bench.store.jobs.runs_of(job.id) if one.outcome]
    assert len(runs) == DEFAULT.reference_runs
    latest = experiments(bench.store)[-1]
    assert (latest.base, list(latest.reference_nano)) == (BASELINE.tree, runs)


def test_a_branch_that_gets_nowhere_is_left_again_and_the_next_one_comes_sooner(
    bench: Bench,
) -> None:
    work(bench, 8 + 6 + 1)
    assert [step.where for step in branches(bench.store)] == ["older", "head"]
    line = line_of(bench.store)
    assert (line.verified, line.working, line.stack) == (HEAD.tree, HEAD.tree, ())
    reported = "the branch has not improved in 6 experiments: going back to the head"
    assert reported in bench.said
    work(bench, 5)
    assert [step.where for step in branches(bench.store)] == ["older", "head", "older"]
    assert is_whole(bench)


def test_a_branch_that_rises_above_the_head_is_judged_and_adopted(bench: Bench) -> None:
    best = rated("0.209")
    measures(bench, best, HEAD_NANO - 4 * SD_NANO)
    bench.rates = [f"0.3{number}" for number in range(8)] + ["0.209", *(f"0.4{n}" for n in (1, 2))]
    work(bench, 11)
    line = line_of(bench.store)
    assert (line.verified, line.working, line.stack) == (best.tree, best.tree, ())
    (job,) = bench.store.jobs.closed_jobs(LINE, PromotionTrial)[1:]
    judged = job.step
    (step,) = branches(bench.store)
    assert judged.passed
    assert (judged.base, judged.stack[0]) == (HEAD.tree, step.patch)
    assert is_whole(bench)


def test_a_confirmation_is_not_spent_on_a_branch_that_is_below_the_head(bench: Bench) -> None:
    """Not even at the end of a session, at which the working line is judged else."""
    better = rated("0.209")
    measures(bench, better, HEAD_NANO + SD_NANO)  # than the baseline, not than the head
    bench.rates = [f"0.3{number}" for number in range(8)] + ["0.209"]
    work(bench, 9)
    assert line_of(bench.store).working == better.tree
    assert len(bench.store.jobs.closed_jobs(LINE, PromotionTrial)) == 1
    bench.rates = [f"0.4{number}" for number in range(9)]
    work(bench, 2)  # in another session it goes on where it was
    assert branch_of(bench.store, line_of(bench.store)) is not None


def test_what_is_kept_is_judged_before_the_line_leaves_its_head(bench: Bench) -> None:
    better = rated("0.209")
    measures(bench, better, HEAD_NANO - 2 * SD_NANO)
    bench.rates = ["0.209", *(f"0.3{number}" for number in range(20))]
    work(bench, 15)
    assert len(bench.store.jobs.closed_jobs(LINE, PromotionTrial)) == 2
    assert branches(bench.store) == []
    assert line_of(bench.store).verified == better.tree


def test_a_session_for_what_is_handed_in_leaves_no_plateau(bench: Bench) -> None:
    work(bench, 8)
    bench.goal = Goal(is_on_demand=True)
    research = bench.research()
    research.submit(rated("0.9"), title="mine", why="")
    asyncio.run(research.run())
    assert branches(bench.store) == []


def test_out_of_ideas_on_a_branch_the_line_goes_back(bench: Bench) -> None:
    bench.ideas = 9
    work(bench, 20)
    assert [step.where for step in branches(bench.store)] == ["older", "head"]
    assert line_of(bench.store).working == HEAD.tree
    assert "the branch has no ideas left: going back to the head" in bench.said


def test_without_an_older_head_in_reach_it_stays(home: Home, store: Store) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store)
    work(bench, 15)
    assert branches(store) == []
    assert len(experiments(store)) == 15


def test_only_after_a_ctrl_c_the_log_says_what_another_one_does(bench: Bench) -> None:
    research = bench.research()
    research.terminate()
    assert research.is_interrupted
    assert bench.said[-1].endswith("stopping after the current run")
    research.interrupt()
    assert bench.said[-1].endswith("Ctrl-C again to stop now")


def test_stopping_at_a_promotion_trial_judges_no_branch_below_the_head(bench: Bench) -> None:
    work(bench, 10)
    research = bench.research()
    research.stop(after_promotion_trial=True)
    asyncio.run(research.run())
    assert any("stopping after the current run" in line for line in bench.said)
    assert len(bench.store.jobs.closed_jobs(LINE, PromotionTrial)) == 1


# In turn


def test_patches_are_combined_and_parts_asked_about_before_the_line_leaves(
    home: Home, store: Store
) -> None:
    """Two stacks were missed; what was good in each was never tried with what was in the other."""
    line_writer = with_baseline(home, store)
    lines = b"".join(b"C%d = 1\n" % number for number in range(30))
    base = Source.of({"train.py": lines})
    line_writer.blobs.put_source(base)
    move_head(line_writer, base.tree, evidence=None)
    for at, name in ((2, b"FIRST"), (25, b"SECOND")):
        rows = lines.splitlines(keepends=True)
        rows.insert(at, name + b" = 1\n")
        source = Source.of({"train.py": b"".join(rows)})
        proposal = replace(proposal_of(BASELINE, "0.2", title=name.decode()), parent=base.tree)
        proposal = replace(proposal, source=source, edits=(), fingerprint=fingerprint(source))
        nano = BASE_NANO - SD_NANO
        conclude(line_writer, proposal, "kept", nano, nano)
        promotion_trial(line_writer, gain_nano=-SD_NANO)
    bench = Bench(home=home, store=store)
    work(bench, 10)
    (both,) = (one for one in experiments(store) if one.idea.proposer == COMBINING)
    text = line_writer.source(both.tree)["train.py"]
    assert b"FIRST" in text
    assert b"SECOND" in text
    assert set(both.idea.parents) == set(_kept_patches(store))
    assert both.idea.author is None
    assert both.title in ("both: FIRST; SECOND", "both: SECOND; FIRST")
    work(bench, 10)  # never again
    assert sum(one.idea.proposer == COMBINING for one in experiments(store)) == 1


def _kept_patches(store: Store) -> list[bytes]:
    return [e.patch for e in store.experiments.listed(LINE) if e.decision == "kept" and e.patch]


def test_a_part_of_the_head_is_asked_about_before_the_line_leaves(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    wider = Source.of({"train.py": b"LEARNING_RATE = 0.5\nWIDTH = 8\n"})
    conclude(line_writer, proposal_of(BASELINE, "0.5"), "kept", HEAD_NANO, HEAD_NANO)
    step = replace(proposal_of(BASELINE, "0.2", title="wider"), parent=HEAD.tree, source=wider)
    conclude(
        line_writer, replace(step, edits=(), fingerprint=fingerprint(wider)), "kept", HEAD_NANO
    )
    promotion_trial(line_writer, gain_nano=5 * SD_NANO)
    exploring = Exploring(line_writer, peers=None, noise_sd=lambda: SD_NANO / 1e9, reference_runs=2)
    asked = exploring.open_next()
    assert isinstance(asked, Job)
    assert asked.step.part is not None
    store.jobs.close_job(asked.id)
    then = exploring.open_next()
    assert isinstance(then, Job)
    assert then.step.KIND == "branch"


# Peers' trees


@pytest.fixture
def ada(store: Store, home: Home) -> PeerAuthor:
    return PeerAuthor(store, Blobs(home.blobs), number=50)


def with_peers(bench: Bench, *, share: float = 0.0) -> None:
    bench.peers = lambda line_writer: Peers(
        line_writer,
        net="main",
        share=share,
        chance=random.Random(3),
        noise_sd=lambda: SD_NANO / 1e9,
    )


def confirmed(ada: PeerAuthor, omar: PeerAuthor, tree: Source, gain_sd: float) -> bytes:
    """Let one claim a tree and another confirm it; return the claim."""
    claim = ada.claims(tree, gain_sd)
    gains = [round(gain_sd * SD_NANO)] * 3
    said = rerun(omar.key, tree.tree, gains, "confirmed", base=BASELINE.tree)
    omar.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS, env=Env()))
    return claim


def test_a_peers_tree_that_somebody_confirmed_is_gone_on_from_first(
    bench: Bench, ada: PeerAuthor, home: Home, store: Store
) -> None:
    omar = PeerAuthor(store, Blobs(home.blobs), number=51)
    confirmed(ada, omar, rated("0.8"), 4.0)
    with_peers(bench)
    measures(bench, rated("0.8"), BASE_NANO - 4 * SD_NANO)
    work(bench, 11)
    (step,) = branches(store)
    assert (step.where, step.author, step.is_taken) == ("peer", ada.key.public, True)
    assert line_of(store).working == rated("0.8").tree
    work(bench, 8)
    assert [step.where for step in branches(store)] == ["peer", "head", "older"]
    assert is_whole(bench)


def test_a_peers_tree_that_does_not_run_is_not_gone_on_from(
    bench: Bench, ada: PeerAuthor, home: Home, store: Store
) -> None:
    omar = PeerAuthor(store, Blobs(home.blobs), number=51)
    confirmed(ada, omar, rated("0.8"), 30.0)
    with_peers(bench, share=1.0)
    bench.runner.outcomes = {
        **bench.runner.outcomes,
        rated("0.8").tree: replace(OUTCOME, status="crash", metric_nano=None, secret_nano=None),
    }
    work(bench, 12)
    (tried,) = (one for one in experiments(store) if one.idea.is_whole_tree)
    assert tried.decision == "failed"
    assert "peer" not in [step.where for step in branches(store)]


def test_a_peers_tree_that_leads_is_judged_as_it_is(
    bench: Bench, ada: PeerAuthor, home: Home, store: Store
) -> None:
    omar = PeerAuthor(store, Blobs(home.blobs), number=51)
    confirmed(ada, omar, rated("0.8"), 8.0)
    with_peers(bench)
    measures(bench, rated("0.8"), BASE_NANO - 8 * SD_NANO)
    work(bench, 10)
    line = line_of(store)
    assert (line.verified, line.working, line.stack) == (rated("0.8").tree,) * 2 + ((),)
    assert is_whole(bench)


def test_a_tree_that_only_its_author_vouches_for_is_not_gone_on_from(
    bench: Bench, ada: PeerAuthor
) -> None:
    ada.claims(rated("0.8"), 4.0)
    with_peers(bench)
    work(bench, 11)
    (step,) = branches(bench.store)
    assert step.where == "older"


@pytest.mark.parametrize("line", [b"import os\n", b"print(open('/etc/passwd'))\n"])
def test_marked_code_is_not_gone_on_from(
    bench: Bench, ada: PeerAuthor, home: Home, store: Store, line: bytes
) -> None:
    omar = PeerAuthor(store, Blobs(home.blobs), number=51)
    marked = Source.of({"train.py": line + b"LEARNING_RATE = 0.8\n"})
    confirmed(ada, omar, marked, 4.0)
    with_peers(bench)
    work(bench, 11)
    assert [step.where for step in branches(store)] == ["older"]
    assert marked.tree not in bench.runner.started


def test_a_peers_lead_is_caught_up_with_on_a_branch_too(bench: Bench, ada: PeerAuthor) -> None:
    work(bench, 10)
    assert branch_of(bench.store, line_of(bench.store)) is not None
    ada.claims(rated("0.8"), 30.0)
    with_peers(bench, share=1.0)
    measures(bench, rated("0.8"), BASE_NANO - 30 * SD_NANO)
    work(bench, 1)
    line = line_of(bench.store)
    assert (line.verified, line.working, line.stack) == (rated("0.8").tree,) * 2 + ((),)


def test_a_lead_that_does_not_hold_ends_no_branch(bench: Bench, ada: PeerAuthor) -> None:
    work(bench, 10)
    before = line_of(bench.store)
    ada.claims(rated("0.8"), 30.0)
    with_peers(bench, share=1.0)
    work(bench, 1)
    assert len(bench.store.jobs.closed_jobs(LINE, CatchUpStep)) == 1
    assert line_of(bench.store).stack == before.stack


# Rechecks and damage


def test_a_head_to_recheck_is_measured_again_once_the_line_is_back(bench: Bench) -> None:
    work(bench, 10)
    request_head_recheck(line_writer_of(bench.home, bench.store), "to see")
    work(bench, 1)
    assert bench.store.jobs.closed_jobs(LINE, HeadRecheckStep) == []
    work(bench, 5)
    assert [step.where for step in branches(bench.store)][:2] == ["older", "head"]
    assert len(bench.store.jobs.closed_jobs(LINE, HeadRecheckStep)) == 1


def test_a_line_that_was_put_back_to_its_head_finds_its_plateaus_again(bench: Bench) -> None:
    work(bench, 10)
    line = line_of(bench.store)
    bench.store.jobs.save_line(replace(line, working=line.verified, stack=(), reference_nano=()))
    work(bench, 8)
    assert [step.where for step in branches(bench.store)][:2] == ["older", "older"]


def test_a_source_that_is_handed_in_on_a_branch_is_decided(bench: Bench) -> None:
    work(bench, 10)
    bench.goal = Goal(is_on_demand=True)
    research = bench.research()
    research.submit(rated("0.9"), title="mine", why="")
    asyncio.run(research.run())
    attempt = research.attempt_of(fingerprint(rated("0.9")))
    assert attempt is not None
    assert attempt.word == "discard"


# Kills


class Killed(BaseException):
    """The process is gone."""


def _stage(database: Database) -> str:
    """Return the stored state of branches, promotion trials and the line."""
    jobs = "SELECT id, state FROM job WHERE kind IN ('branch', 'promotion_trial') ORDER BY id"
    runs = "SELECT count(outcome) FROM planned_run, job WHERE job = id AND kind = 'branch'"
    line = "SELECT hex(verified), hex(working), length(stack) FROM line"
    return repr([database.rows(statement) for statement in (jobs, runs, line)])


@contextmanager
def killing(seen: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End everything right after a write with which something is as it never was before."""
    whole = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[None]:
        with whole(self):
            yield
        stage = _stage(self)
        if stage not in seen:
            seen.add(stage)
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", transaction)
        yield


def test_a_kill_after_each_step_of_a_branch_leaves_it_whole_and_the_node_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away, up, judged and adopted; away and back; with a kill after each write on the way."""
    best = rated("0.209")
    with Store.open(home) as store:
        line_writer = with_baseline(home, store)
        conclude(line_writer, proposal_of(BASELINE, "0.5"), "kept", HEAD_NANO, HEAD_NANO)
        promotion_trial(line_writer, gain_nano=5 * SD_NANO)
    seen: set[str] = set()
    heads: list[bytes] = []
    while (kills := len(seen)) < 100:
        with Store.open(home) as store:
            rates = [*(f"0.3{n}" for n in range(8)), "0.209", *(f"0.4{n:02}" for n in range(16))]
            bench = Bench(home=home, store=store, rates=rates)
            measures(bench, HEAD, HEAD_NANO)
            measures(bench, best, HEAD_NANO - 4 * SD_NANO)
            with killing(seen, monkeypatch), suppress(Killed):
                work(bench, 100)
            _assert_consistent(store)
            assert is_whole(bench)
            heads.append(line_of(store).verified)
            if len(seen) == kills:  # it came to its end
                assert [step.where for step in branches(store)] == ["older", "older", "head"]
                assert line_of(store).working == best.tree
                break
    assert len(seen) > 10
    assert list(dict.fromkeys(heads)) == [HEAD.tree, best.tree]


def _assert_consistent(store: Store) -> None:
    """The stack leads from the verified head to the working line, step by step."""
    line = line_of(store)
    at = line.verified
    for part in line.stack:
        patch = store.records.patch(part)
        assert patch is not None
        assert patch.base == at
        at = patch.tree
    assert at == line.working
    for job in store.jobs.closed_jobs(LINE, BranchStep):
        step = job.step
        assert step.record is not None
        assert store.records.has(step.record)
        assert all(one.outcome for one in store.jobs.runs_of(job.id))
