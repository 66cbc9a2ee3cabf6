"""Makes the search for a model size short in all tests of the proving run."""

import pytest

from trainer.proving import sizing


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train two steps at each size: no test here looks at the speed."""
    monkeypatch.setattr(sizing, "_STEPS", 2)
