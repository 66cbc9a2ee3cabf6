"""A distribution of plugins as somebody else would make one: a wheel that pip installs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def in_document(path: Path) -> tuple[str, dict[str, str]]:
    """Return the project file and the modules, by path, that a document shows."""
    blocks = _BLOCK.findall(path.read_text(encoding="utf-8"))
    (project,) = (text for kind, text in blocks if kind == "toml")
    modules = (text for kind, text in blocks if kind == "python")
    return project, {text.partition("\n")[0].removeprefix("# "): text for text in modules}


def installed(project: str, modules: Mapping[str, str], folder: Path) -> Path:
    """Build a wheel and install it; return the folder that it was installed into."""
    table = tomllib.loads(project)["project"]
    name, version = table["name"].replace("-", "_"), table["version"]
    entries = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in table["entry-points"].items()
    )
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {table['name']}\nVersion: {version}\n",
        f"{info}/WHEEL": _WHEEL,
        f"{info}/entry_points.txt": entries,
    }
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)
    site = folder / "site"
    words = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target")
    subprocess.run([sys.executable, *words, str(site), str(wheel)], check=True, timeout=120)
    return site
