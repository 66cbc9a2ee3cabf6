"""Records are read in another process or in this one, with the same result."""

import asyncio
import contextlib
import logging
import os
import random
import signal
from pathlib import Path

import pytest

from node.peering.record_reader import MANY, RecordReader
from node.store.extracts import Extract, extract
from protocol.errors import Rejected
from tests.protocol.examples import MANIFEST
from tests.protocol.library import session

SESSION = [record.wire for record in session(0, 1)]  # of all kinds that research makes
TASKS = {MANIFEST.id: MANIFEST}
BAD = SESSION[0][:-1] + bytes([SESSION[0][-1] ^ 1])


def batch(count: int) -> list[bytes]:
    """Return `count` wires, some of which are not records."""
    return random.Random(count).choices([*SESSION, b"no record", BAD], k=count)


def here(wires: list[bytes]) -> list[Extract | Rejected]:
    """Return the result of reading them in this process."""
    return [extract(wire, TASKS.get) for wire in wires]


def children() -> list[int]:
    """Return this process's children that read records."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return [
        pid for pid in map(int, listed.split()) if b"node.peering.record_reader" in program_of(pid)
    ]


def program_of(pid: int) -> bytes:
    """Return a process's command line; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def test_a_process_next_to_it_reads_the_same_of_batches_under_way_together() -> None:
    batches = [batch(count) for count in (MANY, 300, 41, 500, MANY)]

    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=2)) as reader:
            results = await asyncio.gather(*(reader.read(wires, TASKS) for wires in batches))
            assert len(children()) == 1
        assert results == [*map(here, batches)]
        assert {type(one) for one in results[1]} == {Extract, Rejected}
        assert all(type(one) is Extract or one.reason for one in results[1])
        assert children() == []

    asyncio.run(read())


def test_every_kind_of_record_comes_back_as_it_was() -> None:
    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=2)) as reader:
            assert await reader.read(SESSION, TASKS) == here(SESSION)

    asyncio.run(read())
    assert {one.kind for one in here(SESSION) if isinstance(one, Extract)} == {
        *("task", "patch", "result", "adopt", "rerun", "noise")
    }


def test_tasks_that_become_known_later_are_reported_as_well() -> None:
    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=2)) as reader:
            early = await reader.read(SESSION, {})
            assert early == [extract(wire, lambda _: None) for wire in SESSION]
            for _ in range(2):
                assert await reader.read(SESSION, TASKS) == here(SESSION)

    asyncio.run(read())
    facts = [one.fact for one in here(SESSION) if isinstance(one, Extract) and one.board]
    assert facts
    assert all(facts)


@pytest.mark.parametrize(("processors", "count"), [(1, 3 * MANY), (2, MANY - 1)])
def test_few_records_or_a_single_processor_need_no_process(processors: int, count: int) -> None:
    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=processors)) as reader:
            assert await reader.read(batch(count), TASKS) == here(batch(count))
            assert children() == []

    asyncio.run(read())


def test_when_the_process_dies_records_are_read_here(caplog: pytest.LogCaptureFixture) -> None:
    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=2)) as reader:
            assert len(await reader.read(batch(MANY), TASKS)) == MANY
            os.kill(children()[0], signal.SIGKILL)
            for results in await asyncio.gather(
                *(reader.read(batch(500), TASKS) for _ in range(3))
            ):
                assert results == here(batch(500))

    with caplog.at_level(logging.WARNING):
        asyncio.run(read())
    assert "the core reads the records" in caplog.text


def test_who_stops_waiting_does_not_disturb_the_next() -> None:
    async def read() -> None:
        async with contextlib.aclosing(RecordReader(processors=2)) as reader:
            hasty = asyncio.create_task(reader.read(batch(500), TASKS))
            while not children():  # noqa: ASYNC110 (the start of a process has no event)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            hasty.cancel()
            assert await reader.read(batch(100), TASKS) == here(batch(100))

    asyncio.run(read())
