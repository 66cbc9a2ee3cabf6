"""A pause that goes over by itself, by the clock on the wall."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from node.loop import pausing
from node.loop.pausing import Pause
from tests.node.scripted import until

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "_LOOKED_S", 0.001)


def test_it_is_over_when_it_was_said_to_be_however_long_the_machine_slept() -> None:
    now, ended, looked = NOON, list[bool](), list[datetime]()

    def clock() -> datetime:
        looked.append(now)
        return now

    async def work() -> None:
        nonlocal now
        pause = Pause(now=clock)
        pause.begin(7200, lambda: ended.append(True))
        assert pause.stage == "paused until 14:00"
        now += timedelta(minutes=119)
        count = len(looked)
        await until(lambda: len(looked) > count + 3)
        assert not ended
        now += timedelta(minutes=2)  # of a suspend, in which no timer moves
        await until(lambda: ended != [])
        pause.close()

    asyncio.run(work())


def test_one_that_is_ended_before_does_not_end_the_next_one() -> None:
    now, ended = NOON, list[str]()

    async def work() -> None:
        nonlocal now
        pause = Pause(now=lambda: now)
        pause.begin(3600, lambda: ended.append("first"))
        pause.begin(7200, lambda: ended.append("second"))
        now += timedelta(hours=3)
        await until(lambda: ended != [])
        pause.close()

    asyncio.run(work())
    assert ended == ["second"]


def test_until_when_is_reported_with_its_day_where_that_is_not_today() -> None:
    async def work() -> tuple[str, dict[str, bool | str | None]]:
        pause = Pause(now=lambda: NOON)
        pause.begin(30 * 3600, lambda: None)
        reported = (pause.stage, pause.document())
        pause.end()
        assert pause.document() == {"paused": False, "until": None}
        return reported

    stage, document = asyncio.run(work())
    assert stage == "paused until 2026-03-02 18:00"
    assert document == {"paused": True, "until": "2026-03-02T18:00:00+00:00"}
