"""Sources are fetched blob by blob, only those that records lead to, and always checked."""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from node.network.errors import NetworkError
from node.peering.fetching import TRIED_AGAIN_S, Fetcher
from node.peering.messages import BLOB, CHUNK_BYTES, BlobPart, write
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.encoding import encode
from protocol.framing import Message
from protocol.patches import file_changes
from protocol.record_kinds import Diff, PatchBody, TaskBody
from protocol.records import Record
from protocol.source import Source
from tests.node.examples import LINE
from tests.node.steps import FreeStep
from tests.peering.members import (
    KEYS,
    NOW_MS,
    Clock,
    Member,
    greet,
    member,
    pull,
    signed,
    until,
)
from tests.peering.wires import Wires
from tests.protocol.examples import MANIFEST, PATCH, REPORT, RESULT, sha256

BASE = Source.of({"model.py": b"WIDTH = 4\n", "train.py": b"DEPTH = 2\n"})
TREE = BASE.replacing("train.py", b"DEPTH = 3  # " + b"x" * (CHUNK_BYTES + 100) + b"\n")
LONG_DIFF = b"a long diff, compressed"


def patch_of(old: Source, new: Source, **changes: Any) -> Record:
    body = replace(PATCH, base=old.tree, tree=new.tree, files=file_changes(old, new), **changes)
    return signed(KEYS[0], 1, body)


PATCH_RECORD = patch_of(BASE, TREE, diff=Diff(blob=sha256(LONG_DIFF)))


class Scene:
    def __init__(self, stack: ExitStack) -> None:
        self.wires, self.clock = Wires(), Clock()
        self.members = [
            stack.enter_context(member(self.wires, name, self.clock))
            for name in ("asking", "first", "second")
        ]
        self.asking, self.first, self.second = self.members
        for one in self.members:
            one.take([PATCH_RECORD])

    def bounded(self, quota_bytes: int) -> Fetcher:
        """Give the asking node another disk quota."""
        one = self.asking
        one.peering.fetcher = Fetcher(
            one.carrier,
            one.store,
            one.blobs,
            one.peering.fetcher._misbehaviour,
            clock=self.clock,
            used_bytes=one.blobs.size_bytes(),
            quota_bytes=quota_bytes,
        )
        return one.peering.fetcher

    async def meet(self, *others: Member) -> None:
        for other in others:
            await greet(self.wires, self.asking, other)

    def fill(self, *members: Member) -> None:
        for one in members:
            one.blobs.put_source(BASE)
            one.blobs.put_source(TREE)
            one.blobs.put(LONG_DIFF)

    async def fetch(self, **options: Any) -> bool:
        return await self.asking.peering.fetcher.fetch(PATCH_RECORD.id, **options)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def test_what_is_missing_of_a_patch_comes_from_who_has_it(scene: Scene) -> None:
    scene.fill(scene.second)

    async def talk() -> None:
        await scene.meet(scene.first, scene.second)
        assert await scene.fetch()

    asyncio.run(talk())
    assert scene.asking.blobs.get_source(TREE.tree) == TREE
    assert scene.asking.blobs.get_source(BASE.tree) == BASE
    assert scene.asking.blobs.get(sha256(LONG_DIFF)) == LONG_DIFF


def test_the_answer_that_a_claim_shows_comes_with_its_patch(scene: Scene) -> None:
    scene.fill(scene.second)
    answer = scene.second.blobs.put(b"an answer")
    shown = replace(RESULT.runs[0], role="candidate", answer=answer)
    claim = signed(KEYS[0], 2, replace(RESULT, patch=PATCH_RECORD.id, runs=(shown,)))
    for one in (scene.asking, scene.second):
        one.take([claim])

    async def talk() -> None:
        await scene.meet(scene.second)
        assert await scene.fetch()

    asyncio.run(talk())
    assert scene.asking.blobs.get(answer) == b"an answer"


