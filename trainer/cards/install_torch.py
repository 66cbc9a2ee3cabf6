"""`python -I -m trainer.cards.install_torch [BUILD]`: install the build of torch for the cards.

`uv` finds builds by name, and is installed first if it is missing. `make setup` runs this module
before everything else, so it needs no installed package.
"""

import argparse
import importlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError, ConfigurationError
from trainer.cards.torch_build import (
    BUILDS,
    LAST_DRIVER_BEFORE_TURING,
    Build,
    Capability,
    Installed,
    cuda_reached,
    fitting_build,
    installed,
    least_driver,
)
from trainer.host.interpreter import python_command

_TURING: Final = (7, 5)
_NAME = "trainer.cards.install_torch"
_WSL_SMI = Path("/usr/lib/wsl/lib/nvidia-smi")  # in WSL it is not always on PATH
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")
_ASK_S: Final = 30.0  # the driver may have to be loaded
_BOUND: Final = "torch>=2.6"  # as in pyproject.toml
_PIPS: Final = BUILDS[0]  # the build that `pip install torch` installs on x86-64


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """NVIDIA's driver, and the compute capabilities of its cards, as far as known."""

    version: str
    capabilities: tuple[Capability, ...] = ()

    def __str__(self) -> str:
        cards = ", ".join(f"{major}.{minor}" for major, minor in sorted(set(self.capabilities)))
        return f"NVIDIA driver {self.version}" + (f", compute capability {cards}" if cards else "")


def find_driver(
    constraints: Path | None = None,
    *,
    wsl_smi: Path = _WSL_SMI,
    driver_version: Path = _DRIVER_VERSION,
) -> Driver | None:
    """Return the driver with its version and its cards' compute capabilities; None without driver.

    If `nvidia-smi` does not report the capabilities, nvidia-ml-py asks the driver's library. It is
    installed at the version in `constraints` if it is missing.
    """
    smi = shutil.which("nvidia-smi") or (str(wsl_smi) if wsl_smi.exists() else None)
    driver = _asked(smi) if smi else None
    if driver is None and driver_version.exists():
        said = re.search(r"\s(\d{3,}\.[\d.]+)\s", driver_version.read_text())
        driver = Driver(version=said[1]) if said else None
    if driver is None or driver.capabilities:
        return driver
    return replace(driver, capabilities=_library_capabilities(constraints))


