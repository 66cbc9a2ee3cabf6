"""Environments for tasks: Python packages that arnode's environment lacks, installed once by pip.

pip adds a task's requirements to the packages that every sandbox shows, whose versions stay fixed.
It only unpacks wheels: no code of a package runs until a candidate or a judge imports it in a
sandbox. The resolved versions are written to a list next to the task. The task's id depends on the
list, so peers install the same versions.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.host.interpreter import python_command
from trainer.measuring.kind import Progress
from trainer.measuring.waiting import one_at_a_time, waited
from trainer.program.manifest import KIND
from trainer.sandbox.packages import (
    ENVIRONMENTS,
    NO_PACKAGES,
    Packages,
    PackagesMissing,
    environment_of,
    installed,
    lacking,
    locked,
    shared_versions,
)
from trainer.task_folder.folder import TaskFolder
from trainer.task_folder.task import Download, NotPreparedError

LOCK: Final = "requires.lock"  # next to `task.toml`: the candidates' packages
JUDGE_LOCK: Final = "judge-requires.lock"  # the judge's
_MAKING: Final = "making-"
_REPORTED: Final = ("Collecting ", "Downloading ", "Installing ")  # pip's output to show
_LINES: Final = 1 << 20  # bytes of one line of pip's output
_MAX_LOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Unmet:
    """Packages that are required and not installed.

    `lines` are the lines of the task's list. If it has no list yet, they are its requirements, and
    `lock_path` is the file to write the list to.
    """

    lines: tuple[str, ...]
    lock_path: Path | None


def packages_of_folder(
    asked: tuple[str, ...], folder: TaskFolder, lock_name: str
) -> Packages | Unmet:
    """Return the packages that a task's file requires, in the listed versions if it has a list.

    Raises ConfigurationError if the list lacks one of them, or is invalid.
    """
    if not asked:
        return NO_PACKAGES
    path = folder.find(lock_name)
    if path is None:
        try:
            return installed(asked)
        except PackagesMissing:
            return Unmet(asked, folder.folders[0] / lock_name)
    lock = path.read(limit_bytes=_MAX_LOCK_BYTES)
    found = packages_of_lock(lock)
    listed = found.lines if isinstance(found, Unmet) else lock.decode().splitlines()
    known = {each for line in listed for each in (line, line.partition("==")[0])}
    if absent := [one for one in asked if one.lower().replace("_", "-") not in known]:
        raise ConfigurationError(
            f"{path}: the list lacks {', '.join(absent)}, which the task requires",
            "delete the list, then let `arnode task prepare` write a new one",
        )
    return found


def packages_of_lock(lock: bytes) -> Packages | Unmet:
    """Return the packages of a list. Raises ConfigurationError if no install can provide them."""
    try:
        return locked(lock)
    except PackagesMissing:
        return Unmet(tuple(lock.decode().splitlines()), None)


def require_packages(
    packages: Packages | Unmet, judges: Packages | Unmet, *, task: str, title: str
) -> tuple[Packages, Packages]:
    """Return the candidates' packages and the judge's.

    Raises NotPreparedError if some are not installed. `task` is the name of the task in commands.
    """
    if isinstance(packages, Packages) and isinstance(judges, Packages):
        return packages, judges
    unmet = tuple(one for one in (packages, judges) if isinstance(one, Unmet))
    lines = dict.fromkeys(line for one in unmet for line in one.lines)
    missing = lacking(lines, None)
    raise NotPreparedError(
        kind=KIND,
        task=task,
        title=title,
        lacks=f"these Python packages are not installed: {', '.join(missing[:5])}",
        unknown=unmet,
        download=Download(
            files=len(missing), first_files=len(missing), file_mb=None, needs_card=False
        ),
    )


def make_environment(unmet: Unmet, progress: Progress) -> None:
    """Install packages into a new environment, and write the list of them.

    Raises ConfigurationError if pip fails, or files cannot be written.
    """
    try:
        with one_at_a_time(ENVIRONMENTS / "lock", progress):
            for left in ENVIRONMENTS.glob(f"{_MAKING}*"):  # left by a process that was killed
                shutil.rmtree(left)
            _make(unmet, progress)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or ENVIRONMENTS}: cannot be written ({error.strerror})",
            "prepare the task as the user who installed arnode: it writes into arnode's folder",
        ) from error


def _make(unmet: Unmet, progress: Progress) -> None:
    lines = unmet.lines
    wanted = _resolved(lines, progress) if unmet.lock_path else lacking(lines, None)
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=ENVIRONMENTS))
    try:
        _pip(["--no-deps", "--target", str(making), *wanted], progress)
        found = installed(lines, making)
        lock = found.lock if unmet.lock_path else "".join(f"{line}\n" for line in lines).encode()
        making.chmod(0o755)
        target = environment_of(lock)
        shutil.rmtree(target, ignore_errors=True)  # made when arnode had other packages
        making.rename(target)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    if unmet.lock_path is not None:
        unmet.lock_path.write_bytes(lock)
    progress(f"installed for the task: {', '.join(wanted)}", 1.0)


def _resolved(asked: Iterable[str], progress: Progress) -> list[str]:
    """Return the packages to install on top of the installed ones."""
    with tempfile.TemporaryDirectory(prefix="arnode-") as folder:
        kept, report = Path(folder, "constraints"), Path(folder, "report")
        kept.write_text(
            "".join(f"{name}=={version}\n" for name, version in shared_versions().items())
        )
        options = ["--dry-run", "--report", str(report), "--constraint", str(kept)]
        _pip([*options, *asked], progress)
        resolved = [one["metadata"] for one in json.loads(report.read_text())["install"]]
    return [f"{one['name']}=={one['version']}" for one in resolved]


def _pip(words: list[str], progress: Progress) -> None:
    """Run pip. Raises ConfigurationError with pip's message if it fails."""
    command = [*python_command("-m", "pip"), "install", "--no-input", "--progress-bar", "off"]
    options = ["--disable-pip-version-check", "--only-binary", ":all:"]
    said = ["running pip"]
    output = waited(
        _output_lines([*command, *options, *words], said.append),
        lambda: progress(said[-1], 0.0),
    )
    if output is not None:
        raise ConfigurationError(
            f"the packages of the task cannot be installed: {_fault_of(output)}",
            "fix `requires`; the versions of arnode's packages, such as numpy, are fixed",
        )


def _fault_of(lines: list[str]) -> str:
    """Return the error in pip's last lines, with the versions that clash if any do."""
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    clashing = [line for line in lines if " depends on " in line or "(constraint)" in line]
    return "; ".join([*(errors[:1] or lines[-1:]), *clashing]) or "pip said nothing"


async def _output_lines(command: list[str], on_line: Callable[[str], None]) -> list[str] | None:
    """Run a command to its end. Return its last lines if it failed, else None."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    pip = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        limit=_LINES,
    )
    assert pip.stdout is not None  # noqa: S101 -- a pipe was asked for
    lines: list[str] = []
    try:
        async for line in pip.stdout:
            lines.append(line.decode("utf-8", "replace").strip())
            if lines[-1].startswith(_REPORTED):
                on_line(lines[-1])
        return None if await pip.wait() == 0 else lines[-20:]
    finally:
        if pip.returncode is None:
            pip.kill()
            await pip.wait()
