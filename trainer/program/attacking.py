"""Attacks a judge with dishonest answers, and reports the ones it accepts.

A judge that refuses a dishonest answer passes, whatever its reason. An attack succeeds if its
answer scores better than the honest one, or as good without solving the instance. Seven attacks
come from the table in `trainer.program.attacks`. `tolerance` and `transcript` are here, because
they compare several answers.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, Final, Literal, TypeAlias

import msgpack

from trainer.measuring.checks import Level, Remark, fault, fine, note
from trainer.measuring.kind import Progress
from trainer.program.answers import (
    Form,
    NumberGroup,
    Unreadable,
    bytes_of,
    float_groups,
    increased,
    put,
    single_numbers,
)
from trainer.program.attacks import AS_TEXT, ATTACKS, OF_ANOTHER, Attack, Forgery, Honest, Scope
from trainer.program.bench import Bench
from trainer.program.manifest import recipe_of
from trainer.program.metric import MEASURED, Unfit
from trainer.program.targets import Target, parts_of

Outcome: TypeAlias = Literal["refused", "worse", "luck", "as good", "better"]

_INCREASES: Final = (1e-12, 1e-9, 1e-7, 1e-6)
_LARGER: Final = (1e-5, 1e-4, 1e-3)  # tried if a smaller one gained, to find the refused size
_MOST_VARIANTS: Final = 24
_SLOW_S, _SLOW_TIMES = 2.0, 20.0  # a judge is slow if it exceeds both
_STUMBLED: Final = "the judge failed on it"
_CLAIMED: Final = "figures claimed in an answer"
_INCREASED: Final = "slightly changed numbers"
_LEVELS: Final[Sequence[Level]] = ("ok", "note", "fault")
_OUTCOMES: Final[Sequence[Outcome]] = ("refused", "worse", "luck", "as good", "better")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The judge's reaction to one dishonest answer.

    `gain` is the dishonest answer's gain over the honest one, in the metric's unit.
    """

    outcome: Outcome
    seconds: float
    gain: float = 0.0
    figure: float = 0.0


