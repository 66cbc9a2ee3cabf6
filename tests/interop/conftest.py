"""Fixtures of the tests with JavaScript packages."""

import shutil
from pathlib import Path

import pytest

from tests.interop.javascript import FOLDER, packages


@pytest.fixture
def js_folder(tmp_path: Path) -> Path:
    """A folder with the JavaScript programs and their packages."""
    folder = tmp_path / "js"
    folder.mkdir()
    for module in FOLDER.glob("*.mjs"):
        shutil.copy(module, folder)
    (folder / "client").symlink_to(FOLDER / "client")
    (folder / "node_modules").symlink_to(packages())
    return folder
