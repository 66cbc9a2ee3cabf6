"""Attacks a judge with what is made of honest answers, and says what it takes.

What is refused is fine, whatever the reason. What counts is a figure better than the honest one, or
as good for what is no answer at all.
"""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import msgpack

from trainer.measuring.checks import Level, Remark, fault, fine, note
from trainer.measuring.kind import Progress
from trainer.program.attacks import ANOTHERS, AS_TEXT, ATTACKS, Attack, Honest
from trainer.program.bench import Bench
from trainer.program.forms import Form, Unreadable
from trainer.program.hairs import (
    HAIRS,
    LONGER,
    Place,
    is_harvested,
    leaves,
    lengthened,
    places,
    put,
)
from trainer.program.manifest import recipe_of
from trainer.program.metric import MEASURED, Unfit
from trainer.program.targets import Target, bytes_of, parts_of

Outcome: TypeAlias = Literal["refused", "worse", "luck", "as good", "better"]

_MOST_VARIANTS: Final = 24
_SLOW_S, _SLOW_TIMES = 2.0, 20.0  # beyond both a judge is slow with an answer
_STUMBLED: Final = "the judge stumbled over it"
_LEVELS: Final[Sequence[Level]] = ("ok", "note", "fault")
_OUTCOMES: Final[Sequence[Outcome]] = ("refused", "worse", "luck", "as good", "better")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What came of one dishonest answer; `gain` is over the honest one, in the metric's unit."""

    outcome: Outcome
    seconds: float
    gain: float = 0.0
    figure: float = 0.0
    wrong: str = ""


@dataclass(slots=True)
class Tally:
    """What one attack came to: of each variant what it was on each instance, best first."""

    shots: dict[int, list[Shot]] = field(default_factory=dict)

    def add(self, variant: int, shot: Shot) -> None:
        """Count a shot."""
        self.shots.setdefault(variant, []).append(shot)

    def worst(self, attack: Attack) -> tuple[Level, Outcome]:
        """Return how bad it is, and what the judge took it for."""
        found: list[tuple[Level, Outcome]] = [("ok", "refused")]
        outcomes: tuple[tuple[Outcome, Level], ...] = (
            ("better", attack.better),
            ("as good", attack.as_good),
        )
        for shots in self.shots.values():
            for outcome, level in outcomes:
                taken = [shot for shot in shots if _is_at_least(shot.outcome, outcome)]
                if taken:
                    is_luck = attack.on_all and len(taken) < len(shots)
                    found.append(("ok", "luck") if is_luck else (level, outcome))
            found += [("ok", "worse") for shot in shots if shot.outcome == "worse"]
        return max(found, key=lambda one: (_LEVELS.index(one[0]), _OUTCOMES.index(one[1])))


def _is_at_least(outcome: Outcome, wanted: Outcome) -> bool:
    return outcome == wanted or (outcome, wanted) == ("better", "as good")


