"""A minimal Python environment, as on rented GPU machines: five packages and their dependencies."""

import re
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

# The packages that `make gpu` needs, each with the module that shows that it is installed.
MODULES: Final = {
    **{name: name for name in ("torch", "numpy", "tiktoken", "msgpack")},
    "nvidia-ml-py": "pynvml",
}

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def make_bare(folder: Path) -> Path:
    """Make an environment of links to packages installed here; return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in _needed(MODULES):
        distribution = metadata.distribution(name)
        files = distribution.files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


def _needed(names: Iterable[str]) -> set[str]:
    """Return the installed distributions that these need, without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform
            continue
        found.add(name)
        waiting += [
            match[0].lower()
            for line in required
            if "extra ==" not in line and (match := _NAME.match(line))
        ]
    return found
