"""The newest published coding agents, installed once under build/, or a reason why not."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

INSTALLED: Final = Path(__file__).parents[2] / "build" / "programs"
ASK_S: Final = 30
INSTALL_S: Final = 540
# Without network npm would try again for minutes.
_QUICK: Final = {"npm_config_fetch_retries": "0", "npm_config_update_notifier": "false"}
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
    known = _run([sys.executable, "-m", "pip", "index", "versions", "aider-chat"], ASK_S, "aider")
    version = known.partition("(")[2].partition(")")[0]
    if not version:
        pytest.skip("aider is not to be had: pip says nothing of its versions")
    folder = INSTALLED / f"aider-{version}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], ASK_S * 2, "aider")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, f"aider-chat=={version}"], INSTALL_S, "aider")
        (folder / "done").touch()
    return folder / "bin" / "aider"


def _from_npm(name: str) -> Path:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip(f"there is no npm to install {name} with")
    package = _PACKAGES[name]
    said = _run([npm, "view", package, "version", "--json"], ASK_S, name)
    version = json.loads(said)
    folder = INSTALLED / f"{name}-{version}"
    if not folder.exists():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=INSTALLED) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            (new / "package.json").write_text('{"private": true}')
            _run(
                [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund",
                 f"{package}@{version}"],
                INSTALL_S, name, folder=new,
            )  # fmt: skip
            if name == "claude":
                _run([node, f"{_CLAUDE}/install.cjs"], ASK_S, name, folder=new)
            # In one step: what is there is whole, whoever else installs it at this moment.
            if not folder.exists():
                new.rename(folder)
    return folder


def _run(command: Sequence[str], patience_s: float, name: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | _QUICK,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} was not to be had within {patience_s:g} s")
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        pytest.skip(f"{name} cannot be installed: {' '.join(last)}")
    return done.stdout
