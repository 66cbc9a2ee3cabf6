"""Long work says how far it is, and ends when nobody waits for it."""

import asyncio
import threading

import pytest

from node.terminal.progress import Progress, in_thread, reporting


def test_what_comes_of_it_and_how_far_it_was_are_reported() -> None:
    calls: list[tuple[str, float]] = []

    def work(progress: Progress) -> int:
        progress("counting", 0.5)
        return 7

    assert asyncio.run(in_thread(work, lambda *reported: calls.append(reported))) == 7
    assert calls == [("counting", 0.5)]


def test_its_fault_is_reported() -> None:
    def work(_progress: Progress) -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        asyncio.run(in_thread(work, lambda *_: None))


def test_when_nobody_waits_any_more_it_ends() -> None:
    """asyncio.run waits for its threads: this would never return."""
    begun = threading.Event()

    def work(progress: Progress) -> None:
        while True:
            begun.set()
            progress("for ever", 0.0)

    async def give_up() -> None:
        working = asyncio.create_task(in_thread(work, lambda *_: None))
        await asyncio.to_thread(begun.wait)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(give_up())


def test_a_step_is_said_once_until_there_is_more_to_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reporting() as progress:
        for share in (0.0, 0.1, 0.2):
            progress("making it", share)
        progress("it is made", 1.0)
    assert capsys.readouterr().err == "  making it …\n  it is made\n"
