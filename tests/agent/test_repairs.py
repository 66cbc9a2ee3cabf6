"""A repair's key contains its idea, and how often that was repaired."""

import pytest

from agent.proposal import Crash, repair_key, repairs_of
from protocol.source import Source


@pytest.mark.parametrize(
    ("key", "expected"),
    [("llm:a", (0, "llm:a")), ("repair:2:llm:a", (2, "llm:a")), ("repair:x:y", (0, "repair:x:y"))],
)
def test_a_key_says_how_often_its_idea_was_repaired(key: str, expected: tuple[int, str]) -> None:
    assert repairs_of(key) == expected


def test_the_key_of_a_repair_is_read_as_one() -> None:
    crash = Crash(
        source=Source.of({}),
        key="llm:a",
        title="",
        status="crash",
        reason="",
        log_tail="",
        attempt=2,
    )
    assert repairs_of(repair_key(crash)) == (2, "llm:a")
