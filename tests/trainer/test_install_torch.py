"""The build of torch for driver and cards, as `make setup` and a command install it.

Stand-ins for `nvidia-smi`, `uv` and `pip` record their calls, and install a torch with only a
version file. Python is that of a new environment without packages.
"""

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainer.cards import install_torch
from trainer.cards.install_torch import Driver, find_driver, torch_hint
from trainer.cards.torch_build import BUILDS

ROOT = Path(__file__).parents[2]
PIN = "torch==2.13.0"
CONSTRAINTS = f"sympy==1.14.0\n{PIN}\ntqdm==4.70.1\n"

UV = """#!{python} -S
import os, sys
from pathlib import Path
here = Path({here!r})
with (here / "calls").open("a") as log:
    print("uv", *sys.argv[1:], file=log)
build = sys.argv[sys.argv.index("--torch-backend") + 1]
requirement = sys.argv[-1]
if (here / "uv-fails").exists():
    sys.exit("error: no such host")
releases = dict(cu118="2.7.1", cu128="2.11.0")
version = releases.get(build) or (requirement.partition("==")[2].partition("+")[0] or "2.14.0")
cuda = build[2:4] + "." + build[4:]
(here / "site" / "torch").mkdir(exist_ok=True)
(here / "site" / "torch" / "__init__.py").touch()
(here / "site" / "torch" / "version.py").write_text(
    f"__version__ = '{{version}}+{{build}}'\\ncuda: Optional[str] = '{{cuda}}'\\n"
)
"""
PIP = """
import shutil, sys
from pathlib import Path
here = Path({here!r})
with (here / "calls").open("a") as log:
    print("pip", *sys.argv[1:], file=log)
if "nvidia-ml-py" in sys.argv:
    shutil.copy(here / "library.py", here / "site" / "pynvml.py")
if "uv" in sys.argv:
    if not (here / "uv").exists():
        sys.exit("no such package")
    (here / "site" / "uv").mkdir()
    shutil.copy(here / "uv", here / "site" / "uv" / "__main__.py")
    (here / "site" / "uv" / "__init__.py").touch()
"""
# As much of nvidia-ml-py as the code calls, with a driver of one card.
LIBRARY = """
class NVMLError(Exception): value = 0
def __getattr__(name):
    if not name.startswith(("NVML_", "nvmlClocks")): raise AttributeError(name)
    return hash(name)
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(number): return "card"
def nvmlDeviceGetCudaComputeCapability(handle): return {capability}
"""


