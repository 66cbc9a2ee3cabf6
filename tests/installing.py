"""Programs from package registries, installed once; if that fails, their tests are skipped."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

# Without a network, npm would retry for minutes.
_QUICK: Final = {"npm_config_fetch_retries": "0", "npm_config_update_notifier": "false"}


def installed_once(folder: Path, install: Callable[[Path], None]) -> Path:
    """Return `folder`, which `install` fills if it does not exist yet.

    The folder appears in one step. So it is always complete, even if several processes install it
    at the same time.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            install(new)
            if not folder.exists():
                new.rename(folder)
    return folder


def run_or_skip(
    command: Sequence[str], patience_s: float, name: str, folder: Path | None = None
) -> str:
    """Return the output of an installer's command; skip the test if it fails or takes too long."""
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
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        faults = [line for line in said if line.startswith("npm error")] or said[-1:]
        pytest.skip(f"{name} cannot be installed: {' '.join(faults[:3])}")
    return done.stdout
