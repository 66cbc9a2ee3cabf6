"""Signs that a self-scored program prints a number that it did not earn.

Nothing verifies such a number. The signs are shown to the user; no decision depends on them.
"""

from collections.abc import Sequence
from typing import Final

from protocol.styles import Style
from protocol.units import NANO

_LARGE_SD: Final = 20  # edits that are no mistake rarely gain as much at once


def why_implausible(
    metrics_nano: Sequence[int], base_nano: int, *, gain_sd: float, style: Style
) -> str | None:
    """Return why a kept gain looks made up; None if it does not.

    `metrics_nano` are the scores of the patch's runs, each with another seed. Without noise a gain
    in sd means nothing, so a change by at least half of the base's score is a sign there.
    """
    last_nano = metrics_nano[-1]
    if not last_nano:
        return "its score is exactly 0"
    if style.is_exact:
        is_large = base_nano and 2 * abs(last_nano - base_nano) >= abs(base_nano)
        figures = f"{base_nano / NANO:g} to {last_nano / NANO:g}"
        return f"its score went from {figures} in one step" if is_large else None
    if len(metrics_nano) > 1 and len(set(metrics_nano)) == 1:
        return "runs with different seeds gave exactly the same score"
    return f"it gained {gain_sd:.0f} sd in one step" if gain_sd > _LARGE_SD else None
