"""A head that measures otherwise than when it was adopted is measured again, and may go."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest

from node.commands.cli import main
from node.exchange.bundling import gather
from node.home.home import Home
from node.line.environment_change import (
    changes_between,
    decisive,
    detect_environment_change,
    has_failed,
    request_head_recheck,
)
from node.line.head_by_hand import move_head
from node.line.head_recheck import HeadRecheckStep, head_recheck_reason
from node.line.noise import known_noise
from node.line.open_task import Session
from node.line.promotion_trial import PromotionTrial
from node.line.trial import MetricReading, Pair, judge_pairs
from node.loop.session_plan import Goal
from node.reporting.concluded import TimeSpan
from node.reporting.night import as_markdown
from node.reporting.report import report_of
from node.reporting.report_json import report_json
from node.store.blobs import Blobs
from node.store.journal import Journal
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.record_kinds import AdoptBody, ResultBody
from protocol.remarks import RetractBody
from protocol.rule import AGAIN, Claim, has_drifted
from protocol.runs import CONTENDED, Env
from protocol.statistics import CLASS_DEGREES_OF_FREEDOM, NoiseEstimate
from tests.node.examples import BASELINE, LINE, run
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    keep,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import CRASHED, OUTCOME, Bench, better

HEAD = proposal_of(BASELINE, "0.201").source.tree
NEWER = Env.of({"torch": "2.14.0"})
_WORSE_NANO = BASE_NANO + GAIN_NANO
WORSE = replace(OUTCOME, metric_nano=_WORSE_NANO, secret_nano=_WORSE_NANO)  # than the baseline


@dataclass(kw_only=True)
class Changed(Bench):
    """The same home on a machine with another torch."""

    env: Env = NEWER

    def session(self) -> Session:
        session = super().session()
        return replace(session, subject=replace(session.subject, env=self.env))


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node that adopted something."""
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=3))
    bench.runner.outcomes = dict([better("0.201")])
    line_writer_of(home, store).announce()
    asyncio.run(bench.research().run())
    assert store.jobs.line(LINE).verified == HEAD  # type: ignore[union-attr]
    return bench


def changed(bench: Bench, env: Env = NEWER) -> Changed:
    """Return the node after its machine changed; it proposes nothing new."""
    return Changed(
        env=env,
        home=bench.home,
        store=bench.store,
        runner=bench.runner,
        goal=Goal(max_experiments=1),
        ideas=0,
        said=bench.said,
    )


def journal_is_whole(bench: Bench) -> bool:
    journal = Journal(bench.home, bench.store, Blobs(bench.home.blobs), LINE)
    journal.catch_up()
    return journal.check() == []


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main(list(words))
    return capsys.readouterr().out


def verdicts(store: Store) -> list[str]:
    return [job.step.verdict for job in store.jobs.closed_jobs(LINE, HeadRecheckStep)]


