"""Why a card cannot be used, by what is missing, and what mends it."""

from pathlib import Path

import pytest

from protocol.errors import ArnodeError
from trainer.cards import nvidia
from trainer.cards.cards import Card
from trainer.language_model import card_checks
from trainer.language_model.card_checks import file_fault, software_fault, torch_cuda, trial_fault

ADA = Card(
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4090",
    memory_bytes=24 << 30,
    compute_capability=(8, 9),
    minor=0,
    env={"driver": "570.133.20", "cuda_driver": "12.8"},
)
PASCAL = Card(
    uuid="GPU-2",
    name="NVIDIA GeForce GTX 1060 6GB",
    memory_bytes=6 << 30,
    compute_capability=(6, 1),
    env={"driver": "570.133.20", "cuda_driver": "12.8"},
)


def said(fault: ArnodeError | None) -> str:
    return "" if fault is None else f"{fault.message} | {fault.hint}"


@pytest.mark.parametrize(
    ("card", "built", "expected"),
    [
        (ADA, (12, 8), ""),
        (ADA, (12, 9), ""),  # drivers of one major version reach all of its toolkits
        (ADA, (13, 0), "the driver (570.133.20) reaches CUDA 12.8, torch is built for 13.0"),
        (PASCAL, (12, 6), ""),
        (PASCAL, (12, 8), "install torch's build for CUDA 12.6"),
        (ADA, None, "built for the CPU alone"),
    ],
)
def test_driver_build_and_card_must_fit(
    monkeypatch: pytest.MonkeyPatch, card: Card, built: tuple[int, int] | None, expected: str
) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: built)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")
    found = said(software_fault(card))
    assert expected in found
    assert bool(expected) == bool(found)


def test_a_compiler_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert "no C compiler" in said(software_fault(ADA))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '13.0'\n", (13, 0)),
        ("cuda = '12.8'\nhip = None\n", (12, 8)),
        ("cuda: Optional[str] = None\n", None),
    ],
)
def test_the_build_is_read_without_importing_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: tuple[int, int] | None
) -> None:
    (tmp_path / "version.py").write_text(text)

    class Found:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(card_checks, "find_spec", lambda _name: Found)
    assert torch_cuda() == expected


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


def test_wsl_needs_no_files_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    monkeypatch.setattr(nvidia, "driver_libraries", lambda: (Path("/usr/lib/wsl/lib"),))
    assert file_fault(ADA, tmp_path) is None


def test_cuda_is_tried_in_a_sandbox_and_its_words_are_told() -> None:
    if torch_cuda() is not None:
        pytest.skip("torch is built for CUDA here")
    assert "Torch not compiled with CUDA enabled" in said(trial_fault(ADA))
