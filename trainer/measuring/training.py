"""The training of a run, repeated in an idle minute if other programs disturbed it.

A script knows what it has trained, and could exceed its time on purpose to get a better result by
the repetition. So a repeated training must give the same weights, bit by bit. The repetition then
changes only the measured cost, not the result.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from protocol.source import Source
from trainer.measuring.cost import UNLIMITED, Pace
from trainer.measuring.host_load import NOTICEABLE, Idle, idle_minute
from trainer.measuring.kind import Measuring, NotThereYet, Request
from trainer.measuring.metering import RunFailed, too_much
from trainer.measuring.outcome import Meter
from trainer.measuring.timeline import Timeline

_REPETITIONS = 2
_TIGHT = 0.9  # of a ceiling; timings of one training vary by 5 %
PATIENCE_S = 180.0  # on a machine that is never idle, the disturbed run is final
WAITS: Final = "a run that others disturbed waits for a quiet minute"  # for people


class PutOff(Exception):  # noqa: N818 -- an event: the run has no outcome, and is made later
    """A run was waiting for an idle minute or for its turn when the session ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patience:
    """The times until which a run waits, by `time.monotonic`: its own limit and its session's."""

    ends_s: float
    session_ends_s: float = math.inf

    @property
    def is_session_over(self) -> bool:
        return time.monotonic() >= self.session_ends_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The result of a training: its product, or the reason it failed.

    `request` has the ceilings that it was compared with. `span_s` is its start and its end, by
    `time.monotonic`. `is_contended` is True if other programs disturbed it or the attempt before.
    """

    request: Request
    meter: Meter
    span_s: tuple[float, float]
    product: bytes = b""
    failed: RunFailed | None = None
    is_contended: bool = False

    @property
    def digest(self) -> bytes:
        """The hash of its product."""
        return hashlib.sha256(self.product).digest()

    @property
    def took_too_long(self) -> bool:
        """True if it used more than its ceiling."""
        return self.meter.cost.train_s > self.request.ceiling.train_s

    @property
    def is_tight(self) -> bool:
        """True if it used nearly all of its ceiling, so that another run may exceed it.

        False if it was disturbed or failed, which says less or more.
        """
        share = self.meter.cost.train_s / self.request.ceiling.train_s
        return _TIGHT < share <= 1 and not (self.is_contended or self.failed)

    @property
    def is_over(self) -> bool:
        """True if it used more than its ceiling, or should be repeated before it is scored.

        The start of scoring is charged to the training's ceiling. After the first scored row it is
        too late to repeat the training. So if programs outside this node disturbed it, its cost
        plus the ceiling of that start must be within the training's ceiling.
        """
        ceiling, start_s = self.request.ceiling, 0.0
        if self.meter.outside_share > NOTICEABLE:
            start_s = ceiling.first_score_s
        return self.meter.cost.train_s + start_s > ceiling.train_s


class Training:
    """The trainings of all runs on one device.

    `is_card_used` returns True if others used the card since its last call, if there is a card.
    `patience_s` is the longest time in seconds that a run waits in all.
    """

    def __init__(
        self,
        stages: Measuring,
        *,
        baseline: Source,
        is_card_used: Callable[[], bool],
        patience_s: float,
    ) -> None:
        self.on_wait: Callable[[], None] = lambda: None  # called when a run begins to wait
        self._stages = stages
        self._baseline = baseline
        self._is_card_used = is_card_used
        self._patience_s = patience_s
        self._is_hurried = asyncio.Event()
        self._was_in_vain = False  # the last wait for a card ran out
        self._is_never_quiet = False  # the last wait ran out, and every run since was disturbed
        self._waits_until_s: list[float] = []
        self._repeating = asyncio.Lock()  # runs that waited train one after the other

    @property
    def waits_s(self) -> tuple[float, ...]:
        """The longest remaining wait, in seconds, of each run that waits for an idle minute."""
        now_s = time.monotonic()
        return tuple(max(0.0, until_s - now_s) for until_s in self._waits_until_s)

    def hurry(self) -> None:
        """End all waits for an idle minute: the runs raise PutOff."""
        self._is_hurried.set()

    async def run(
        self,
        request: Request,
        pace: Pace | None,
        on_trained: Callable[[], None],
        uncounted: Timeline,
        *,
        session_ends_s: float = math.inf,
    ) -> Trained:
        """Train a source; `uncounted` records the attempts that do not count.

        `on_trained` is called whenever another run may train. Raises PutOff, also for a run that
        would wait at `session_ends_s` of `time.monotonic`.
        """
        if request.source.tree != self._baseline.tree:
            # A script could ask for data that are not loaded yet, and so choose to be repeated.
            await self._stages.completed()
        patience = _Patience(
            ends_s=time.monotonic() + self._patience_s, session_ends_s=session_ends_s
        )
        if self._is_card_used():
            await self._wait_for_card(patience, on_trained)
        trained = await self._once(request, on_trained)
        for _ in range(_REPETITIONS):
            if trained.failed or not trained.meter.is_contended:
                break
            if not await self._wait_for_card(patience, on_trained):
                break
            uncounted.add("train", "attempt", *trained.span_s)
            trained = await self._once(request, on_trained)
        if trained.meter.outside_share <= NOTICEABLE:
            self._is_never_quiet = False
        if pace is None or trained.failed or not trained.is_over:
            return trained
        return await self._excused(trained, pace, patience, on_trained, uncounted)

    async def _excused(
        self,
        first: Trained,
        pace: Pace,
        patience: _Patience,
        on_trained: Callable[[], None],
        uncounted: Timeline,
    ) -> Trained:
        """Compare a training that took too long on a loaded machine with a ceiling for that load.

        If it exceeds that ceiling too, repeat it in an idle minute, at most twice.
        """
        first = replace(
            first, request=await self._as_loaded(first, pace, uncounted), is_contended=True
        )
        if not first.is_over:
            return first
        pace.took_too_long(first.meter.others_share)
        alone, last = replace(first.request, ceiling=pace.ceiling(0.0)), first
        for _ in range(_REPETITIONS):
            if self._is_never_quiet:
                break
            self._is_never_quiet = not await self._wait(Idle(), patience, on_trained)
            if self._is_never_quiet:
                break
            uncounted.add("train", "attempt", *last.span_s)
            async with self._repeating:
                last = await self._once(alone, on_trained)
            if last.failed is None and last.digest != first.digest:
                return _failed(last, "; trained again in a quiet minute it gave other weights")
            if last.failed or not last.is_over:
                return replace(last, is_contended=True)
        return _failed(last) if last.took_too_long else replace(last, is_contended=True)

    async def _as_loaded(self, trained: Trained, pace: Pace, uncounted: Timeline) -> Request:
        """Return the request with the ceiling of a baseline timed under the same load."""
        share = trained.meter.others_share
        if not pace.knows_training(share):
            request = replace(
                trained.request,
                source=self._baseline,
                ceiling=UNLIMITED,
                on_training=lambda _curve: None,  # the curve is of another source
                is_hopeless=lambda _curve: None,
            )
            timed = await self._once(request, lambda: None)
            uncounted.add("train", "baseline", *timed.span_s)
            if timed.failed is None:
                timed_share, train_s = timed.meter.others_share, timed.meter.cost.train_s
                pace.learn_training(timed_share, train_s, wanted=share)
        return replace(trained.request, ceiling=pace.ceiling(share))

    async def _once(self, request: Request, on_trained: Callable[[], None]) -> Trained:
        """Train once; repeat it if it reached data not loaded yet, as only baseline runs can."""
        while True:
            meter, began_s, product = Meter(), time.monotonic(), b""
            request.on_training(meter.curve)
            failed: RunFailed | None = None
            try:
                product = await self._stages.run(request, meter)
            except RunFailed as failure:
                failed = failure
            except NotThereYet:
                on_trained()
                await self._stages.grown()
                continue
            return Trained(
                request=request,
                meter=meter,
                span_s=(began_s, time.monotonic()),
                product=product,
                failed=failed,
            )

    async def _wait_for_card(self, patience: _Patience, on_trained: Callable[[], None]) -> bool:
        """Wait until no other program uses the card.

        Other programs may use the card for days. So after a wait that timed out, this returns False
        at once until the card has been free.
        """
        if self._was_in_vain and self._is_card_used():
            return False
        idle = Idle(others=lambda: 0.0, is_card_used=self._is_card_used)
        is_idle = await self._wait(idle, patience, on_trained)
        self._was_in_vain = not is_idle
        return is_idle

    async def _wait(self, idle: Idle, patience: _Patience, on_trained: Callable[[], None]) -> bool:
        """Let other runs train until an idle minute has passed, or the patience has run out.

        Raises PutOff if the session is over by then, even if the minute was idle, because the
        repeated training would come after the session.
        """
        if patience.is_session_over:
            raise PutOff
        ends_s = min(patience.ends_s, patience.session_ends_s)
        self._waits_until_s.append(ends_s)
        try:
            on_trained()
            self.on_wait()
            is_idle = await idle_minute(idle, ends_s, self._is_hurried)
        finally:
            self._waits_until_s.remove(ends_s)
        if self._is_hurried.is_set() or patience.is_session_over:
            raise PutOff
        return is_idle


def _failed(trained: Trained, why: str = "") -> Trained:
    too_long = too_much(trained.request.ceiling.train_s, "training", by_clock=False)
    failed = RunFailed("timeout", f"{too_long}{why}")
    return replace(trained, failed=failed, is_contended=True)
