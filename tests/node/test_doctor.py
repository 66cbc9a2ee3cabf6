"""The instruction counter and the clock in `arnode doctor`."""

import pytest

from node.home.home import Home
from node.maintenance import doctor
from tests.node.examples import Notebook
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


def test_doctor_reports_own_records_of_a_time_to_come(
    home: Home, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.task_and_baseline()
    latest_s = notebook.store.records.latest_own_ms() / 1000
    monkeypatch.setattr(doctor, "_CLOCK_FLOOR_S", 0)
    monkeypatch.setattr(doctor.time, "time", lambda: latest_s)
    assert doctor._clock(home).status == "ok"
    monkeypatch.setattr(doctor.time, "time", lambda: latest_s - 3600)
    found = doctor._clock(home)
    assert found.status == "warning"
    assert "this node's records have later dates, up to 20" in found.detail
