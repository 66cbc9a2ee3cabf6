"""Status, stop, pause and resume of a node during a card's self-test."""

import asyncio
from collections.abc import Mapping

from node.home.config import Config
from node.home.control_socket import ControlServer, Message
from node.home.home import Home
from node.home.keyfile import load_keys
from node.loop.in_flight import InFlight, Lost
from node.loop.pausing import Pause
from node.reporting.queries import Nothing
from node.reporting.status import status_document
from node.running.first_card import UntestedCard, report
from node.store.store import Store
from node.web.commands import DONE, Answer, Done, Paused, PauseFor, Stop, on_socket
from trainer.sandbox.tier import probe_tier

_SELFTEST = (0, 0)  # key of the self-test among the current runs; it has no job


class StoppedError(Exception):
    """A user stopped the node during a card's self-test."""


async def passes_selftest(home: Home, config: Config, untested_card: UntestedCard) -> bool:
    """Run a card's self-test; return True if the card is usable.

    A pause interrupts the test, and the test restarts after the pause. A pause with `at_end` begins
    when the test has finished. Raises StoppedError.
    """
    watch = _SelfTestControl(untested_card, home)
    async with ControlServer(home.socket, on_socket(_answers(home, config, watch))):
        return await watch.run()


class _SelfTestControl:
    def __init__(self, untested_card: UntestedCard, home: Home) -> None:
        self.pausing = Pause()
        self._untested_card = untested_card
        self._home = home
        self._in_flight = InFlight()
        self._wake = asyncio.Event()
        self._is_stopped = False
        self._has_passed: bool | None = None

    @property
    def stage(self) -> str:
        """The state of the node, for people."""
        if self.pausing.is_on:
            return self.pausing.stage
        return f"{self._untested_card.name} runs its self-test"

    async def run(self) -> bool:
        try:
            while self._has_passed is None or self.pausing.is_on:
                if self._is_stopped:
                    raise StoppedError
                if self._in_flight:
                    await self._in_flight.one_ended(self._wake)
                elif self.pausing.is_on:
                    await self._wake.wait()
                else:
                    self._in_flight.begin(_SELFTEST, self._run_selftest())
                self._wake.clear()
                self._in_flight.reap()
            return self._has_passed
        finally:
            self.pausing.close()
            await self._in_flight.end_all()

    async def _run_selftest(self) -> None:
        self._has_passed = await self._untested_card.run_selftest(self._home)

    async def pause(self, for_s: float | None, *, at_end: bool) -> Lost:
        """Stop the test, and return once the card is free; with `at_end` let the test finish."""
        self.pausing.begin(for_s, self.resume)
        lost = Lost() if at_end else await self._in_flight.end_all()
        restart_note = ": the card repeats its self-test after that" if lost.runs else ""
        report(f"{self.pausing.stage}{restart_note}")
        self._wake.set()
        return lost

    def resume(self) -> None:
        if self.pausing.is_on:
            report("the pause is over: the self-test starts again")
        self.pausing.end()
        self._wake.set()

    async def stop(self) -> None:
        self._is_stopped = True
        await self._in_flight.end_all()
        self._wake.set()


def _answers(home: Home, config: Config, selftest: _SelfTestControl) -> Mapping[str, Answer]:
    async def status(_: Nothing) -> dict[str, Message]:
        author = load_keys(home).author.public
        with Store.open_read_only(home) as store:
            document = status_document(
                store, author=author, net=config.net, sandbox=probe_tier().name
            )
        self_test_state: dict[str, Message] = {
            "stage": selftest.stage,
            **selftest.pausing.document(),
        }
        return {**document, "running": True, "self_test": self_test_state}

    async def stop(_: Stop) -> Done:
        await selftest.stop()
        return DONE

    async def pause(asked: PauseFor) -> Paused:
        lost = await selftest.pause(asked.for_s, at_end=asked.at_end)
        return pause_document(lost, selftest.pausing)

    async def resume(_: Nothing) -> Done:
        selftest.resume()
        return DONE

    return {"status": status, "stop": stop, "pause": pause, "resume": resume}


def pause_document(lost: Lost, pausing: Pause) -> Paused:
    """Return the answer to a request for a pause."""
    return {
        "paused": pausing.is_on,
        "until": pausing.until.isoformat(timespec="seconds") if pausing.until else None,
        "runs_ended": lost.runs,
        "seconds_lost": round(lost.seconds, 1),
    }
