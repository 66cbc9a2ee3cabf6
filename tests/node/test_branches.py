"""Branches: the line continues from another tree and returns; the head does not move."""

from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.ablation import only_simplifies, open_ablation
from node.line.branch import (
    BranchStep,
    Root,
    branch_of,
    close_branch,
    is_stack_full,
    kept_in,
    older_root,
    open_branch,
    open_return,
)
from node.line.head_by_hand import move_head
from node.line.job_kinds import KINDS
from node.line.line_writer import LineWriter
from node.store.blobs import Blobs
from node.store.experiments import ABLATION
from node.store.journal import Journal
from node.store.store import Store
from protocol.record_kinds import Origin, PatchBody, ResultBody
from protocol.rule import DEFAULT
from protocol.source import Source
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    conclude,
    end_branch,
    finished,
    go_back,
    go_on,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import PeerAuthor

SD_NANO = 1_000_000
STEP_NANO = 5 * SD_NANO
NOISE_SD = SD_NANO / 1e9


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    """A line whose head is the fourth: three promotion trials of one patch each have passed."""
    line_writer = with_baseline(home, store)
    for number in (1, 2, 3):
        adopt_better(line_writer, f"0.{number + 4}", number)
    return line_writer


def adopt_better(line_writer: LineWriter, rate: str, number: int) -> None:
    nano = BASE_NANO - number * STEP_NANO
    proposal = proposal_of(line_writer.source(line_writer.known_line.working), rate)
    conclude(line_writer, proposal, "kept", nano, nano)
    promotion_trial(line_writer, gain_nano=number * STEP_NANO)


def rated(rate: str) -> Source:
    return proposal_of(BASELINE, rate).source


def root_of(line_writer: LineWriter, *, reach_sd: float = 100.0) -> Root:
    root = older_root(line_writer, reach_sd=reach_sd, noise_sd=NOISE_SD)
    assert root is not None
    return root


# Which tree


def test_the_head_before_the_present_one_is_gone_back_to_first_then_those_before(
    line_writer: LineWriter,
) -> None:
    titles: list[str] = []
    for _ in range(4):
        root = root_of(line_writer)
        titles.append(root.title)
        go_on(line_writer, root, BASE_NANO, BASE_NANO)
        go_back(line_writer)
    assert titles == [
        "the head of 1 promotion ago",
        "the head of 2 promotions ago",
        "the task's baseline",
        "the head of 1 promotion ago",
    ]


def test_a_head_far_below_is_not_gone_back_to(line_writer: LineWriter) -> None:
    assert root_of(line_writer, reach_sd=11.0).tree == rated("0.6").tree
    go_on(line_writer, root_of(line_writer), BASE_NANO)
    go_back(line_writer)
    assert root_of(line_writer, reach_sd=6.0).tree == rated("0.6").tree
    assert older_root(line_writer, reach_sd=1.0, noise_sd=NOISE_SD) is None


def test_there_is_nothing_before_the_baseline(home: Home, store: Store) -> None:
    assert older_root(with_baseline(home, store), reach_sd=100.0, noise_sd=NOISE_SD) is None


def test_a_head_that_was_taken_back_or_never_confirmed_is_not_gone_back_to(
    line_writer: LineWriter,
) -> None:
    evidence = next(
        entry.id
        for entry in line_writer.store.experiments.listed(LINE)
        if entry.tree == rated("0.6").tree and entry.stage == "confirm"
    )
    with line_writer.store.transaction():
        line_writer.record_writer.retraction(evidence, "it did not hold")
    line_writer.blobs.put_source(rated("0.9"))
    move_head(line_writer, rated("0.9").tree, evidence=None)
    adopt_better(line_writer, "0.95", 4)
    assert root_of(line_writer).tree == rated("0.7").tree
    go_on(line_writer, root_of(line_writer), BASE_NANO)
    go_back(line_writer)
    assert root_of(line_writer).tree == rated("0.5").tree


# Going and coming back


def test_the_line_goes_on_from_an_older_head_and_the_verified_head_stays(
    line_writer: LineWriter, home: Home
) -> None:
    head = line_writer.known_line.verified
    step = go_on(line_writer, root_of(line_writer), BASE_NANO - 10, BASE_NANO - 12)
    line = line_writer.known_line
    assert (line.verified, line.working) == (head, rated("0.6").tree)
    assert line.stack == (step.patch,)
    assert line.reference_nano == (BASE_NANO - 10, BASE_NANO - 12)
    assert kept_in(line_writer.store, line.stack) == 0
    branch = branch_of(line_writer.store, line)
    assert branch is not None
    assert branch.step == step
    patch = line_writer.store.records.patch(step.patch or b"")
    assert isinstance(patch, PatchBody)
    assert (patch.base, patch.tree) == (head, rated("0.6").tree)
    (made_by,) = patch.parents
    behind = line_writer.store.records.patch(made_by)
    assert behind is not None
    assert behind.tree == rated("0.6").tree
    entry = line_writer.store.experiments.listed(LINE)[-1]
    assert (entry.decision, entry.stage) == ("branched", "keep")
    assert entry.title == "on from the head of 1 promotion ago"
    assert journal_of(line_writer, home)


