"""Which values of knobs lead to wrong answers: a model too large to be served, say.

Nothing is learned of such a source but that it is refused, and a search that knows it by no figure
would ask for it again and again. What was refused speaks for whatever goes at least as far from the
source's own value, what was not for whatever goes no farther.
"""

from collections.abc import Iterable, Mapping

from agent.knobs.changes import Trial
from agent.knobs.positions import Cube
from agent.source.literals import Scalar


class Acceptance:
    """What trials say of values, by knob; `cube` is of the source at hand."""

    def __init__(self, trials: Iterable[Trial], cube: Cube) -> None:
        self._cube = cube
        self._own = {knob.name: cube.along(knob.name, knob.value) for knob in cube.knobs}
        self._tried: dict[str, list[tuple[float, bool]]] = {}  # how far, and whether it was refused
        for trial in trials:
            is_refused = trial.outcome.decision == "rejected"
            for name, value in trial.step.after.items():
                if (far := self._far(name, value)) is not None:
                    self._tried.setdefault(name, []).append((far, is_refused))

    def of(self, values: Mapping[str, Scalar]) -> float:
        """Return how likely it is that changes to these values are not refused, 0 to 1."""
        share = 1.0
        for name, value in values.items():
            if (far := self._far(name, value)) is not None and name in self._tried:
                share *= _share(self._tried[name], far)
        return share

    def _far(self, name: str, value: Scalar) -> float | None:
        """Return how far a number lies from the source's own, along its axis; None of others."""
        own, there = self._own.get(name), self._cube.along(name, value)
        return None if own is None or there is None else there - own


def _share(tried: Iterable[tuple[float, bool]], far: float) -> float:
    refused = accepted = 0
    for other, is_refused in tried:
        if other * far <= 0:  # the other way, or where the source is already
            continue
        if is_refused:
            refused += abs(other) <= abs(far)
        else:
            accepted += abs(other) >= abs(far)
    return (accepted + 1) / (accepted + refused + 1)
