"""A folder of modules that leave a mark if something imports them."""

from pathlib import Path
from typing import Final

NAMES: Final = (
    "agent", "aiohttp", "asyncio", "bootstrap", "click", "concurrent", "git", "html", "json",
    "logging", "msgpack", "msgspec", "node", "numpy", "pathlib", "pip", "protocol", "ray",
    "safetensors", "site", "sitecustomize", "sqlite3", "subprocess", "tiktoken", "torch", "trainer",
    "trio", "typing", "usercustomize", "uv",
)  # fmt: skip
_TRAP: Final = """import sys
with open({mark!r}, "a") as file:
    print(__name__, *sys.orig_argv, file=file)
raise ImportError("a trap in the current folder")
"""


class Traps:
    """The folder, and the record of imports."""

    def __init__(self, folder: Path, *, without: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._mark = folder / "imported"
        for name in NAMES:
            if name not in without:
                (folder / f"{name}.py").write_text(_TRAP.format(mark=str(self._mark)))

    @property
    def imported(self) -> str:
        """The modules that were imported from here, each with the command that imported it."""
        return self._mark.read_text() if self._mark.exists() else ""
