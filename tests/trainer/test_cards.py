"""Machines as their drivers report them, with any features not supported."""

import os
from dataclasses import replace

import pynvml
import pytest

from protocol.errors import ConfigurationError
from protocol.manifest import Budget
from protocol.runs import Env
from tests.protocol.examples import MANIFEST, PROGRAM_MANIFEST
from tests.protocol.test_hardware import CARDS
from tests.trainer.nvml import FakeCard, FakeDriver, FakeSlice
from trainer.cards.cards import Cards, chosen_cards, idle_cards, probe_cards, probe_devices
from trainer.host.device import CARD, processor
from trainer.program.profiles import profile_of

A100 = FakeCard(
    name="NVIDIA A100-SXM4-40GB",
    mib=40960,
    capability=(8, 0),
    slices=(
        FakeSlice(name="NVIDIA A100-SXM4-40GB MIG 3g.20gb", mib=19968, slices=3),
        FakeSlice(name="NVIDIA A100-SXM4-40GB", mib=4864, slices=1),  # an older driver
    ),
)
WSL2 = FakeCard(
    name="NVIDIA GeForce RTX 3070 Laptop GPU",
    mib=8192,
    capability=(8, 6),
    power_w=None,
    power_default_w=None,
    memory_mhz=None,
    cores=None,
)


def probed(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver) -> Cards:
    driver.install(monkeypatch)
    found = probe_cards()
    assert driver.open == 0
    return found


@pytest.mark.parametrize(
    ("card", "slug", "family"),
    [
        (WSL2, "rtx3070-laptop-8g", "cuda-sm86"),
        (
            FakeCard(name="NVIDIA Rubin R900", mib=294912, capability=(13, 0)),
            "rubin-r900-288g",
            "cuda-other",
        ),
    ],
    ids=["WSL2", "unknown"],
)
def test_a_card_is_classed_whatever_its_driver_leaves_out(
    monkeypatch: pytest.MonkeyPatch, card: FakeCard, slug: str, family: str
) -> None:
    (found,) = probed(monkeypatch, FakeDriver(cards=[card])).cards
    assert (found.hardware_class.slug, found.hardware_class.family) == (slug, family)
    assert found.uuid == f"GPU-{card.name}"


def test_what_shifts_timings_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564, power_w=320.4)
    (found,) = probed(monkeypatch, FakeDriver(cards=[limited])).cards
    assert found.env == {
        "driver": "570.133.20",
        "cuda_driver": "12.8",
        "power_limit_w": 320,
        "power_default_w": 450,
        "sm_clock_max_mhz": 3105,
        "mem_clock_max_mhz": 10501,
        "cuda_cores": 16384,
    }
    assert Env.from_value(dict(found.env)) == Env.of(found.env)


def test_what_a_driver_does_not_report_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = probed(monkeypatch, FakeDriver(cards=[WSL2], cuda=None)).cards
    assert set(found.env) == {"driver", "sm_clock_max_mhz"}


def test_slices_are_devices_and_their_card_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = probed(monkeypatch, FakeDriver(cards=[A100])).cards
    assert [one.hardware_class.slug for one in found] == ["a100-40g-mig-3g20g", "a100-40g-mig-1g5g"]
    assert [one.uuid[:4] for one in found] == ["MIG-", "MIG-"]


def test_a_card_without_memory_of_its_own_has_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = FakeCard(name="NVIDIA GB10", mib=None, capability=(12, 1))
    (found,) = probed(monkeypatch, FakeDriver(cards=[shared])).cards
    assert found.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("name", "mib", "capability", "slug", "family"), CARDS)
def test_every_real_card_is_classed_as_its_driver_reports_it(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    mib: int,
    capability: tuple[int, int],
    slug: str,
    family: str,
) -> None:
    (found,) = probed(
        monkeypatch, FakeDriver(cards=[FakeCard(name=name, mib=mib, capability=capability)])
    ).cards
    assert (found.hardware_class.slug, found.hardware_class.family) == (slug, family)