def test_its_announcer_is_asked_first_and_what_is_here_is_not_asked_for(scene: Scene) -> None:
    scene.fill(scene.first, scene.second)
    scene.asking.blobs.put_source(BASE)
    asked: list[str] = []

    def noting(name: str) -> Any:
        async def note(protocol: str, _question: Message, answer: Message) -> Message:
            asked.append(f"{name} {protocol}")
            return answer

        return note

    async def talk() -> None:
        await scene.meet(scene.first, scene.second)
        scene.first.carrier.tamper, scene.second.carrier.tamper = noting("1"), noting("2")
        assert await scene.fetch(sent_by=scene.second.carrier.peer_id)

    asyncio.run(talk())
    # Two parts of the changed file, and the diff: the tree's list follows from the base's.
    assert asked == [f"2 {BLOB}"] * 3


def test_wrong_bytes_are_not_kept_and_the_next_peer_is_asked(scene: Scene) -> None:
    scene.fill(scene.first, scene.second)

    async def wrong(protocol: str, _question: Message, answer: Message) -> Message:
        if protocol == BLOB and isinstance(answer, dict) and isinstance(answer["data"], bytes):
            return {**answer, "data": b"\0" * len(answer["data"])}
        return answer

    async def talk() -> None:
        await scene.meet(scene.first, scene.second)
        scene.first.carrier.tamper = wrong
        assert await scene.fetch(sent_by=scene.first.carrier.peer_id)

    asyncio.run(talk())
    assert scene.asking.blobs.get_source(TREE.tree) == TREE
    assert scene.asking.blobs.damaged() == []
    assert scene.second.carrier.peer_id not in scene.asking.carrier.dropped


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"data": b"", "size": 5},
        {"data": b"12345", "size": 4},
        {"data": b"1", "size": BLOB_LIMIT_BYTES + 1},
        {"data": b"1" * (CHUNK_BYTES + 1), "size": BLOB_LIMIT_BYTES},
        {"data": b"", "size": 0},
        {"data": "text", "size": 4},
        {"data": b"1", "size": 1.0},
        {"data": b"1"},
    ],
)
def test_parts_that_make_no_blob_end_the_try(scene: Scene, answer: Message) -> None:
    async def lying(protocol: str, _question: Message, true: Message) -> Message:
        return answer if protocol == BLOB else true

    scene.fill(scene.first)

    async def talk() -> None:
        await scene.meet(scene.first)
        scene.first.carrier.tamper = lying
        assert not await scene.fetch()

    asyncio.run(talk())
    assert scene.asking.blobs.names() == []
    assert scene.wires.questions[BLOB] <= 6


def test_each_peer_is_tried_once_an_hour_for_each_blob(scene: Scene) -> None:
    async def talk() -> None:
        await scene.meet(scene.first)
        assert not await scene.fetch()
        asked = scene.wires.questions[BLOB]
        assert not await scene.fetch()
        assert scene.wires.questions[BLOB] == asked
        scene.clock.now_s += TRIED_AGAIN_S
        scene.fill(scene.first)
        assert await scene.fetch()

    asyncio.run(talk())


def test_what_nobody_had_is_tried_again_with_a_new_peer(scene: Scene) -> None:
    fetcher = scene.asking.peering.fetcher
    scene.fill(scene.second)

    async def talk() -> None:
        await scene.meet(scene.first)
        working = asyncio.create_task(fetcher.run())
        fetcher.want(PATCH_RECORD.id)
        await until(lambda: PATCH_RECORD.id in fetcher._given_up)
        await scene.meet(scene.second)
        await until(lambda: scene.asking.blobs.has(sha256(LONG_DIFF)))
        working.cancel()

    asyncio.run(talk())
    assert scene.asking.blobs.get_source(TREE.tree) == TREE


def test_nobody_is_asked_before_a_hello_and_then_for_all_that_is_wanted(scene: Scene) -> None:
    fetcher = scene.asking.peering.fetcher
    scene.fill(scene.first)

    async def talk() -> None:
        working = asyncio.create_task(fetcher.run())
        scene.wires.connect(scene.asking.carrier, scene.first.carrier)
        fetcher.want(PATCH_RECORD.id)
        await until(lambda: PATCH_RECORD.id in fetcher._given_up)
        assert scene.wires.questions[BLOB] == 0
        await scene.meet(scene.first)
        await until(lambda: scene.asking.blobs.has(sha256(LONG_DIFF)))
        working.cancel()

    asyncio.run(talk())


