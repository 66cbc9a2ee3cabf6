"""A newcomer tries, as a whole, what the working lines of others have reached."""

from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.loop.authors import author_rates
from node.loop.others_lines import OthersLines
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.runs import CONTENDED
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, LINE, TASK
from tests.node.line_writers import BASE_NANO, conclude, line_writer_of, proposal_of, with_baseline
from tests.node.peer_authors import SD_NANO, PeerAuthor, peers
from tests.node.scripted import CRASHED, Bench
from tests.node.test_peers import peer_trials, truly, work
from tests.protocol.worlds import confirm

pytestmark = pytest.mark.usefixtures("inspected_here")


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node whose baseline is measured and that has no ideas of its own."""
    with_baseline(home, store)
    return Bench(home=home, store=store, goal=Goal(max_experiments=3), ideas=0, peers=peers())


def tree(*rates: float) -> Source:
    """Return the baseline after changing its rate, and further changes."""
    text = proposal_of(BASELINE, str(rates[0])).source["train.py"].decode()
    lines = (f"EXTRA_{number} = {rate}\n" for number, rate in enumerate(rates[1:]))
    return Source.of({"train.py": f"{text}{''.join(lines)}".encode()})


def author(bench: Bench, number: int) -> PeerAuthor:
    return PeerAuthor(bench.store, Blobs(bench.home.blobs), number=number)


def keeps(who: PeerAuthor, made: Source, gain_sd: float, *, base: Source = BASELINE) -> None:
    """Publish a patch as kept after a few runs."""
    said = confirm(made.tree, [round(gain_sd * SD_NANO)], base=base.tree)
    patch = who.patch(base, made)
    said = replace(said, stage="keep", patch=patch, task=TASK, hardware_class=HARDWARE_CLASS)
    who.publish(said)


def tried(bench: Bench) -> list[ExperimentStep]:
    """Let the node run; return its experiments with peers' code."""
    work(bench)
    return peer_trials(bench)


def reaches(who: PeerAuthor, rate: float, gain_sd: float) -> Source:
    """Let an author keep three patches, which gain this much together; return the last tree."""
    made = [tree(rate), tree(rate, 0.1), tree(rate, 0.1, 0.1)]
    for base, one in zip([BASELINE, *made], made, strict=False):
        keeps(who, one, gain_sd / 3, base=base)
    return made[-1]


def test_a_newcomer_tries_first_what_a_peer_s_working_line_reached(bench: Bench) -> None:
    """It takes as many runs as the first of the peer's patches would."""
    ada = author(bench, 50)
    last = reaches(ada, 0.5, 9.0)
    truly(bench, last, 9.0)
    (step,) = tried(bench)
    assert (step.tree, step.decision) == (last.tree, "kept")
    assert (set(step.idea.authors), step.idea.claim_milli) == ({ada.key.public}, 9000)
    trees = [bench.store.records.patch(patch).tree for patch in step.idea.parents]
    assert trees == [last.tree, tree(0.5, 0.1).tree, tree(0.5).tree]
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert line.working == last.tree


def test_of_those_who_may_lie_the_largest_claims_are_left_out(bench: Bench) -> None:
    first, second, third = (
        reaches(author(bench, 50 + number), 0.5 + number / 10, gain_sd)
        for number, gain_sd in enumerate((90.0, 11.0, 10.0))
    )
    truly(bench, second, 11.0)
    (step,) = tried(bench)
    assert step.tree == second.tree
    assert step.tree not in (first.tree, third.tree)


def test_an_invented_line_costs_one_run(bench: Bench) -> None:
    """No second one is tried, of any author. It is no evidence against a single patch in it."""
    for number in range(4):
        reaches(author(bench, 50 + number), 0.5 + number / 10, 21.0)
    (step,) = tried(bench)
    assert step.decision == "screened_out"
    (job,) = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    assert len(bench.store.jobs.runs_of(job.id)) == 1
    assert author_rates(line_writer_of(bench.home, bench.store), ()) == {}


def test_a_line_whose_run_other_processes_cut_off_does_not_hide_the_next(bench: Bench) -> None:
    first, second = (reaches(author(bench, 50 + at), 0.5 + at / 10, 15.0 - at) for at in range(2))
    cut_off = replace(CRASHED, status="timeout", flags=(CONTENDED,))
    bench.runner.outcomes = {first.tree: cut_off}
    truly(bench, second, 14.0)
    decided = {step.tree: step.decision for step in tried(bench)}
    assert decided == {first.tree: "failed", second.tree: "kept"}


