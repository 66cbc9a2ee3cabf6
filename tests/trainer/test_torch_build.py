"""The build of torch for a driver and cards, and what is read from the installed one."""

from pathlib import Path

import pytest

from trainer.cards import torch_build
from trainer.cards.torch_build import (
    BUILDS,
    Capability,
    Installed,
    codes_of,
    cuda_reached,
    fitting_build,
    installed,
    serves,
)

KEPLER, MAXWELL, PASCAL, VOLTA = (3, 5), (5, 2), (6, 1), (7, 0)
TURING, AMPERE, ADA, HOPPER, BLACKWELL = (7, 5), (8, 6), (8, 9), (9, 0), (12, 0)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("driver", "capabilities", "expected"),
    [
        ("590.44.01", [ADA], "cu130"),
        ("580.95.05", [TURING], "cu130"),
        ("580.95.05", [BLACKWELL], "cu130"),
        ("550.144.03", [AMPERE], "cu126"),
        ("535.183.01", [HOPPER], "cu126"),
        ("580.95.05", [PASCAL], "cu126"),
        ("535.183.01", [PASCAL], "cu126"),
        ("580.95.05", [VOLTA], "cu126"),
        ("525.60.13", [MAXWELL], "cu126"),
        ("572.60", [BLACKWELL], "cu128"),
        ("470.256.02", [ADA], "cu118"),
        ("580.95.05", [KEPLER], None),
        ("470.256.02", [KEPLER], None),
        ("470.256.02", [BLACKWELL], None),
        ("390.157", [ADA], None),
        ("580.95.05", [PASCAL, ADA], "cu126"),
        ("580.95.05", [PASCAL, BLACKWELL], "cu130"),  # none supports both: the newest card counts
        ("580.95.05", [(0, 0)], "cu130"),
        ("550.144.03", [], "cu126"),
    ],
)
def test_the_build_fits_driver_and_cards(
    driver: str, capabilities: list[Capability], expected: str | None
) -> None:
    build = fitting_build(cuda_reached(driver), capabilities)
    assert (build and build.name) == expected


def test_another_platform_has_other_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert fitting_build(13, [(12, 1)]) == BUILDS[0]
    assert fitting_build(12, [(9, 0)]) == BUILDS[1]
    assert fitting_build(None, [TURING]) is None


@pytest.mark.parametrize(
    ("codes", "capability", "expected"),
    [
        (["sm_60"], (6, 1), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_80", "compute_80"], (9, 0), True),
        (["compute_120"], (9, 0), False),
        (["sm_90a"], (9, 0), True),
        ([], (0, 0), True),
        ([], (8, 0), False),
    ],
)
def test_machine_code_runs_within_its_major_version(
    codes: list[str], capability: Capability, expected: bool
) -> None:
    assert serves(codes, capability) is expected


@pytest.mark.parametrize(
    ("cuda", "newest", "oldest"),
    [
        ((13, 2), "sm_120", "sm_75"),
        ((12, 9), "sm_120", "sm_75"),
        ((12, 8), "sm_120", "sm_75"),
        ((12, 6), "sm_90", "sm_50"),
        ((12, 4), "sm_90", "sm_50"),
        ((11, 8), "sm_90", "sm_50"),
    ],
)
def test_what_a_build_that_does_not_report_has_code_for(
    cuda: tuple[int, int], newest: str, oldest: str
) -> None:
    codes = codes_of(cuda)
    assert (codes[-1], codes[0]) == (newest, oldest)


def test_newest_builds_are_those_that_torch_itself_lists() -> None:
    """torch's own table of the architectures in its releases, if the installed one has it."""
    pytest.importorskip("torch")
    from torch import cuda

    reported = getattr(cuda, "PYTORCH_RELEASES_CODE_CC", None)
    if reported is None:
        pytest.skip("this torch has no such table")
    for build in BUILDS[:2]:
        for machine, codes in build.codes.items():
            assert {int(code.removeprefix("sm_")) for code in codes.split()} == reported[
                build.version
            ][machine]


@pytest.mark.parametrize(
    ("text", "version", "cuda"),
    [
        ("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n", "2.13.0", (13, 0)),
        ("__version__ = '2.6.0'\ncuda = '12.8'\nhip = None\n", "2.6.0", (12, 8)),
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n", "2.13.0", None),
    ],
)
def test_the_build_is_read_without_importing_torch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str,
    version: str,
    cuda: tuple[int, int] | None,
) -> None:
    (tmp_path / "version.py").write_text(text)
    library = tmp_path / "lib" / "libtorch_python.so"

    class Found:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(torch_build, "find_spec", lambda _name: Found)
    assert installed() == Installed(version=version, cuda=cuda)
    library.parent.mkdir()
    library.touch()
    assert installed() == Installed(version=version, cuda=cuda)
    library.write_bytes(b"\x7fELF\0sm_90\0arch sm_99 sm_98\0sm_50 sm_60 compute_60\0\0")
    codes = ("sm_50", "sm_60", "compute_60") if cuda else ()
    assert installed() == Installed(version=version, cuda=cuda, codes=codes)


def test_whether_an_installed_build_fits() -> None:
    build = Installed(version="2.13.0", cuda=(13, 0))
    assert build.fits(13, [ADA])
    assert build.fits(None, [])
    assert not build.fits(12, [ADA])
    assert not build.fits(13, [ADA, PASCAL])
    assert Installed(version="2.13.0", cuda=(13, 0), codes=("sm_60",)).fits(13, [PASCAL])
    assert not Installed(version="2.13.0", cuda=None).fits(13, [ADA])
