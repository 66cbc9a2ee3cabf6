"""The additional files that a sandbox must show so that CUDA works in it.

They are the card's own device files and no other card's, the driver's libraries, the packages that
torch's CUDA builds depend on, and a C compiler, since Triton compiles launchers for its kernels.
Without namespaces, Landlock allows the same files. Sources: NVIDIA container toolkit (device
nodes), Microsoft's "GPU acceleration in WSL" (/dev/dxg), GCC's "Spec files" for the answers of
`gcc -print-…`.
"""

import functools
import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from trainer.host.device import Device

# CUDA's libraries: torch's CUDA build does not load without them, even without a card.
LIBRARIES: Final = ("nvidia",)
# Packages that are needed on a card, and those that its compiler imports.
PACKAGES: Final = ("triton", "cuda", "setuptools", "_distutils_hack", "packaging")
_DISTRIBUTIONS = ("torch", "triton")  # their entry points and versions are looked up
_DRIVER_LIBRARIES = (
    "libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-gpucomp.so", "libnvidia-nvvm.so.4", "libdxcore.so",
)  # fmt: skip
# The files outside the compiler's own folder that a C shared library is linked with.
_LINKED = ("crti.o", "crtn.o", "libc.so", "libc_nonshared.a", "libm.so", "libmvec.so.1")
_WSL = Path("/usr/lib/wsl")
_DEV = Path("/dev")
_RIGHTS = Path("/proc/driver/nvidia/capabilities")
_CONTROL = ("nvidiactl", "nvidia-uvm")
# Read by the driver's library when it starts; without /sys it answers 304.
SYSTEM_FOLDERS: Final = ("/sys",)
PROC_ENTRIES: Final = (
    "/proc/cpuinfo", "/proc/devices", "/proc/driver", "/proc/meminfo", "/proc/self", "/proc/sys/vm",
    "/proc/modules",
)  # fmt: skip
_MULTIARCH = f"{platform.machine()}-linux-gnu"
_ABI = {"x86_64": "x86-64", "aarch64": "AArch64"}.get(platform.machine(), "libc6")  # not 32 bits


def device_files(device: Device, dev: Path = _DEV, rights: Path = _RIGHTS) -> tuple[Path, ...]:
    """Return the existing device files for a card: its own and the driver's.

    `rights` is the driver's folder that maps slices to capability files.
    """
    if (dev / "dxg").exists():  # WSL2 has one for all cards
        return (dev / "dxg",)
    wanted = [dev / name for name in _CONTROL]
    if device.minor is None:  # the driver does not say which file is the card's: take all
        wanted += sorted(one for one in dev.glob("nvidia*") if re.fullmatch(r"nvidia\d+", one.name))
    else:
        wanted.append(dev / f"nvidia{device.minor}")
    if "-mig-" in device.slug:
        own = _own_rights(device, rights)
        wanted += (
            sorted((dev / "nvidia-caps").glob("nvidia-cap*"))
            if own is None
            else [dev / "nvidia-caps" / f"nvidia-cap{number}" for number in own]
        )
    return tuple(path for path in wanted if path.exists())


def _own_rights(device: Device, rights: Path) -> list[int] | None:
    """Return the numbers of a slice's own capability files; None if the driver does not list them.

    Source: NVIDIA's "Multi-Instance GPU User Guide", "Device Nodes and Capabilities".
    """
    if device.minor is None or device.instance is None:
        return None
    gpu, compute = device.instance
    slice_ = rights / f"gpu{device.minor}" / "mig" / f"gi{gpu}"
    try:
        contents = [(folder / "access").read_text() for folder in (slice_, slice_ / f"ci{compute}")]
    except OSError:
        return None
    found = [re.search(r"^DeviceFileMinor: (\d+)$", text, re.MULTILINE) for text in contents]
    numbers = [int(one[1]) for one in found if one]
    return numbers if len(numbers) == len(contents) else None


