"""Programs that start more and more, while the watchdog does not look."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.inside import inside, profile
from trainer.host.processes import own_threads
from trainer.sandbox import process_limit
from trainer.sandbox import sandbox as sandbox_module
from trainer.sandbox.process_limit import MOST_OF_ROOT, SPARE, control_group
from trainer.sandbox.tier import probe_tier

PROCESSES = """
import os, time
started = 0
try:
    while started < 5000:
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError:
    pass
print("started", started, flush=True)
"""
THREADS = """
import _thread, time
started = 0
try:
    while started < 5000:
        _thread.start_new_thread(time.sleep, (60,))
        started += 1
except RuntimeError:
    pass
print("started", started, flush=True)
"""
needs_group = pytest.mark.skipif(
    os.getuid() == 0 and control_group() is None, reason="root may make no control group here"
)


@needs_group
@pytest.mark.parametrize(
    ("code", "is_alone"), [(PROCESSES, False), (THREADS, True)], ids=["processes", "threads"]
)
def test_the_kernel_refuses_more_before_the_watchdog_looks(
    code: str, is_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_module, "_WATCH_INTERVAL_S", 60.0)
    limits = profile(single_process=is_alone)
    started = int(inside(code, limits).rpartition("started ")[2].split()[0])
    is_of_root = os.getuid() == 0 and probe_tier().name == "full"
    own = 0 if probe_tier().name == "full" else own_threads()
    assert 30 < started <= (MOST_OF_ROOT if is_of_root else limits.threads + SPARE + own)


@pytest.mark.skipif(control_group() is None, reason="no control group can be made here")
def test_the_group_of_a_node_that_was_killed_is_removed() -> None:
    group = control_group()
    assert group is not None
    parent = group.parent.parent
    of_the_dead = parent / f"arnode-{Path('/proc/sys/kernel/pid_max').read_text().strip()}"
    of_the_dead.mkdir()
    try:
        process_limit._remove_left_over(parent)
        assert not of_the_dead.exists()
        assert group.exists()
    finally:
        if of_the_dead.exists():
            of_the_dead.rmdir()


def test_a_lower_limit_that_is_there_stays() -> None:
    code = """
import resource
from trainer.sandbox.inside.restrictions import lower_limit
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for most in (2000, 500):
    lower_limit(resource.RLIMIT_FSIZE, most)
    print(*resource.getrlimit(resource.RLIMIT_FSIZE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1000", "1000", "500", "500"]


@pytest.mark.parametrize(("release", "is_apart"), [("6.1-rc3", True), ("5.13.0-1-cloud", False)])
def test_releases_of_kernels_are_read_however_they_end(
    release: str, is_apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    uname = os.uname()
    other = os.uname_result((*uname[:2], release, *uname[3:]))
    monkeypatch.setattr(os, "uname", lambda: other)
    monkeypatch.setattr(Path, "samefile", lambda *_: False)
    assert process_limit._is_counted_apart(os.getpid()) is is_apart