def test_one_lost_card_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [
        FakeCard(name=f"NVIDIA GeForce RTX 309{n}", mib=24576, is_lost=n == 1) for n in range(3)
    ]
    found = probed(monkeypatch, FakeDriver(cards=cards))
    assert [one.name[-1] for one in found.cards] == ["0", "2"]
    assert found.fault is None


def test_without_a_driver_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver(fault=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert probed(monkeypatch, driver) == Cards()


@pytest.mark.parametrize(
    "fault", [pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH]
)
def test_a_driver_that_does_not_answer_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    found = probed(monkeypatch, FakeDriver(fault=fault))
    assert found.cards == ()
    assert "does not answer" in str(found.fault)


RTX = FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288)


@pytest.mark.parametrize("wanted", ["3", "zero", "-1", "GPU-another"])
def test_a_card_that_is_not_there_is_answered_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    FakeDriver(cards=[RTX]).install(monkeypatch)
    with pytest.raises(ConfigurationError) as caught:
        chosen_cards(["0", wanted])
    assert caught.value.message == (
        f"`gpus` names the NVIDIA card {wanted!r}, which was not found; found: 0 is rtx3060-12g"
    )
    assert "by these numbers or classes" in caught.value.hint
    (same,) = {one.cuda for name in ("0", "rtx3060-12g") for one in chosen_cards([name])}
    assert chosen_cards(["0", str(same)]) == chosen_cards(["0"])


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        (FakeDriver(), "no NVIDIA card is found here"),
        (FakeDriver(fault=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), "no NVIDIA card is found here"),
        (FakeDriver(fault=pynvml.NVML_ERROR_DRIVER_NOT_LOADED), "driver does not answer"),
    ],
    ids=["no card", "no driver", "driver not loaded"],
)
def test_a_card_named_where_there_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, driver: FakeDriver, why: str
) -> None:
    driver.install(monkeypatch)
    with pytest.raises(ConfigurationError, match=why) as caught:
        chosen_cards(["0"])
    assert "leave out `--gpus`" in caught.value.hint
    assert '`arnode home config set gpus ""`' in caught.value.hint
    assert chosen_cards([]) == ()


def test_runs_are_on_the_class_with_most_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = replace(MANIFEST, budget=Budget(unit="seconds", amount=300))
    larger = FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564)
    driver = FakeDriver(cards=[larger, RTX, RTX])
    driver.install(monkeypatch)
    assert [one.slug for one in probe_devices(timed)] == ["rtx3060-12g"] * 2
    driver.cards = [RTX, larger]  # one of each class: the one with most memory
    assert [one.slug for one in probe_devices(timed)] == ["rtx4090-24g"]
    assert [one.slug for one in probe_devices(timed, ["0"])] == ["rtx3060-12g"]
    assert probe_devices(MANIFEST) == (processor(),)
    driver.cards = []
    assert probe_devices(timed) == (processor(),)


def test_programs_that_need_a_card_run_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROGRAM_MANIFEST.program is not None
    needing = replace(
        PROGRAM_MANIFEST, program=replace(PROGRAM_MANIFEST.program, device=CARD, llm=None)
    )
    driver = FakeDriver(cards=[RTX])
    driver.install(monkeypatch)
    (device,) = probe_devices(needing)
    assert device.slug == "rtx3060-12g"
    profile = profile_of(needing, card=device)
    assert profile.card == device
    assert profile.scratch_bytes > profile_of(needing).scratch_bytes
    assert not idle_cards(needing)
    assert probe_devices(PROGRAM_MANIFEST) == (processor(),)


def test_cards_of_several_classes_are_not_one_node_s(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDriver(cards=[RTX, WSL2]).install(monkeypatch)
    with pytest.raises(ConfigurationError, match="cards of several classes: rtx3060-12g, rtx3070"):
        chosen_cards(["0", "1"])
