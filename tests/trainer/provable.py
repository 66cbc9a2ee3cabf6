"""A machine on which a card can pass its self-test: only its driver is faked."""

import pytest

from tests.trainer.nvml import FakeCard, FakeDriver
from trainer.language_model import card_checks


def working_driver(monkeypatch: pytest.MonkeyPatch, card: FakeCard) -> FakeDriver:
    """Replace the library, on a machine where no readable requirement is missing."""
    driver = FakeDriver(cards=[card])
    driver.install(monkeypatch)
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr(card_checks, "file_fault", lambda _card: None)
    monkeypatch.setattr(card_checks, "sandbox_fault", _no_fault)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    return driver


async def _no_fault(_: object) -> None: ...