def test_another_torch_has_the_head_measured_again_and_it_holds(bench: Bench) -> None:
    before = bench.store.experiments.evidence_for(LINE, HEAD)
    asyncio.run(changed(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (HEAD, ["confirmed"])
    evidence = bench.store.experiments.evidence_for(LINE, HEAD)
    assert evidence not in (before, None)
    body = bench.store.records.get(evidence or b"").body
    assert isinstance(body, ResultBody)
    assert "torch 2.13.0 → 2.14.0" in body.note
    assert (body.base, body.tree) == (BASELINE.tree, HEAD)
    assert any("torch 2.13.0 → 2.14.0" in said for said in bench.said)
    assert bench.decisions().count("adopted") == 2  # both times it was vouched for
    assert journal_is_whole(bench)
    asyncio.run(changed(bench).research().run())
    assert verdicts(bench.store) == ["confirmed"]  # a change is looked into once


@pytest.mark.parametrize("ending", [WORSE, CRASHED])
def test_a_head_that_does_not_hold_is_rolled_back_and_its_claim_taken_back(
    bench: Bench,
    ending: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending in (WORSE, CRASHED)
    bench.runner.outcomes = {HEAD: WORSE if ending is WORSE else CRASHED}
    evidence = bench.store.experiments.evidence_for(LINE, HEAD)
    asyncio.run(changed(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working, line.stack) == (BASELINE.tree, BASELINE.tree, ())
    assert verdicts(bench.store) == ["refuted" if ending is WORSE else "unrunnable"]
    assert bench.store.experiments.evidence_for(LINE, HEAD) is None
    taken_back = [record.body for record in bench.store.records.listed("retract")]
    assert [body.target for body in taken_back if isinstance(body, RetractBody)] == [evidence]
    moves = [record.body for record in bench.store.records.listed("adopt")]
    (back,) = (one for one in moves if isinstance(one, AdoptBody) and one.from_tree == HEAD)
    assert back.to_tree == BASELINE.tree
    assert back.evidence == bench.store.experiments.evidence_for(LINE, BASELINE.tree)
    assert any("does not hold" in said for said in bench.said)
    assert journal_is_whole(bench)
    # Every reader, here or elsewhere, sees that it is invalid.
    bench.store.close()
    monkeypatch.setenv("ARNODE_HOME", str(bench.home.root))
    with pytest.raises(SystemExit):
        main(["show", (evidence or b"").hex(), "--json"])
    assert json.loads(capsys.readouterr().out)["retracted"].startswith("measured again: ")
    with Store.open_read_only(bench.home) as store:
        bundle = gather(store, Blobs(bench.home.blobs), store.records.get(evidence or b""))
    assert "retract" in {record.kind for record in bundle.records.values()}


def test_a_head_that_pairs_neither_confirm_nor_refute_stays_and_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most true gains are too small for one trial to prove them twice."""
    evidence = bench.store.experiments.evidence_for(LINE, HEAD)
    moves = heads(bench.store)
    bench.runner.outcomes = {HEAD: OUTCOME}
    asyncio.run(changed(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working, verdicts(bench.store)) == (HEAD, HEAD, ["unconfirmed"])
    assert (heads(bench.store), bench.store.records.listed("retract")) == (moves, [])
    assert bench.store.experiments.evidence_for(LINE, HEAD) == evidence
    assert sum("the head in doubt stays, not re-confirmed yet" in said for said in bench.said) == 1
    assert journal_is_whole(bench)
    asyncio.run(changed(bench).research().run())
    assert verdicts(bench.store) == ["unconfirmed"], "the same question is not asked again"

    bench.store.close()
    monkeypatch.setenv("ARNODE_HOME", str(bench.home.root))
    why = "torch 2.13.0 → 2.14.0"
    assert "not re-confirmed yet" in printed(capsys, "status")
    assert (
        json.loads(printed(capsys, "status", "--json"))["lines"][0]["head"]["recheck_pending"]
        == why
    )
    assert json.loads(printed(capsys, "head", "--provenance", "--json"))["recheck_pending"] == why
    (row,) = json.loads(printed(capsys, "leaderboard", "--json"))["rows"]
    assert (row["tree"], row["here"]["recheck_pending"]) == (HEAD.hex(), True)
    assert "not re-confirmed yet" in printed(capsys, "leaderboard")
    with Store.open_read_only(bench.home) as store:
        report = report_of(store, TimeSpan(since_ms=0, until_ms=10**14), net="main")
    assert f"It is not re-confirmed yet (`{why}`)." in as_markdown(report, None)
    assert '"recheck_pending": "' + why in json.dumps(report_json(report), ensure_ascii=False)
    with pytest.raises(SystemExit):
        main(["head"])
    assert capsys.readouterr().err == f"not re-confirmed yet: {why}\n"


@pytest.mark.parametrize("settles", ["the next doubt", "another head"])
def test_a_head_is_not_re_confirmed_until_pairs_confirm_it_or_another_passes(
    bench: Bench, settles: str
) -> None:
    fine = bench.runner.outcomes
    bench.runner.outcomes = {HEAD: OUTCOME}
    asyncio.run(changed(bench).research().run())
    line_writer = line_writer_of(bench.home, bench.store)
    assert head_recheck_reason(bench.store, line_writer.known_line)
    if settles == "another head":
        keep(line_writer, "0.7")
        promotion_trial(line_writer, gain_nano=GAIN_NANO)
        assert line_writer.known_line.verified != HEAD
    else:
        newest = Env.of({"torch": "2.15.0"})
        detect_environment_change(line_writer, newest)
        assert head_recheck_reason(bench.store, line_writer.known_line) == "torch 2.14.0 → 2.15.0"
        bench.runner.outcomes = fine
        asyncio.run(changed(bench, newest).research().run())
        assert verdicts(bench.store) == ["unconfirmed", "confirmed"]
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert head_recheck_reason(bench.store, line) is None


def test_a_head_that_pairs_never_confirmed_is_not_reported_as_not_re_confirmed(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    request_head_recheck(line_writer, "to see")
    assert head_recheck_reason(store, line_writer.known_line) is None
    keep(line_writer, "0.7")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    request_head_recheck(line_writer, "to see")
    assert head_recheck_reason(store, line_writer.known_line) == "to see"


def test_what_a_head_could_know_by_heart_is_no_evidence_against_it() -> None:
    """It is taken off what it gains; alone it must not take back a head that measures the same."""
    pairs = [
        Pair(seed=seed, base=run(BASE_NANO + off), candidate=run(BASE_NANO - off))
        for seed, off in enumerate([100, -100, 50, -50])
    ]
    noise = NoiseEstimate.from_class(1e-6)
    reading = MetricReading(sign=1, noise=noise, policy=AGAIN)
    assert judge_pairs(pairs, reading).verdict is None
    judged = judge_pairs(pairs, replace(reading, memorised=1e-4))
    assert (judged.verdict, judged.claim) == (None, None)
    assert judge_pairs(pairs, replace(reading, memorised=1e-4), Claim(gain=1e-6)).claim == "open"


def test_a_head_whose_predecessor_fails_here_stays(bench: Bench) -> None:
    bench.runner.outcomes = {**bench.runner.outcomes, BASELINE.tree: CRASHED}
    asyncio.run(changed(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (HEAD, ["unrunnable"])
    assert not bench.store.records.listed("retract")
    assert head_recheck_reason(bench.store, line) == "torch 2.13.0 → 2.14.0"


def test_a_head_that_measures_worse_next_to_a_missed_stack_is_rechecked(bench: Bench) -> None:
    """A head adopted by luck, or by a fault fixed since, does not last."""
    bench.said.clear()
    lucky = proposal_of(line_writer_of(bench.home, bench.store).explored, "0.203").source.tree
    plain = {HEAD: WORSE, lucky: WORSE}
    lower = replace(OUTCOME, metric_nano=BASE_NANO - 2 * GAIN_NANO)
    bench.runner.outcomes = {**bench.runner.outcomes, lucky: lower}

    def measure_truly(_count: int) -> None:
        started = bench.runner.started
        if started.count(lucky) == 3 or (started.count(lucky), started[-1]) == (2, HEAD):
            # in the promotion trial, whichever of its first pair begins
            bench.runner.outcomes = plain

    bench.runner.on_start = measure_truly
    bench.goal = Goal(max_experiments=1)
    asyncio.run(bench.research().run())
    assert bench.decisions()[-3:] == ["kept", "unconfirmed", "unconfirmed"]
    assert any("worse than before" in said for said in bench.said)
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (BASELINE.tree, ["refuted"])


def test_a_head_recheck_waits_for_the_stack_and_ends_with_the_head(bench: Bench) -> None:
    second = proposal_of(line_writer_of(bench.home, bench.store).source(HEAD), "0.202").source
    line_writer = line_writer_of(bench.home, bench.store)
    request_head_recheck(line_writer, "somebody says so")
    bench.runner.outcomes = dict(
        [better("0.201"), better("0.202", line_writer.source(HEAD), 2 * GAIN_NANO)]
    )
    line_writer.store.jobs.save_line(
        replace(line_writer.known_line, stack=(bytes(32),), working=HEAD)
    )
    bench.goal = Goal(is_on_demand=True)
    asyncio.run(bench.research().run())
    assert verdicts(bench.store) == []  # nobody who asks one thing waits for it
    line_writer.store.jobs.save_line(
        replace(line_writer.known_line, verified=second.tree, stack=())
    )
    bench.goal = Goal(max_experiments=1)
    bench.ideas = 0
    line_writer_of(bench.home, bench.store).blobs.put_source(second)
    asyncio.run(bench.research().run())
    assert verdicts(bench.store) == []  # it was about another head


def test_what_was_measured_elsewhere_is_only_where_to_start_from(bench: Bench) -> None:
    before = known_noise(bench.store, LINE, 1_000_000)
    assert (
        detect_environment_change(line_writer_of(bench.home, bench.store), NEWER)
        == "torch 2.13.0 → 2.14.0"
    )
    after = known_noise(bench.store, LINE, 1_000_000)
    assert before.nu > after.nu == CLASS_DEGREES_OF_FREEDOM
    assert after.sd == pytest.approx(before.sd)


def test_a_trend_is_what_chance_does_not_do() -> None:
    assert not has_drifted([0.0, 0.0], [2.4, 2.4], 1.0)
    assert has_drifted([0.0, 0.0], [2.6, 2.6], 1.0)
    assert has_drifted([0.0, 0.0], [-2.6, -2.6], 1.0)
    assert has_drifted([0.0] * 8, [1.3] * 8, 1.0)


def test_only_what_shifts_a_metric_counts() -> None:
    before = decisive(Env.of({"torch": "2.13.0", "cores": 2, "os": "linux"}))
    now = decisive(Env.of({"torch": "2.13.0", "cores": 8, "driver": "580"}))
    assert changes_between(before, now) == "driver None → 580"


# What does not run any more


def crashes(bench: Bench, *trees: bytes, since: int = 0) -> None:
    """From its so manieth run on, each of these trees crashes."""
    fine = dict(bench.runner.outcomes)

    def look(count: int) -> None:
        bench.runner.outcomes = fine | (dict.fromkeys(trees, CRASHED) if count > since else {})

    bench.runner.on_start = look


def within(work: Coroutine[Any, Any, None]) -> None:
    """A loop that gets nowhere is ended, not waited for."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(limited())


def again(bench: Bench, **changes: Any) -> Bench:
    """Return the same node in another session."""
    bench.runner.started.clear()
    bench.said.clear()
    return replace(bench, goal=Goal(max_experiments=1), **changes)


def heads(store: Store) -> list[tuple[bytes, bytes]]:
    moves = [record.body for record in store.records.listed("adopt")]
    return [(one.from_tree, one.to_tree) for one in moves if isinstance(one, AdoptBody)]


def test_a_head_whose_reference_runs_fail_twice_is_replaced_by_the_one_before_it(
    bench: Bench,
) -> None:
    evidence = bench.store.experiments.evidence_for(LINE, HEAD)
    crashes(bench, HEAD)
    within(again(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working) == (BASELINE.tree, BASELINE.tree)
    assert bench.runner.started[:2] == [HEAD, HEAD]
    assert bench.runner.started.count(HEAD) == 3  # and once next to the head before it
    assert (HEAD, BASELINE.tree) in heads(bench.store)
    taken_back = [record.body for record in bench.store.records.listed("retract")]
    assert [body.target for body in taken_back if isinstance(body, RetractBody)] == [evidence]
    assert any("no longer runs here" in said for said in bench.said)
    assert bench.decisions()[-1] == "discarded"  # the session goes on with what it is for
    assert journal_is_whole(bench)


def test_one_failure_is_an_accident(bench: Bench) -> None:
    fine = dict(bench.runner.outcomes)

    def look(count: int) -> None:
        bench.runner.outcomes = {**fine, HEAD: CRASHED} if count == 1 else fine

    bench.runner.on_start = look
    within(again(bench).research().run())
    assert bench.store.jobs.line(LINE).verified == HEAD  # type: ignore[union-attr]
    assert verdicts(bench.store) == []


def test_a_run_that_others_disturbed_is_no_failure() -> None:
    failed = run(None, status="timeout")
    assert has_failed(failed)
    assert not has_failed(replace(failed, flags=(CONTENDED,)))
    assert has_failed(replace(failed, status="crash", flags=(CONTENDED,)))
    assert not has_failed(run(1))


def test_a_baseline_that_does_not_run_any_more_ends_the_session_with_one_error(
    home: Home, store: Store
) -> None:
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=1))
    within(bench.research().run())
    crashes(bench, BASELINE.tree)
    with pytest.raises(ArnodeError, match="baseline no longer runs here") as caught:
        within(again(bench).research().run())
    assert "arnode doctor" in caught.value.hint
    assert bench.runner.started == [BASELINE.tree] * 2
    bench.runner.on_start = lambda _count: None
    bench.runner.outcomes = {}
    within(again(bench).research().run())  # fixed, it goes on
    assert bench.decisions().count("discarded") == 2


def test_where_no_head_runs_it_goes_down_to_the_baseline_and_says_so(bench: Bench) -> None:
    crashes(bench, HEAD, BASELINE.tree)
    with pytest.raises(ArnodeError, match="baseline no longer runs here"):
        within(again(bench).research().run())
    assert bench.store.jobs.line(LINE).verified == BASELINE.tree  # type: ignore[union-attr]


def test_a_head_without_evidence_that_fails_is_replaced_as_well(bench: Bench) -> None:
    """This head was adopted by the user at their own risk."""
    line_writer = line_writer_of(bench.home, bench.store)
    mine = proposal_of(BASELINE, "0.9").source
    line_writer.blobs.put_source(mine)
    move_head(line_writer, mine.tree, evidence=None)
    crashes(bench, mine.tree)
    within(again(bench).research().run())
    assert bench.store.jobs.line(LINE).verified == HEAD  # type: ignore[union-attr]
    assert (mine.tree, HEAD) in heads(bench.store)
    assert bench.runner.started.count(mine.tree) == 2


def test_a_working_line_that_does_not_run_any_more_goes_back_to_the_head(bench: Bench) -> None:
    line_writer = line_writer_of(bench.home, bench.store)
    keep(line_writer, "0.7")
    working = line_writer.known_line.working
    crashes(bench, working)
    within(again(bench).research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working, line.stack) == (HEAD, HEAD, ())
    assert bench.runner.started.count(working) == 2


@pytest.mark.parametrize("is_better", [False, True])
def test_a_head_that_fails_next_to_a_stack_does_not_throw_it_away(
    bench: Bench, is_better: bool
) -> None:
    """The head is replaced first; then the stack is held against the head before it."""
    line_writer = line_writer_of(bench.home, bench.store)
    kept = keep(line_writer, "0.7")
    working = line_writer.known_line.working
    fine = dict(bench.runner.outcomes)
    better_nano = BASE_NANO - 3 * GAIN_NANO if is_better else BASE_NANO
    fine[working] = replace(OUTCOME, metric_nano=better_nano, secret_nano=better_nano)
    bench.runner.outcomes = fine | {HEAD: replace(CRASHED, serve_ms=0)}
    node = again(bench, ideas=0)
    within(node.research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert line.verified == (working if is_better else BASELINE.tree)
    steps = [job.step for job in bench.store.jobs.closed_jobs(LINE, PromotionTrial)][1:]
    assert [(step.base, step.passed) for step in steps] == [
        (HEAD, False),
        (BASELINE.tree, is_better),
    ]
    assert [bool(step.measured and step.measured.bases_fault) for step in steps] == [True, False]
    assert len(steps[1].stack) == 2  # the head's own patch leads there as well
    assert steps[1].stack[1:] == (kept.patch,)
    assert (HEAD, BASELINE.tree) in heads(bench.store)
    assert any("the head fails in this trial" in said for said in bench.said)
    assert journal_is_whole(bench)


def test_a_head_that_fails_for_once_next_to_a_stack_costs_it_nothing(bench: Bench) -> None:
    line_writer = line_writer_of(bench.home, bench.store)
    keep(line_writer, "0.7")
    working = line_writer.known_line.working
    better_nano = BASE_NANO - 3 * GAIN_NANO
    fine = dict(bench.runner.outcomes)
    fine[working] = replace(OUTCOME, metric_nano=better_nano, secret_nano=better_nano)
    failures = iter([True, False])

    def look(_count: int) -> None:
        fails = bench.runner.started[-1] == HEAD and next(failures, False)
        bench.runner.outcomes = fine | ({HEAD: replace(CRASHED, serve_ms=0)} if fails else {})

    bench.runner.on_start = look
    within(again(bench, ideas=0).research().run())
    assert bench.store.jobs.line(LINE).verified == working  # type: ignore[union-attr]
    (job,) = bench.store.jobs.closed_jobs(LINE, PromotionTrial)[1:]
    runs = bench.store.jobs.runs_of(job.id)
    failed = [run for run in runs if run.outcome and run.outcome.run.status != "ok"]
    assert len(failed) == 1
    assert [run.tree for run in runs if run.seed == failed[0].seed].count(HEAD) == 2
