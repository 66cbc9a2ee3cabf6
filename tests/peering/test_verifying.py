"""Signatures are verified in a process beside, or here, with the same verdicts."""

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

import pytest

from node.peering.verifying import MANY, Verifier
from protocol.keys import Signature, SigningKey

KEY = SigningKey.from_seed(bytes(32))


def signatures(count: int, *, bad: int = 0) -> list[Signature]:
    """Return so many, of which every `bad`-th does not hold."""
    made = []
    for number in range(count):
        message = b"message %d" % number
        signature = KEY.sign(message)
        is_bad = bad and number % bad == 0
        made.append(Signature(KEY.public, message + b"!" * bool(is_bad), signature))
    return made


def children() -> list[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in listed.split()]


def test_a_process_beside_gives_the_same_verdicts_for_batches_under_way_together() -> None:
    batches = [signatures(count, bad=count % 7 + 2) for count in (MANY, 300, 41, 1_000, MANY)]

    async def verify() -> None:
        async with contextlib.aclosing(Verifier(processors=2)) as verifier:
            told = await asyncio.gather(*(verifier.verdicts(batch) for batch in batches))
            assert len(children()) == 1
        assert told == [[one.holds() for one in batch] for batch in batches]
        assert not all(told[1])
        assert children() == []

    asyncio.run(verify())


@pytest.mark.parametrize(("processors", "count"), [(1, 3 * MANY), (2, MANY - 1)])
def test_few_signatures_or_a_single_processor_need_no_process(processors: int, count: int) -> None:
    async def verify() -> None:
        async with contextlib.aclosing(Verifier(processors=processors)) as verifier:
            assert await verifier.verdicts(signatures(count, bad=3)) == [
                number % 3 != 0 for number in range(count)
            ]
            assert children() == []

    asyncio.run(verify())


def test_when_the_process_dies_signatures_are_verified_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def verify() -> None:
        async with contextlib.aclosing(Verifier(processors=2)) as verifier:
            assert all(await verifier.verdicts(signatures(MANY)))
            os.kill(children()[0], signal.SIGKILL)
            batches = [signatures(2_000, bad=2) for _ in range(3)]
            for told in await asyncio.gather(*map(verifier.verdicts, batches)):
                assert told == [number % 2 != 0 for number in range(2_000)]

    with caplog.at_level(logging.WARNING):
        asyncio.run(verify())
    assert "verified here" in caplog.text


def test_whoever_stops_waiting_does_not_disturb_the_next() -> None:
    async def verify() -> None:
        async with contextlib.aclosing(Verifier(processors=2)) as verifier:
            hasty = asyncio.create_task(verifier.verdicts(signatures(2_000)))
            while not children():  # noqa: ASYNC110 (of a process that starts there is no event)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            hasty.cancel()
            assert await verifier.verdicts(signatures(100, bad=2)) == [False, True] * 50

    asyncio.run(verify())
