"""The counter of instructions; if a machine has none, another count of the kernel."""

import errno
import os

import pytest

from protocol.errors import ConfigurationError
from trainer.host import counting
from trainer.host.counting import Counter, counted, require_counter

TASK_CLOCK = (1, 1)  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK: nanoseconds, on any machine
UNKNOWN = (0xFFFF, 0)


def busy() -> None:
    sum(range(1_000_000))


def test_what_a_process_and_its_children_do_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """This includes a child that has ended."""
    monkeypatch.setattr(counting, "_EVENT", TASK_CLOCK)
    require_counter()
    with counted(os.getpid()) as counter:
        first = counter.instructions()
        busy()
        own = counter.instructions() - first
        pid = os.fork()
        if not pid:
            for _ in range(3):
                busy()
            os._exit(0)
        os.waitpid(pid, 0)
        children = counter.instructions() - first - own
    assert 0 < own < children


def test_without_a_counter_it_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_EVENT", UNKNOWN)
    with pytest.raises(ConfigurationError, match="has no counter") as refused:
        require_counter()
    assert 'count "cpu_s" instead' in refused.value.hint


def test_a_counter_that_is_not_allowed_is_reported_with_what_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(pid: int) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(counting, "_opened", forbidden)
    with pytest.raises(ConfigurationError, match=r"perf_event_paranoid is -?[0-9]") as refused:
        require_counter()
    assert "sysctl kernel.perf_event_paranoid=2" in refused.value.hint


def test_a_counter_that_others_took_away_counts_nothing() -> None:
    """Reading from the kernel then gives an end of file."""
    taken = os.open(os.devnull, os.O_RDONLY)
    try:
        with pytest.raises(ConfigurationError, match="another program uses"):
            Counter(taken).instructions()
    finally:
        os.close(taken)
