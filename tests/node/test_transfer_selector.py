"""Finds of the rungs below: which are tried, in which order, and how the time is shared."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.ladder.kinds import kinds_tried, rungs_here
from node.ladder.time_share import FIRST, Effort, LadderTimeShare
from node.ladder.transfer_candidates import step_of_record
from node.ladder.transfer_history import (
    Where,
    slopes_known,
    tasks_of,
    transfer_histories,
    transfer_lines,
)
from node.ladder.transfer_selector import LEAST_SD, Promising, TransferSelector, rungs_below
from node.line.baseline import close_baseline, open_baseline
from node.line.experiment import RecordedExperiment, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.rung_transfer import RungTransferStep, open_rung_transfer, rung_transfer_ideas
from node.reporting.transfer import transfer_document
from node.source_review.provenance import provenance
from node.store.blobs import Blobs
from node.store.jobs import LineKey
from node.store.named_tasks import labels
from node.store.store import Store
from protocol.manifest import TaskManifest
from protocol.record_kinds import FoundOn, PatchBody
from protocol.transfer import UNKNOWN
from protocol.units import NANO
from tests.node.examples import BASELINE, HARDWARE_CLASS, MANIFEST
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    IDENTITY,
    SUBJECT,
    Clock,
    conclude,
    finished,
    keep,
    with_baseline,
)
from tests.node.line_writers import proposal_of as rate_proposal
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.protocol.worlds import rerun

UPPER = replace(MANIFEST, name="upper", below=MANIFEST.id, noise_floor_nano=2_000_000)
TOP = replace(MANIFEST, name="top", below=UPPER.id)
NOISE_SD = 0.002


def upper_line_writer(home: Home, store: Store, manifest: TaskManifest = UPPER) -> LineWriter:
    """Return the books of a rung above the example's, whose baseline is measured."""
    line_writer = LineWriter(
        store=store,
        blobs=Blobs(home.blobs),
        identity=IDENTITY,
        subject=replace(SUBJECT, manifest=manifest),
        clock_ms=Clock(),
        random_seed=itertools.count(500).__next__,
    )
    line_writer.announce()
    job = open_baseline(line_writer)
    runs = finished(store, job, BASE_NANO - 1, BASE_NANO + 1)
    close_baseline(line_writer, job, runs, bytes(32))
    return line_writer


def transfer_selector(line_writer: LineWriter) -> TransferSelector:
    return TransferSelector(
        line_writer, net="main", noise_sd=lambda: NOISE_SD, includes_peers=False
    )


def share_below(store: Store) -> float:
    """Return the share of the rung below by all that is recorded."""
    effort = Effort(task=UPPER.id, rungs=[MANIFEST.id])
    effort.read_on(store)
    return effort.share_below(run_ms=5000.0)


def ranked(one: TransferSelector) -> list[Promising]:
    """Return the finds that wait, one by one, the largest gain to expect first."""
    return one._ranked([(find,) for find in one._waiting()[0]])


def decide(line_writer: LineWriter, decision: str, *metrics_nano: int) -> None:
    """Run the next transfer, with these metrics."""
    ((_, idea),) = rung_transfer_ideas(line_writer, under_way=())
    assert isinstance(idea, Idea)
    job = open_experiment(line_writer, idea)
    for _ in metrics_nano[1:]:
        line_writer.plan(job, role="candidate", tree=job.step.tree)
    runs = finished(line_writer.store, job, *metrics_nano)
    close_experiment(line_writer, job, replace(job.step, decision=decision), runs, note=decision)


def carry_best(line_writer: LineWriter, decision: str, *metrics_nano: int) -> None:
    """Queue the most promising find, and let it be tried, with these metrics."""
    step = transfer_selector(line_writer).best()
    assert step is not None
    open_rung_transfer(line_writer, step)
    decide(line_writer, decision, *metrics_nano)


@pytest.fixture
def below(home: Home, store: Store) -> LineWriter:
    return with_baseline(home, store)


@pytest.fixture
def above(below: LineWriter, home: Home, store: Store) -> LineWriter:
    return upper_line_writer(home, store)


def test_without_finds_there_is_nothing_to_promote(above: LineWriter) -> None:
    assert transfer_selector(above).best() is None


