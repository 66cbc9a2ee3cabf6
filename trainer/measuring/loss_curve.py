"""The loss that a script prints while it trains: a curve to look at, not a measurement.

Lines of these forms are read, with any text after them; a newline or a carriage return ends one:

    step 120 loss 3.21
    step 120: loss 3.2104, 9,000 tokens/s
    step 00120 (3.1%) | loss: 3.210400 | lrm: 1.00
    step 00120/21400 (0.56%) | loss: 3.210400 | dt: 310ms
    iter 120: loss 3.2104, time 55.20ms

Forms with the last step or a percentage also show how far the training is.

The points are means, so they scatter less than single batches. At first each stands for one line.
Whenever the curve is full, neighbours are merged and each point stands for twice as many lines. The
script chooses what it prints: false numbers harm its own curve alone.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from protocol.units import NANO

MAX_POINTS: Final = 64
_LOOKED_AT_BYTES: Final = 4 << 20  # the first part of what a training prints
_LINE_BYTES: Final = 400
_MOST: Final = 1e6  # the largest loss that is accepted
_LINE: Final = re.compile(
    rb"(?:step|iter)[ :] {0,4}(\d{1,9})(?:/(\d{1,9}))?(?: \((\d{1,3}(?:\.\d{1,6})?)%\))?"
    rb"[ :|,]{1,4}(?:train_)?loss[ :=]{1,3}"
    rb"(?P<loss>[-+]?\d{1,7}(?:\.\d{1,12})?(?:e[-+]?\d{1,2})?)(?![\w.])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """The mean loss that a script printed for the steps after the previous point, up to `step`.

    `loss_nano` is in 1e-9 units.
    """

    step: int
    loss_nano: int

    @property
    def loss(self) -> float:
        """The loss, to nine decimal places."""
        return self.loss_nano / NANO


class LossCurve:
    """The curve of one training, filled while its script prints."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []  # each is a mean of `_stride` lines
        self._latest: list[float] = []  # lines since the last point
        self._step = -1
        self._stride = 1
        self._rest = b""
        self._left_bytes = _LOOKED_AT_BYTES
        self._share: float | None = None  # the part of the training that is done, as printed

    @property
    def steps(self) -> int | None:
        """The number of steps of the whole training, if the script printed it, else None."""
        return max(1, round(self._step / self._share)) if self._share else None

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The curve so far: at most `MAX_POINTS` points, with rising steps."""
        points = [*self._points]
        if self._latest:
            points.append((self._step, fmean(self._latest)))
        return tuple(LossPoint(step=step, loss_nano=round(loss * NANO)) for step, loss in points)

    def feed(self, printed: bytes) -> None:
        """Read more output and use the lines that are complete. Never raises."""
        looked_at = printed[: self._left_bytes]
        self._left_bytes -= len(looked_at)
        if not looked_at:
            return
        *lines, rest = (self._rest + looked_at).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if len(line) <= _LINE_BYTES and (found := _LINE.match(line.strip())):
                self._take(int(found[1]), float(found["loss"]), _share_of(found))
        self._rest = rest[: _LINE_BYTES + 1]  # enough to see that an unfinished line is too long

    def _take(self, step: int, loss: float, share: float | None) -> None:
        """Add a line, unless its loss is invalid or its step was there before."""
        if step <= self._step or not math.isfinite(loss) or abs(loss) > _MOST:
            return
        if len(self._points) == MAX_POINTS:
            halves = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(later[0], (one[1] + later[1]) / 2) for one, later in halves]
            self._stride *= 2
        self._step, self._share = step, share
        self._latest.append(loss)
        if len(self._latest) == self._stride:
            self._points.append((step, fmean(self._latest)))
            self._latest = []


def _share_of(found: "re.Match[bytes]") -> float | None:
    step, last, percent = found[1], found[2], found[3]
    if last is not None and int(last) > 0:
        return min(1.0, int(step) / int(last))
    return None if percent is None else min(1.0, float(percent) / 100)


def as_pairs(points: Sequence[LossPoint]) -> list[tuple[int, float]]:
    """Return a curve in the form for scripts and viewers: pairs [step, loss], with rising steps."""
    return [(point.step, point.loss) for point in points]