def environment(device: Device, *, compiled: str, has_shared_memory: bool) -> dict[str, str]:
    """Return the environment variables of a process with a card.

    `compiled` is the folder for compiled kernels. Without shared memory (/dev/shm), the compiler
    uses no worker processes.
    """
    alone = {} if has_shared_memory else {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return {
        **alone,
        "CUDA_VISIBLE_DEVICES": device.cuda or "",
        "CUDA_CACHE_DISABLE": "1",  # kernels come compiled, or Triton caches them
        "PATH": "/python/bin:/usr/bin",
        "TORCHINDUCTOR_CACHE_DIR": f"{compiled}/inductor",
        "TRITON_CACHE_DIR": f"{compiled}/triton",
        "TRITON_LIBCUDA_PATH": f"/lib/{_MULTIARCH}",
    }


@functools.cache
def driver_libraries(wsl: Path = _WSL) -> tuple[Path, ...]:
    """Return the driver's libraries, as the dynamic loader finds them.

    In WSL2 they are the libraries of Windows, even if the loader does not list them; other
    installed libraries do not work with the card. These libraries load further files by path, so
    the folders `lib` and `drivers` of WSL2 are returned too.
    """
    names = _DRIVER_LIBRARIES
    windows = {name: wsl / "lib" / name for name in names if (wsl / "lib" / name).exists()}
    located = [windows.get(name) or _located(name) for name in names]
    folders = [folder for folder in (wsl / "lib", wsl / "drivers") if folder.is_dir()]
    return (*(path for path in located if path is not None), *folders)


def _located(library: str) -> Path | None:
    """Return the path of a library, from LD_LIBRARY_PATH (as in pods) or the loader's cache."""
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        if found := sorted(Path(folder).glob(f"{library}*")):
            return found[0]
    loader = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if loader is None:
        return None
    said = subprocess.run([loader, "-p"], capture_output=True, text=True, check=False).stdout
    for line in said.splitlines():
        name, _, where = line.strip().partition(" => ")
        if name.startswith(library) and _ABI in name and Path(where).exists():
            return Path(where)
    return None


def package_metadata() -> Iterator[Path]:
    """Yield the metadata folders of torch and triton."""
    for name in _DISTRIBUTIONS:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "METADATA":
                yield Path(str(file.locate())).parent


@functools.cache
def compiler_files() -> tuple[tuple[Path, str], ...]:
    """Return the C compiler's files, each with its path in a sandbox; empty without a compiler."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return ()
    begins = Path(_asked(gcc, "-print-file-name=crtbegin.o"))
    if not begins.is_absolute():  # it lacks its own files, and names none
        return ()
    install = begins.resolve().parent
    programs = {name: shutil.which(name) for name in ("as", "ld")}
    programs["gcc"] = gcc
    shown = [(Path(path).resolve(), f"/usr/bin/{name}") for name, path in programs.items() if path]
    # Debian 13 and Ubuntu 24.04 keep the compiler proper apart from the startup files.
    asked = (Path(_asked(gcc, f"-print-prog-name={name}")) for name in ("cc1", "collect2"))
    proper = [path for path in asked if path.is_absolute()]
    shown += [(one, str(one)) for one in (install, *(path.parent.resolve() for path in proper))]
    for name in _LINKED:
        path = Path(_asked(gcc, f"-print-file-name={name}"))
        if path.is_absolute():
            folder = "/lib" if ".so." in name else "/usr/lib"
            shown.append((path.resolve(), f"{folder}/{_MULTIARCH}/{name}"))
    tools = [path for path, _ in shown[:3]]
    tools += proper
    shown += [(path, f"/lib/{_MULTIARCH}/{path.name}") for path in _libraries_of(tools)]
    shown.append((Path("/usr/include"), "/usr/include"))
    include = Path(sysconfig.get_path("include"))
    if include.is_dir():  # shown twice for a system Python, which looks in its own folder
        shown.append((include.resolve(), f"/python/include/{include.name}"))
    return tuple(dict.fromkeys(shown))


def _asked(gcc: str, question: str) -> str:
    said = subprocess.run([gcc, question], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _libraries_of(programs: Iterable[Path]) -> list[Path]:
    """Return the shared libraries that system programs are linked with."""
    found: dict[str, Path] = {}
    for program in programs:
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for line in said.splitlines():
            if match := re.search(r"=> (/\S+)", line):
                found[Path(match[1]).name] = Path(match[1])
    return list(found.values())
