"""Attacks an imported evaluator with dishonest values in place of the baseline's.

Each value that is sent to the evaluator is replaced by a forgery from the table of
`trainer.program.attacks`. As with judges, an attack succeeds if the forgery scores better than the
honest value, or as good without solving the instance.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from trainer.measuring.checks import Remark, fine, note
from trainer.measuring.kind import Progress
from trainer.measuring.metering import RunFailed
from trainer.program.answers import Raw
from trainer.program.attacking import Shot, accepted, outcome_of, worst_of
from trainer.program.attacks import ATTACKS, Forgery, Honest
from trainer.program.bench import BaselineRun, Bench
from trainer.program.harness.crossing import CALL, VALUE, NotPlain, packed, plain, unpacked

_MOST_VARIANTS: Final = 8
_CLAIMED: Final = 12_345.678  # so much better that no honest answer gets it by chance
_SKIPPED: Final = ("another's",)  # attacks that need answers to several instances


class Forger:
    """Replaces values in one evaluation by forgeries. `has_forged` is True after the first."""

    def __init__(self, forgery: Forgery, variant: int, honest: Callable[[Any], Honest]) -> None:
        self.has_forged = False
        self._forgery = forgery
        self._variant = variant
        self._honest = honest

    def __call__(self, request: bytes, reply: bytes) -> bytes:
        """Return a forged reply, or the honest reply if it cannot be forged."""
        kind, value = unpacked(reply, is_finite=False)
        if kind != VALUE or unpacked(request, is_finite=False)[0] != CALL:
            return reply
        made = list(islice(self._forgery.make(self._honest(value)), self._variant + 1))
        if len(made) <= self._variant or isinstance(made[-1], Raw):
            return reply
        try:
            forged = packed((VALUE, plain(made[-1], "a forgery")))
        except (NotPlain, TypeError, ValueError, RecursionError):
            return reply
        self.has_forged = self.has_forged or forged != reply
        return forged


class EvaluatorAttacker:
    """Attacks a task's evaluator on the first public instance, within a time limit."""

    def __init__(self, bench: Bench, run: BaselineRun, *, until_s: float) -> None:
        self._bench = bench
        self._asked = run.asked[0]
        self._figure = bench.figure(run.judged[0].verdict, run.answers[0])
        self._until_s = until_s
        self._shots = 0
        self._left_out: list[str] = []

    async def remarks(self, progress: Progress) -> AsyncIterator[Remark]:
        """Yield a remark on each forgery that gains, and a summary of the rest."""
        attacks = [one for one in ATTACKS if one.name not in _SKIPPED]
        worse: list[str] = []
        for number, attack in enumerate(attacks):
            progress("attacking the evaluator", number / len(attacks))
            for forgery in attack.forgeries:
                level, outcome = worst_of(await self._shots_of(forgery), forgery)
                if outcome == "worse":
                    worse.append(forgery.what)
                elif level != "ok":
                    yield accepted(attack, forgery, level, outcome)
        count = float(self._shots)
        yield fine("attacks", f"{self._shots} evaluations had dishonest values", answers=count)
        if worse:
            yield note("accepted", f"accepted, but scored worse: {'; '.join(worse)}")
        if self._left_out:
            left_out = "; ".join(dict.fromkeys(self._left_out))
            yield note(
                "left out",
                f"not tried for lack of time: {left_out}",
                "make the evaluator faster, so that all attacks are tried",
            )

    async def _shots_of(self, forgery: Forgery) -> Mapping[int, Sequence[Shot]]:
        shots = defaultdict[int, list[Shot]](list)
        for variant in range(_MOST_VARIANTS):
            if time.monotonic() >= self._until_s:
                self._left_out.append(forgery.what)
                break
            forger = Forger(forgery, variant, self._honest)
            shot = await self._shot(forger)
            if not forger.has_forged:
                break
            self._shots += 1
            shots[variant].append(shot)
        return shots

    async def _shot(self, forger: Forger) -> Shot:
        try:
            judged = await self._bench.forged(self._asked, forger)
        except RunFailed:
            return Shot(outcome="refused", seconds=0.0)
        if judged.verdict.wrong:
            return Shot(outcome="refused", seconds=judged.seconds)
        figure = self._bench.figure(judged.verdict, b"")
        gain = self._bench.manifest.metric.sign * (self._figure - figure)
        outcome = outcome_of(gain, 2e-9 + 1e-9 * abs(self._figure))
        return Shot(outcome=outcome, seconds=judged.seconds, gain=gain, figure=figure)

    def _honest(self, value: Any) -> Honest:
        metric = self._bench.manifest.metric
        claims = (self._figure - metric.sign * _CLAIMED, 0.0, 1.0)
        return Honest(value=value, data=packed(value), metric=metric.name, claims=claims)
