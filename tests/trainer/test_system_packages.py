"""A missing program's hint is the command of this machine's package manager."""

import shutil

import pytest

from trainer.host.system_packages import install_hint


@pytest.mark.parametrize(
    ("manager", "hint"),
    [
        ("apt-get", "install it as root: `apt-get install git`"),
        ("pacman", "install it as root: `pacman --sync git`"),
        (None, "install your distribution's package `git`"),
    ],
)
def test_a_hint_has_the_command_of_the_package_manager_that_is_there(
    manager: str | None, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == manager else None)
    assert install_hint("git") == hint
