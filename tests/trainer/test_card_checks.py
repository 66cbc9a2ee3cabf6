"""The reason that a card cannot be used, and the hint, for each missing part."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ArnodeError, SafetyError
from trainer.cards import nvidia
from trainer.cards.cards import GraphicsCard
from trainer.language_model import card_checks
from trainer.language_model.card_checks import (
    CardFault,
    file_fault,
    opening_fault,
    sandbox_fault,
    software_fault,
    torch_cuda,
    trial_fault,
)
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import Tier, probe_tier

ADA = GraphicsCard(
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4090",
    memory_bytes=24 << 30,
    compute_capability=(8, 9),
    minor=0,
    env={"driver": "570.133.20", "cuda_driver": "12.8"},
)


def said(fault: ArnodeError | None) -> str:
    return "" if fault is None else f"{fault.message} | {fault.hint}"


def card_of(capability: tuple[int, int], cuda_driver: str) -> GraphicsCard:
    driver = {"13.0": "580.95.05", "12.8": "570.133.20", "12.2": "535.183.01", "11.4": "470.256.02"}
    return replace(
        ADA,
        compute_capability=capability,
        env={"driver": driver[cuda_driver], "cuda_driver": cuda_driver},
    )


@pytest.mark.parametrize(
    ("capability", "cuda_driver", "built", "name", "hint"),
    [
        ((8, 9), "12.8", (12, 8), "", ""),
        ((8, 9), "12.8", (12, 9), "", ""),  # drivers of one major version support all its toolkits
        ((8, 9), "12.8", (13, 0), "driver-too-old", "cu126"),
        ((8, 9), "13.0", (13, 2), "", ""),
        ((8, 9), "13.0", None, "cpu-build", "cu130"),
        ((8, 6), "12.2", None, "cpu-build", "cu126"),
        ((6, 1), "12.8", (12, 6), "", ""),
        ((6, 1), "12.8", (12, 8), "card-too-old", "cu126"),
        ((6, 1), "13.0", (13, 0), "card-too-old", "cu126"),
        ((7, 0), "12.8", (13, 0), "card-too-old", "cu126"),
        ((7, 0), "13.0", None, "cpu-build", "cu126"),
        ((12, 0), "12.8", (13, 0), "driver-too-old", "cu128"),
        ((12, 0), "12.8", (12, 6), "card-too-new", "cu128"),
        ((12, 0), "13.0", (12, 6), "card-too-new", "cu130"),
        ((8, 0), "11.4", (13, 0), "driver-too-old", "cu118"),
    ],
)
def test_driver_build_and_card_must_fit(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    cuda_driver: str,
    built: tuple[int, int] | None,
    name: str,
    hint: str,
) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: built)
    monkeypatch.setattr(card_checks, "torch_codes", tuple)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    fault = software_fault(card_of(capability, cuda_driver))
    assert (fault.name if fault else "") == name
    command = f"`{sys.executable} -I -m trainer.cards.install_torch {hint}`"
    assert fault is None or command in fault.hint


def test_what_the_build_has_code_for_counts_where_it_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr(card_checks, "torch_codes", lambda: ("sm_70", "sm_75"))
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    assert software_fault(card_of((7, 0), "12.8")) is None  # as in torch 2.8 to 2.10
    monkeypatch.setattr(card_checks, "torch_codes", lambda: ("sm_75", "sm_80"))
    assert said(software_fault(card_of((7, 0), "12.8"))).startswith(
        "torch's build for CUDA 12.8 has no machine code for cards of compute capability 7.0,"
        " only sm_75 sm_80 | run `"
    )


@pytest.mark.parametrize("built", [None, (13, 0), (12, 6)])
def test_a_card_that_no_build_serves_cannot_be_fixed(
    monkeypatch: pytest.MonkeyPatch, built: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: built)
    fault = software_fault(card_of((3, 5), "11.4"))
    assert fault is not None
    assert fault.name == "card-too-old"
    assert fault.message == "torch no longer supports cards of compute capability 3.5"
    assert "use another card" in fault.hint


def test_a_driver_that_no_build_fits_is_to_be_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (13, 0))
    monkeypatch.setattr(card_checks, "torch_codes", tuple)
    card = replace(ADA, env={"driver": "390.157"})
    assert said(software_fault(card)) == (
        "the driver (390.157) supports CUDA 10 at most, but torch is built for 13.0"
        " | update NVIDIA's driver to 580 or newer"
    )


def test_a_card_that_reports_nothing_of_itself_has_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (13, 0))
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    assert software_fault(replace(ADA, compute_capability=(0, 0), env={})) is None


def test_a_compiler_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert "no C compiler" in said(software_fault(ADA))


def test_each_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nvidia, "driver_libraries", tuple)
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
        found = said(file_fault(ADA, tmp_path))
        assert f"{tmp_path / name} is not there" in found
        assert "nvidia-modprobe" in found
        (tmp_path / name).touch()
    assert "libcuda.so.1" in said(file_fault(ADA, tmp_path))
    monkeypatch.setattr(nvidia, "driver_libraries", lambda: (Path("/lib/libcuda.so.1"),))
    assert file_fault(ADA, tmp_path) is None


def test_a_file_that_does_not_open_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is a folder, which root cannot open as a file either, such as in a container."""
    monkeypatch.setattr(nvidia, "driver_libraries", lambda: (Path("/lib/libcuda.so.1"),))
    for name in ("nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia0").mkdir()
    fault = file_fault(ADA, tmp_path)
    assert fault is not None
    assert (fault.name, fault.message) == (
        "device-file-refused", f"{tmp_path / 'nvidia0'} cannot be opened (Is a directory)",
    )  # fmt: skip
    assert "`--gpus all`" in fault.hint