def test_what_is_kept_below_is_tried_here_once(below: LineWriter, above: LineWriter) -> None:
    kept = keep(below, "0.2")
    step = transfer_selector(above).best()
    assert step is not None
    (find,) = step.finds
    assert find.found_on.patch == kept.patch
    assert find.gain_nano is not None
    open_rung_transfer(above, step)
    assert transfer_selector(above).best() is None
    decide(above, "screened_out", BASE_NANO)
    assert transfer_selector(above).best() is None


def test_what_was_not_kept_below_is_not_tried(below: LineWriter, above: LineWriter) -> None:
    conclude(below, rate_proposal(BASELINE, "0.2"), "screened_out", BASE_NANO - GAIN_NANO)
    assert transfer_selector(above).best() is None


def test_the_largest_gain_to_expect_goes_first(below: LineWriter, above: LineWriter) -> None:
    small = keep(below, "0.2")
    working = below.source(below.known_line.working)
    large = conclude(
        below,
        rate_proposal(working, "0.3"),
        "kept",
        BASE_NANO - 4 * GAIN_NANO,
        BASE_NANO - 4 * GAIN_NANO,
    )
    first, second = ranked(transfer_selector(above))
    assert [one.finds[0].found_on.patch for one in (first, second)] == [large.patch, small.patch]
    assert first.expected > second.expected
    assert first.expected == pytest.approx(UNKNOWN.mean * 3 * GAIN_NANO / NANO, rel=0.01)


def test_a_gain_too_small_to_be_seen_here_is_not_worth_a_run(
    below: LineWriter, above: LineWriter
) -> None:
    keep(below, "0.2")
    dull = TransferSelector(above, net="main", noise_sd=lambda: 1.0, includes_peers=False)
    (one,) = ranked(dull)
    assert one.expected + one.spread < LEAST_SD * 1.0
    assert dull.best() is None