def _asked(smi: str) -> Driver | None:
    for fields in ("driver_version,compute_cap", "driver_version"):  # older drivers: only version
        argv = [smi, f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_ASK_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
        rows = re.findall(r"^(\d+\.[\d.]+)(?:, *(?:(\d+)\.(\d+)|.*))?$", said.stdout, re.MULTILINE)
        if said.returncode == 0 and rows:
            capabilities = tuple((int(major), int(minor)) for _, major, minor in rows if major)
            return Driver(version=rows[0][0], capabilities=capabilities)
    return None


def _library_capabilities(constraints: Path | None) -> tuple[Capability, ...]:
    """Return the cards' compute capabilities from the driver's library; empty if unknown."""
    if find_spec("pynvml") is None and not _fetched("nvidia-ml-py", constraints):
        return ()
    importlib.invalidate_caches()
    import pynvml

    from trainer.cards.nvml import initialised, query

    try:
        with initialised():
            handles = [
                query(pynvml.nvmlDeviceGetHandleByIndex, number)
                for number in range(pynvml.nvmlDeviceGetCount())
            ]
            found = [
                query(pynvml.nvmlDeviceGetCudaComputeCapability, one) for one in handles if one
            ]
    except pynvml.NVMLError:
        return ()
    return tuple((major, minor) for major, minor in filter(None, found))


def install_command(build: Build) -> str:
    """Return the command that installs a build for the running Python."""
    return shlex.join([*python_command("-m", _NAME), build.name])


def torch_hint(reached: int | None, capability: Capability) -> str:
    """Return a hint how to get a torch build for a card and its driver's CUDA version."""
    build = fitting_build(reached, [capability])
    if build is not None:
        return f"run `{install_command(build)}`: torch's build for CUDA {build.version} fits"
    with_newer_driver = fitting_build(None, [capability])
    if with_newer_driver is None:
        return "no build of torch supports this card any more: use another card"
    least = least_driver(with_newer_driver.cuda[0])
    if capability < _TURING:
        return (
            f"update NVIDIA's driver to {least} or newer, up to {LAST_DRIVER_BEFORE_TURING}, the"
            " last one for this card"
        )
    return f"update NVIDIA's driver to {least} or newer"


def install(build: Build, pinned: str | None, constraints: Path | None = None) -> None:
    """Replace the installed torch by `build`; use the pinned release if it has such a build.

    Raises ConfigurationError if the installation fails.
    """
    argv = [
        *_uv(constraints), "pip", "install", "--python", sys.executable,
        "--torch-backend", build.name,
        "--reinstall-package", "torch",  # without a pin uv would keep the installed build
        f"torch=={pinned}+{build.name}" if pinned and build.has_release(pinned) else _BOUND,
    ]  # fmt: skip
    code = subprocess.run(argv, check=False).returncode
    found = installed()
    if code or found is None or found.cuda != build.cuda:
        raise ConfigurationError(
            f"could not install torch's build for CUDA {build.version}; see the messages above",
            f"try again with `{install_command(build)}`",
        )


def _uv(constraints: Path | None) -> list[str]:
    """Return the command for uv, installed if missing. Raises ConfigurationError on failure."""
    module = python_command("-m", "uv")
    if find_spec("uv"):
        return module
    if path := shutil.which("uv"):
        return [path]
    if _fetched("uv", constraints):
        return module
    raise ConfigurationError(
        "could not install the package uv, which finds torch's builds by name",
        f"install it, then run `{shlex.join(python_command('-m', _NAME))}`",
    )


def _fetched(package: str, constraints: Path | None) -> bool:
    """Install a package by pip; return True on success."""
    argv = [*python_command("-m", "pip"), "install", "--quiet", package]
    argv += ["--constraint", str(constraints)] if constraints else []
    return find_spec("pip") is not None and subprocess.run(argv, check=False).returncode == 0


def prepare(constraints: Path, kept: Path, driver: Driver | None) -> None:
    """Install the fitting build of torch before everything else, if pip would install a wrong one.

    Write the constraints for the other packages to `kept`. They pin another release of torch if
    only that release has a fitting build. On failure print the error; pip then installs its own
    build, and `arnode doctor` reports the fault again.
    """
    text = constraints.read_text()
    kept.write_text(text)
    if driver is None:
        return
    build = fitting_build(cuda_reached(driver.version), driver.capabilities)
    if build is None:
        newest = max(driver.capabilities, default=(0, 0))
        hint = torch_hint(cuda_reached(driver.version), newest)
        _say(f"{driver}: {hint}; runs will use the processor")
        return
    fits = f"{driver}: torch's build for CUDA {build.version} fits"
    line = re.search(r"^torch==(\S+)$", text, re.MULTILINE)
    pinned = line[1] if line else None
    if _needs_no_help(installed(), build, pinned, driver):
        _say(fits)
    else:
        _say(f"{fits} and is installed first (about 3 GB) …")
        try:
            install(build, pinned, constraints)
        except ConfigurationError as error:
            _say(f"{error.message}; {error.hint}. pip's build is installed instead.")
            return
    found = installed()
    if found is not None and line and not build.has_release(line[1]):
        kept.write_text(text.replace(line[0], f"torch=={found.version}"))


def _needs_no_help(
    found: Installed | None, build: Build, pinned: str | None, driver: Driver
) -> bool:
    """Return True if torch fits already, or if pip will install a torch that fits."""
    is_pips = build is _PIPS and platform.machine() == "x86_64"
    if found is None:
        return is_pips
    served = [capability for capability in driver.capabilities if build.serves(capability)]
    if not found.fits(cuda_reached(driver.version), served):
        return False  # pip would not replace a torch of the pinned release
    return is_pips or found.version == pinned or not (pinned and build.has_release(pinned))


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Install the named or the fitting build. With --constraints, act as a step of `make setup`."""
    parser = argparse.ArgumentParser(prog=f"python -I -m {_NAME}")
    names = [build.name for build in BUILDS]
    parser.add_argument("build", nargs="?", choices=names, help="default: the build for the cards")
    parser.add_argument("--constraints", type=Path, help="for `make setup`: the pinned versions")
    parser.add_argument(
        "--kept", type=Path, help="for `make setup`: the file to write the adapted versions to"
    )
    options = parser.parse_args()
    try:
        if options.constraints:
            prepare(options.constraints, options.kept, find_driver(options.constraints))
            return 0
        build = next((one for one in BUILDS if one.name == options.build), None) or _fitting()
        found = installed()
        install(build, found.version if found else None)
    except ArnodeError as error:
        print(f"{error.message}: {error.hint}", file=sys.stderr)
        return error.exit_code
    _say(f"torch's build for CUDA {build.version} is installed; `arnode doctor` checks the rest.")
    return 0


def _fitting() -> Build:
    """Return the build that fits this machine. Raises ConfigurationError if none fits."""
    driver = find_driver()
    if driver is None:
        raise ConfigurationError(
            "no NVIDIA driver was found",
            "`nvidia-smi` must list the cards; or name a build, such as `cu126`",
        )
    build = fitting_build(cuda_reached(driver.version), driver.capabilities)
    if build is None:
        newest = max(driver.capabilities, default=(0, 0))
        raise ConfigurationError(str(driver), torch_hint(cuda_reached(driver.version), newest))
    return build


if __name__ == "__main__":
    sys.exit(main())
