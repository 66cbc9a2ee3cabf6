"""What every test of the proving run has: sizes that are tried for a moment."""

import pytest

from trainer.proving import sizing


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take two steps at a size: nothing here looks at how fast it is."""
    monkeypatch.setattr(sizing, "_STEPS", 2)