class Attacker:
    """Attacks a task's judge until everything is tried or its time is over."""

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
        """Yield a remark on each forgery that is accepted, and a summary of the rest."""
        worse: list[str] = []
        for number, attack in enumerate(ATTACKS):
            progress("attacking the judge", number / (len(ATTACKS) + 2))
            for forgery in attack.forgeries:
                level, outcome = worst_of(await self._shots_of(forgery, attack.scope), forgery)
                if outcome == "worse":
                    worse.append(forgery.what)
                elif outcome == "luck":
                    worse.append(f"{forgery.what} (as good on some instances)")
                elif level != "ok":
                    yield accepted(attack, forgery, level, outcome)
        async for remark in self._transcripts():
            yield remark
        progress("attacking the judge with slightly changed numbers", 0.9)
        async for remark in self._tolerances():
            yield remark
        async for remark in self._believed_claims():
            yield remark
        for remark in self._summary(worse):
            yield remark

    async def _shots_of(self, forgery: Forgery, scope: Scope) -> Mapping[int, Sequence[Shot]]:
        """Judge each variant of a forgery on each target; return each variant's shots."""
        shots = defaultdict[int, list[Shot]](list)
        for target in self._targets:
            for variant, value in enumerate(self._variants(forgery, scope, target)):
                if self._is_over(forgery.what):
                    return shots
                shot = await self._shot(forgery.what, target, value)
                if shot is None:
                    continue
                if forgery is OF_ANOTHER and _ignores_instance(shot, target, variant):
                    shot = replace(shot, outcome="as good")
                shots[0 if scope == "whole" else variant].append(shot)
        return shots

    def _variants(self, forgery: Forgery, scope: Scope, target: Target) -> Iterator[Any]:
        honest, form = target.honest, target.form
        if forgery is AS_TEXT and form is not None and not form.has_types:
            return
        if not self._bench.spec.interactive or scope == "whole":
            yield from islice(forgery.make(honest), _MOST_VARIANTS)
            return
        replies: list[Any] = honest.value
        forged = replies if scope == "part" else replies[-1:]
        made = [
            list(islice(forgery.make(_of_reply(honest, reply, form)), _MOST_VARIANTS))
            for reply in forged
        ]
        before = replies[: len(replies) - len(made)]
        for variant in range(max(map(len, made), default=0)):
            both = zip(made, forged, strict=True)
            yield [*before, *(_at(variants, variant, reply) for variants, reply in both)]

    async def _shot(self, what: str, target: Target, value: Any) -> Shot | None:
        """Judge a changed answer. Return None if it is unchanged or cannot be encoded."""
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
                self._stumbles.append(f"{what} (the judge ended the conversation)")
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
            shot = Shot(outcome="refused", seconds=judged.seconds)
            if verdict.wrong.startswith(_STUMBLED):
                self._stumbles.append(f"{what} ({verdict.wrong[len(_STUMBLED) + 2 :]})")
        else:
            try:
                figure = self._bench.figure(verdict, answer)
            except Unfit:
                return Shot(outcome="refused", seconds=judged.seconds)
            gain = self._sign * (target.figure - figure)
            outcome = outcome_of(gain, target.rounding)
            shot = Shot(outcome=outcome, seconds=judged.seconds, gain=gain, figure=figure)
        if judged.seconds > max(_SLOW_S, _SLOW_TIMES * target.check_s):
            self._slow.append((what, shot))
        return shot

    async def _transcripts(self) -> AsyncIterator[Remark]:
        """Send transcripts of conversations that never took place."""
        if not self._bench.spec.interactive:
            return
        accepted = 0
        for number, target in enumerate(self._targets):
            turns = msgpack.unpackb(target.honest.data)
            other = self._targets[number - 1].honest.data
            transcripts = [[], turns[: len(turns) // 2], turns * 2, msgpack.unpackb(other)]
            for forged in transcripts:
                answer = bytes(msgpack.packb(forged))
                if answer != target.honest.data:
                    shot = await self._judged("forged transcripts", target, answer)
                    accepted += shot.outcome in ("better", "as good")
        if accepted:
            yield fault(
                "transcript",
                f"the judge rates {accepted} forged transcripts as good as the honest one",
                "replay the transcript: each message must equal what converse() sends there",
            )

    async def _tolerances(self) -> AsyncIterator[Remark]:
        """Increase numbers step by step; report if every step gains until the judge refuses one."""
        harvested = defaultdict[str, list[bool]](list)
        for target in self._targets:
            for group in float_groups(target.honest.value, target.figure):
                for sign in (1, -1):
                    gains = await self._gains(target, group, sign)
                    found = is_harvested(gains, rounding=target.rounding)
                    harvested[f"{group.name}{sign:+}"].append(found)
        if always := [name[:-2] for name, found in harvested.items() if all(found)]:
            yield fault(
                "tolerance",
                f"slightly changed numbers score better until they are refused: {always[0]}",
                "repair the answer in exact fractions and score the repaired answer (if the "
                "baseline itself leaves a margin, remove that margin and check again)",
            )
        elif sometimes := [name[:-2] for name, found in harvested.items() if any(found)]:
            yield note(
                "tolerance",
                "slightly changed numbers score better until they are refused, on some instances: "
                f"{sometimes[0]}",
                "the judge has a tolerance, or the baseline leaves a margin: find out which",
            )

    async def _gains(self, target: Target, group: NumberGroup, sign: int) -> list[float | None]:
        """Return the gain of each increase. The first refused one gives None and ends the list."""
        gains = list[float | None]()
        for size in (*_INCREASES, *_LARGER):
            has_gained = any(gain is not None and gain > 0 for gain in gains)
            if self._is_over(_INCREASED) or (size in _LARGER and not has_gained):
                break
            value = increased(target.honest.value, group, sign * size)
            shot = await self._shot(_INCREASED, target, value)
            if shot is not None and shot.outcome == "refused":
                return [*gains, None]
            if shot is not None:
                gains.append(shot.gain)
        return gains

    async def _believed_claims(self) -> AsyncIterator[Remark]:
        """Put false scores into answers as numbers, and report if the judge returns one."""
        if self._bench.manifest.metric.name in MEASURED:
            return
        believed = defaultdict[str, list[bool]](list)
        for target in self._targets:
            for group in single_numbers(target.honest.value):
                if self._is_over(_CLAIMED):
                    return
                believed[group.name].append(await self._is_believed(target, group))
        if names := [name for name, found in believed.items() if all(found)]:
            yield fault(
                "claim",
                f"the judge believes a score that the answer claims: {names[0]}",
                "compute the score from the answer",
            )

    async def _is_believed(self, target: Target, group: NumberGroup) -> bool:
        for claim in target.honest.claims:
            shot = await self._shot(_CLAIMED, target, put(target.honest.value, group, claim))
            if shot is not None and shot.outcome == "better" and _is_claim(shot.figure, claim):
                return True
        return False

    def _summary(self, worse: Sequence[str]) -> Iterator[Remark]:
        count = float(self._shots)
        yield fine("attacks", f"{self._shots} dishonest answers were judged", answers=count)
        if worse:
            yield note("accepted", f"accepted, but scored worse: {'; '.join(worse)}")
        if self._stumbles:
            causes = list(dict.fromkeys(self._stumbles))
            more = f" and on {len(causes) - 1} other attacks" if len(causes) > 1 else ""
            yield note(
                "stumbles",
                f"check() fails with an exception on {causes[0]}{more}; this counts as wrong",
                "raise Wrong with a message that explains what is wrong with the answer",
            )
        if self._slow:
            yield self._slowest()
        if self._left_out:
            yield note(
                "left out",
                f"not tried for lack of time: {'; '.join(dict.fromkeys(self._left_out))}",
                "make check() faster, so that all attacks are tried",
            )

    def _slowest(self) -> Remark:
        what, shot = max(self._slow, key=lambda one: (one[1].outcome != "refused", one[1].seconds))
        hint = "check an answer's size first, so that a candidate cannot delay the judge"
        limit_s = recipe_of(self._bench.task).judge_means.limit_s
        if shot.seconds >= limit_s - 1:
            said = f"the judge does not finish within {limit_s} s on {what}"
            return note("slow", said, hint)
        if shot.outcome == "refused":
            return note("slow", f"the judge takes {shot.seconds:.1f} s to refuse {what}", hint)
        return fault("slow", f"the judge takes {shot.seconds:.1f} s to accept {what}", hint)

    def _is_over(self, what: str) -> bool:
        if time.monotonic() < self._until_s:
            return False
        self._left_out.append(what)
        return True


def is_harvested(gains: Sequence[float | None], *, rounding: float) -> bool:
    """Return True if larger increases gained more, until one was refused (None).

    A judge that compares within a tolerance but scores the answer as given rewards each increase up
    to its tolerance. A judge that repairs the answer first rewards none. An answer that can be
    improved honestly is never refused. `gains` are ordered by size and end with the first refusal.
    """
    accepted = [gain for gain in gains if gain is not None]
    if len(accepted) == len(gains) or not accepted or accepted[-1] <= rounding:
        return False
    return all(earlier <= later + rounding for earlier, later in pairwise(accepted))


def outcome_of(gain: float, rounding: float) -> Outcome:
    """Classify a gain over the honest answer."""
    if gain < -rounding:
        return "worse"
    return "better" if gain > rounding else "as good"


def worst_of(shots: Mapping[int, Sequence[Shot]], forgery: Forgery) -> tuple[Level, Outcome]:
    """Return the level and the outcome of the worst variant of a forgery."""
    found: list[tuple[Level, Outcome]] = [("ok", "refused")]
    for of_variant in shots.values():
        outcomes = [shot.outcome for shot in of_variant]
        better = outcomes.count("better")
        as_good = better + outcomes.count("as good")
        if better:
            found.append(_on(better, outcomes, forgery, (forgery.better, "better")))
        if as_good:
            found.append(_on(as_good, outcomes, forgery, (forgery.as_good, "as good")))
        if "worse" in outcomes:
            found.append(("ok", "worse"))
    return max(found, key=lambda one: (_LEVELS.index(one[0]), _OUTCOMES.index(one[1])))


def _on(
    count: int, outcomes: Sequence[Outcome], forgery: Forgery, found: tuple[Level, Outcome]
) -> tuple[Level, Outcome]:
    """Return `found`, or "luck" if a forgery with `on_all` succeeded on some instances only."""
    return ("ok", "luck") if forgery.on_all and count < len(outcomes) else found


def _ignores_instance(shot: Shot, target: Target, other: int) -> bool:
    """Return True if an answer to another instance scores the same on this one as on its own."""
    own = target.figures_of_others[other]
    return shot.outcome == "worse" and abs(shot.figure - own) <= target.rounding


def _of_reply(honest: Honest, reply: Any, form: Form | None) -> Honest:
    return replace(honest, value=reply, data=bytes_of(reply, form), others=(), earlier=())


def _at(variants: Sequence[Any], index: int, otherwise: Any) -> Any:
    return variants[index] if index < len(variants) else otherwise


def _is_claim(figure: float, claim: float) -> bool:
    return abs(figure - claim) <= 1e-9 * max(1.0, abs(claim))


def accepted(attack: Attack, forgery: Forgery, level: Level, outcome: Outcome) -> Remark:
    """Return the remark on a forgery that a judge accepted."""
    than = "better than" if outcome == "better" else "as good as"
    what = f"the judge rates {forgery.what} {than} the honest answer"
    return Remark(about=attack.name, level=level, what=what, hint=attack.hint)
