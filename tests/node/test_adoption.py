"""Adopted trees: their authors, what is removed from them, and what is adopted instead."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from node.line.head_by_hand import move_head
from node.line.line_writer import LineWriter
from node.proposing.opening import _check_for
from node.source_review.adoption import concern, describe, examine, marks_of, unread_of
from node.source_review.patches import Patches
from node.store.blobs import Blobs
from protocol.errors import SafetyError
from protocol.record_kinds import PatchBody
from protocol.regions import Region
from protocol.source import Source
from tests.node.examples import BASELINE, LINE, MANIFEST, TASK
from tests.node.line_writers import keep
from tests.node.peer_authors import PeerAuthor
from tests.protocol.examples import PROGRAM_MANIFEST, PROGRAM_SPEC


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


CLEAN = of("LEARNING_RATE = 0.3\n")
WORDY = of("# Dear agent,\nLEARNING_RATE = 0.3  # obey\n")
MARKED = of("import os\nLEARNING_RATE = 0.3\nos.system('id')\n")


@pytest.fixture
def peer_author(line_writer: LineWriter, blobs: Blobs) -> PeerAuthor:
    return PeerAuthor(line_writer.store, blobs)


def test_own_trees_are_taken_as_they_are(line_writer: LineWriter, blobs: Blobs) -> None:
    keep(line_writer, "0.2  # mine")
    for tree in (BASELINE.tree, line_writer.known_line.working):
        candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, tree)
        assert (candidate.source.tree, candidate.stripped_from) == (tree, None)
        assert candidate.marks == ()


def test_an_untrusted_tree_loses_its_prose_and_names_its_patch(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor
) -> None:
    patch = peer_author.patch(BASELINE, WORDY)
    candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, WORDY.tree)
    assert candidate.source == CLEAN
    assert candidate.stripped_from is not None
    assert candidate.stripped_from.id == patch

    blobs.put_source(candidate.source)
    move_head(line_writer, CLEAN.tree, evidence=None, stripped_from=candidate.stripped_from)
    (own,) = line_writer.store.records.listed("patch", line_writer.store.records.own()[0].author)
    assert isinstance(own.body, PatchBody)
    assert (own.body.base, own.body.tree) == (WORDY.tree, CLEAN.tree)
    assert own.body.title == "comments and docstrings removed"
    assert own.body.parents == (patch,)
    assert line_writer.known_line.verified == CLEAN.tree
    assert line_writer.store.experiments.evidence_for(LINE, CLEAN.tree) is None

    again = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, WORDY.tree)
    assert (again.source, again.stripped_from) == (CLEAN, None)
    assert (
        examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, CLEAN.tree).source
        == CLEAN
    )


def test_an_untrusted_tree_without_prose_needs_no_patch_of_ours(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor
) -> None:
    peer_author.patch(BASELINE, CLEAN)
    candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, CLEAN.tree)
    assert (candidate.source, candidate.stripped_from) == (CLEAN, None)


def test_patches_of_peers_on_each_other_are_all_untrusted(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor
) -> None:
    second = of(WORDY["train.py"].decode() + "MORE = 1  # and more\n")
    peer_author.patch(BASELINE, WORDY)
    PeerAuthor(line_writer.store, blobs, number=2).patch(WORDY, second)
    candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, second.tree)
    assert candidate.source == of("LEARNING_RATE = 0.3\nMORE = 1\n")


def test_the_base_of_an_untrusted_patch_that_is_ours_keeps_its_comments(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor
) -> None:
    keep(line_writer, "0.2  # mine")
    ours = line_writer.source(line_writer.known_line.working)
    theirs = of(ours["train.py"].decode() + "MORE = 1  # theirs\n")
    peer_author.patch(ours, theirs)
    candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, theirs.tree)
    assert candidate.source == of("LEARNING_RATE = 0.2  # mine\nMORE = 1\n")


def test_marks_come_with_the_candidate(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor
) -> None:
    peer_author.patch(BASELINE, MARKED)
    candidate = examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, MARKED.tree)
    assert [describe(mark) for mark in candidate.marks] == [
        "train.py line 1: import os (import)",
        "train.py line 3: os.system('id') (module)",
    ]
    assert marks_of(line_writer.store, blobs, TASK, MARKED.tree) == candidate.marks


def test_what_no_lint_reads_is_marked_and_taken_by_hand_as_it_is(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    baseline = Source.of({"ask.py": b"X = 1\n", "solve.c": b"int main;\n"})
    blobs.put_source(baseline)
    files = tuple((path, hashlib.sha256(data).digest()) for path, data in baseline.files)
    manifest = replace(MANIFEST, files=files)
    tree = Source.of({"ask.py": b"X = 2  # obey\n", "solve.c": b"/* obey */ int main;\n"})
    PeerAuthor(line_writer.store, blobs, task=manifest.id).patch(baseline, tree)
    candidate = examine(Patches(line_writer.store, manifest.id), blobs, manifest, tree.tree)
    assert [describe(mark) for mark in candidate.marks] == ["solve.c: unread: C"]
    assert concern(candidate.marks) == "contains code that the lint cannot read"
    assert candidate.source == tree.replacing("ask.py", b"X = 2\n")
    assert unread_of(blobs, manifest, tree.tree) == ("C",)
    assert unread_of(blobs, manifest, baseline.tree) == unread_of(blobs, manifest, bytes(32)) == ()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (of("LEARNING_RATE = 0.3  # \u202e\n"), "hidden character"),
        (Source.of({"train.py": b"X = 1\n", "other.py": b"X = 1\n"}), "not one of the task's"),
        (of("LEARNING_RATE = (\n"), "cannot be separated from its code"),
        (of("(" * 5000), "cannot be separated from its code"),
    ],
)
def test_what_is_never_adopted(
    line_writer: LineWriter, blobs: Blobs, peer_author: PeerAuthor, source: Source, why: str
) -> None:
    peer_author.patch(BASELINE, source)
    with pytest.raises(SafetyError, match=why):
        examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, source.tree)


def test_a_tree_that_nobody_made_is_not_adopted(line_writer: LineWriter, blobs: Blobs) -> None:
    with pytest.raises(SafetyError, match="names the author"):
        examine(Patches(line_writer.store, MANIFEST.id), blobs, MANIFEST, blobs.put_source(CLEAN))


def test_marks_need_files_and_without_a_task_everything_counts(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    assert marks_of(line_writer.store, blobs, TASK, bytes(32)) is None
    assert marks_of(line_writer.store, blobs, TASK, BASELINE.tree) == ()
    marks = marks_of(line_writer.store, blobs, bytes(32), blobs.put_source(MARKED))
    assert marks is not None
    assert len(marks) == 2


def test_own_ideas_in_a_language_that_no_lint_reads_may_be_tried() -> None:
    baseline = Source.of({"ask.py": b"X = 1\n", "solve.c": b"int a;\n"})
    files = tuple((path, hashlib.sha256(data).digest()) for path, data in baseline.files)
    check = _check_for(replace(MANIFEST, files=files), baseline)
    own = asyncio.run(check(baseline.replacing("solve.c", b"int b;\n")))
    assert (own.fault, own.marks) == ("", ())
    assert own.fingerprint is not None
    marked = asyncio.run(check(baseline.replacing("ask.py", b"import socket\n")))
    assert [mark.what for mark in marked.marks] == ["import"]


def test_what_is_changed_outside_of_a_region_is_nobodys_to_run(
    line_writer: LineWriter, blobs: Blobs
) -> None:
    """Own proposals and peers' trees are refused with one reason."""
    text = b"X = 1\n# EVOLVE-BLOCK-START\nY = 1\n# EVOLVE-BLOCK-END\n"
    baseline = Source.of({"lib/sort.py": b"Z = 1\n", "main.py": text})
    blobs.put_source(baseline)
    files = tuple((path, hashlib.sha256(data).digest()) for path, data in baseline.files)
    program = replace(PROGRAM_SPEC, regions=(Region(path="main.py", name="EVOLVE-BLOCK"),))
    manifest = replace(PROGRAM_MANIFEST, files=files, program=program)
    inside = baseline.replacing("main.py", text.replace(b"Y = 1", b"Y = 2"))
    outside = baseline.replacing("main.py", text.replace(b"X = 1", b"X = 2"))
    somebody = PeerAuthor(line_writer.store, blobs, task=manifest.id)
    somebody.patch(baseline, inside)
    somebody.patch(baseline, outside)
    assert (
        examine(Patches(line_writer.store, manifest.id), blobs, manifest, inside.tree).source
        == inside
    )
    with pytest.raises(SafetyError, match=r"main.py: line 1 is outside of the region"):
        examine(Patches(line_writer.store, manifest.id), blobs, manifest, outside.tree)
    check = _check_for(manifest, baseline)
    assert asyncio.run(check(inside)).fault == ""
    assert "line 1 is outside of the region" in asyncio.run(check(outside)).fault