def test_the_journals_working_branch_follows(line_writer: LineWriter, home: Home) -> None:
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    journal = Journal(home, line_writer.store, line_writer.blobs, LINE)
    journal.catch_up()
    expected = journal.expected()
    assert expected.working == expected.by_record[line_writer.store.experiments.listed(LINE)[-1].id]
    assert expected.working != expected.main
    kept(line_writer, "0.61")
    assert journal.catch_up() == 1
    away = journal.expected().working
    step = go_back(line_writer)
    journal.catch_up()
    assert journal.expected().working == journal.expected().by_record[step.record or b""] != away
    assert journal.check() == []
    assert (journal.path / "train.py").read_bytes() == rated("0.7")["train.py"]


def kept(line_writer: LineWriter, rate: str, *, nano: int = BASE_NANO - STEP_NANO) -> bytes:
    base = line_writer.source(line_writer.known_line.working)
    return conclude(line_writer, proposal_of(base, rate), "kept", nano, nano).patch


def journal_of(line_writer: LineWriter, home: Home) -> bool:
    journal = Journal(home, line_writer.store, line_writer.blobs, LINE)
    journal.catch_up()
    return journal.check() == []


def test_the_way_back_leads_to_what_was_left_with_its_part_less(line_writer: LineWriter) -> None:
    head = line_writer.known_line.verified
    less = Source.of({"train.py": b"LEARNING_RATE = 0.07\n"})
    line_writer.blobs.put_source(less)
    with line_writer.store.transaction():
        patch = line_writer.record_writer.patch(
            head, less.tree, title="without", why="", parents=(), origin=Origin(proposer=ABLATION)
        )
        line_writer.go_on_from(less.tree, patch.id, ())
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    assert line_writer.known_line.working == rated("0.6").tree
    kept(line_writer, "0.61")
    step = go_back(line_writer)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (head, less.tree, (patch.id,))
    assert line.reference_nano == (BASE_NANO, BASE_NANO)
    assert branch_of(line_writer.store, line) is None
    said = line_writer.store.records.get(step.record or b"").body
    assert isinstance(said, ResultBody)
    assert (said.stage, said.tree, said.note) == ("keep", less.tree, "it got nowhere")


def test_a_tree_that_does_not_run_here_is_recorded_and_not_gone_on_from(
    line_writer: LineWriter,
) -> None:
    before = line_writer.known_line
    step = go_on(line_writer, root_of(line_writer), BASE_NANO, None)
    assert not step.is_taken
    assert line_writer.known_line == before
    assert line_writer.store.experiments.listed(LINE)[-1].decision == "failed"
    assert line_writer.store.jobs.open_jobs(LINE, *KINDS) == []


def test_the_way_back_is_open_even_if_the_head_falls_over(line_writer: LineWriter) -> None:
    head = line_writer.known_line.verified
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    branch = branch_of(line_writer.store, line_writer.known_line)
    assert branch is not None
    job = open_return(line_writer, branch, why="it got nowhere", runs=2)
    end_branch(line_writer, job, None, None)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack, line.reference_nano) == (head, head, (), ())


def test_a_head_moved_by_hand_meanwhile_is_not_left(line_writer: LineWriter) -> None:
    job = open_branch(line_writer, root_of(line_writer), why="nothing was kept", runs=1)
    move_head(line_writer, BASELINE.tree, evidence=None)
    step = end_branch(line_writer, job, BASE_NANO)
    assert not step.is_taken
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (BASELINE.tree, BASELINE.tree, ())


def test_a_head_moved_by_hand_ends_the_branch(line_writer: LineWriter) -> None:
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    move_head(line_writer, BASELINE.tree, evidence=None)
    assert branch_of(line_writer.store, line_writer.known_line) is None


def test_a_line_whose_branch_job_was_lost_is_judged_like_any(line_writer: LineWriter) -> None:
    step = go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    (job,) = line_writer.store.jobs.closed_jobs(LINE, BranchStep)
    line_writer.store.jobs.update_step(job, replace(step, patch=None))
    assert branch_of(line_writer.store, line_writer.known_line) is None
    kept(line_writer, "0.61")
    assert promotion_trial(line_writer, gain_nano=STEP_NANO)
    assert line_writer.known_line.verified == rated("0.61").tree


# Its stack


