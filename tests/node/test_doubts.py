"""A head that measures otherwise than when it was adopted is measured again, and may go."""

import asyncio
import json
from dataclasses import replace

import pytest

from node.cli import main
from node.exchange.bundling import gather
from node.home import Home
from node.journal.journal import Journal
from node.loop.agenda import Goal
from node.loop.doubts import doubt_head, note_surroundings
from node.loop.heads import evidence_for
from node.loop.noise import known_noise
from node.loop.session import Session
from node.loop.steps import RemeasureStep
from node.loop.surroundings import changes_between, decisive
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.kinds import AdoptBody, Env, ResultBody, RetractBody
from protocol.rule import has_drifted
from protocol.statistics import CLASS_DEGREES_OF_FREEDOM
from tests.node.books import BASE_NANO, GAIN_NANO, ledger_of, proposal_of
from tests.node.examples import BASELINE, LINE
from tests.node.scripted import CRASHED, OUTCOME, Bench, better

HEAD = proposal_of(BASELINE, "0.201").source.tree
NEWER = Env.of({"torch": "2.14.0"})


class Changed(Bench):
    """The same home on a machine with another torch."""

    def session(self) -> Session:
        session = super().session()
        return replace(session, subject=replace(session.subject, env=NEWER))


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node that adopted something."""
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=3))
    bench.runner.outcomes = dict([better("0.201")])
    ledger_of(home, store).announce()
    asyncio.run(bench.research().run())
    assert store.load_line(LINE).verified == HEAD  # type: ignore[union-attr]
    return bench


def changed(bench: Bench) -> Changed:
    """Return the node after its machine changed; it proposes nothing new."""
    return Changed(
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


def verdicts(store: Store) -> list[str]:
    return [
        RemeasureStep.from_value(job.body).verdict for job in store.closed_jobs(LINE, "remeasure")
    ]


def test_another_torch_has_the_head_measured_again_and_it_holds(bench: Bench) -> None:
    before = evidence_for(bench.store, LINE, HEAD)
    asyncio.run(changed(bench).research().run())
    line = bench.store.load_line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (HEAD, ["confirmed"])
    evidence = evidence_for(bench.store, LINE, HEAD)
    assert evidence not in (before, None)
    body = bench.store.record(evidence or b"").body
    assert isinstance(body, ResultBody)
    assert "torch 2.13.0 → 2.14.0" in body.note
    assert (body.base, body.tree) == (BASELINE.tree, HEAD)
    assert any("torch 2.13.0 → 2.14.0" in said for said in bench.said)
    assert bench.decisions().count("adopted") == 2  # both times it was vouched for
    assert journal_is_whole(bench)
    asyncio.run(changed(bench).research().run())
    assert verdicts(bench.store) == ["confirmed"]  # a change is looked into once


@pytest.mark.parametrize("ending", [OUTCOME, CRASHED])
def test_a_head_that_does_not_hold_is_rolled_back_and_its_claim_taken_back(
    bench: Bench,
    ending: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending in (OUTCOME, CRASHED)
    bench.runner.outcomes = {HEAD: OUTCOME if ending is OUTCOME else CRASHED}
    evidence = evidence_for(bench.store, LINE, HEAD)
    asyncio.run(changed(bench).research().run())
    line = bench.store.load_line(LINE)
    assert line is not None
    assert (line.verified, line.working, line.stack) == (BASELINE.tree, BASELINE.tree, ())
    assert verdicts(bench.store) == ["unconfirmed" if ending is OUTCOME else "unrunnable"]
    assert evidence_for(bench.store, LINE, HEAD) is None
    taken_back = [record.body for record in bench.store.records("retract")]
    assert [body.target for body in taken_back if isinstance(body, RetractBody)] == [evidence]
    moves = [record.body for record in bench.store.records("adopt")]
    (back,) = (one for one in moves if isinstance(one, AdoptBody) and one.from_tree == HEAD)
    assert back.to_tree == BASELINE.tree
    assert back.evidence == evidence_for(bench.store, LINE, BASELINE.tree)
    assert any("does not hold" in said for said in bench.said)
    assert journal_is_whole(bench)
    # Whoever looks at it, here or elsewhere, sees that it no longer stands.
    bench.store.close()
    monkeypatch.setenv("ARNODE_HOME", str(bench.home.root))
    with pytest.raises(SystemExit):
        main(["show", (evidence or b"").hex(), "--json"])
    assert json.loads(capsys.readouterr().out)["retracted"].startswith("measured again: ")
    with Store.open_read_only(bench.home) as store:
        bundle = gather(store, Blobs(bench.home.blobs), store.record(evidence or b""))
    assert "retract" in {record.kind for record in bundle.records.values()}


def test_a_head_whose_predecessor_fails_here_stays(bench: Bench) -> None:
    bench.runner.outcomes = {**bench.runner.outcomes, BASELINE.tree: CRASHED}
    asyncio.run(changed(bench).research().run())
    line = bench.store.load_line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (HEAD, ["unrunnable"])
    assert not bench.store.records("retract")


def test_a_head_that_measures_worse_beside_a_missed_stack_is_in_doubt(bench: Bench) -> None:
    """What was adopted by luck, or by a fault since mended, does not last."""
    bench.said.clear()
    lucky = proposal_of(ledger_of(bench.home, bench.store).explored, "0.203").source.tree
    plain = {HEAD: OUTCOME, lucky: OUTCOME}
    lower = replace(OUTCOME, metric_nano=BASE_NANO - 2 * GAIN_NANO)
    bench.runner.outcomes = {**bench.runner.outcomes, lucky: lower}

    def tell_truth(_count: int) -> None:
        if bench.runner.started.count(lucky) == 3:  # in the checkpoint
            bench.runner.outcomes = plain

    bench.runner.on_start = tell_truth
    bench.goal = Goal(max_experiments=1)
    asyncio.run(bench.research().run())
    assert bench.decisions()[-3:] == ["kept", "unconfirmed", "unconfirmed"]
    assert any("worse than before" in said for said in bench.said)
    line = bench.store.load_line(LINE)
    assert line is not None
    assert (line.verified, verdicts(bench.store)) == (BASELINE.tree, ["unconfirmed"])


def test_a_doubt_waits_for_the_stack_and_ends_with_the_head(bench: Bench) -> None:
    second = proposal_of(ledger_of(bench.home, bench.store).source(HEAD), "0.202").source
    ledger = ledger_of(bench.home, bench.store)
    doubt_head(ledger, "somebody says so")
    bench.runner.outcomes = dict(
        [better("0.201"), better("0.202", ledger.source(HEAD), 2 * GAIN_NANO)]
    )
    ledger.store.save_line(replace(ledger.known_line, stack=(bytes(32),), working=HEAD))
    bench.goal = Goal(is_on_demand=True)
    asyncio.run(bench.research().run())
    assert verdicts(bench.store) == []  # nobody who asks one thing waits for it
    ledger.store.save_line(replace(ledger.known_line, verified=second.tree, stack=()))
    bench.goal = Goal(max_experiments=1)
    bench.ideas = 0
    ledger_of(bench.home, bench.store).blobs.put_source(second)
    asyncio.run(bench.research().run())
    assert verdicts(bench.store) == []  # it was about another head


def test_what_was_measured_elsewhere_is_only_where_to_start_from(bench: Bench) -> None:
    before = known_noise(bench.store, LINE, 1_000_000)
    assert note_surroundings(ledger_of(bench.home, bench.store), NEWER) == "torch 2.13.0 → 2.14.0"
    after = known_noise(bench.store, LINE, 1_000_000)
    assert before.nu > after.nu == CLASS_DEGREES_OF_FREEDOM
    assert after.sd == pytest.approx(before.sd)


def test_drift_is_what_chance_does_not_do() -> None:
    assert not has_drifted([0.0, 0.0], [2.4, 2.4], 1.0)
    assert has_drifted([0.0, 0.0], [2.6, 2.6], 1.0)
    assert has_drifted([0.0, 0.0], [-2.6, -2.6], 1.0)
    assert has_drifted([0.0] * 8, [1.3] * 8, 1.0)


def test_only_what_shifts_a_metric_counts() -> None:
    before = decisive(Env.of({"torch": "2.13.0", "cores": 2, "os": "linux"}))
    now = decisive(Env.of({"torch": "2.13.0", "cores": 8, "driver": "580"}))
    assert changes_between(before, now) == "driver None → 580"
