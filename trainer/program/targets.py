"""The honest answers that attacks on a judge start from: some of the baseline's, decoded.

A decoded answer must have the same score when it is encoded again. Otherwise a change of score
could be due to the encoding instead of the attack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from protocol.units import NANO
from trainer.program.answers import Form, Raw, Unreadable, bytes_of, forms_of
from trainer.program.attacks import Honest
from trainer.program.bench import BaselineRun, Bench
from trainer.program.instances import DrawnInstance
from trainer.program.metric import MEASURED

_INSTANCES: Final = 3
_OTHERS: Final = 3
_BEYOND: Final = 12_345.678  # so much better that no honest answer gets it by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An honest answer to attack. `form` is its format; None if no format can decode its bytes.

    `parts` is the answer, or each of its replies, encoded by `form`. An attack that yields the same
    bytes has changed nothing. `figures_of_others` are the scores of `honest.others` on their own
    instances. `messages` are the judge's messages in a conversation; None if they depend on the
    replies.
    """

    asked: DrawnInstance
    honest: Honest
    figure: float
    parts: Sequence[bytes]
    figures_of_others: tuple[float, ...]
    check_s: float
    form: Form | None
    messages: tuple[bytes, ...] | None = None

    @property
    def rounding(self) -> float:
        """The tolerance: figures that differ by no more than this count as equal."""
        return 2e-9 + 1e-9 * abs(self.figure)


async def targets_of(bench: Bench, run: BaselineRun, earlier: BaselineRun | None) -> list[Target]:
    """Return the honest answers to attack: a few answers of a judged run, from both splits."""
    chosen = sorted({0, 1, len(run.asked) - 1} & set(range(len(run.asked))))[:_INSTANCES]
    return [await _target(bench, run, earlier, index) for index in chosen]


async def _target(
    bench: Bench, run: BaselineRun, earlier: BaselineRun | None, index: int
) -> Target:
    answer, judged = run.answers[index], run.judged[index]
    figure = bench.figure(judged.verdict, answer)
    form = await _form(bench, run.asked[index], answer, figure)
    others = [other for other in range(len(run.asked)) if other != index][:_OTHERS]
    before = [] if earlier is None else earlier.answers[index : index + 1]
    honest = Honest(
        value=_value(bench, answer, form),
        data=answer,
        metric=bench.manifest.metric.name,
        claims=_claims(bench, figure),
        others=tuple(_value(bench, run.answers[other], form) for other in others),
        earlier=tuple(_value(bench, one, form) for one in before),
    )
    return Target(
        asked=run.asked[index],
        honest=honest,
        parts=parts_of(bench, honest.value, form),
        figure=figure,
        figures_of_others=tuple(
            bench.figure(run.judged[other].verdict, run.answers[other]) for other in others
        ),
        check_s=judged.seconds,
        form=form,
        messages=await _messages(bench, run.asked[index], answer, honest.others),
    )


async def _form(bench: Bench, asked: DrawnInstance, answer: bytes, figure: float) -> Form | None:
    """Return a format in which an answer, decoded and encoded again, keeps its score, or None."""
    for form in forms_of(bench.spec.encoding):
        if bench.spec.interactive:
            return form
        try:
            written = form.write(form.read(answer))
        except Unreadable:
            continue
        if written == answer:
            return form
        verdict = (await bench.check(asked, written)).verdict
        if not verdict.wrong and (
            bench.manifest.metric.name in MEASURED or bench.figure(verdict, written) == figure
        ):
            return form
    return None


async def _messages(
    bench: Bench, asked: DrawnInstance, answer: bytes, others: Sequence[Any]
) -> tuple[bytes, ...] | None:
    """Return the judge's messages; None if other replies change them."""
    if not bench.spec.interactive or not others or not others[0]:
        return None
    said = tuple(message for message, _ in msgpack.unpackb(answer))
    (form,) = forms_of(bench.spec.encoding)
    other = await bench.spoken(asked.data, [form.write(reply) for reply in others[0]])
    if other is None or said != tuple(message for message, _ in msgpack.unpackb(other)):
        return None
    return said


def _value(bench: Bench, answer: bytes, form: Form | None) -> Any:
    if form is None:
        return Raw(data=answer)
    if bench.spec.interactive:
        return [form.read(reply) for _, reply in msgpack.unpackb(answer)]
    try:
        return form.read(answer)
    except Unreadable:
        return Raw(data=answer)


def _claims(bench: Bench, figure: float) -> tuple[float, ...]:
    """Return the figures that a cheating candidate would claim."""
    sign, spec = bench.manifest.metric.sign, bench.spec
    bounds = [one / NANO for one in (spec.best_known, spec.impossible) if one is not None]
    claimed = [*bounds, 0.0, 1.0, figure - sign * _BEYOND]
    return tuple(one for one in dict.fromkeys(claimed) if sign * one < sign * figure)


def parts_of(bench: Bench, value: Any, form: Form | None) -> list[bytes]:
    """Return the bytes of a changed answer, or of each reply. Raises Unreadable."""
    if not bench.spec.interactive:
        return [bytes_of(value, form)]
    if not isinstance(value, list) or not value:
        raise Unreadable("no replies")
    return [bytes_of(reply, form) for reply in value]
