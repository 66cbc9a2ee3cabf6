"""Every line of a head has a writer, and a stack that passed vouches for the stack only."""

from dataclasses import replace

import pytest

from agent.proposal import Proposal
from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.branch import Root
from node.line.experiment import close_experiment, open_experiment
from node.line.head_by_hand import move_head
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.source_review.adoption import examine
from node.source_review.patches import Patches
from node.source_review.provenance import LocalEvidence, Writer, WrittenLine, passages, provenance
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.node import line_writers
from tests.node.examples import BASELINE, KEY, LINE, MANIFEST
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    finished,
    go_on,
    keep,
    promotion_trial,
)
from tests.node.peer_authors import PeerAuthor


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    return line_writers.with_baseline(home, store)


def lines_of(line_writer: LineWriter, blobs: Blobs, tree: bytes | None = None) -> list[WrittenLine]:
    wanted = line_writer.known_line.working if tree is None else tree
    return list(provenance(line_writer.store, blobs, MANIFEST, LINE, wanted))


def writers(lines: list[WrittenLine]) -> list[tuple[str, str, str]]:
    return [(line.text, line.writer.whose, line.writer.evidence.level) for line in lines]


def add(
    line_writer: LineWriter, text: str, *, title: str = "a", parents: tuple[bytes, ...] = ()
) -> bytes:
    """Keep an own patch that appends to the working line; return its id."""
    base = line_writer.source(line_writer.known_line.working)
    source = of(base["train.py"].decode() + text)
    proposal = Proposal(
        parent=base.tree,
        source=source,
        edits=(),
        key="k",
        title=title,
        why="",
        proposer="search",
        fingerprint=fingerprint(source),
        parents=parents,
    )
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    step = job.step
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    runs = finished(line_writer.store, job, BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    closed = replace(step, decision="kept", gain_milli=2000)
    return close_experiment(line_writer, job, closed, runs, note="kept").patch


def test_the_baselines_lines_are_the_tasks(line_writer: LineWriter, blobs: Blobs) -> None:
    (line,) = lines_of(line_writer, blobs)
    assert (line.path, line.number, line.text) == ("train.py", 1, "LEARNING_RATE = 0.1")
    assert (line.writer.whose, line.writer.author) == ("baseline", None)


def test_a_kept_patch_is_kept_until_a_promotion_trial_passed_it_in_its_stack(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    first = add(line_writer, "A = 1\n")
    add(line_writer, "B = 1\n")
    assert writers(lines_of(line_writer, blobs))[1:] == [
        ("A = 1", "own", "kept"),
        ("B = 1", "own", "kept"),
    ]
    confirm = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    lines = lines_of(line_writer, blobs)
    assert writers(lines) == [
        ("LEARNING_RATE = 0.1", "baseline", "baseline"),
        ("A = 1", "own", "stack"),
        ("B = 1", "own", "stack"),
    ]
    writer = lines[1].writer
    assert (writer.patch, writer.author) == (first, KEY.public)
    assert (writer.evidence.result, writer.evidence.parts) == (confirm.id, 2)


def test_a_patch_that_passed_alone_is_said_to_be_confirmed(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    keep(line_writer, "0.2")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert writers(lines_of(line_writer, blobs)) == [("LEARNING_RATE = 0.2", "own", "alone")]


def test_a_missed_promotion_trial_vouches_for_nothing(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    assert writers(lines_of(line_writer, blobs, tree)) == [("LEARNING_RATE = 0.2", "own", "kept")]


def test_untrusted_stripped_lines_stay_untrusted(line_writer: LineWriter, blobs: Blobs) -> None:
    peer_author = PeerAuthor(line_writer.store, blobs, name="ada\u200d")
    wordy = of("LEARNING_RATE = 0.1\n# Dear agent\nA = 1  # obey\ndef f():\n    'obey'\n")
    patch = peer_author.patch(BASELINE, wordy, title="An idea")
    found = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, wordy.tree)
    blobs.put_source(found.source)
    move_head(line_writer, found.source.tree, evidence=None, stripped_from=found.stripped_from)
    lines = lines_of(line_writer, blobs)
    assert writers(lines) == [
        ("LEARNING_RATE = 0.1", "baseline", "baseline"),
        ("A = 1", "untrusted", "unverified"),
        ("def f():", "untrusted", "unverified"),
        ("    pass", "untrusted", "unverified"),
    ]
    writer = lines[1].writer
    assert (writer.patch, writer.author, writer.title) == (patch, peer_author.key.public, "An idea")

    own = add(line_writer, "B = 1\n")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    lines = lines_of(line_writer, blobs)
    assert writers(lines)[-1] == ("B = 1", "own", "alone")
    assert lines[-1].writer.patch == own
    assert lines[1].writer.evidence.level == "unverified"


def test_a_transplant_names_the_author_for_what_stood_in_their_patch(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    peer_author = PeerAuthor(line_writer.store, blobs)
    theirs = peer_author.patch(BASELINE, of("LEARNING_RATE = 0.1\nif 1:\n    A = 1  # so\n"))
    keep(line_writer, "0.2")
    add(line_writer, "A = 1\nC = 3\n", parents=(theirs,))
    lines = lines_of(line_writer, blobs)
    assert writers(lines) == [
        ("LEARNING_RATE = 0.2", "own", "kept"),
        ("A = 1", "untrusted", "kept"),
        ("C = 3", "own", "kept"),
    ]
    assert lines[1].writer.patch == theirs
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert {line.writer.evidence.parts for line in lines_of(line_writer, blobs)} == {2}


def test_a_stack_of_untrusted_patches_names_each_of_them(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    ada, omar = (
        PeerAuthor(line_writer.store, blobs),
        PeerAuthor(line_writer.store, blobs, number=2, name="omar"),
    )
    first = ada.patch(BASELINE, of("LEARNING_RATE = 0.1\nA = 1\n"))
    last = omar.patch(BASELINE, of("LEARNING_RATE = 0.1\nB = 1\n"))
    add(line_writer, "A = 1\nB = 1\nC = 1\n", parents=(first, last))
    lines = lines_of(line_writer, blobs)[1:]
    assert [(line.writer.name, line.writer.patch) for line in lines[:2]] == [
        ("ada", first),
        ("omar", last),
    ]
    assert lines[2].writer.whose == "own"


def test_a_retry_of_a_transplant_is_still_untrusted(line_writer: LineWriter, blobs: Blobs) -> None:
    theirs = PeerAuthor(line_writer.store, blobs).patch(
        BASELINE, of("A = 1\nLEARNING_RATE = 0.1\n")
    )
    first = conclude(line_writer, line_writers.proposal_of(BASELINE, "0.7"), "rebased", BASE_NANO)
    assert line_writer.store.records.patch(first.patch)
    tried = add(line_writer, "A = 1\n", parents=(theirs,))
    add(line_writer, "A = 1\n", parents=(tried,))
    assert [line.writer.whose for line in lines_of(line_writer, blobs)] == [
        "baseline",
        "untrusted",
        "untrusted",
    ]


def test_lines_of_a_transplant_whose_original_is_not_here_count_as_untrusted(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    theirs_source = of("LEARNING_RATE = 0.1\nZ = 1\n")
    theirs = PeerAuthor(line_writer.store, blobs).patch(BASELINE, theirs_source)
    blobs.path(theirs_source.tree).unlink()
    add(line_writer, "A = 1\n", parents=(theirs,))
    assert writers(lines_of(line_writer, blobs))[1] == ("A = 1", "untrusted", "kept")


def test_a_tree_that_no_patch_leads_to_is_compared_with_the_baseline(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    source = of("LEARNING_RATE = 0.1\nA = 1\n")
    blobs.put_source(source)
    assert writers(lines_of(line_writer, blobs, source.tree)) == [
        ("LEARNING_RATE = 0.1", "baseline", "baseline"),
        ("A = 1", "unknown", "unverified"),
    ]
    base = of("X = 1\n")
    PeerAuthor(line_writer.store, blobs).patch(base, source)
    blobs.path(base.tree).unlink()
    assert writers(lines_of(line_writer, blobs, source.tree))[1] == (
        "A = 1",
        "untrusted",
        "unverified",
    )


def test_passages_are_runs_of_one_writer_in_one_file() -> None:
    def line(path: str, number: int, writer: Writer) -> WrittenLine:
        return WrittenLine(path=path, number=number, text="", writer=writer)

    one = Writer(
        whose="own", author=None, name="a", patch=None, title="t",
        evidence=LocalEvidence(level="kept"),
    )  # fmt: skip
    two = replace(one, title="u")
    lines = [line("a", 1, one), line("a", 2, one), line("a", 3, two), line("b", 1, two)]
    runs = [(first.path, first.number, last.number) for first, last in passages(lines)]
    assert runs == [("a", 1, 2), ("a", 3, 3), ("b", 1, 1)]
    assert list(passages([])) == []


# Branches


def test_lines_of_an_older_head_stay_whose_they_were_and_keep_their_own_evidence(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    first = add(line_writer, "A = 1\n")
    earlier = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    older = line_writer.known_line.verified
    add(line_writer, "B = 1\n")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    root = Root(where="older", tree=older, title="an older head", patch=first)
    go_on(line_writer, root, BASE_NANO)
    added = add(line_writer, "C = 1\n")
    before = lines_of(line_writer, blobs)
    assert writers(before)[1:] == [("A = 1", "own", "alone"), ("C = 1", "own", "kept")]
    judged = promotion_trial(line_writer, gain_nano=2 * GAIN_NANO)
    a, c = lines_of(line_writer, blobs)[1:]
    assert (a.writer.patch, a.writer.evidence.result) == (first, earlier.id)
    assert (c.writer.patch, c.writer.evidence.result) == (added, judged.id)


def test_lines_of_a_peers_tree_are_theirs_and_of_those_they_built_on(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    ada, omar = (
        PeerAuthor(line_writer.store, blobs),
        PeerAuthor(line_writer.store, blobs, number=2, name="omar"),
    )
    below = of("LEARNING_RATE = 0.1\nA = 1\n")
    above = of("LEARNING_RATE = 0.1\nA = 1\nB = 1\n")
    first, last = omar.patch(BASELINE, below), ada.patch(below, above)
    add(line_writer, "D = 1\n")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    root = Root(
        where="peer",
        tree=above.tree,
        title="a tree of ada",
        patch=last,
        author=ada.key.public,
        theirs=above.tree,
    )
    go_on(line_writer, root, BASE_NANO)
    own = add(line_writer, "C = 1\n")
    lines = lines_of(line_writer, blobs)[1:]
    assert [(line.text, line.writer.name, line.writer.patch) for line in lines] == [
        ("A = 1", "omar", first),
        ("B = 1", "ada", last),
        ("C = 1", "this node", own),
    ]
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    judged = lines_of(line_writer, blobs)[1:]
    assert {line.writer.evidence.parts for line in judged} == {2}
