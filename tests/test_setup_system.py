"""`setup-system` installs missing packages by the names of each package manager."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "setup-system"
SAYS = '#!/bin/sh\necho "{name} $*" >> {log}\n'


class Machine:
    """A machine that has only the programs put there."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._log = folder / "log"
        self._log.touch()

    @property
    def called(self) -> list[str]:
        """The calls of package managers."""
        return self._log.read_text().splitlines()

    def has(self, *names: str) -> None:
        for name in names:
            self._program(name, SAYS.format(name=name, log=self._log))

    def is_user(self, number: int) -> None:
        self._program("id", f"#!/bin/sh\necho {number}\n")

    def set_up(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["/bin/sh", SCRIPT],
            env={"PATH": str(self._bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _program(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text)
        path.chmod(0o700)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.is_user(0)
    return machine


def test_where_all_is_there_nothing_is_said_or_done(machine: Machine) -> None:
    machine.has("bwrap", "git", "apt-get")
    done = machine.set_up()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.called == []


@pytest.mark.parametrize(
    ("manager", "calls"),
    [
        ("apt-get", ["apt-get update --quiet=2", "apt-get install --yes bubblewrap git"]),
        ("dnf", ["dnf install --assumeyes bubblewrap git"]),
        ("pacman", ["pacman --sync --noconfirm bubblewrap git"]),
        ("zypper", ["zypper --non-interactive install bubblewrap git"]),
    ],
)
def test_root_without_a_terminal_has_what_is_missing_installed(
    machine: Machine, manager: str, calls: list[str]
) -> None:
    machine.has(manager)
    done = machine.set_up()
    assert (done.returncode, done.stdout) == (0, "Installing bubblewrap git …\n")
    assert machine.called == calls


def test_a_user_without_a_terminal_is_shown_what_to_run(machine: Machine) -> None:
    machine.has("bwrap", "apt-get", "sudo")
    machine.is_user(1000)
    done = machine.set_up()
    assert done.returncode == 1
    assert done.stdout == "arnode needs: git. As root, run: apt-get install --yes git\n"
    assert machine.called == []


def test_where_no_package_manager_is_known_things_are_named_as_they_are(machine: Machine) -> None:
    machine.has("git")
    done = machine.set_up()
    assert done.returncode == 1
    assert "it needs: bubblewrap.\n" in done.stdout


@pytest.mark.parametrize(("goal", "is_said"), [("setup", True), ("start", False)])
def test_setup_alone_ends_with_what_comes_next(goal: str, is_said: bool) -> None:
    recipes = subprocess.run(
        ["make", "--dry-run", goal], cwd=SCRIPT.parent, capture_output=True, text=True, check=True
    )
    assert ("Next: make start" in recipes.stdout) == is_said
