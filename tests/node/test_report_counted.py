"""How much of a span runs trained."""

import pytest

from node.reporting.concluded import TimeSpan
from node.reporting.device_time import share_of
from trainer.measuring.timeline import Stage, StageName

SPAN = TimeSpan(since_ms=1000, until_ms=2000)


def stage(start_ms: int, end_ms: int, name: StageName = "train") -> Stage:
    return Stage(part="train", name=name, start_ms=start_ms, end_ms=end_ms)


@pytest.mark.parametrize(
    ("stages", "share"),
    [
        ([], 0),
        ([stage(1000, 2000)], 1),
        ([stage(1100, 1300), stage(1500, 1600)], 0.3),
        ([stage(1500, 1600), stage(1100, 1300)], 0.3),
        ([stage(1100, 1300), stage(1200, 1400)], 0.3),  # at the same time
        ([stage(1100, 1500), stage(1200, 1300)], 0.4),
        ([stage(0, 1100), stage(1900, 3000)], 0.2),  # into the span and out of it
        ([stage(0, 900), stage(2100, 2200)], 0),
        ([stage(1100, 1300, "build"), stage(1300, 1400)], 0.1),
        ([stage(1100, 1300, "score"), stage(1100, 1200, "attempt")], 0),
    ],
)
def test_the_share_is_of_what_counts_once(stages: list[Stage], share: float) -> None:
    assert share_of(stages, SPAN) == pytest.approx(share)


def test_a_span_of_nothing_has_no_share() -> None:
    assert share_of([stage(1000, 2000)], TimeSpan(since_ms=1500, until_ms=1500)) == 0
