"""A short form of `make soak PART=fuzz`: whatever comes, honest peers are answered as before."""

from pathlib import Path

import pytest

from node.peering import greeting, syncing
from tools.soak.connections import fuzz_connections
from tools.soak.frames import fuzz_frames


def test_fuzzed_frames_leave_the_handlers_as_they_were(tmp_path: Path) -> None:
    kept = tmp_path / "frames.json"
    figures = fuzz_frames(kept, 1_000, seed="short", batch=500)
    assert figures["problems"] == []
    outcomes = figures["outcomes"]
    assert isinstance(outcomes, dict)
    assert min(outcomes[name] for name in ("answered", "faulty", "refused")) > 50
    # Nothing is done again by a run that goes on.
    assert fuzz_frames(kept, 1_000, seed="short", batch=500)["outcomes"] == outcomes


@pytest.mark.soak
def test_fuzzed_connections_leave_a_node_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "REPEATED_S", 0.5)
    monkeypatch.setattr(syncing, "SHORTEST_WAIT_S", 0.5)
    figures = fuzz_connections(tmp_path, 100, seed="short")
    assert figures["problems"] == []
    assert figures["connections"] >= 5
