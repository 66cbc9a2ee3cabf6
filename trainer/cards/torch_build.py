"""The choice of a torch build for NVIDIA's driver and cards, and the installed build's properties.

`pip install torch` installs a build for a recent CUDA version. Older drivers do not support it, and
it has no code for cards before Turing. This module needs no installed package, since `make setup`
uses it first.

uv's `--torch-backend auto` cannot make this choice. It looks at the driver and never at the cards.
Cards before Turing, and Blackwell with a driver before 580, would get a build without code for
them. If no CUDA build of the pinned release suits the driver, it installs the CPU build.

Sources: NVIDIA's "CUDA Compatibility", table of minor version compatibility (drivers); torch 2.13's
torch/cuda/__init__.py, PYTORCH_RELEASES_CODE_CC, and RELEASE.md of torch 2.7, 2.11 and 2.13 (what a
build has machine code for); CUDA's "Best Practices Guide", binary compatibility.
"""

import importlib
import mmap
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

Capability = tuple[int, int]

# By CUDA major version: the first driver that runs all of its toolkits.
_DRIVERS: Final = {13: 580, 12: 525, 11: 450}
LAST_DRIVER_BEFORE_TURING: Final = 580  # newer drivers do not list older cards at all
_CODES = re.compile(rb"\0((?:sm|compute)_\d+[af]?(?: (?:sm|compute)_\d+[af]?)*)\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An available build of torch.

    `name` is its name in uv. `codes` has its architectures by platform.machine(), in the form of
    `torch.cuda.get_arch_list()`. `last` is the last release of torch with such a build, None if
    builds are still made.
    """

    name: str
    cuda: tuple[int, int]
    codes: dict[str, str]
    last: tuple[int, ...] | None = None

    @property
    def version(self) -> str:
        """The CUDA version of the build."""
        return ".".join(map(str, self.cuda))

    def has_release(self, release: str) -> bool:
        """Return True if a release of torch, such as `2.13.0`, has this build."""
        return self.last is None or tuple(map(int, release.split(".")[:2])) <= self.last

    def serves(self, capability: Capability) -> bool:
        """Return True if the build runs on a card, or if the card's capability is unknown."""
        return serves(self.codes.get(platform.machine(), "").split(), capability)


# The first build that fits is chosen: new before old, and current before discontinued builds.
BUILDS: Final = (
    Build(
        name="cu130",
        cuda=(13, 0),
        codes={
            "x86_64": "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120",
            "aarch64": "sm_80 sm_90 sm_100 sm_110 sm_120",
        },
    ),
    Build(
        name="cu126",
        cuda=(12, 6),
        codes={
            "x86_64": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
            "aarch64": "sm_80 sm_90",
        },
        last=(2, 14),
    ),
    # For Blackwell with a driver before 580.
    Build(
        name="cu128",
        cuda=(12, 8),
        codes={"x86_64": "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"},
        last=(2, 11),
    ),
    Build(
        name="cu118",
        cuda=(11, 8),
        codes={"x86_64": "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"},
        last=(2, 7),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The installed torch: its version without the build's suffix, and the build's CUDA version.

    `codes` has its architectures; empty if they cannot be read.
    """

    version: str
    cuda: tuple[int, int] | None
    codes: tuple[str, ...] = ()

    def fits(self, reached: int | None, capabilities: Sequence[Capability]) -> bool:
        """Return True if this build works with a driver and on all cards.

        `reached` is the newest CUDA major version that the driver runs, None if unknown.
        """
        if self.cuda is None or (reached is not None and self.cuda[0] > reached):
            return False
        codes = self.codes or codes_of(self.cuda)
        return all(serves(codes, capability) for capability in capabilities)


def installed() -> Installed | None:
    """Return the properties of the installed torch, or None.

    They are read from files, since importing torch takes a second.
    """
    importlib.invalidate_caches()
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    try:
        text = (folder / "version.py").read_text()
    except FileNotFoundError:  # the rest of an interrupted installation
        return None
    version = re.search(r"^__version__\b.*= '([^'+]+)", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b.*= '(\d+)\.(\d+)'", text, re.MULTILINE)
    return Installed(
        version=version[1] if version else "",
        cuda=(int(cuda[1]), int(cuda[2])) if cuda else None,
        codes=_codes_in(folder / "lib" / "libtorch_python.so") if cuda else (),
    )


def _codes_in(library: Path) -> tuple[str, ...]:
    """Return the value of `torch.cuda.get_arch_list()`, read from a string in torch's library."""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            found = max(_CODES.findall(data), key=len, default=b"")
    except (FileNotFoundError, ValueError):  # ValueError: an empty file
        return ()
    return tuple(found.decode().split())


def codes_of(cuda: tuple[int, int]) -> tuple[str, ...]:
    """Return the architectures of builds for a CUDA version, or for the nearest known older one."""
    known = min((build for build in BUILDS if build.cuda <= cuda), default=BUILDS[-1], key=_newness)
    return tuple(known.codes.get(platform.machine(), "").split())


def _newness(build: Build) -> tuple[int, int]:
    return -build.cuda[0], -build.cuda[1]


def serves(codes: Iterable[str], capability: Capability) -> bool:
    """Return True if machine code runs on a card; (0, 0) is an unknown capability and gives True.

    `sm_86` runs on cards of the same major version from its minor version on. `compute_86`, which
    the driver compiles, runs on all later cards.
    """
    if capability == (0, 0):
        return True
    for code in codes:
        kind, _, digits = code.partition("_")
        have = divmod(int(digits.rstrip("af")), 10)
        if have <= capability and (kind == "compute" or have[0] == capability[0]):
            return True
    return False


def cuda_reached(driver: str) -> int:
    """Return the newest CUDA major version that a driver such as `550.144.03` runs, else 0."""
    branch = int(driver.partition(".")[0])
    return next((cuda for cuda, least in _DRIVERS.items() if branch >= least), 0)


def least_driver(cuda: int) -> int:
    """Return the branch of the first driver that runs a CUDA major version."""
    return _DRIVERS[cuda]


def fitting_build(reached: int | None, capabilities: Sequence[Capability]) -> Build | None:
    """Return the build for a driver and for cards; None if nothing fits.

    `reached` is the newest CUDA major version that the driver runs. The build runs on all cards, or
    if no build does, on the newest card. Unknown values (None, (0, 0)) are assumed to fit.
    """
    usable = [build for build in BUILDS if reached is None or build.cuda[0] <= reached]
    for wanted in (capabilities, [max(capabilities, default=(0, 0))]):
        for build in usable:
            if all(build.serves(capability) for capability in wanted):
                return build
    return None
