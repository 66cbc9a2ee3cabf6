"""Notes that a timed candidate leaves for its later processes are of no use to them.

Names that were looked up in vain stay in the kernel's memory, where a later process finds them by
the time of its own look-ups. Here a candidate notes each instance that it meets in this way, and
says whether one had a note already.
"""

from collections.abc import Iterator

import pytest

from tests.trainer.program.tasks import METRIC, Bench, read, write_task
from trainer.program.instances import MadeInstances

NOTES = """\
import hashlib
import os
import time

import numpy

FOLDER = os.path.dirname(numpy.__file__)  # any that all sandboxes see


def took(name):
    began = time.perf_counter_ns()
    try:
        os.stat(f"{FOLDER}/{name}")
    except OSError:
        pass
    return time.perf_counter_ns() - began


def names(key):
    return [hashlib.sha256(key + bytes([number])).hexdigest() for number in range(80)]


def quicker(key):
    # How many of its names took less than one never looked up, just before or just after.
    count = 0
    for number, (name, unknown) in enumerate(zip(names(key), names(os.urandom(8)))):
        order = (name, unknown) if number % 2 else (unknown, name)
        times = dict(zip(order, map(took, order)))
        count += times[name] < times[unknown]
    return count


def solve(instance):
    quicker(os.urandom(8))
    # Of 80 coins 60 or more fall heads once in 300,000 times.
    print("NOTED" if quicker(repr(instance).encode()) >= 60 else "NEW")
    return sum(instance["numbers"]) + 3
"""


@pytest.fixture(scope="module", params=["wall_s", "cpu_s"])
def timed(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    metric = METRIC.replace('"error"', f'"{request.param}"').replace('"units"', '"share"')
    with Bench(read(write_task(tmp_path_factory.mktemp("timed"), metric=metric))) as bench:
        bench.calibrate()
        yield bench


def said(bench: Bench, source: str) -> list[str]:
    """Return what a run of a candidate says of its counted public instances."""
    outcome = bench.run(source)
    assert outcome.status == "ok", outcome.reason
    return [word for word in outcome.log_tail.split() if word in ("NOTED", "NEW")]


def test_no_later_run_finds_a_note_about_an_instance(timed: Bench) -> None:
    """This holds for the same source and for one made from a head with such notes."""
    for source in (NOTES, NOTES, f"# Another source.\n{NOTES}"):
        assert said(timed, source) == ["NEW", "NEW"]


def test_where_runs_shared_instances_notes_would_be_found(
    timed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MadeInstances, "fresh_nonce", lambda _instances: b"")
    said(timed, NOTES)
    assert "NOTED" in said(timed, NOTES)
