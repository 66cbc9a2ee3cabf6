"""Eviction removes blobs that nothing here needs, and never half of a tree."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.store.blobs import Blobs
from node.store.eviction import Claims, claims_of, make_room
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.patches import file_changes
from protocol.record_kinds import AdoptBody, Body, PatchBody, TaskBody
from protocol.records import sign_record
from protocol.source import Source
from tests.node.examples import BASELINE, BETTER, HARDWARE_CLASS, LINE, MANIFEST, TASK, Notebook
from tests.node.steps import FreeStep
from tests.protocol.examples import PATCH

UNKNOWN_AUTHOR = SigningKey.from_seed(bytes([9] * 32))
NOBODY = Claims(own=frozenset(), adopted=frozenset())
SHARED = b"# the same in all\n" * 10


def source(number: int) -> Source:
    return Source.of({"model.py": SHARED, "train.py": b"X = %d\n" % number * 100})


def put(blobs: Blobs, one: Source, *, used_s: int) -> bytes:
    """Keep a source that was last used at a time."""
    tree = blobs.put_source(one)
    for blob in (tree, *(digest for _, digest in blobs.listing(tree) or ())):
        os.utime(blobs.path(blob), (used_s, used_s))
    return tree


def trees_left(blobs: Blobs, trees: list[bytes]) -> list[int]:
    """Return the numbers of the stored trees, each of which must be whole."""
    left = [number for number, tree in enumerate(trees) if blobs.has(tree)]
    assert [blobs.lacking(trees[number]) for number in left] == [[] for _ in left]
    return left


def ingest(store: Store, body: Body, seq: int) -> None:
    record = sign_record(
        UNKNOWN_AUTHOR, net="main", seq=seq, prev=None, ts_ms=1_800_000_000_000, body=body
    )
    assert store.intake.ingest([record.wire], now_ms=1_800_000_000_000).rejected == []


def test_what_was_used_longest_ago_goes_first_until_there_is_room(blobs: Blobs) -> None:
    trees = [put(blobs, source(number), used_s=100 - number) for number in range(6)]
    before = blobs.size_bytes()
    left = make_room(blobs, NOBODY, to_bytes=before // 2)
    assert left == blobs.size_bytes() <= before // 2
    assert trees_left(blobs, trees) == [0, 1]


def test_with_room_enough_nothing_goes(blobs: Blobs) -> None:
    trees = [put(blobs, source(number), used_s=number) for number in range(3)]
    assert make_room(blobs, NOBODY, to_bytes=blobs.size_bytes()) == blobs.size_bytes()
    assert trees_left(blobs, trees) == [0, 1, 2]


def test_a_tree_that_is_read_counts_as_used(blobs: Blobs) -> None:
    trees = [put(blobs, source(number), used_s=number) for number in range(3)]
    blobs.get_source(trees[0])
    make_room(blobs, NOBODY, to_bytes=blobs.size_bytes() - 1)
    assert trees_left(blobs, trees) == [0, 2]


def test_what_own_records_jobs_and_lines_name_stays(
    blobs: Blobs, store: Store, notebook: Notebook
) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    job = put(blobs, source(0), used_s=0)
    peers = put(blobs, source(1), used_s=1)
    store.jobs.open_job(LINE, FreeStep({"tree": job}), created_ms=1)
    make_room(blobs, claims_of(store), to_bytes=0)
    assert not blobs.has(peers)
    for tree in (job, BASELINE.tree, BETTER.tree):
        assert blobs.get_source(tree)


def test_what_peers_only_claim_goes_before_what_somebody_adopted(
    blobs: Blobs, store: Store
) -> None:
    base, adopted, claimed = (put(blobs, source(n), used_s=n) for n in range(3))
    ingest(store, TaskBody(manifest=MANIFEST), 0)
    patch = replace(PATCH, task=TASK, base=base, tree=claimed)
    ingest(store, replace(patch, files=file_changes(source(0), source(2))), 1)
    adoption = AdoptBody(
        task=TASK,
        hardware_class=HARDWARE_CLASS,
        from_tree=MANIFEST.baseline_tree,
        to_tree=adopted,
        evidence=None,
        unverified=True,
    )
    ingest(store, adoption, 2)
    assert isinstance(patch, PatchBody)
    make_room(blobs, claims_of(store), to_bytes=blobs.size_bytes() // 2)
    assert trees_left(blobs, [base, adopted, claimed]) == [1]
    # Untrusted records do not fill this home for good.
    assert make_room(blobs, claims_of(store), to_bytes=0) == 0


def test_a_lone_blob_goes_by_its_own_age(blobs: Blobs) -> None:
    lone = blobs.put(b"a long diff" * 20)
    os.utime(blobs.path(lone), (5, 5))
    trees = [put(blobs, source(number), used_s=number) for number in (4, 6)]
    make_room(blobs, NOBODY, to_bytes=blobs.size_bytes() - 800)
    assert trees_left(blobs, trees) == [1]
    assert not blobs.has(lone)


def test_an_untrusted_list_that_names_other_lists_is_a_tree_like_any(blobs: Blobs) -> None:
    inner = put(blobs, source(0), used_s=2)
    outer = blobs.put_listing((("train.py", inner),))
    os.utime(blobs.path(outer), (1, 1))
    assert make_room(blobs, NOBODY, to_bytes=0) == 0
    assert blobs.names() == []


class _Killed(BaseException):
    """Stands in for `kill -9`: nothing here can catch it."""


@pytest.mark.parametrize("steps", range(6))
def test_whatever_kills_it_no_tree_is_left_in_part(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    trees = [put(blobs, source(number), used_s=number) for number in range(3)]
    unlink = Path.unlink

    def counted() -> Iterator[None]:
        yield from [None] * steps
        raise _Killed

    budget = counted()

    def unlink_or_die(path: Path, missing_ok: bool = False) -> None:
        next(budget)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_or_die)
    with pytest.raises(_Killed):
        make_room(blobs, NOBODY, to_bytes=0)
    monkeypatch.setattr(Path, "unlink", unlink)
    trees_left(blobs, trees)
    assert make_room(blobs, NOBODY, to_bytes=0) == 0
