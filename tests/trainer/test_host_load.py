"""The CPU seconds of this node, and those of others."""

import os
from typing import cast
from weakref import WeakSet

import pytest

from tests.trainer.inside import inside
from trainer.measuring import host_load as crowd
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.sandbox.sandbox import Sandbox


def test_what_our_own_sandboxes_use_is_ours() -> None:
    """This includes a killed one, whose seconds the kernel adds to no parent."""
    own_s, busy_s = crowd._own_s(), crowd._busy_s()
    inside("import os, signal, time\nwhile time.process_time() < 2: pass\nos.kill(os.getpid(), 9)")
    used_s = crowd._own_s() - own_s
    assert used_s >= 1.0
    assert crowd._busy_s() - busy_s >= used_s - 0.2


def test_what_others_use_is_their_share_of_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"busy": 100.0, "own": 10.0, "wall": 5.0}
    monkeypatch.setattr(crowd, "_busy_s", lambda: clock["busy"])
    monkeypatch.setattr(crowd, "_own_s", lambda: clock["own"])
    monkeypatch.setattr(crowd.time, "monotonic", lambda: clock["wall"])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    watch = HostLoad()
    assert watch.share() == 0.0
    clock.update(busy=105.0, own=13.0, wall=10.0)  # 2 of the 20 s were not ours
    assert watch.share() == pytest.approx(0.1)
    assert not watch.is_noticeable()
    clock["busy"] = 106.0
    assert watch.is_noticeable()
    clock["busy"] = 102.0  # the clocks tick at different times
    assert watch.share() == 0.0


class Lane:
    """A stand-in for a sandbox that only has CPU seconds."""

    def __init__(self) -> None:
        self.used_s = 5.0  # the import of torch, before it has a script

    def cpu_s(self) -> float:
        return self.used_s


def test_other_lanes_count_as_known_to_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = {"busy": 0.0, "own": 0.0, "wall": 0.0}
    monkeypatch.setattr(crowd, "_busy_s", lambda: clock["busy"])
    monkeypatch.setattr(crowd, "_own_s", lambda: clock["own"])
    monkeypatch.setattr(crowd.time, "monotonic", lambda: clock["wall"])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(LaneWork, "_all", WeakSet())  # without those of other tests
    mine, other, idle = LaneWork(), LaneWork(), LaneWork()
    sandboxes = [Lane(), Lane()]
    for lane, sandbox in zip((mine, other), sandboxes, strict=True):
        lane.begin(cast("Sandbox", sandbox))
    load = HostLoad(mine)
    assert load.share_with_lanes() == 0.0
    # Of 40 s of four processors, each lane used 10, and other programs 2.
    clock.update(busy=22.0, own=20.0, wall=10.0)
    for sandbox in sandboxes:
        sandbox.used_s += 10.0
    other.end(cast("Sandbox", sandboxes[1]))  # a sandbox that has ended counts as well
    assert load.share() == pytest.approx(0.05)
    assert load.share_with_lanes() == pytest.approx(0.3)
    assert not load.is_noticeable()
    assert HostLoad().share_with_lanes() == 0.0
    assert idle.used_s() == 0.0
    assert mine.used_s() == other.used_s() == 10.0
