"""What a program's run makes: its answers with what each took, as bytes until they are judged."""

from collections.abc import Sequence
from dataclasses import replace

import msgpack

from trainer.program.candidate import Met
from trainer.program.metric import Measured


def packed(met: Sequence[tuple[Met, Met | None]]) -> bytes:
    """Return the bytes of a run's meetings, each with the baseline's beside it if there is one."""
    return bytes(msgpack.packb([[_fields(one), base and _fields(base)] for one, base in met]))


def unpacked(product: bytes) -> list[tuple[Met, Met | None]]:
    """Return the meetings that bytes stand for, which are this process' own."""
    return [(_met(one), base and _met(base)) for one, base in msgpack.unpackb(product)]


def measured_of(met: Met) -> Measured:
    """Return what was measured of a meeting, before the judge says anything."""
    return Measured(
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