def test_rights_on_slices_are_only_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A running program is readable for all and writable for nobody, like these files."""
    monkeypatch.setattr(nvidia, "driver_libraries", lambda: (Path("/lib/libcuda.so.1"),))
    (tmp_path / "nvidia-caps").mkdir()
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps" / "nvidia-cap1").symlink_to(Path(sys.executable).resolve())
    assert file_fault(replace(ADA, mig_profile="1g.5gb"), tmp_path) is None
    (tmp_path / "nvidia0").unlink()
    (tmp_path / "nvidia0").symlink_to(Path(sys.executable).resolve())
    assert "nvidia0 cannot be opened (Text file busy)" in said(file_fault(ADA, tmp_path))


def test_wsl_needs_no_files_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    monkeypatch.setattr(nvidia, "driver_libraries", lambda: (Path("/usr/lib/wsl/lib"),))
    assert file_fault(ADA, tmp_path) is None


# In a sandbox, with another device instead of the card's files


def fault_in_sandbox(monkeypatch: pytest.MonkeyPatch, *files: str) -> CardFault | None:
    if probe_tier().name == "none":
        pytest.skip("there is no sandbox here")
    monkeypatch.setattr(nvidia, "device_files", lambda _card: [Path(file) for file in files])
    return asyncio.run(sandbox_fault(ADA))


def test_device_files_are_opened_in_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault_in_sandbox(monkeypatch, "/dev/full") is None
    fault = fault_in_sandbox(monkeypatch, "/dev/full", "/dev/tty")  # there is no terminal there
    assert fault is not None
    assert fault.name == "device-file-refused"
    assert fault.message.startswith("/dev/tty is not opened in a sandbox: ")


@pytest.mark.parametrize(
    ("expected", "name", "words"),
    [
        ("refused 13 /dev/nvidia0\ntried", "device-file-refused", "`sudo chmod a+rw /dev/nvidia0`"),
        ("refused 1 /dev/nvidiactl\ntried", "device-file-refused", "rent another"),
        ("refused 5 /dev/nvidia0\ntried", "device-file-refused", "`nvidia-smi` must work"),
        ("Fatal Python error\n", "no-sandbox", "Fatal Python error"),
        ("", "no-sandbox", "no answer"),
    ],
)
def test_what_keeps_files_from_being_opened_has_its_fix(
    expected: str, name: str, words: str
) -> None:
    fault = opening_fault(expected)
    assert fault is not None
    assert fault.name == name
    assert words in said(fault)


def test_without_a_sandbox_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: object) -> None:
        raise SafetyError("the sandbox did not start: Can't bind mount", "`arnode doctor` tells")

    monkeypatch.setattr(Sandbox, "launch", refuse)
    monkeypatch.setattr(card_checks, "probe_tier", lambda: Tier(name="full", detail=""))
    fault = asyncio.run(sandbox_fault(ADA))
    assert (fault and fault.name, "bind mount" in said(fault)) == ("no-sandbox", True)
    pod = Tier(name="none", detail="no user namespaces", hint="take another pod")
    monkeypatch.setattr(card_checks, "probe_tier", lambda: pod)
    fault = asyncio.run(sandbox_fault(ADA))
    assert (fault and fault.name, said(fault)) == (
        "no-sandbox",
        "no user namespaces | take another pod",
    )


@pytest.mark.soak
def test_cuda_is_tried_in_a_sandbox_and_its_words_are_reported() -> None:
    if torch_cuda() is not None:
        pytest.skip("torch is built for CUDA here")
    assert "Torch not compiled with CUDA enabled" in said(trial_fault(ADA))