@pytest.mark.parametrize(
    ("claim_sd", "has_kept", "lead_milli"),
    [(4.5, False, [4500]), (3.5, False, []), (5.5, True, []), (6.5, True, [4500])],
)
def test_only_a_large_lead_is_tried(
    bench: Bench, claim_sd: float, *, has_kept: bool, lead_milli: list[int]
) -> None:
    """The tree replaces what was kept here, which gained 2 sd."""
    reaches(author(bench, 50), 0.5, claim_sd)
    if has_kept:
        line_writer = line_writer_of(bench.home, bench.store)
        conclude(line_writer, proposal_of(BASELINE, "0.2"), "kept", BASE_NANO - 2 * SD_NANO)
    assert [step.idea.claim_milli for step in tried(bench)] == lead_milli


def test_what_is_on_its_way_is_awaited_during_one_experiment(bench: Bench) -> None:
    """Else a newcomer takes a tree that is here, and leads by too little to replace it."""
    last = reaches(author(bench, 50), 0.5, 15.0)
    author(bench, 51).claims(tree(0.7), 9.0)
    Blobs(bench.home.blobs).path(last.tree).unlink()
    bench.ideas = 1
    work(bench)
    first = bench.store.jobs.closed_jobs(LINE, ExperimentStep)[0].step
    assert not first.idea.is_whole_tree


def test_later_the_next_whose_files_are_here_is_tried(bench: Bench) -> None:
    """Lines move on, so the files of the best may be missing each time."""
    _, second, third = (
        reaches(author(bench, 50 + at), 0.5 + at / 10, 15.0 - at) for at in range(3)
    )
    Blobs(bench.home.blobs).path(second.tree).unlink()
    line_writer = line_writer_of(bench.home, bench.store)
    conclude(line_writer, proposal_of(BASELINE, "0.2"), "screened_out", BASE_NANO)
    assert [step.tree for step in tried(bench)] == [third.tree]


def test_a_newcomer_asks_for_files_while_its_baseline_is_measured(home: Home, store: Store) -> None:
    wanted: list[bytes] = []
    bench = Bench(home=home, store=store, peers=peers(want=wanted.append))
    last = reaches(author(bench, 50), 0.5, 15.0)
    Blobs(home.blobs).path(last.tree).unlink()
    bench.research()._agenda.next_run(())
    assert store.jobs.line(LINE) is None
    assert {store.records.patch(patch).tree for patch in wanted} == {last.tree}


def test_later_a_line_is_left_for_no_other(bench: Bench) -> None:
    """Leads that owe to luck would replace patches that hold."""
    reaches(author(bench, 50), 0.5, 15.0)
    line_writer = line_writer_of(bench.home, bench.store)
    for number in range(20):
        conclude(line_writer, proposal_of(BASELINE, f"0.2{number:02}"), "screened_out", BASE_NANO)
    assert tried(bench) == []


def test_what_few_patches_reached_is_not_tried_as_a_whole(bench: Bench) -> None:
    """Listed moves of several nodes are better tried together."""
    ada, first, second = author(bench, 50), tree(0.5), tree(0.5, 0.1)
    keeps(ada, first, 9.0)
    keeps(ada, second, 9.0, base=first)
    assert tried(bench) == []


def test_a_gain_is_known_only_with_all_that_was_kept_before(bench: Bench) -> None:
    ada, last = author(bench, 50), tree(0.5, 0.1, 0.2)
    keeps(ada, last, 4.0, base=tree(0.5, 0.1))
    lines = OthersLines(line_writer_of(bench.home, bench.store))

    def reached(confirmed_nano: dict[bytes, int]) -> list[int]:
        found = lines.reached(lambda who: who == ada.key.public, confirmed_nano=confirmed_nano)
        return [one.gain_nano for one in found]

    assert reached({}) == []
    assert reached({tree(0.5, 0.1).tree: 5 * SD_NANO}) == [9 * SD_NANO]
    keeps(ada, tree(0.5), 6.0)
    keeps(ada, tree(0.5, 0.1), 1.0, base=tree(0.5))
    keeps(ada, last, 4.0, base=tree(0.5, 0.1))
    assert reached({}) == [11 * SD_NANO]
    assert lines.reached(lambda _: False, confirmed_nano={}) == []