def test_what_was_asked_for_last_is_fetched_first(scene: Scene) -> None:
    """A newcomer has all sources to fetch, and its loop waits for one of them."""
    fetcher = scene.asking.peering.fetcher
    scene.fill(scene.first)
    later = patch_of(TREE, BASE.replacing("train.py", b"DEPTH = 5\n"))
    scene.asking.take([later])
    order: list[bytes] = []

    async def noted(patch: bytes, **_: object) -> bool:
        order.append(patch)
        return True

    async def talk() -> None:
        fetcher.fetch = noted  # type: ignore[method-assign,assignment]
        for patch in (PATCH_RECORD.id, later.id):
            fetcher.want(patch)
        working = asyncio.create_task(fetcher.run())
        await until(lambda: len(order) == 2)
        working.cancel()

    asyncio.run(talk())
    assert order == [later.id, PATCH_RECORD.id]


def test_what_was_claimed_before_a_restart_is_fetched_after_it(scene: Scene) -> None:
    result = replace(RESULT, patch=PATCH_RECORD.id, base=BASE.tree, tree=TREE.tree, stage="confirm")
    scene.asking.take([signed(KEYS[0], 0, TaskBody(manifest=MANIFEST)), signed(KEYS[0], 2, result)])
    scene.fill(scene.first)

    async def talk() -> None:
        # As after a start: no node has announced anything, and nothing waits.
        working = asyncio.create_task(scene.asking.peering.fetcher.run())
        await asyncio.sleep(0)
        assert scene.wires.questions[BLOB] == 0
        await scene.meet(scene.first)
        async with asyncio.timeout(10):
            while not scene.asking.blobs.has(sha256(LONG_DIFF)):  # noqa: ASYNC110 (no event exists)
                await asyncio.sleep(0.01)
        working.cancel()

    asyncio.run(talk())
    assert scene.asking.blobs.get_source(TREE.tree) == TREE


def test_only_what_a_record_leads_to_is_lent(scene: Scene) -> None:
    scene.fill(scene.first)
    secret = scene.first.blobs.put(b"a log of this home")
    assert scene.first.blobs.put(b"# A night") == REPORT.text
    report_record = signed(KEYS[0], 2, REPORT)
    scene.first.take([report_record])

    async def ask(blob: bytes, record: bytes) -> Message:
        question = write(BlobPart(blob=blob, record=record, offset=0))
        return await scene.asking.carrier.ask(scene.first.carrier.peer_id, BLOB, question)

    async def talk() -> None:
        await scene.meet(scene.first)
        unchanged = sha256(b"WIDTH = 4\n")
        answer = await ask(unchanged, PATCH_RECORD.id)
        assert answer == {"data": b"WIDTH = 4\n", "size": 10}
        assert await ask(REPORT.text, report_record.id) == {"data": b"# A night", "size": 9}
        for blob, record in (
            (secret, PATCH_RECORD.id),
            (unchanged, sha256(b"no record")),
            (sha256(b"not here"), PATCH_RECORD.id),
        ):
            with pytest.raises(NetworkError):
                await ask(blob, record)

    asyncio.run(talk())


def test_a_report_s_text_comes_when_its_record_is_asked_for_and_not_before(scene: Scene) -> None:
    scene.first.blobs.put(b"# A night")
    report_record = signed(KEYS[0], 2, REPORT)
    for one in (scene.asking, scene.first):
        one.take([report_record])

    async def talk() -> None:
        await scene.meet(scene.first)
        await pull(scene.asking, scene.first)
        assert not scene.asking.blobs.has(REPORT.text)
        assert await scene.asking.peering.fetcher.fetch(report_record.id)

    asyncio.run(talk())
    assert scene.asking.blobs.get(REPORT.text) == b"# A night"


