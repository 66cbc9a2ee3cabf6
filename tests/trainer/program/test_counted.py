"""Instructions as a metric. Here the task clock is counted, since virtual machines have it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from protocol.units import NANO
from tests.trainer.program.tasks import (
    CALLED,
    METRIC,
    ONE_OF_EACH,
    Bench,
    figures,
    read,
    write_task,
)
from tests.trainer.test_counting import TASK_CLOCK, UNKNOWN
from trainer.host import counting

COUNTED = METRIC.replace('"error"', '"instructions"').replace('"units"', '"of the baseline"')
BUSY = """\
import threading
import time


def busy(seconds):
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


"""
SOLVE = (
    BUSY
    + """\
def solve(instance):
    busy(0.1)
    return sum(instance["numbers"])
"""
)
COMMAND = """\
import json
import os
import sys
import time


def busy(seconds):
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass


{does}
print(sum(json.load(sys.stdin)["numbers"]))
"""
OTHER_PROCESS = """\
if not os.fork():
    if not os.fork():
        busy(0.4)
    else:
        os.wait()
    os._exit(0)
os.wait()
"""


@pytest.fixture(scope="module")
def count() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_EVENT", TASK_CLOCK)
        yield


@pytest.fixture(scope="module")
def called(count: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench that adds numbers by a function that is warmed up once."""
    folder = write_task(
        tmp_path_factory.mktemp("called"),
        how=CALLED + "warmup = 1\n",
        metric=COUNTED,
        instances=ONE_OF_EACH,
        files={"solve.py": SOLVE},
    )
    with Bench(read(folder)) as bench:
        bench.calibrate()
        yield bench


def share(bench: Bench, text: str) -> float:
    """Return a program's score on the public split, relative to the baseline's."""
    public, _ = figures(bench.run(text))
    assert public is not None
    return public / NANO


def test_what_a_function_does_not_do_is_not_counted(called: Bench) -> None:
    assert share(called, SOLVE.replace("0.1", "0.0")) < 0.5


def test_a_warm_up_is_not_counted(called: Bench) -> None:
    idle_later = SOLVE.replace("busy(0.1)", "busy(SECONDS.pop())") + "\n\nSECONDS = [0.0, 0.4]\n"
    assert share(called, idle_later) < 0.5


HIDDEN = {
    "at import": SOLVE.replace("0.1", "0.0") + "\n\nbusy(0.25)\n",
    "in a thread": SOLVE.replace(
        "busy(0.1)",
        "thread = threading.Thread(target=busy, args=(0.25,)); thread.start(); thread.join()",
    ),
}


@pytest.mark.parametrize("place", HIDDEN)
def test_work_elsewhere_in_the_process_is_counted(called: Bench, place: str) -> None:
    assert share(called, HIDDEN[place]) > 1.5


@pytest.mark.soak
@pytest.mark.parametrize("threads", [1, 2])
def test_work_of_a_command_is_counted_also_in_other_processes(
    count: None, tmp_path: Path, threads: int
) -> None:
    how = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\nencoding = "json"\n'
    folder = write_task(
        tmp_path / "task",
        how=f"{how}threads = {threads}\n",
        metric=COUNTED,
        instances=ONE_OF_EACH,
        files={"solve.py": COMMAND.format(does="busy(0.1)")},
    )
    with Bench(read(folder)) as bench:
        bench.calibrate()
        assert share(bench, COMMAND.format(does="")) < 0.8
        assert share(bench, COMMAND.format(does="busy(0.4)")) > 1.5
        if threads > 1:
            assert share(bench, COMMAND.format(does=OTHER_PROCESS)) > 1.5


@pytest.mark.parametrize("asks", ["as its metric", "in a guard"])
def test_a_task_that_counts_is_refused_where_there_is_no_counter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: str
) -> None:
    metric, more = COUNTED, ""
    if asks == "in a guard":
        metric, more = METRIC, "[guards]\ninstructions = { times = 1.5 }\n"
    task = read(write_task(tmp_path / "task", metric=metric, more=more))
    monkeypatch.setattr(counting, "_EVENT", UNKNOWN)
    with pytest.raises(ConfigurationError, match="instructions cannot be counted here"):
        Bench(task)


def test_a_guard_holds_counts_against_the_baselines(count: None, tmp_path: Path) -> None:
    folder = write_task(
        tmp_path / "task",
        instances=ONE_OF_EACH,
        more="[guards]\ninstructions = { times = 1.5 }\n",
        files={"solve.py": SOLVE},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == (0, 0)
        more = bench.run(SOLVE.replace("0.1", "0.3"))
        assert more.status == "rejected"
        assert more.reason is not None
        assert more.reason.startswith("guard instructions: ")