class Attacker:
    """Attacks a task's judge until all is tried, or its time is over."""

    def __init__(self, bench: Bench, targets: Sequence[Target], *, until_s: float) -> None:
        self._bench = bench
        self._targets = targets
        self._until_s = until_s
        self._sign = bench.manifest.metric.sign
        self._stumbles: list[str] = []
        self._slow: list[tuple[str, Shot]] = []
        self._left_out: list[str] = []
        self._shots = 0

    async def remarks(self, progress: Progress) -> AsyncIterator[Remark]:
        """Yield what comes of all attacks; what is refused is one line."""
        worse: list[str] = []
        for number, attack in enumerate(ATTACKS):
            progress("attacking the judge", number / (len(ATTACKS) + 3))
            tally = await self._tally(attack)
            level, outcome = tally.worst(attack)
            if outcome == "worse":
                worse.append(attack.what)
            elif outcome == "luck":
                worse.append(f"{attack.what} (as good with some instances)")
            elif level != "ok":
                yield _told(attack, level, outcome)
        if self._bench.spec.interactive:
            async for remark in self._forged():
                yield remark
        progress("attacking the judge with numbers a hair beyond", 0.9)
        async for remark in self._hairs():
            yield remark
        async for remark in self._reported():
            yield remark
        for remark in self._summary(worse):
            yield remark

    async def _tally(self, attack: Attack) -> Tally:
        tally = Tally()
        for target in self._targets:
            for variant, value in enumerate(self._variants(attack, target)):
                if self._is_over(attack.name):
                    return tally
                shot = await self._shot(attack.what, target, value)
                if shot is None:
                    continue
                if attack.name == ANOTHERS and self._ignores_instance(shot, target, variant):
                    shot = replace(shot, outcome="as good")
                tally.add(0 if attack.scope == "whole" else variant, shot)
        return tally

    def _ignores_instance(self, shot: Shot, target: Target, other: int) -> bool:
        """Whether another's answer is worth here what it is worth to its own instance."""
        own = target.figures_of_others[other]
        return shot.outcome == "worse" and abs(shot.figure - own) <= target.rounding

    def _variants(self, attack: Attack, target: Target) -> Iterator[Any]:
        honest, form = target.honest, target.form
        if attack.name == AS_TEXT and form is not None and not form.has_types:
            return  # whoever reads text has to convert it
        if not self._bench.spec.interactive or attack.scope == "whole":
            yield from islice(attack.make(honest), _MOST_VARIANTS)
            return
        replies: list[Any] = honest.value
        one_each = [_of_reply(honest, reply, form) for reply in replies]
        attacked = one_each if attack.scope == "part" else one_each[-1:]
        made = [list(islice(attack.make(one), _MOST_VARIANTS)) for one in attacked]
        before = replies[: len(replies) - len(made)]
        for variant in range(max(map(len, made), default=0)):
            both = zip(made, replies[len(before) :], strict=True)
            yield [*before, *(_at(variants, variant, reply) for variants, reply in both)]

    async def _shot(self, what: str, target: Target, value: Any) -> Shot | None:
        """Have a changed answer judged; None if it is none, or no other than the honest one."""
        try:
            parts = parts_of(self._bench, value, target.form)
        except Unreadable:
            return None
        if parts == target.parts:
            return None
        answer = parts[0]
        if self._bench.spec.interactive:
            said = await self._spoken(target, parts)
            if said is None:
                self._stumbles.append(f"{what} (it broke the conversation off)")
                return Shot(outcome="refused", seconds=0.0)
            answer = said
        if answer == target.honest.data:
            return None
        return await self._judged(what, target, answer)

    async def _spoken(self, target: Target, replies: Sequence[bytes]) -> bytes | None:
        if target.messages is None:
            return await self._bench.spoken(target.asked.data, replies)
        return bytes(msgpack.packb(list(zip(target.messages, replies, strict=False))))

    async def _judged(self, what: str, target: Target, answer: bytes) -> Shot:
        self._shots += 1
        judged = await self._bench.check(target.asked, answer)
        verdict = judged.verdict
        if verdict.wrong:
            shot = Shot(outcome="refused", seconds=judged.seconds, wrong=verdict.wrong)
            if verdict.wrong.startswith(_STUMBLED):
                self._stumbles.append(f"{what} ({verdict.wrong[len(_STUMBLED) + 2 :]})")
        else:
            try:
                figure = self._bench.figure(verdict, answer)
            except Unfit:
                return Shot(outcome="refused", seconds=judged.seconds)
            gain = self._sign * (target.figure - figure)
            shot = Shot(outcome="worse", seconds=judged.seconds, gain=gain, figure=figure)
            if gain >= -target.rounding:
                outcome: Outcome = "better" if gain > target.rounding else "as good"
                shot = replace(shot, outcome=outcome)
        if judged.seconds > max(_SLOW_S, _SLOW_TIMES * target.check_s):
            self._slow.append((what, shot))
        return shot

    async def _forged(self) -> AsyncIterator[Remark]:
        """Send transcripts of conversations that never were."""
        taken = 0
        for number, target in enumerate(self._targets):
            turns = msgpack.unpackb(target.honest.data)
            other = self._targets[number - 1].honest.data
            forged = [[], turns[: len(turns) // 2], turns * 2, msgpack.unpackb(other)]
            for one in forged:
                answer = bytes(msgpack.packb(one))
                if answer != target.honest.data:
                    shot = await self._judged("forged transcripts", target, answer)
                    taken += shot.outcome in ("better", "as good")
        if taken:
            yield fault(
                "transcript",
                f"{taken} forged transcripts are as good as the honest one",
                "replay all of it: each message must be the one that converse() says there",
            )

    async def _hairs(self) -> AsyncIterator[Remark]:
        """Lengthen numbers by hairs, in each place of an answer, and see whether that pays."""
        harvested: dict[str, list[bool]] = {}
        for target in self._targets:
            for place in places(target.honest.value, target.figure):
                for sign in (1, -1):
                    gains = await self._gains(target, place, sign)
                    found = is_harvested(gains, rounding=target.rounding)
                    harvested.setdefault(f"{place.name}{sign:+}", []).append(found)
        if always := [name[:-2] for name, found in harvested.items() if all(found)]:
            yield fault(
                "tolerance",
                f"numbers a hair beyond pay, up to where they are refused: {always[0]}",
                "repair the answer in fractions and score what was repaired (or the baseline keeps "
                "such a margin itself: then see without)",
            )
        elif sometimes := [name[:-2] for name, found in harvested.items() if any(found)]:
            yield note(
                "tolerance",
                f"numbers a hair beyond pay with some instances, then are refused: {sometimes[0]}",
                "a tolerance, or room that the baseline leaves: see which",
            )

    async def _gains(self, target: Target, place: Place, sign: int) -> list[float | None]:
        """Return what ever longer hairs gain, None for the one that is refused."""
        what, gains = "numbers a hair beyond", list[float | None]()
        for size in (*HAIRS, *LONGER):
            does_pay = any(gain is not None and gain > 0 for gain in gains)
            if self._is_over(what) or (size in LONGER and not does_pay):
                break
            value = lengthened(target.honest.value, place, sign * size)
            shot = await self._shot(what, target, value)
            if shot is not None and shot.outcome == "refused":
                return [*gains, None]
            if shot is not None:
                gains.append(shot.gain)
        return gains

    async def _reported(self) -> AsyncIterator[Remark]:
        """Tell figures in each place of an answer, and see whether they come back."""
        if self._bench.manifest.metric.name in MEASURED:
            return
        believed: dict[str, list[bool]] = {}
        for target in self._targets:
            for place in leaves(target.honest.value):
                if self._is_over("figures told in an answer"):
                    return
                found = await self._is_believed(target, place)
                believed.setdefault(place.name, []).append(found)
        if told := [name for name, found in believed.items() if all(found)]:
            yield fault(
                "reported",
                f"what an answer tells of itself is its figure: {told[0]}",
                "recompute the figure from the answer",
            )

    async def _is_believed(self, target: Target, place: Place) -> bool:
        for claim in target.honest.claims:
            value = put(target.honest.value, place, claim)
            shot = await self._shot("figures told in an answer", target, value)
            if shot is not None and shot.outcome == "better" and _is_told(shot.figure, claim):
                return True
        return False

    def _summary(self, worse: Sequence[str]) -> Iterator[Remark]:
        count = float(self._shots)
        yield fine("attacks", f"{self._shots} dishonest answers were judged", answers=count)
        if worse:
            yield note("accepted", f"taken, and worth less: {'; '.join(worse)}")
        if self._stumbles:
            told = list(dict.fromkeys(self._stumbles))
            more = f", and over {len(told) - 1} others" if len(told) > 1 else ""
            yield note(
                "stumbles",
                f"check() stumbles over {told[0]}{more}; that counts as wrong",
                "raise Wrong with words that help whoever wrote the program",
            )
        if self._slow:
            yield self._slowest()
        if self._left_out:
            yield note(
                "left out",
                f"for want of time: {'; '.join(dict.fromkeys(self._left_out))}",
                "a quicker check() is attacked more thoroughly",
            )

    def _slowest(self) -> Remark:
        what, shot = max(self._slow, key=lambda one: (one[1].outcome != "refused", one[1].seconds))
        mend = "look at an answer's size first: whoever sends it should not hold the judge up"
        limit_s = recipe_of(self._bench.task).judge_means.limit_s
        if shot.seconds >= limit_s - 1:
            told = f"the judge comes to no end with {what}: {limit_s} s each time"
            return note("slow", told, mend)
        if shot.outcome == "refused":
            return note("slow", f"the judge takes {shot.seconds:.1f} s to refuse {what}", mend)
        return fault("slow", f"the judge takes {shot.seconds:.1f} s to accept {what}", mend)

    def _is_over(self, what: str) -> bool:
        if time.monotonic() < self._until_s:
            return False
        self._left_out.append(what)
        return True


def _of_reply(honest: Honest, reply: Any, form: Form | None) -> Honest:
    return replace(honest, value=reply, data=bytes_of(reply, form), others=(), earlier=())


def _at(variants: Sequence[Any], index: int, otherwise: Any) -> Any:
    return variants[index] if index < len(variants) else otherwise


def _is_told(figure: float, claim: float) -> bool:
    return abs(figure - claim) <= 1e-9 * max(1.0, abs(claim))


def _told(attack: Attack, level: Level, outcome: Outcome) -> Remark:
    than = "better than" if outcome == "better" else "as good as"
    said = f"the judge takes {attack.what} for {than} the honest answer"
    return Remark(about=attack.name, level=level, what=said, mend=attack.mend)
