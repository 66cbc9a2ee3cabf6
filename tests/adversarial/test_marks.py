"""State that one process could leave and another read: in the open each way works, inside none."""

import pytest

from tests.adversarial.mark_table import (
    CLEAR,
    EVERY_WRITER,
    MARKS,
    WAYS,
    Way,
    Writer,
    areas_of,
    can_be_played_in_the_open,
    drawn_bits,
    passing,
    read_in_the_open,
)
from trainer.sandbox.tier import TierName

_TRIES_IN_THE_OPEN = 8


@pytest.fixture(scope="module")
def in_the_open() -> dict[str, list[float]]:
    """The areas of all ways, played together, until each was read once."""
    ways = [way for way in WAYS if can_be_played_in_the_open(way)]
    areas = {way.name: list[float]() for way in ways}
    for _ in range(
        _TRIES_IN_THE_OPEN
    ):  # a crowd of other tests may disturb what is distinguished by time
        bits = {way: drawn_bits(way.count) for way in ways}
        for name, area in areas_of(bits, read_in_the_open(bits)).items():
            areas[name].append(area)
        if all(max(found) >= CLEAR for found in areas.values()):
            break
    return areas


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_in_the_open_a_way_distinguishes_marked_objects_from_others(
    way: Way, in_the_open: dict[str, list[float]]
) -> None:
    """Also next to all others, as it is played by sandboxes: else that test would say nothing."""
    if way.name not in in_the_open:
        pytest.skip("it takes root, or namespaces that this machine does not give")
    assert max(in_the_open[way.name]) >= CLEAR


@pytest.mark.parametrize("writer", EVERY_WRITER)
def test_no_sandbox_leaves_a_mark_for_another(writer: Writer, tier: TierName) -> None:
    assert passing([way for way in WAYS if writer in way.writers], writer) == {}


def test_every_way_is_in_the_table() -> None:
    assert {path.stem for path in MARKS.glob("*.txt")} - {"preamble"} == {way.name for way in WAYS}
