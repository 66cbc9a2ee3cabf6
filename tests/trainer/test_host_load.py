"""Whose CPU seconds are whose."""

import os

import pytest

from tests.trainer.inside import inside
from trainer.measuring import host_load as crowd
from trainer.measuring.host_load import HostLoad


def test_what_our_own_sandboxes_use_is_ours() -> None:
    """Also of one that was killed, whose seconds the kernel adds to nobody's."""
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
    clock.update(busy=105.0, own=13.0, wall=10.0)  # 2 s of 20 were not ours
    assert watch.share() == pytest.approx(0.1)
    assert not watch.is_noticeable()
    clock["busy"] = 106.0
    assert watch.is_noticeable()
    clock["busy"] = 102.0  # clocks tick apart
    assert watch.share() == 0.0
