"""The product of a program's run: answers and their costs, kept as bytes until judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgpack

from trainer.program.candidate import InstanceResult
from trainer.program.metric import InstanceMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A run's answers, each with the baseline's answer if there is one.

    `nonce` is the nonce that the run's instances were drawn with.
    """

    nonce: bytes
    results: Sequence[tuple[InstanceResult, InstanceResult | None]]

    def packed(self) -> bytes:
        """Return the product as bytes."""
        results = [[_fields(one), base and _fields(base)] for one, base in self.results]
        return bytes(msgpack.packb([self.nonce, results]))

    @classmethod
    def unpacked(cls, product: bytes) -> Self:
        """Return a product from the bytes of `packed`, which must be this process's own."""
        nonce, results = msgpack.unpackb(product)
        return cls(
            nonce=nonce, results=[(_result(one), base and _result(base)) for one, base in results]
        )


def evidence_of(results: Sequence[tuple[InstanceResult, InstanceResult | None]]) -> bytes:
    """Return the answers of a run to fixed instances, encoded as evidence for records."""
    return bytes(msgpack.packb([one.answer for one, _ in results]))


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


def result_of(answer: bytes) -> InstanceResult:
    """Return an instance result with only an answer; all costs are 0."""
    return InstanceResult(answer=answer, wall_s=0.0, cpu_s=0.0, peak_bytes=0, log="")


def measured_of(result: InstanceResult) -> InstanceMeasurement:
    """Return the measurements of one instance, before the judge adds figures."""
    return InstanceMeasurement(
        wall_s=result.wall_s,
        cpu_s=result.cpu_s,
        instructions=result.instructions,
        peak_bytes=result.peak_bytes,
        answer_bytes=len(result.answer),
    )


def _fields(result: InstanceResult) -> list[object]:
    return [result.answer, result.wall_s, result.cpu_s, result.instructions, result.peak_bytes]


def _result(fields: list[object]) -> InstanceResult:
    answer, wall_s, cpu_s, instructions, peak_bytes = fields
    return InstanceResult(
        answer=answer,  # type: ignore[arg-type]  # packed above
        wall_s=wall_s,  # type: ignore[arg-type]
        cpu_s=cpu_s,  # type: ignore[arg-type]
        instructions=instructions,  # type: ignore[arg-type]
        peak_bytes=peak_bytes,  # type: ignore[arg-type]
        log="",
    )