@dataclass
class Machine:
    """A folder with everything that a new environment can find."""

    here: Path

    @property
    def python(self) -> str:
        return str(self.here / "environment" / "bin" / "python")

    def program(self, name: str, text: str) -> None:
        path = self.here / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def driver(self, *rows: str, knows_capability: bool = True) -> None:
        """Add `nvidia-smi`; older ones do not know `compute_cap`."""
        refusal = (
            "case $1 in *compute_cap*)"
            " echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2;; esac\n"
        )
        lines = "".join(f"echo '{row}'\n" for row in rows)
        self.program("nvidia-smi", f"#!/bin/sh\n{'' if knows_capability else refusal}{lines}")

    def library(self, capability: tuple[int, int]) -> None:
        (self.here / "library.py").write_text(LIBRARY.format(capability=capability))

    def torch(self, version: str, cuda: str | None) -> None:
        folder = self.here / "site" / "torch"
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "version.py").write_text(f"__version__ = '{version}'\ncuda = {cuda!r}\n")

    def uv(self) -> str:
        return UV.format(python=sys.executable, here=str(self.here))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", "trainer.cards.install_torch", *arguments],
            cwd=ROOT,
            env={"PATH": f"{self.here / 'bin'}:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    def setup(self) -> str:
        """Run what `make setup` runs before it installs, and return its output."""
        constraints, kept = self.here / "constraints.txt", self.here / "kept.txt"
        constraints.write_text(CONSTRAINTS)
        done = self.run("--constraints", str(constraints), "--kept", str(kept))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    @property
    def kept(self) -> str:
        return (self.here / "kept.txt").read_text()

    @property
    def calls(self) -> list[str]:
        log = self.here / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def install(self, build: str, requirement: str) -> str:
        """Return the expected call of uv."""
        requirement += f"+{build}" if "==" in requirement else ""
        return (
            f"uv pip install --python {self.python} --torch-backend {build}"
            f" --reinstall-package torch {requirement}"
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a driver here, which would be asked")
    machine = Machine(tmp_path)
    venv.create(tmp_path / "environment", symlinks=True)
    (packages,) = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    (tmp_path / "site").symlink_to(packages)
    for name in ("bin", "site/pip"):
        (tmp_path / name).mkdir()
    (tmp_path / "site/pip/__init__.py").touch()
    (tmp_path / "site/pip/__main__.py").write_text(PIP.format(here=str(tmp_path)))
    machine.program("uv", machine.uv())
    return machine


def test_without_a_driver_nothing_is_different(machine: Machine) -> None:
    assert machine.setup() == ""
    assert machine.calls == []
    assert machine.kept == CONSTRAINTS


def test_a_program_that_finds_no_driver_is_none(machine: Machine) -> None:
    machine.program("nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert machine.setup() == ""
    assert machine.calls == []


@pytest.mark.parametrize("row", ["580.95.05, 8.9", "580.95.05, 12.0", "590.44.01, 7.5"])
def test_what_pip_brings_is_left_to_pip_where_it_fits(machine: Machine, row: str) -> None:
    machine.driver(row)
    assert machine.setup() == (
        f"NVIDIA driver {row.replace(',', ', compute capability', 1).replace('  ', ' ')}:"
        " torch's build for CUDA 13.0 fits\n"
    )
    assert machine.calls == []
    assert machine.kept == CONSTRAINTS


@pytest.mark.parametrize(
    ("rows", "build", "requirement", "kept"),
    [
        (["550.144.03, 8.6"], "cu126", PIN, PIN),  # Ampere
        (["535.183.01, 8.9"], "cu126", PIN, PIN),  # Ada
        (["535.183.01, 9.0"], "cu126", PIN, PIN),  # H100
        (["580.95.05, 6.1"], "cu126", PIN, PIN),  # GTX 1080
        (["535.183.01, 7.0"], "cu126", PIN, PIN),  # V100
        (["580.95.05, 8.9", "580.95.05, 6.1"], "cu126", PIN, PIN),
        (["572.60, 12.0"], "cu128", "torch>=2.6", "torch==2.11.0"),  # RTX 5090 in WSL2
        (["470.256.02, 7.5"], "cu118", "torch>=2.6", "torch==2.7.1"),
    ],
)
def test_the_build_that_fits_is_installed_first(
    machine: Machine, rows: list[str], build: str, requirement: str, kept: str
) -> None:
    machine.driver(*rows)
    said = machine.setup()
    assert f"torch's build for CUDA {build[2:4]}.{build[4:]} fits and is installed first" in said
    assert machine.calls == [machine.install(build, requirement)]
    assert machine.kept == CONSTRAINTS.replace(PIN, kept)
    machine.setup()  # an existing build is not fetched again
    assert len(machine.calls) == 1
    assert machine.kept == CONSTRAINTS.replace(PIN, kept)


def test_a_card_that_no_build_serves_any_more_is_reported(machine: Machine) -> None:
    machine.driver("470.256.02", knows_capability=False)
    machine.library((3, 5))
    assert machine.setup() == (
        "NVIDIA driver 470.256.02, compute capability 3.5: no build of torch supports this card any"
        " more: use another card; runs will use the processor\n"
    )
    constraints = machine.here / "constraints.txt"
    assert machine.calls == [f"pip install --quiet nvidia-ml-py --constraint {constraints}"]
    assert machine.kept == CONSTRAINTS


def test_a_driver_that_no_build_fits_is_to_be_updated(machine: Machine) -> None:
    machine.driver("390.157", knows_capability=False)
    machine.library((6, 1))
    assert "update NVIDIA's driver to 525 or newer, up to 580" in machine.setup()
    assert not any(call.startswith("uv") for call in machine.calls)


@pytest.mark.parametrize(("version", "cuda"), [("2.13.0+cpu", None), ("2.13.0+cu126", "12.6")])
def test_what_is_there_and_does_not_fit_is_replaced(
    machine: Machine, version: str, cuda: str | None
) -> None:
    machine.torch(version, cuda)
    machine.driver("580.95.05, 12.0")
    machine.setup()
    assert machine.calls == [machine.install("cu130", PIN)]


def test_what_is_left_of_a_torch_is_none(machine: Machine) -> None:
    machine.torch("2.13.0+cu126", "12.6")
    (machine.here / "site" / "torch" / "version.py").unlink()
    machine.driver("550.144.03, 8.6")
    machine.setup()
    assert machine.calls == [machine.install("cu126", PIN)]


def test_another_release_than_the_pinned_one_is_replaced_by_the_same_build(
    machine: Machine,
) -> None:
    machine.torch("2.12.0+cu126", "12.6")
    machine.driver("550.144.03, 8.6")
    machine.setup()
    assert machine.calls == [machine.install("cu126", PIN)]


def test_what_cannot_be_fetched_is_said_and_setup_goes_on(machine: Machine) -> None:
    machine.driver("550.144.03, 8.6")
    (machine.here / "uv-fails").touch()
    said = machine.setup()
    assert "could not install torch's build for CUDA 12.6" in said
    assert f"try again with `{machine.python} -I -m trainer.cards.install_torch cu126`" in said
    assert "pip's build is installed instead" in said
    assert machine.kept == CONSTRAINTS


@pytest.mark.parametrize("is_there", [True, False])
def test_uv_is_fetched_at_its_tested_version_where_it_is_missing(
    machine: Machine, is_there: bool
) -> None:
    (machine.here / "bin" / "uv").unlink()
    if is_there:
        (machine.here / "uv").write_text(machine.uv())
    machine.driver("550.144.03, 8.6")
    said = machine.setup()
    constraints = machine.here / "constraints.txt"
    assert machine.calls[0] == f"pip install --quiet uv --constraint {constraints}"
    if is_there:
        assert machine.calls[1:] == [machine.install("cu126", PIN)]
    else:
        assert "could not install the package uv, which finds torch's builds by name" in said


def test_the_command_that_a_fault_names_installs_that_build(machine: Machine) -> None:
    machine.torch("2.13.0+cu130", "13.0")
    done = machine.run("cu126")
    assert done.returncode == 0, done.stderr
    assert "torch's build for CUDA 12.6 is installed" in done.stdout
    assert machine.calls == [machine.install("cu126", PIN)]
    (machine.here / "uv-fails").touch()
    done = machine.run("cu130")
    assert done.returncode == 6
    assert done.stderr.splitlines()[-1].startswith("could not install torch's build for CUDA 13.0")


def test_the_command_without_a_name_looks_at_the_cards(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 6
    assert done.stderr.startswith("no NVIDIA driver was found: `nvidia-smi` must list")
    machine.driver("580.95.05, 7.0")
    assert machine.run().returncode == 0
    assert machine.calls == [machine.install("cu126", "torch>=2.6")]
    machine.driver("580.95.05, 3.7")
    done = machine.run()
    assert (done.returncode, "no build of torch supports this card" in done.stderr) == (6, True)


def test_a_driver_is_found_in_wsl_and_without_its_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setattr(install_torch, "_library_capabilities", lambda _: ((6, 1),))
    smi, version = tmp_path / "smi", tmp_path / "version"
    assert find_driver(wsl_smi=smi, driver_version=version) is None
    version.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.144.03  Mon Dec 30 17:44:08 UTC 2024\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    found = find_driver(wsl_smi=smi, driver_version=version)
    assert found == Driver(version="550.144.03", capabilities=((6, 1),))
    smi.write_text("#!/bin/sh\necho '572.60, 8.9'\necho '572.60, [N/A]'\n")
    smi.chmod(0o755)
    found = find_driver(wsl_smi=smi, driver_version=version)
    assert found == Driver(version="572.60", capabilities=((8, 9),))


def test_the_fix_is_one_command_for_this_python() -> None:
    command = f"run `{sys.executable} -I -m trainer.cards.install_torch"
    assert torch_hint(13, (8, 9)).startswith(f"{command} cu130`")
    assert torch_hint(12, (8, 9)).startswith(f"{command} cu126`")
    assert torch_hint(0, (8, 9)) == "update NVIDIA's driver to 580 or newer"
    assert "another card" in torch_hint(13, (3, 7))


def test_uv_knows_every_build_by_name() -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    argv = [uv, "pip", "install", "--help"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert all(build.name in output for build in BUILDS)


FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) exit 0;;
"-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit 0;;
"-m trainer.cards.install_torch") exec {python} "$@";;
"-m pip") echo pip "$@" >> {here}/calls;;
esac
"""


def test_make_setup_asks_for_the_build_before_pip(machine: Machine) -> None:
    machine.driver("580.95.05, 6.1")
    project = machine.here / "project"
    project.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "network.txt"):
        shutil.copy(ROOT / name, project)
    for name in ("trainer", "protocol"):
        (project / name).symlink_to(ROOT / name)
    (project / "setup-system").symlink_to("/bin/true")
    machine.program("fake-python", FAKE_PYTHON.format(python=machine.python, here=machine.here))
    done = subprocess.run(
        ["make", "setup", "PYTHON=fake-python"],
        cwd=project,
        env={"PATH": f"{machine.here / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "NVIDIA driver 580.95.05, compute capability 6.1" in done.stdout
    assert machine.calls[0].startswith(machine.install("cu126", "torch"))
    assert machine.calls[1].endswith("--constraint .venv/constraints.txt --editable .[dev]")
    kept = (project / ".venv" / "constraints.txt").read_text()
    assert kept == (ROOT / "constraints.txt").read_text()
