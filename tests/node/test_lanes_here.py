"""The number of lanes of a task: requested, available, and reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.home.config import Config
from node.home.settings_in_force import load_config
from node.running import lanes
from node.running.lanes import SPARES_BYTES, lanes_here
from protocol.errors import ConfigurationError
from protocol.manifest import Budget
from tests.node import examples
from trainer.host.device import processor

MANIFEST = replace(
    examples.MANIFEST, metric=replace(examples.MANIFEST.metric, unit="bits per byte")
)
EACH = (MANIFEST.limits.memory_mb << 20) + SPARES_BYTES
SECONDS = replace(MANIFEST, budget=Budget(unit="seconds", amount=60))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, memory for a hundred lanes, no card."""
    monkeypatch.setattr(lanes, "usable_cores", lambda: 8)
    monkeypatch.setattr(lanes, "available_bytes", lambda: 100 * EACH)
    monkeypatch.setattr(lanes, "probe_devices", lambda *_: (processor(),))


def count(config: Config, *, seconds: bool = False, is_on_demand: bool = False) -> tuple[int, str]:
    found = lanes_here(SECONDS if seconds else MANIFEST, config, is_on_demand=is_on_demand)
    assert {one.cuda for one in found.devices} == {None}
    return len(found.devices), found.remark


def test_there_is_one_for_each_core_unless_fewer_are_asked_for() -> None:
    assert count(Config()) == (8, "")
    assert count(Config(lanes=3)) == (3, "")
    assert count(Config(lanes=8)) == (8, "")


def test_memory_bounds_those_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "available_bytes", lambda: 3 * EACH + 1)
    fitting, remark = count(Config())
    assert fitting == 3
    assert remark.startswith("3 of 8 lanes, since each may use 1.5 GB of memory")
    assert count(Config(lanes=5)) == (5, "")
    monkeypatch.setattr(lanes, "available_bytes", lambda: 0)
    assert count(Config())[0] == 1


def test_more_than_there_are_cores_is_refused_with_what_to_take() -> None:
    with pytest.raises(ConfigurationError, match="`lanes` is 9, but only 8 cores") as caught:
        count(Config(lanes=9))
    assert '"auto"' in caught.value.hint


def test_with_a_budget_of_seconds_there_is_one_and_that_is_said_to_who_asked_for_more() -> None:
    assert count(Config(), seconds=True) == (1, "")
    assert count(Config(lanes=1), seconds=True) == (1, "")
    # Not refused, however many: the setting is for other tasks.
    remark = "one lane, not 20: scores of tiny depend on speed"
    assert count(Config(lanes=20), seconds=True) == (1, remark)


def test_what_somebody_waits_for_has_the_machine_to_itself() -> None:
    assert count(Config(), is_on_demand=True) == (1, "")


@pytest.mark.parametrize("line", ["lanes = 0", 'lanes = "all"', "lanes = 1.5", "lanes = -2"])
def test_a_wrong_number_of_lanes_names_what_is_taken(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(line)
    with pytest.raises(ConfigurationError, match="`lanes` cannot be") as caught:
        load_config(path, env={})
    assert caught.value.hint == '`lanes` takes "auto" or a whole number from 1'


def test_lanes_are_set_in_the_file_by_a_variable_or_by_a_flag(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("lanes = 4")
    assert load_config(path, env={}).config.lanes == 4
    assert load_config(path, env={"ARNODE_LANES": "2"}).config.lanes == 2
    flags = {"lanes": "auto"}
    assert load_config(path, env={"ARNODE_LANES": "2"}, flags=flags).config.lanes == "auto"
