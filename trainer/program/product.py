"""What a program's run makes: its answers with what each took, as bytes until they are judged."""

from collections.abc import Sequence
from dataclasses import replace

import msgpack

from trainer.program.candidate import Met
from trainer.program.metric import InstanceMeasurement


def packed(met: Sequence[tuple[Met, Met | None]]) -> bytes:
    """Return the bytes of a run's meetings, each with the baseline's beside it if there is one."""
    return bytes(msgpack.packb([[_fields(one), base and _fields(base)] for one, base in met]))


def unpacked(product: bytes) -> list[tuple[Met, Met | None]]:
    """Return the meetings that bytes stand for, which are this process' own."""
    return [(_met(one), base and _met(base)) for one, base in msgpack.unpackb(product)]


def evidence_of(met: Sequence[tuple[Met, Met | None]]) -> bytes:
    """Return the answers of a run to fixed instances, as records lead to them."""
    return bytes(msgpack.packb([one.answer for one, _ in met]))


def answers_in(evidence: bytes, *, most_bytes: int) -> list[bytes] | None:
    """Return the answers that somebody else's evidence holds; None if it is none."""
    try:
        answers = msgpack.unpackb(evidence)
    except ValueError:
        return None
    if not isinstance(answers, list):
        return None
    if not all(isinstance(one, bytes) and len(one) <= most_bytes for one in answers):
        return None
    return answers


def met_of(answer: bytes) -> Met:
    """Return a meeting of which nothing but the answer is known."""
    return Met(answer=answer, wall_s=0.0, cpu_s=0.0, peak_bytes=0, log="")


def measured_of(met: Met) -> InstanceMeasurement:
    """Return what was measured of a meeting, before the judge says anything."""
    return InstanceMeasurement(
        wall_s=met.wall_s,
        cpu_s=met.cpu_s,
        instructions=met.instructions,
        peak_bytes=met.peak_bytes,
        answer_bytes=len(met.answer),
    )


def mean_of(several: Sequence[Met]) -> Met:
    """Return the first with the mean seconds of all."""
    return replace(
        several[0],
        wall_s=sum(one.wall_s for one in several) / len(several),
        cpu_s=sum(one.cpu_s for one in several) / len(several),
    )


def _fields(met: Met) -> list[object]:
    return [met.answer, met.wall_s, met.cpu_s, met.instructions, met.peak_bytes]


def _met(fields: list[object]) -> Met:
    answer, wall_s, cpu_s, instructions, peak_bytes = fields
    return Met(
        answer=answer,  # type: ignore[arg-type]  # packed above
        wall_s=wall_s,  # type: ignore[arg-type]
        cpu_s=cpu_s,  # type: ignore[arg-type]
        instructions=instructions,  # type: ignore[arg-type]
        peak_bytes=peak_bytes,  # type: ignore[arg-type]
        log="",
    )
