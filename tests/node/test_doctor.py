"""The instruction counter and the clock in `arnode doctor`."""

import threading

import pytest

from node.home.home import Home
from node.maintenance import doctor
from node.terminal import progress
from node.terminal.terminal import say
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


def test_a_check_that_takes_long_is_announced(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_said = threading.Event()

    def print_line(text: str, *, err: bool) -> None:
        say(text, err=err)
        is_said.set()

    monkeypatch.setattr(progress, "_INTERVAL_S", 1.0)
    monkeypatch.setattr(progress, "say", print_line)

    def sandbox(_: Home) -> doctor.Diagnosis:
        assert is_said.wait(60)
        return doctor._fine("it works")

    monkeypatch.setattr(doctor, "_sandbox", sandbox)
    others = ("plugins", "packages", "torch", "git", "device", "instructions", "disk", "clock")
    for name in (*others, "settings", "key", "agent"):
        monkeypatch.setattr(doctor, f"_{name}", doctor._python)
    assert len(list(doctor.examine(home))) == 13
    assert capsys.readouterr().err == "  checking: sandbox …\n"