def test_a_branch_that_passes_is_adopted_with_the_tree_that_it_began_with_among_its_parents(
    line_writer: LineWriter, home: Home
) -> None:
    head = line_writer.known_line.verified
    step = go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    parts = [kept(line_writer, f"0.6{number}") for number in range(1, 10)]
    record = promotion_trial(line_writer, gain_nano=5 * STEP_NANO)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (rated("0.69").tree, line.verified, ())
    assert isinstance(record.body, ResultBody)
    stack = line_writer.store.records.patch(record.body.patch or b"")
    assert stack is not None
    assert (stack.base, stack.tree) == (head, rated("0.69").tree)
    assert stack.parents == (step.patch, *parts[-7:])
    assert stack.title.startswith("stack of 9 on from the head of 1 promotion ago: ")
    assert journal_of(line_writer, home)
    assert root_of(line_writer).tree == head  # the head that was left is an older one now


def test_a_branch_that_misses_goes_back_to_the_head(line_writer: LineWriter, home: Home) -> None:
    head = line_writer.known_line.verified
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    kept(line_writer, "0.61")
    promotion_trial(line_writer, gain_nano=-STEP_NANO)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (head, head, ())
    assert branch_of(line_writer.store, line) is None
    assert journal_of(line_writer, home)


def test_a_branch_has_no_gains_before_it_keeps_something(line_writer: LineWriter) -> None:
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    assert only_simplifies(line_writer.store, line_writer.known_line.stack)
    kept(line_writer, "0.61")
    assert not only_simplifies(line_writer.store, line_writer.known_line.stack)


def test_what_a_branch_began_with_is_no_part_to_be_asked_about(line_writer: LineWriter) -> None:
    step = go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    kept(line_writer, "0.61")
    promotion_trial(line_writer, gain_nano=5 * STEP_NANO)
    asked: list[bytes | None] = []
    while job := open_ablation(line_writer):
        asked.append(job.step.part)
        line_writer.store.jobs.close_job(job.id)
    assert step.patch not in asked


def test_a_branch_is_not_full_however_much_it_keeps(line_writer: LineWriter) -> None:
    go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    for number in range(1, 10):
        kept(line_writer, f"0.6{number}")
    assert kept_in(line_writer.store, line_writer.known_line.stack) == 9
    assert not is_stack_full(line_writer.store, line_writer.known_line, DEFAULT)


def test_a_peers_tree_is_measured_here_and_its_author_stays_known(
    line_writer: LineWriter, home: Home, store: Store
) -> None:
    ada = PeerAuthor(store, Blobs(home.blobs))
    theirs = Source.of({"train.py": b"# hello\nLEARNING_RATE = 0.9\n"})
    clean = Source.of({"train.py": b"LEARNING_RATE = 0.9\n"})
    patch = ada.patch(BASELINE, theirs)
    line_writer.blobs.put_source(clean)
    root = Root(
        where="peer",
        tree=clean.tree,
        title="a tree of ada",
        patch=patch,
        author=ada.key.public,
        theirs=theirs.tree,
    )
    assert not store.jobs.tried(LINE.task, fingerprint(clean))
    step = go_on(line_writer, root, BASE_NANO, BASE_NANO)
    assert store.jobs.tried(LINE.task, fingerprint(clean))
    assert line_writer.known_line.working == clean.tree
    began = store.records.patch(step.patch or b"")
    assert began is not None
    assert began.parents == (patch,)
    # A stack of nothing but that tree is that step itself.
    record = promotion_trial(line_writer, gain_nano=STEP_NANO)
    assert isinstance(record.body, ResultBody)
    assert record.body.patch == step.patch


def test_a_peers_tree_far_below_the_head_is_not_gone_on_from(
    line_writer: LineWriter, home: Home
) -> None:
    ada = PeerAuthor(line_writer.store, Blobs(home.blobs))
    patch = ada.patch(BASELINE, rated("0.9"))
    root = Root(
        where="peer",
        tree=rated("0.9").tree,
        title="a tree of ada",
        patch=patch,
        author=ada.key.public,
        theirs=rated("0.9").tree,
    )
    job = open_branch(line_writer, root, why="nothing was kept", runs=1)
    runs = finished(line_writer.store, job, BASE_NANO)
    step = close_branch(line_writer, job, runs, 21.0)
    assert not step.is_taken
    assert line_writer.store.experiments.listed(LINE)[-1].decision == "discarded"


def test_it_all_reads_back_from_another_process(
    line_writer: LineWriter, home: Home, store: Store
) -> None:
    step = go_on(line_writer, root_of(line_writer), BASE_NANO, BASE_NANO)
    again = line_writer_of(home, store)
    branch = branch_of(store, again.known_line)
    assert branch is not None
    assert branch.step == step
