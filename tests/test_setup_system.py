"""`setup-system` installs missing packages by the names of each package manager."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "setup-system"
PYTHON_DEV = f"python{sys.version_info[0]}.{sys.version_info[1]}-dev"
# A stand-in for a compiler that has only these headers.
CC = '#!/bin/sh\nread -r include\ncase "$include" in {known}) exit 0;; esac\nexit 1\n'
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

    def compiles(self, *headers: str) -> None:
        self._program("cc", CC.format(known="|".join(f"'#include <{one}>'" for one in headers)))

    def is_user(self, number: int) -> None:
        self._program("id", f"#!/bin/sh\necho {number}\n")

    def set_up(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["/bin/sh", SCRIPT, *arguments],
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
    machine.compiles("stdio.h", "gmp.h", "Python.h")
    done = machine.set_up(sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.called == []


def test_what_python_packages_are_compiled_with_is_asked_for_only_before_they_are_installed(
    machine: Machine,
) -> None:
    machine.has("bwrap", "git", "apt-get")
    assert machine.set_up().returncode == 0
    assert machine.called == []


@pytest.mark.parametrize(
    ("headers", "packages"),
    [
        ((), f"gcc libc6-dev libgmp-dev {PYTHON_DEV}"),
        (("stdio.h",), f"libgmp-dev {PYTHON_DEV}"),
        (("stdio.h", "gmp.h"), PYTHON_DEV),
        (("stdio.h", "Python.h"), "libgmp-dev"),
    ],
)
def test_root_without_a_terminal_has_what_is_missing_installed(
    machine: Machine, headers: tuple[str, ...], packages: str
) -> None:
    machine.has("bwrap", "git", "apt-get")
    machine.compiles(*headers)
    done = machine.set_up(sys.executable)
    assert (done.returncode, done.stdout) == (0, f"Installing {packages} …\n")
    assert machine.called == ["apt-get update --quiet=2", f"apt-get install --yes {packages}"]


@pytest.mark.parametrize(
    ("manager", "install"),
    [
        ("dnf", "dnf install --assumeyes bubblewrap git gcc gmp-devel python3-devel"),
        ("pacman", "pacman --sync --noconfirm bubblewrap git gcc gmp python"),
        ("zypper", "zypper --non-interactive install bubblewrap git gcc gmp-devel python3-devel"),
    ],
)
def test_other_systems_have_names_of_their_own(
    machine: Machine, manager: str, install: str
) -> None:
    machine.has(manager)
    assert machine.set_up(sys.executable).returncode == 0
    assert machine.called == [install]


def test_a_user_without_a_terminal_is_shown_what_to_run(machine: Machine) -> None:
    machine.has("bwrap", "apt-get", "sudo")
    machine.is_user(1000)
    machine.compiles("stdio.h", "Python.h")
    done = machine.set_up(sys.executable)
    assert done.returncode == 1
    assert done.stdout == (
        "arnode needs: git libgmp-dev. As root, run: apt-get install --yes git libgmp-dev\n"
    )
    assert machine.called == []


def test_where_no_package_manager_is_known_things_are_named_as_they_are(machine: Machine) -> None:
    machine.has("git")
    done = machine.set_up(sys.executable)
    assert done.returncode == 1
    assert "it needs: bubblewrap gcc gmp.h Python.h.\n" in done.stdout
