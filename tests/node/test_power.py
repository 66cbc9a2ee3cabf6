"""`--max-watts`: cards are held to it while a node runs, and have their limits back afterwards."""

import json
from pathlib import Path

import pynvml
import pytest

from node.commands.node_control import start
from node.home.home import Home
from node.running.power import limiting_power
from protocol.errors import ArnodeError, ConfigurationError
from tests.trainer.nvml import FakeCard, FakeDriver, FakeSlice

BIG = FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564, power_w=450, power_default_w=450)
SMALL = FakeCard(name="NVIDIA GeForce RTX 3050", mib=8192, power_w=130, power_default_w=130)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    driver = FakeDriver(cards=[BIG, SMALL])
    driver.install(monkeypatch)
    return driver


def test_a_card_is_held_to_it_and_has_its_limit_back(home: Home, driver: FakeDriver) -> None:
    with limiting_power(home, 250):
        assert driver.limits_mw == {BIG.name: 250_000}  # the other's is lower anyway
        assert home.power.exists()
    assert driver.limits_mw == {BIG.name: 450_000}
    assert not home.power.exists()
    assert driver.open == 0


def test_it_has_it_back_whatever_ends_the_node(home: Home, driver: FakeDriver) -> None:
    with pytest.raises(KeyboardInterrupt), limiting_power(home, 250):
        raise KeyboardInterrupt
    assert driver.limits_mw == {BIG.name: 450_000}


def test_a_limit_that_is_low_enough_is_left_alone(home: Home, driver: FakeDriver) -> None:
    driver.is_root = False
    with limiting_power(home, 450):
        assert driver.limits_mw == {}
        assert not home.power.exists()


@pytest.mark.parametrize("max_watts", [None, 200])
def test_what_a_killed_node_left_is_restored_by_the_next(
    home: Home, driver: FakeDriver, max_watts: int | None
) -> None:
    killed = limiting_power(home, 250)
    killed.__enter__()
    with limiting_power(home, max_watts):
        assert driver.limits_mw[BIG.name] == 1000 * (max_watts or 450)
    assert driver.limits_mw[BIG.name] == 450_000
    assert not home.power.exists()


def test_a_limit_that_somebody_set_meanwhile_stays(home: Home, driver: FakeDriver) -> None:
    with limiting_power(home, 250):
        driver.limits_mw[BIG.name] = 300_000
    assert driver.limits_mw[BIG.name] == 300_000
    assert not home.power.exists()


def test_a_number_that_a_card_does_not_take_names_those_that_it_does(
    home: Home, driver: FakeDriver
) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"cannot be limited to 50 W.* from 100 to 450 W"),
        limiting_power(home, 50),
    ):
        pass
    assert driver.limits_mw == {}


def test_who_is_not_root_is_shown_the_command(home: Home, driver: FakeDriver) -> None:
    driver.is_root = False
    with pytest.raises(ConfigurationError, match="only root") as caught, limiting_power(home, 250):
        pass
    assert f"`sudo nvidia-smi -i GPU-{BIG.name} -pl 250`" in caught.value.hint
    assert not home.power.exists()


def test_who_is_no_longer_root_is_shown_the_command_to_restore(
    home: Home, driver: FakeDriver
) -> None:
    with limiting_power(home, 250):
        driver.is_root = False
    assert home.power.exists()
    with pytest.raises(ConfigurationError) as caught, limiting_power(home, None):
        pass
    assert "-pl 450`" in caught.value.hint
    driver.limits_mw[BIG.name] = 450_000  # they run it
    with limiting_power(home, None):
        pass
    assert not home.power.exists()


def test_a_card_that_is_gone_has_no_limit_to_restore(home: Home, driver: FakeDriver) -> None:
    with limiting_power(home, 250):
        driver.fail(pynvml.NVML_ERROR_GPU_IS_LOST)
    assert not home.power.exists()


@pytest.mark.parametrize("where", ["laptop", "slice"])
def test_a_card_without_a_limit_of_its_own_says_so(
    home: Home, driver: FakeDriver, where: str
) -> None:
    part = FakeSlice(name="NVIDIA A100-SXM4-40GB MIG 3g.20gb", mib=19968, slices=3)
    whole = FakeCard(name="NVIDIA A100-SXM4-40GB", mib=40960, capability=(8, 0), slices=[part])
    laptop = FakeCard(name="NVIDIA GeForce RTX 4090 Laptop GPU", mib=16376, power_w=None)
    driver.cards = [laptop if where == "laptop" else whole]
    with pytest.raises(ConfigurationError, match="no power limit"), limiting_power(home, 250):
        pass


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "needs an NVIDIA card, but this machine has none"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "needs an NVIDIA card.*does not answer"),
    ],
)
def test_without_a_card_there_is_nothing_to_limit(
    home: Home, driver: FakeDriver, fault: int, said: str
) -> None:
    driver.fault = fault
    with pytest.raises(ConfigurationError, match=said) as caught, limiting_power(home, 250):
        pass
    assert "leave out --max-watts" in caught.value.hint
    with limiting_power(home, None):
        pass


def test_the_flag_and_the_setting_reach_the_cards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: FakeDriver
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    words = ["--network", "none", "--allow-partial-sandbox"]
    with pytest.raises(ConfigurationError, match="cannot be limited to 50 W"):
        start.main([*words, "--max-watts", "50"], standalone_mode=False)
    home.config.write_text("max_watts = 60\n")
    with pytest.raises(ConfigurationError, match="cannot be limited to 60 W"):
        start.main(words, standalone_mode=False)
    assert "cannot be limited to 60 W" in home.log.read_text()


@pytest.mark.parametrize("text", ["", "[]", "[[1, 2]]", '{"GPU-1": 3}', '{"GPU-1": ["a", 2]}'])
def test_a_file_that_does_not_read_is_named(home: Home, driver: FakeDriver, text: str) -> None:
    home.power.write_text(text)
    with pytest.raises(ArnodeError, match=str(home.power)), limiting_power(home, None):
        pass
    assert driver.limits_mw == {}


def test_limits_are_written_down_before_any_is_lowered(home: Home, driver: FakeDriver) -> None:
    seen: list[object] = []
    lowered = pynvml.nvmlDeviceSetPowerManagementLimit

    def watched(handle: FakeCard, limit_mw: int) -> None:
        seen.append(json.loads(home.power.read_text()))
        lowered(handle, limit_mw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynvml, "nvmlDeviceSetPowerManagementLimit", watched)
        with limiting_power(home, 250):
            pass
    assert seen == [{f"GPU-{BIG.name}": [450_000, 250_000]}] * 2
