"""The newest published coding agents, installed once under build/, or a reason why not."""

import json
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.installing import installed_once, run_or_skip

INSTALLED: Final = Path(__file__).parents[2] / "build" / "programs"
ASK_S: Final = 30
INSTALL_S: Final = 540
_PACKAGES: Final = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex"}
_CLAUDE: Final = "node_modules/@anthropic-ai/claude-code"


@cache
def claude() -> Path:
    """Return the newest Claude Code, or skip the test."""
    folder = _from_npm("claude")
    # It comes without its binary; its own script links that of another package to its place.
    return folder / "node_modules" / ".bin" / "claude"


@cache
def codex() -> Path:
    """Return the newest Codex, or skip the test."""
    return _from_npm("codex") / "node_modules" / ".bin" / "codex"


@cache
def aider() -> Path:
    """Return the newest aider, in an environment of its own, or skip the test."""
    known = run_or_skip(
        [sys.executable, "-m", "pip", "index", "versions", "aider-chat"], ASK_S, "aider"
    )
    version = known.partition("(")[2].partition(")")[0]
    if not version:
        pytest.skip("aider is not to be had: pip says nothing of its versions")
    folder = INSTALLED / f"aider-{version}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run_or_skip([sys.executable, "-m", "venv", str(folder)], ASK_S * 2, "aider")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run_or_skip([*pip, f"aider-chat=={version}"], INSTALL_S, "aider")
        (folder / "done").touch()
    return folder / "bin" / "aider"


def _from_npm(name: str) -> Path:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip(f"there is no npm to install {name} with")
    package = _PACKAGES[name]
    said = run_or_skip([npm, "view", package, "version", "--json"], ASK_S, name)
    version = json.loads(said)

    def install(new: Path) -> None:
        (new / "package.json").write_text('{"private": true}')
        run_or_skip(
            [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", f"{package}@{version}"],
            INSTALL_S, name, folder=new,
        )  # fmt: skip
        if name == "claude":
            run_or_skip([node, f"{_CLAUDE}/install.cjs"], ASK_S, name, folder=new)

    return installed_once(INSTALLED / f"{name}-{version}", install)
