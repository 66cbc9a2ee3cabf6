"""The product of a program's run: its answers and their costs, as bytes until they are judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgpack

from trainer.program.candidate import Met
from trainer.program.metric import InstanceMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A run's answers, each with the baseline's if there is one. `nonce` names its instances."""

    nonce: bytes
    met: Sequence[tuple[Met, Met | None]]

    def packed(self) -> bytes:
        """Return it as bytes."""
        met = [[_fields(one), base and _fields(base)] for one, base in self.met]
        return bytes(msgpack.packb([self.nonce, met]))

    @classmethod
    def unpacked(cls, product: bytes) -> Self:
        """Return the product that this process packed before."""
        nonce, met = msgpack.unpackb(product)
        return cls(nonce=nonce, met=[(_met(one), base and _met(base)) for one, base in met])


def evidence_of(met: Sequence[tuple[Met, Met | None]]) -> bytes:
    """Return the answers of a run to fixed instances, as records refer to them."""
    return bytes(msgpack.packb([one.answer for one, _ in met]))


def answers_in(evidence: bytes, *, most_bytes: int) -> list[bytes] | None:
    """Return the answers in a peer's evidence, None if the evidence is invalid."""
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
    """Return an instance's run of which only the answer is known."""
    return Met(answer=answer, wall_s=0.0, cpu_s=0.0, peak_bytes=0, log="")


def measured_of(met: Met) -> InstanceMeasurement:
    """Return the measurements of one instance, before the judge adds figures."""
    return InstanceMeasurement(
        wall_s=met.wall_s,
        cpu_s=met.cpu_s,
        instructions=met.instructions,
        peak_bytes=met.peak_bytes,
        answer_bytes=len(met.answer),
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
