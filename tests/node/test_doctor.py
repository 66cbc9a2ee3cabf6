"""What `arnode doctor` says of this machine's counter of instructions."""

import pytest

from node.home.home import Home
from node.upkeep import doctor
from tests.trainer.test_counting import TASK_CLOCK, UNKNOWN
from trainer.host import counting


@pytest.mark.parametrize(("event", "said"), [(TASK_CLOCK, "counted"), (UNKNOWN, "no counter")])
def test_doctor_says_whether_there_is_a_counter(
    home: Home, monkeypatch: pytest.MonkeyPatch, event: tuple[int, int], said: str
) -> None:
    monkeypatch.setattr(counting, "_EVENT", event)
    found = doctor._instructions(home)
    assert found.status == "ok"
    assert said in found.detail