def test_a_text_that_is_longer_than_its_record_says_is_not_loaded(scene: Scene) -> None:
    long = b"x" * (CHUNK_BYTES + 1)
    scene.first.blobs.put(long)
    report_record = signed(KEYS[0], 2, replace(REPORT, text=sha256(long), size_bytes=9))
    for one in (scene.asking, scene.first):
        one.take([report_record])

    async def talk() -> None:
        await scene.meet(scene.first)
        assert not await scene.asking.peering.fetcher.fetch(report_record.id)

    asyncio.run(talk())
    assert scene.asking.blobs.names() == []
    assert scene.wires.questions[BLOB] == 1  # for the first part, which contains the length
    assert scene.first.carrier.peer_id in scene.asking.carrier.peers  # and no peer is blamed


def test_a_tree_that_is_no_list_of_files_asks_for_nothing_more(scene: Scene) -> None:
    bomb = encode([[f"f{number}.py", sha256(b"%d" % number)] for number in range(400)])
    body = PATCH_RECORD.body
    assert isinstance(body, PatchBody)
    record = signed(KEYS[1], 5, replace(body, tree=sha256(bomb), diff=PATCH.diff))
    for one in (scene.asking, scene.first):
        one.take([record])
    scene.fill(scene.first)
    scene.first.blobs.put(bomb)

    async def talk() -> None:
        await scene.meet(scene.first)
        assert not await scene.asking.peering.fetcher.fetch(record.id)

    asyncio.run(talk())
    assert scene.wires.questions[BLOB] == 4  # the base's list and two files, and the bomb


def test_where_own_sources_fill_the_share_nothing_is_fetched_and_that_is_said_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.fill(scene.first)
    kept = Source.of({"train.py": b"X = 1\n" * 100})
    scene.asking.blobs.put_source(kept)
    scene.asking.store.jobs.open_job(LINE, FreeStep({"tree": kept.tree}), created_ms=1)
    fetcher = scene.bounded(BLOB_LIMIT_BYTES + 100)

    async def talk() -> None:
        await scene.meet(scene.first)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert not await fetcher.fetch(PATCH_RECORD.id)
                scene.clock.now_s += TRIED_AGAIN_S

    asyncio.run(talk())
    assert scene.wires.questions[BLOB] == 0
    assert sum("fill the quota" in record.message for record in caplog.records) == 1
    assert scene.asking.blobs.get_source(kept.tree) == kept


def test_a_new_source_takes_the_place_of_one_that_nobody_needs(scene: Scene) -> None:
    scene.fill(scene.first)
    blobs = scene.asking.blobs
    old = [Source.of({"train.py": b"#" * 700_000 + b"%d" % number}) for number in range(6)]
    for number, source in enumerate(old):
        blobs.put_source(source)
        for blob in (source.tree, *(sha256(data) for _, data in source.files)):
            os.utime(blobs.path(blob), (number, number))
    fetcher = scene.bounded(BLOB_LIMIT_BYTES * 5)

    async def talk() -> None:
        await scene.meet(scene.first)
        assert await fetcher.fetch(PATCH_RECORD.id)

    asyncio.run(talk())
    assert blobs.get_source(TREE.tree) == TREE
    assert not blobs.has(old[0].tree)
    assert blobs.get_source(old[-1].tree) == old[-1]


def test_a_patch_that_is_not_here_yet_is_fetched_once_it_comes(scene: Scene) -> None:
    scene.fill(scene.first)
    late = patch_of(BASE, BASE.replacing("train.py", b"DEPTH = 9\n"))
    scene.first.blobs.put_source(BASE.replacing("train.py", b"DEPTH = 9\n"))
    scene.first.take([late])
    fetcher = scene.asking.peering.fetcher

    async def talk() -> None:
        await scene.meet(scene.first)
        working = asyncio.create_task(fetcher.run())
        fetcher.want(late.id)
        await until(lambda: late.id in fetcher._given_up)
        scene.asking.store.intake.ingest([late.wire], now_ms=NOW_MS)
        fetcher.arrived([late.id])
        await until(lambda: scene.asking.blobs.has(sha256(b"DEPTH = 9\n")))
        working.cancel()

    asyncio.run(talk())
