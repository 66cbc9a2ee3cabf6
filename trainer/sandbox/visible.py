"""The files that a sandbox shows: one interpreter, listed packages and their libraries.

Each path is mounted separately, read-only, under a neutral name (`/python`, `/packages`). So code
inside cannot read the user's files or other installed files. Text that is scored must not occur in
a visible file: `trainer.language_model.text.windows` scans exactly these paths.
"""

import compileall
import functools
import importlib.util
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigurationError
from trainer.cards import nvidia
from trainer.cards.torch_build import installed
from trainer.sandbox.bytecode import TEMPORARY, hide_host_names
from trainer.sandbox.landlock import LIST, READ, Access

# torch and what `import torch`, `AdamW()` and the harness load. sympy and networkx cannot be left
# out: torch.optim imports torch._dynamo, which imports them.
PACKAGES = (
    "torch", "torchgen", "functorch", "numpy", "numpy.libs", "tiktoken", "tiktoken_ext",
    "regex", "sympy", "mpmath", "networkx", "filelock", "typing_extensions",
    "jinja2", "markupsafe", "fsspec", "msgpack",
)  # fmt: skip

# Shared libraries of the interpreter's standard modules and of torch's wheels, by SONAME.
_LIBRARIES = (
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libgomp.so.1", "libatomic.so.1",
    "libz.so.1", "libexpat.so.1", "libffi.so.8", "libffi.so.7", "libbz2.so.1.0", "libbz2.so.1",
    "liblzma.so.5", "libuuid.so.1", "libcrypt.so.1", "libcrypt.so.2", "libcrypto.so.3",
    "libssl.so.3", "libcrypto.so.1.1", "libssl.so.1.1", "libmpdec.so.3", "libmpdec.so.4",
    "libsqlite3.so.0", "libzstd.so.1", "libgfortran.so.5", "libquadmath.so.0",
)  # fmt: skip
_LIBRARY_FOLDER = f"/lib/{platform.machine()}-linux-gnu"
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
_HIDDEN_IN_STDLIB = ("site-packages", "dist-packages", "test")
_HIDDEN_IN_PACKAGES = ("torch/include",)  # ten thousand headers, useless without a compiler

_READ_AHEAD_BYTES = 128 << 10  # the kernel's default limit
INSIDE = "trainer/sandbox/inside"  # code that the harnesses of all kinds of task share
HARNESSES = ("trainer/language_model/harness", "trainer/program/harness")  # one for each kind
SHOWN_CODE = {folder: Path(__file__).parents[2] / folder for folder in (INSIDE, *HARNESSES)}
# Like `-I`, except that Python reads the hash seed from the environment, which arnode sets.
FLAGS = ("-P", "-s", "-S", "-B")
INTERPRETER = f"/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class VisiblePath:
    """A host path and where the sandbox shows it, read-only."""

    host: Path
    inside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleTree:
    """Read-only bindings, and the paths inside that an empty folder covers."""

    bindings: tuple[VisiblePath, ...]
    covered: tuple[str, ...]

    def host_files(self) -> list[Path]:
        """Return every regular file that a sandbox can open through the bindings.

        Temporary files that another process is about to rename to compiled ones are left out.
        """
        files: list[Path] = []
        for binding in self.bindings:
            if binding.host.is_file():
                files.append(binding.host)
                continue
            covered = {str(path) for path in self._covered_in(binding)}
            # Use os.walk: with pathlib twenty thousand files take ten times as long.
            for folder, folders, names in os.walk(binding.host):
                folders[:] = sorted(each for each in folders if f"{folder}/{each}" not in covered)
                kept = (name for name in sorted(names) if not name.startswith(TEMPORARY))
                paths = (f"{folder}/{name}" for name in kept)
                files += [Path(path) for path in paths if os.path.isfile(path)]  # noqa: PTH113
        return files

    def warm_up(self) -> None:
        """Hide the host's folder names in compiled files, and load all visible files into memory.

        Then a sandbox cannot find out from the page cache which files another sandbox read. For
        packages this is done once per process. arnode's own files are checked each time: no
        installer compiles them, and any process may do so while it imports them.
        """
        for binding in self.bindings:
            if _is_own(binding):
                compileall.compile_dir(binding.host, ddir=binding.inside, quiet=2)
                hide_host_names(binding.host, binding.inside)
        self._warm_up_once()

    @functools.cache  # noqa: B019 -- there are two trees, which live as long as the process
    def _warm_up_once(self) -> None:
        for binding in self.bindings:
            if not _is_own(binding):
                hide_host_names(binding.host, binding.inside, covered=self._covered_in(binding))
        self.keep_in_memory()

    def keep_in_memory(self) -> None:
        """Ask the kernel to load all visible files into memory, in chunks that it reads whole."""
        for path in self.host_files():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                for start in range(0, max(size, 1), _READ_AHEAD_BYTES):
                    os.posix_fadvise(descriptor, start, _READ_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)

    def rules(self) -> dict[Path, Access]:
        """Return the bindings as Landlock rules, which can only add rights.

        A folder with covered paths can be listed, and each of its other children can be read.
        """
        rules: dict[Path, Access] = {}
        for binding in self.bindings:
            covered = self._covered_in(binding)
            rules[binding.host] = LIST if covered else READ
            if covered:
                rules |= {path: READ for path in binding.host.iterdir() if path not in covered}
        return rules

    def _covered_in(self, binding: VisiblePath) -> list[Path]:
        return [
            binding.host / path[len(binding.inside) + 1 :]
            for path in self.covered
            if path.startswith(binding.inside + "/")
        ]


