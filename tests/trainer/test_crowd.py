"""Whose CPU seconds are whose."""

import os
import subprocess
import sys

import pytest

from trainer import crowd
from trainer.crowd import Crowd

BURN_S = 0.4
BURN = f"import time\nwhile time.process_time() < {BURN_S}: pass"


def test_what_our_own_children_use_is_ours() -> None:
    own_s, busy_s = crowd._own_s(), crowd._busy_s()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert crowd._own_s() - own_s >= BURN_S - 0.05
    assert crowd._busy_s() - busy_s >= BURN_S - 0.05


def test_what_others_use_is_their_share_of_all_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"busy": 100.0, "own": 10.0, "wall": 5.0}
    monkeypatch.setattr(crowd, "_busy_s", lambda: clock["busy"])
    monkeypatch.setattr(crowd, "_own_s", lambda: clock["own"])
    monkeypatch.setattr(crowd.time, "monotonic", lambda: clock["wall"])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    watch = Crowd()
    assert watch.share() == 0.0
    clock.update(busy=105.0, own=13.0, wall=10.0)  # 2 s of 20 were not ours
    assert watch.share() == pytest.approx(0.1)
    assert not watch.is_noticeable()
    clock["busy"] = 106.0
    assert watch.is_noticeable()
    clock["busy"] = 102.0  # clocks tick apart
    assert watch.share() == 0.0
