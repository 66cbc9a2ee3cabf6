"""The environment for fake cards: torch's CUDA build and a stub of the driver.

It is made once under build/fake-gpu/: a download of 3 GB, 5 GB on disk. The project's own torch may
be built for the CPU only.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from tools.paths import ROOT

FOLDER: Final = ROOT / "build" / "fake-gpu"
_STUB: Final = Path(__file__).parent / "stub"
_REFUSED: Final = 801  # CUDA_ERROR_NOT_SUPPORTED
_MODULE: Final = "tools.fake_gpu.inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCard:
    """A card, by the properties that code queries.

    `sm` is its compute capability, as in `sm_90`. `shared_kib` is the most shared memory of a block
    that a kernel may opt in to. Source: CUDA C++ Programming Guide, "Compute Capabilities".
    """

    sm: int
    memory_gib: float
    processors: int
    shared_kib: int
    threads: int  # per multiprocessor

    @classmethod
    def of(cls, sm: int, memory_gib: float) -> "FakeCard":
        """Return a card of this architecture, with the number of processors of a usual one."""
        processors, shared_kib, threads = _ARCHITECTURES[sm]
        return cls(
            sm=sm,
            memory_gib=memory_gib,
            processors=processors,
            shared_kib=shared_kib,
            threads=threads,
        )

    def variables(self) -> dict[str, str]:
        """Return the environment variables that the stub reads."""
        return {
            "FAKE_GPU_SM": str(self.sm),
            "FAKE_GPU_MIB": str(round(self.memory_gib * 1024)),
            "FAKE_GPU_PROCESSORS": str(self.processors),
            "FAKE_GPU_SHARED": str(self.shared_kib << 10),
            "FAKE_GPU_THREADS": str(self.threads),
        }


_ARCHITECTURES: Final[Mapping[int, tuple[int, int, int]]] = {
    75: (40, 64, 1024),  # T4
    80: (108, 163, 2048),  # A100
    86: (82, 99, 1536),  # RTX 3090
    89: (128, 99, 1536),  # RTX 4090
    90: (132, 227, 2048),  # H100
    100: (148, 227, 2048),  # B200
    120: (170, 99, 1536),  # RTX 5090
}
ARCHITECTURES: Final = tuple(_ARCHITECTURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python with torch for CUDA, and the folder of the driver stub."""

    python: Path
    stub: Path

    def command(self) -> list[str]:
        """Return the command that runs a script inside; it reads a request from standard input."""
        return [str(self.python), "-m", _MODULE]

    def variables(self, card: FakeCard, compiled: Path) -> dict[str, str]:
        """Return the environment of such a process; compilers write to `compiled`."""
        return {
            **os.environ,
            **card.variables(),
            "LD_LIBRARY_PATH": str(self.stub),
            "LD_PRELOAD": str(self.stub / "runtime.so"),
            "PYTHONPATH": str(ROOT),
            "TORCHINDUCTOR_CACHE_DIR": str(compiled / "inductor"),
            "TRITON_CACHE_DIR": str(compiled / "triton"),
        }


def find_environment() -> Environment | None:
    """Return the environment if it exists."""
    found = Environment(python=FOLDER / "venv" / "bin" / "python", stub=FOLDER / "stub")
    is_there = found.python.exists() and (found.stub / "runtime.so").exists()
    return found if is_there else None


def make_environment() -> Environment:
    """Return the environment, made if it is missing.

    Raises ConfigurationError if torch's CUDA build or a C compiler is not available.
    """
    if shutil.which("gcc") is None:
        raise ConfigurationError("there is no C compiler", "install your distribution's `gcc`")
    python = FOLDER / "venv" / "bin" / "python"
    if not python.exists() or not _is_for_cuda(python):
        _install(python)
    _build_stub(python)
    found = find_environment()
    assert found is not None
    return found


def _install(python: Path) -> None:
    print("Fetching torch's CUDA build: 3 GB, once …", file=sys.stderr)
    version = re.search(r"^torch==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert version is not None
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    # `===` is the release itself, not a build of it with another label.
    wanted = [f"torch==={version[1]}", "numpy", "setuptools", "tiktoken", "msgpack", "nvidia-ml-py"]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--progress-bar", "on", *wanted]
    if subprocess.run(pip, check=False).returncode or not _is_for_cuda(python):
        raise ConfigurationError(
            f"torch {version[1]} for CUDA cannot be had here", "try where packages can be fetched"
        )


def _is_for_cuda(python: Path) -> bool:
    asks = "import msgpack, pynvml, tiktoken, torch; raise SystemExit(torch.version.cuda is None)"
    asked = [str(python), "-c", asks]
    return subprocess.run(asked, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _build_stub(python: Path) -> None:
    """Compile the driver and runtime stubs against the headers of the build's own CUDA."""
    found = python.parents[1].glob("lib/python*/site-packages/nvidia/cu*/include/cuda.h")
    headers = next(found).parent
    folder = FOLDER / "stub"
    folder.mkdir(parents=True, exist_ok=True)
    refusing = folder / "refusing.c"
    refusing.write_text(_refusing((headers / "cuda.h").read_text()))
    compile_c = ["gcc", "-shared", "-fPIC", "-w", f"-I{_STUB}", f"-I{headers}"]
    driver = [str(_STUB / "driver.c"), str(refusing), "-Wl,-soname,libcuda.so.1", "-o"]
    subprocess.run([*compile_c, *driver, folder / "libcuda.so.1"], check=True)
    subprocess.run(
        [*compile_c, _STUB / "runtime.c", "-o", folder / "runtime.so"],
        check=True,
    )


def _refusing(header: str) -> str:
    """Return C code for the driver's other functions; each returns an error.

    Programs compiled against the header ask for newer versions of some functions by other names.
    """
    names = set(re.findall(r"CUresult CUDAAPI (cu\w+)\(", header))
    for name, newer in re.findall(r"#define (cu\w+)\s+(?:__CUDA_API_\w+\()?(cu\w+)", header):
        names |= {name, newer}
    own = set(re.findall(r"^CUresult (cu\w+)\(", (_STUB / "driver.c").read_text(), re.MULTILINE))
    functions = (f"int {name}(void) {{ return {_REFUSED}; }}\n" for name in sorted(names - own))
    return "".join(functions)
