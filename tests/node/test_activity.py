"""The log lines about experiments."""

import pytest

from node.line.activity import Activity


@pytest.mark.parametrize(
    ("decision", "gain", "shown"),
    [
        ("kept", "+2.0 sd", "kept 0.9000 +2.0 sd LR 1 → 2"),
        ("kept", "", "kept 0.9000 LR 1 → 2"),
        (
            "rebased",
            "+2.0 sd",
            "discarded 0.9000 +2.0 sd LR 1 → 2; the working line had changed: tried again",
        ),
    ],
)
def test_a_decision_is_logged_with_a_gain_that_means_something(
    decision: str, gain: str, shown: str
) -> None:
    said: list[str] = []
    activity = Activity(said.append)
    activity.concluded("LR 1 → 2", decision=decision, metric=0.9, gain=gain, record=bytes(32))
    assert said[-1].startswith(shown)
