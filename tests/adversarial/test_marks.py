"""State that one process could leave and another read: in the open each way works, inside none."""

import pytest

from tests.adversarial.mark_table import (
    CLEAR,
    MARKS,
    TRIES,
    WAYS,
    Way,
    Writer,
    area_under_curve,
    can_be_played_in_the_open,
    drawn_bits,
    passing,
    read_in_the_open,
)
from trainer.sandbox.tier import TierName


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_in_the_open_a_way_tells_marked_objects_from_others(way: Way) -> None:
    if not can_be_played_in_the_open(way):
        pytest.skip("this machine gives no namespaces to play it in")
    areas = []
    for _ in range(TRIES):  # a crowd of other tests may disturb what is told by time
        bits = drawn_bits(way.count)
        areas.append(area_under_curve(bits, read_in_the_open(way, bits)))
        if areas[-1] >= CLEAR:
            return
    pytest.fail(f"the way does not work here, so that its test says nothing: {areas}")


@pytest.mark.parametrize(
    ("way", "writer"),
    [(way, writer) for way in WAYS for writer in way.writers],
    ids=lambda one: one.name if isinstance(one, Way) else one,
)
def test_no_sandbox_leaves_a_mark_for_another(way: Way, writer: Writer, tier: TierName) -> None:
    assert passing(way, writer) == []


def test_every_way_is_in_the_table() -> None:
    assert {path.stem for path in MARKS.glob("*.txt")} - {"preamble"} == {way.name for way in WAYS}
