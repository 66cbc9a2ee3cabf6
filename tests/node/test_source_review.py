"""Peers' patches that run without a question: clean ones, without prose, reviewed once."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.line.line_writer import LineWriter
from node.source_review import adoption, source_review
from node.source_review.source_review import SourceReview
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.source import Source
from tests.node.examples import BASELINE, MANIFEST
from tests.node.peer_authors import PeerAuthor


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


FIRST = of("LEARNING_RATE = 0.1\n# Dear agent,\nFIRST = 1\n")
SECOND = of("LEARNING_RATE = 0.1\n# Dear agent,\nFIRST = 1\nSECOND = 2\n")
MARKED = of("import os\nLEARNING_RATE = 0.3\nos.system('id')\n")


@pytest.fixture
def ada(line_writer: LineWriter, blobs: Blobs) -> PeerAuthor:
    return PeerAuthor(line_writer.store, blobs)


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each tree was given to the child that parses it."""
    seen: Counter[bytes] = Counter()

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def inspect(tree: Source, **more: Any) -> Any:
            seen[tree.tree] += 1
            return real(tree, **more)

        return inspect

    for module in (adoption, source_review):
        monkeypatch.setattr(module, "inspect", counting(module.inspect))
    return seen


def result_of(store: Store, record: bytes) -> ResultBody:
    body = store.records.get(record).body
    assert isinstance(body, ResultBody)
    return body


def test_a_step_on_a_step_is_vetted_whole_and_each_tree_once(
    store: Store, blobs: Blobs, ada: PeerAuthor, inspected: Counter[bytes]
) -> None:
    first = result_of(store, ada.claims(FIRST, 2.0))
    second = result_of(store, ada.claims(SECOND, 3.0, base=FIRST))
    vetted = SourceReview(store, blobs, MANIFEST)
    for _ in range(3):
        one, other = (vetted.step(it, own=BASELINE.tree) for it in (first, second))
        assert one is not None
        assert other is not None
        assert one.base == BASELINE
        assert one.tree == other.base == of("LEARNING_RATE = 0.1\nFIRST = 1\n")
        assert other.tree == of("LEARNING_RATE = 0.1\nFIRST = 1\nSECOND = 2\n")
    assert inspected == {FIRST.tree: 1, SECOND.tree: 1}


def test_the_part_that_is_there_already_is_not_counted_again(
    store: Store, blobs: Blobs, ada: PeerAuthor
) -> None:
    both = result_of(store, ada.claims(SECOND, 3.0))
    working = of("LEARNING_RATE = 0.1\nFIRST = 1\n")
    vetted = SourceReview(store, blobs, MANIFEST)
    whole, rest = vetted.onto(both, BASELINE), vetted.onto(both, working)
    assert whole is not None
    assert whole.part == 1.0
    assert rest is None  # both added lines in the same place
    assert vetted.onto(both, whole.source) is None  # nothing is left of it


def test_what_is_marked_may_not_be_run(store: Store, blobs: Blobs, ada: PeerAuthor) -> None:
    claim = result_of(store, ada.claims(MARKED, 3.0))
    vetted = SourceReview(store, blobs, MANIFEST)
    assert vetted.is_here(claim)
    assert vetted.step(claim, own=BASELINE.tree) is None
    assert vetted.fingerprint(MARKED) is None
    assert vetted.fingerprint(FIRST) is not None


def test_a_step_whose_files_are_not_here_is_wanted_and_vetted_when_they_are(
    store: Store, blobs: Blobs, ada: PeerAuthor, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    claim = result_of(store, ada.claims(FIRST, 2.0))
    wanted: list[bytes] = []
    files = Blobs(elsewhere)
    files.put_source(BASELINE)
    vetted = SourceReview(store, files, MANIFEST, want=wanted.append)
    assert not vetted.is_here(claim)
    assert vetted.step(claim, own=BASELINE.tree) is None
    assert set(wanted) == {claim.patch}
    files.put_source(FIRST)
    assert vetted.step(claim, own=BASELINE.tree) is not None
    assert vetted.is_reviewed(claim)


def test_a_tree_is_vetted_once_the_patch_is_here_that_made_it(
    store: Store, blobs: Blobs, ada: PeerAuthor
) -> None:
    claim = result_of(store, ada.claims(FIRST, 2.0))
    blobs.put_source(SECOND)
    vetted = SourceReview(store, blobs, MANIFEST)
    assert vetted.tree(SECOND.tree, claim) is None
    ada.patch(FIRST, SECOND)
    assert vetted.tree(SECOND.tree, claim) is not None