def test_earlier_transfers_say_what_to_expect_next(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    for number in range(6):  # what gains below does nothing here
        nano = BASE_NANO - (number + 1) * GAIN_NANO
        working = below.source(below.known_line.working)
        conclude(below, rate_proposal(working, f"0.{number + 2}"), "kept", nano, nano)
        step = transfer_selector(above).best()
        assert step is not None
        (find,) = step.finds
        find = replace(find, base=BASELINE.tree, tree=tree_of(below, number))
        open_rung_transfer(above, RungTransferStep(finds=(find,)))
        decide(above, "screened_out", BASE_NANO)
    changes = transfer_histories(store)
    assert [change.holds_on for change in changes] == [0] * 6
    there, here = (Where(one, HARDWARE_CLASS) for one in (MANIFEST.id, UPPER.id))
    slope = slopes_known(changes)[there, here]
    assert slope.count >= 1
    assert slope.mean < UNKNOWN.mean
    new = there, Where(TOP.id, HARDWARE_CLASS)
    assert slopes_known(changes, [new])[new].mean < UNKNOWN.mean


def tree_of(below: LineWriter, number: int) -> bytes:
    """A tree of its own against the baseline, as if each had been found on that."""
    source = rate_proposal(BASELINE, f"0.9{number}").source
    return below.blobs.put_source(source)


def test_what_did_not_fit_has_another_chance_once_more_was_kept(
    below: LineWriter, above: LineWriter
) -> None:
    keep(below, "0.2")
    first = transfer_selector(above).best()
    keep_next(below, "0.3")
    second = ranked(transfer_selector(above))[0]  # gains more, and builds on the first
    assert first is not None
    assert second.finds[0].base == first.finds[0].tree
    open_rung_transfer(above, RungTransferStep(finds=second.finds))
    ((_, unfit),) = rung_transfer_ideas(above, under_way=())
    assert unfit == "misfit"
    assert transfer_selector(above).best() == first
    open_rung_transfer(above, first)
    decide(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    best = transfer_selector(above).best()
    assert best is not None
    assert best.finds == second.finds


# Several as one


def keep_next(below: LineWriter, rate: str) -> RecordedExperiment:
    """Keep one more on the working line below, which gains three times as much as the first."""
    nano = BASE_NANO - 4 * GAIN_NANO
    working = below.source(below.known_line.working)
    return conclude(below, rate_proposal(working, rate), "kept", nano, nano)


def test_what_is_new_below_is_tried_as_one_in_its_order(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    kept = [keep(below, "0.2"), keep_next(below, "0.3")]
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    assert above.source(above.known_line.working) == below.source(below.known_line.working)
    (job,) = store.jobs.closed_jobs(above.key, RungTransferStep)
    assert [find.found_on.patch for find in job.step.finds] == [one.patch for one in kept]
    assert transfer_selector(above).best() is None
    (patch,) = store.records.transfers()
    assert isinstance(patch.body, PatchBody)
    assert patch.body.parents == tuple(one.patch for one in kept)
    assert patch.body.found_on == FoundOn(task=MANIFEST.id, hardware_class=HARDWARE_CLASS)


def test_a_stack_that_is_not_kept_is_tried_one_by_one_and_not_again_as_one(
    below: LineWriter, above: LineWriter
) -> None:
    kept = [keep(below, "0.2"), keep_next(below, "0.3")]
    carry_best(above, "screened_out", BASE_NANO - GAIN_NANO // 10)
    tried = []
    for _ in kept:
        step = transfer_selector(above).best()
        assert step is not None
        (find,) = step.finds
        tried.append(find.found_on.patch)
        carry_or_drop(above, step)
    assert tried == [kept[1].patch, kept[0].patch]  # the larger first
    assert transfer_selector(above).best() is None


def carry_or_drop(above: LineWriter, step: RungTransferStep) -> None:
    open_rung_transfer(above, step)
    ((_, made),) = rung_transfer_ideas(above, under_way=())
    if isinstance(made, Idea):
        decide(above, "screened_out", BASE_NANO)


def test_of_a_stack_what_does_not_fit_is_left_out_and_tried_later(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    keep(below, "0.2")
    keep_next(below, "0.3")
    (first, second) = sorted(
        (one.finds[0] for one in ranked(transfer_selector(above))),
        key=lambda one: one.gain_nano or 0,
    )
    apart = replace(second, base=tree_of(below, 1), tree=tree_of(below, 2))
    open_rung_transfer(above, RungTransferStep(finds=(first, apart)))
    decide(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    (job,) = store.jobs.closed_jobs(above.key, RungTransferStep)
    assert job.step.finds == (first,)
    (change,) = transfer_histories(store)
    assert change.found_on == first.found_on
    best = transfer_selector(above).best()
    assert best is not None
    assert best.finds == (second,)


def test_a_stack_that_holds_says_so_of_itself_and_of_none_of_its_parts(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    kept = [keep(below, "0.2"), keep_next(below, "0.3")]
    carry_best(above, "kept", BASE_NANO - 2 * GAIN_NANO, BASE_NANO - 2 * GAIN_NANO)
    (change,) = transfer_histories(store)
    assert change.found_on.patch is None
    assert change.patches == tuple(one.patch for one in kept)
    assert change.title.startswith("2 together: ")
    assert change.there is not None
    assert change.there.result is None
    assert change.there.gain == pytest.approx(4 * GAIN_NANO / NANO, rel=0.01)
    assert change.holds_on == 1
    (slope,) = slopes_known([change]).values()
    assert slope.count == 1
    row, _ = transfer_lines(store, above.key)
    assert row.startswith("2 together: ")


def test_what_a_stack_brought_here_is_one_find_for_the_rung_above(
    below: LineWriter, above: LineWriter, home: Home, store: Store
) -> None:
    keep(below, "0.2")
    keep_next(below, "0.3")
    top = upper_line_writer(home, store, TOP)
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    (patch,) = [one.id for one in store.records.transfers()]
    from_above = [
        one for one in ranked(transfer_selector(top)) if one.finds[0].found_on.patch == patch
    ]
    assert [one.finds[0].found_on.task for one in from_above] == [UPPER.id]


def test_rungs_are_those_that_are_recorded_here(above: LineWriter, store: Store) -> None:
    assert [one.name for one in rungs_below(store, TOP)] == ["upper", MANIFEST.name]
    assert list(rungs_below(store, replace(MANIFEST, below=bytes(32)))) == []


def test_what_is_found_two_rungs_below_is_tried_too(
    below: LineWriter, above: LineWriter, home: Home, store: Store
) -> None:
    top = upper_line_writer(home, store, TOP)
    kept = keep(below, "0.2")
    step = transfer_selector(top).best()
    assert step is not None
    (find,) = step.finds
    assert find.found_on.patch == kept.patch
    # Transferred to the middle rung and kept there, it is still one find.
    middle = transfer_selector(above).best()
    assert middle is not None
    open_rung_transfer(above, middle)
    decide(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    assert [one.finds[0].found_on for one in ranked(transfer_selector(top))] == [find.found_on]


def test_what_others_found_below_is_tried_once_somebody_else_bears_it_out(
    below: LineWriter, above: LineWriter, home: Home, store: Store
) -> None:
    blobs = Blobs(home.blobs)
    ada, bob = (PeerAuthor(store, blobs, number=number) for number in (50, 51))
    idea = rate_proposal(BASELINE, "0.5").source
    claim = ada.claims(idea, 6.0)
    wants = TransferSelector(above, net="main", noise_sd=lambda: NOISE_SD, includes_peers=True)
    assert wants.best() is None  # nobody's word but its author's
    gains = [round(5.0 * SD_NANO)] * 4
    said = rerun(bob.key, idea.tree, gains, "confirmed", base=BASELINE.tree, target=claim)
    bob.publish(replace(said, task=MANIFEST.id, hardware_class=HARDWARE_CLASS))
    step = wants.best()
    assert step is not None
    (find,) = step.finds
    assert (find.author, find.tree) == (ada.key.public, idea.tree)
    assert transfer_selector(above).best() is None  # where no peer's code is to run


@pytest.mark.parametrize("number", [1, 2])
def test_what_others_found_below_stays_theirs_in_a_head_here(
    below: LineWriter, above: LineWriter, home: Home, store: Store, number: int
) -> None:
    blobs = Blobs(home.blobs)
    ada = PeerAuthor(store, blobs, number=50)
    idea = rate_proposal(BASELINE, "0.5").source
    find = step_of_record(store, blobs, store.records.get(ada.claims(idea, 6.0)), MANIFEST)
    own = keep(below, "0.2")
    theirs_and_own = (find, *ranked(transfer_selector(above))[0].finds)
    assert theirs_and_own[1].found_on.patch == own.patch
    open_rung_transfer(above, RungTransferStep(finds=theirs_and_own[:number]))
    decide(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    lines = provenance(store, blobs, UPPER, above.key, above.known_line.working)
    (rate,) = [line for line in lines if "LEARNING_RATE" in line.text]
    assert (rate.writer.whose, rate.writer.author) == ("untrusted", ada.key.public)


def test_the_rungs_below_begin_with_a_quarter_of_the_time(above: LineWriter, store: Store) -> None:
    assert share_below(store) == FIRST


spent = st.tuples(
    st.sampled_from(["find", "carry", "own"]), st.floats(0, 1e12), st.floats(0.01, 1e6)
)


def time_share_of(entries: list[tuple[str, float, float]]) -> LadderTimeShare:
    time_share = LadderTimeShare()
    counts = {"find": time_share.find, "carry": time_share.carry, "own": time_share.own.add}
    for way, nano, runs in entries:
        counts[way](nano, runs)
    return time_share


@given(st.lists(spent, max_size=20))
def test_neither_side_is_ever_without_time(entries: list[tuple[str, float, float]]) -> None:
    share = time_share_of(entries).share_below()
    assert 0.05 <= share <= 0.7
    brought_more = [(way, nano * (2 if way == "own" else 1), runs) for way, nano, runs in entries]
    assert time_share_of(brought_more).share_below() <= share + 1e-9


def test_a_first_stack_that_brought_much_pays_for_no_time_that_finds_nothing() -> None:
    entries = [("find", 0.3, 15.0), ("carry", 0.08, 3.0), ("own", 0.01, 6.0)]
    shares = [time_share_of(entries).share_below()]
    for _ in range(6):
        entries.append(("find", 0.0, 2.0))
        shares.append(time_share_of(entries).share_below())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5 > shares[-1]
    entries.append(("find", 0.3, 2.0))
    assert time_share_of(entries).share_below() > 0.5


def test_rungs_whose_finds_are_kept_have_more_of_the_time(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    keep(below, "0.2")
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    conclude(above, rate_proposal(BASELINE, "0.6"), "screened_out", BASE_NANO)
    assert share_below(store) > 0.5
    own = rate_proposal(above.source(above.known_line.working), "0.7")
    conclude(above, own, "kept", BASE_NANO - 20 * GAIN_NANO, BASE_NANO - 20 * GAIN_NANO)
    assert share_below(store) < 0.5


def test_what_was_spent_is_read_on_where_reading_stopped(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    effort = Effort(task=UPPER.id, rungs=[MANIFEST.id])
    effort.read_on(store)
    assert effort.kept_ms == {}
    keep(below, "0.2")
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    effort.read_on(store)
    kept = next(one for one in store.experiments.listed(below.key) if one.decision == "kept")
    assert effort.kept_ms == {MANIFEST.id: kept.ts_ms}
    effort.read_on(store)
    at_once = Effort(task=UPPER.id, rungs=[MANIFEST.id])
    at_once.read_on(store)
    assert effort == at_once
    assert effort.share_below(run_ms=5000.0) != FIRST


def test_a_rung_that_runs_dry_has_less_and_less_of_the_time(
    below: LineWriter, above: LineWriter, store: Store
) -> None:
    keep(below, "0.2")
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    own = rate_proposal(above.source(above.known_line.working), "0.7")
    conclude(above, own, "kept", BASE_NANO - 2 * GAIN_NANO, BASE_NANO - 2 * GAIN_NANO)
    shares = [share_below(store)]
    for number in range(4):
        proposal = rate_proposal(below.source(below.known_line.working), f"0.1{number}")
        conclude(below, proposal, "screened_out", BASE_NANO)
        shares.append(share_below(store))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0]


def test_a_transferred_step_is_of_its_line_alone(
    above: LineWriter, below: LineWriter, store: Store
) -> None:
    keep(below, "0.2")
    step = transfer_selector(above).best()
    assert step is not None
    open_rung_transfer(above, step)
    lower = LineKey(task=MANIFEST.id, hardware_class=HARDWARE_CLASS)
    assert store.jobs.open_jobs(lower, RungTransferStep) == []


def test_proposers_are_shown_what_became_of_own_finds(below: LineWriter, above: LineWriter) -> None:
    store = above.store
    assert transfer_lines(store, above.key) == ()
    keep(below, "0.2")
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    row, slope = transfer_lines(store, above.key)
    assert row == f"LEARNING_RATE → 0.2: found on {MANIFEST.name} +0.0200; upper +0.0200 kept"
    assert slope.startswith("about ")
    assert f" of a gain on {MANIFEST.name} transfers to upper" in slope


def test_scripts_are_shown_places_and_what_carries_over(
    below: LineWriter, above: LineWriter
) -> None:
    store = above.store
    keep(below, "0.2")
    carry_best(above, "screened_out", BASE_NANO)
    changes = transfer_histories(store)
    names = labels(store, tasks_of(changes))
    document = transfer_document("main", None, [], changes, slopes_known(changes), names)
    (change,) = document["carried"]
    assert change["holds_on"] == 0
    assert change["found_on"]["task"]["name"] == MANIFEST.name
    assert change["there"] is not None
    assert change["there"]["decision"] == "kept"
    (place,) = change["places"]
    assert (place["where"]["task"]["name"], place["decision"]) == ("upper", "discarded")
    assert place["own"]
    assert place["lower"] is not None
    assert place["upper"] is not None
    assert place["gain"] is not None
    assert place["lower"] < place["gain"] < place["upper"]
    (slope,) = document["slopes"]
    assert slope["lower"] < slope["slope"] < slope["upper"]
    assert slope["changes"] == 1


def test_kinds_of_change_are_counted_on_each_rung(below: LineWriter, above: LineWriter) -> None:
    store = above.store
    keep(below, "0.2")
    conclude(above, rate_proposal(BASELINE, "0.6"), "screened_out", BASE_NANO)
    conclude(above, rate_proposal(BASELINE, "0.7"), "failed", BASE_NANO)
    lines = rungs_here(store, UPPER)
    assert {line.task for line in lines} == {MANIFEST.id, UPPER.id}
    reported = {line.task: kinds_tried(store, line) for line in lines}
    (lower,), (upper,) = reported[MANIFEST.id], reported[UPPER.id]
    assert (lower.kind, lower.tried, lower.kept) == ("constant", 1, 1)
    assert (upper.kind, upper.tried, upper.kept, upper.failed) == ("constant", 2, 0, 1)


def test_a_stack_is_of_no_kind(below: LineWriter, above: LineWriter) -> None:
    keep(below, "0.2")
    keep_next(below, "0.3")
    carry_best(above, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    assert kinds_tried(above.store, above.key) == []


def test_tasks_of_other_ladders_are_no_rungs(below: LineWriter, store: Store) -> None:
    other = replace(MANIFEST, name="other", files=(("other.py", bytes(32)),))
    assert rungs_here(store, other) == []