def _is_own(binding: VisiblePath) -> bool:
    return binding.inside.removeprefix("/arnode/") in SHOWN_CODE


@functools.cache
def visible_tree(*, with_cuda: bool = False) -> VisibleTree:
    """Return the files that this installation's sandboxes show; `with_cuda` adds those for a card.

    Raises ConfigurationError without torch.
    """
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    inside_stdlib = f"/python/lib/{stdlib.name}"
    bindings = [
        VisiblePath(Path(sys.executable).resolve(), INTERPRETER),
        VisiblePath(stdlib, inside_stdlib),
        *(
            VisiblePath(library, f"/python/lib/{library.name}")
            for library in sorted(Path(sys.base_prefix, "lib").glob("libpython3*.so*"))
        ),
        *_system_libraries(),
        *_packages(PACKAGES),
        *(_packages(nvidia.LIBRARIES) if _is_built_for_cuda() else ()),
        *(VisiblePath(host, f"/arnode/{folder}") for folder, host in SHOWN_CODE.items()),
        *(_cuda() if with_cuda else ()),
    ]
    covered = [f"{inside_stdlib}/{name}" for name in _HIDDEN_IN_STDLIB if (stdlib / name).is_dir()]
    covered += [
        f"/packages/{name}" for name in _HIDDEN_IN_PACKAGES if (_next_to_torch() / name).is_dir()
    ]
    return VisibleTree(bindings=tuple(bindings), covered=tuple(covered))


def _system_libraries() -> list[VisiblePath]:
    folders = [_LIBRARY_FOLDER, f"/usr{_LIBRARY_FOLDER}", "/lib64", "/usr/lib64", "/usr/lib"]
    found = [VisiblePath(Path(loader), loader) for loader in _LOADERS if Path(loader).exists()]
    for name in _LIBRARIES:
        path = next((Path(folder, name) for folder in folders if Path(folder, name).exists()), None)
        if path:
            found.append(VisiblePath(path.resolve(), f"{_LIBRARY_FOLDER}/{name}"))
    return found


def _cuda() -> Iterator[VisiblePath]:
    yield from _packages(nvidia.PACKAGES)
    for folder in nvidia.package_metadata():
        yield VisiblePath(folder, f"/packages/{folder.name}")
    for path in nvidia.driver_libraries():
        if path.is_dir():
            yield VisiblePath(path, str(path))
            continue
        # The driver's libraries also look for one another by a name with a version.
        for name in dict.fromkeys((path.name, path.resolve().name)):
            yield VisiblePath(path.resolve(), f"{_LIBRARY_FOLDER}/{name}")
    for host, inside in nvidia.compiler_files():
        yield VisiblePath(host, inside)


def _packages(names: Iterable[str]) -> list[VisiblePath]:
    if importlib.util.find_spec("torch") is None:
        raise ConfigurationError(
            "torch is not installed next to arnode",
            "install it into the same environment: `make setup`, or `pip install torch`",
        )
    found = []
    for name in names:
        spec = None if "." in name else importlib.util.find_spec(name)
        if spec and spec.origin:
            origin = Path(spec.origin)
            path = origin.parent if origin.name == "__init__.py" else origin
        else:  # `numpy.libs` is not a module; `tiktoken_ext` has no __init__
            path = _next_to_torch() / name
        if path.exists():
            found.append(VisiblePath(path, f"/packages/{path.name}"))
    return found


def _is_built_for_cuda() -> bool:
    """Return True if torch is the CUDA build, which pip installs on Linux.

    That build does not load without CUDA's libraries, with or without a card.
    """
    found = installed()
    return found is not None and found.cuda is not None


def _next_to_torch() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None  # noqa: S101 -- checked by the caller
    assert spec.origin is not None  # noqa: S101
    return Path(spec.origin).parent.parent
