"""Stages by a given clock, and the share of a night that counted."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.counting import Counted, counted
from trainer.measuring.timeline import Stage, Timeline
from trainer.sandbox.profile import Start


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def trained(start_ms: int, end_ms: int) -> Stage:
    return Stage(part="train", name="train", start_ms=start_ms, end_ms=end_ms)


def shown(timeline: Timeline) -> list[tuple[str, str, int, int]]:
    return [(one.part, one.name, one.start_ms, one.end_ms) for one in timeline.stages]


def test_each_stage_ends_where_the_next_of_its_sandbox_begins() -> None:
    clock = Clock()
    timeline = Timeline(clock, epoch_s=1000.0)
    timeline.started("train", Start(40.0, 40.5, 42.0))  # started as a spare, long before the run
    timeline.enter("train", "build")
    clock.now_s = 103.0
    timeline.enter("train", "train")
    clock.now_s = 104.0
    timeline.enter("score", "load")  # of the run before it
    clock.now_s = 105.0
    timeline.enter("score", "score")
    clock.now_s = 108.0
    timeline.leave("score")
    timeline.enter("train", "export")
    clock.now_s = 108.5
    timeline.leave("train")
    timeline.leave("train")  # the end of a sandbox in no stage ends none
    assert shown(timeline) == [
        ("train", "spawn", 1_040_000, 1_040_500),
        ("train", "import", 1_040_500, 1_042_000),
        ("train", "build", 1_100_000, 1_103_000),
        ("train", "train", 1_103_000, 1_108_000),
        ("score", "load", 1_104_000, 1_105_000),
        ("score", "score", 1_105_000, 1_108_000),
        ("train", "export", 1_108_000, 1_108_500),
    ]
    assert [one.counts for one in timeline.stages].count(True) == 1


def test_what_has_not_ended_is_no_stage_yet() -> None:
    timeline = Timeline(Clock(), epoch_s=0.0)
    timeline.enter("train", "build")
    assert timeline.stages == ()


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([], None),
        ([trained(0, 5_000)], None),
        # Each run with the time until the next may train: 5 of 6 s, then 5 of 10.
        (
            [trained(0, 5_000), trained(6_000, 11_000), trained(16_000, 17_000)],
            Counted(share=10 / 16, gaps_ms=(1_000, 5_000)),
        ),
        # Scoring alongside the next training costs it nothing.
        (
            [
                trained(0, 5_000),
                Stage(part="score", name="score", start_ms=5_000, end_ms=9_000),
                trained(5_000, 10_000),
            ],
            Counted(share=1.0, gaps_ms=(0,)),
        ),
        # Two that overlap, as on two devices, count once.
        ([trained(0, 8_000), trained(6_000, 12_000)], Counted(share=1.0, gaps_ms=(0,))),
        ([trained(3_000, 3_000), trained(3_000, 3_000)], None),
    ],
)
def test_the_share_that_counted(stages: list[Stage], expected: Counted | None) -> None:
    assert counted(stages) == expected
    assert counted(reversed(stages)) == expected


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 10_000)), min_size=2))
def test_on_one_device_the_share_and_the_gaps_are_the_whole(runs: list[tuple[int, int]]) -> None:
    ends = [*accumulate(gap + took for gap, took in runs)]
    stages = [trained(end - took, end) for end, (_, took) in zip(ends, runs, strict=True)]
    found = counted(stages)
    assert found is not None
    assert 0 < found.share <= 1
    span_ms = stages[-1].start_ms - stages[0].start_ms
    assert found.share * span_ms + sum(found.gaps_ms) == pytest.approx(span_ms)
