"""Fixtures that make the search for a model size short in all tests of the self-test."""

import pytest

from trainer.card_selftest import sizing


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train two steps at each size, since no test here measures the speed."""
    monkeypatch.setattr(sizing, "_STEPS", 2)
