"""Trial runs of a user's command in the sandbox, before the files of a task for it are written.

Nothing is recorded. With a holdout the command runs once more on the holdout's files. That run only
shows whether the command reports a number.
"""

import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.terminal.progress import Progress
from protocol.codecs import fit_line, plain
from protocol.errors import ConfigurationError
from trainer.importing.command import Wanted, trial_draft
from trainer.importing.draft import write_draft
from trainer.importing.holdout import is_within
from trainer.importing.reading import is_path
from trainer.importing.trial import Report, more_runs, report_of
from trainer.measuring.metering import ProgramFailed, RunFailed
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task, trial_answers

_SHOWN_LINES: Final = 15
_PLACE: Final = "/job/"  # the folder of a command in the sandbox


class _Lacks(Exception):  # noqa: N818 -- a reason to try again
    """Raised if the command needs files of its folder that the sandbox did not contain."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    task: Task
    wanted: Wanted

    @property
    def fixed(self) -> set[str]:
        """The names of the files that the sandbox contains."""
        program = self.task.manifest.program
        return {path for path, _ in program.fixed_files} if program else set()

    async def runs(self, seeds: Sequence[int], *, on_holdout: bool = False) -> list[Report]:
        runs = [(seed, json.dumps({"seed": seed}).encode()) for seed in seeds]
        answers = trial_answers(self.task, runs, on_holdout=on_holdout)
        async with aclosing(answers):
            return [report_of(answer) async for answer in answers]


def try_command(
    wanted: Wanted, progress: Progress, *, unit: str, limit_s: int
) -> tuple[Report, ...]:
    """Run a command a few times and return each run's report.

    If the command lacks a file of its folder, the file is added to the sandbox, and the command
    runs again. Raises NotPreparedError if packages are missing here. Raises ConfigurationError if
    the command fails, reports no number or takes too long.
    """
    given: tuple[Path, ...] = ()
    while True:
        more = replace(wanted, extra_files=(*wanted.extra_files, *given))
        with tempfile.TemporaryDirectory(prefix="arnode-trial-") as folder:
            place = Path(folder, "task")
            write_draft(trial_draft(more, unit=unit, limit_s=limit_s), place)
            trial = _Trial(task=load_task(place, data_dir=Path(folder)), wanted=more)
            try:
                return asyncio.run(_tried(trial, progress))
            except _Lacks as lacks:
                given = (*given, *(wanted.root / name for name in lacks.names))


async def _tried(trial: _Trial, progress: Progress) -> tuple[Report, ...]:
    progress("trial run of the command", 0.0)
    reports = [await _checked(trial, seed=1)]
    count = more_runs(reports[0].seconds)
    for number in range(count):
        progress(f"trial run {number + 2} of {count + 1}", 0.0)
        reports.append(await _checked(trial, seed=2 + number))
    if trial.wanted.holdout is not None:
        progress("trial run on the holdout", 0.0)
        await _check_holdout(trial)
    return tuple(reports)


async def _checked(trial: _Trial, *, seed: int) -> Report:
    """Run the command once and return its report.

    Raises ConfigurationError if the command fails or reports no number.
    """
    command = fit_line(plain(trial.wanted.command), 80)
    try:
        (report,) = await trial.runs([seed])
    except RunFailed as failed:
        log = failed.log if isinstance(failed, ProgramFailed) else ""
        raise _failure(f"`{command}`: {failed.reason}", log, "raise --limit") from None
    except ValueError as error:
        raise ConfigurationError(
            f"the trial run failed: `{command}` reported nothing",
            "the command must not change measure.py",
        ) from error
    if report.exit and (lacking := _lacking(trial, report)):
        raise _Lacks(lacking)
    if report.exit:
        said = f"`{command}` ended with exit code {report.exit}"
        raise _failure(said, report.tail, _about_missing(trial.wanted, report))
    if report.figure is None:
        metric = trial.wanted.metric
        said = f"no line reports {metric}"
        if report.line:
            said = f"no figure of {metric} can be read from {report.line!r}"
        hint = f"print a line such as `{metric}: 0.5` last, or name another --metric"
        if report.is_on_stderr:
            hint = f"{metric} is printed to standard error: add ` 2>&1` to the end of the command"
        raise _failure(said, report.tail, hint)
    return report


async def _check_holdout(trial: _Trial) -> None:
    """Raise ConfigurationError if the command reports no number on the holdout's files."""
    try:
        (report,) = await trial.runs([1], on_holdout=True)
        is_well = report.exit == 0 and report.figure is not None
    except (RunFailed, ValueError):
        is_well = False
    if not is_well:
        raise ConfigurationError(
            f"the command reports no {trial.wanted.metric} on the holdout's files",
            "run it by hand on these files: arnode does not show its output on them",
        )


def _failure(said: str, log: str, hint: str) -> ConfigurationError:
    """Print the end of a failed run's output, and return the error."""
    lines = [line for line in plain(log, lines=True).splitlines() if line.strip()]
    for line in lines[-_SHOWN_LINES:]:
        print(f"  | {line}", file=sys.stderr)
    return ConfigurationError(f"the trial run failed: {said}", hint)


def _lacking(trial: _Trial, report: Report) -> list[str]:
    """Return the files of the command's folder that it did not find in the sandbox."""
    given = {path for path, _ in trial.task.manifest.files} | trial.fixed
    root, holdout = trial.wanted.root, trial.wanted.holdout
    return [
        name
        for name in (one.removeprefix(_PLACE) for one in report.missing)
        if is_path(name) and name not in given and (root / name).is_file()
        if not is_within(root / name, holdout)
    ]


def _about_missing(wanted: Wanted, report: Report) -> str:
    """Return a hint about the files that the command did not find."""
    names = [name.removeprefix(_PLACE) for name in report.missing[:5]]
    words, root = shlex.split(wanted.command), wanted.root
    if absolute := next((one for one in (*words, *names) if Path(one).is_relative_to(root)), None):
        relative = Path(absolute).relative_to(root)
        return f"the sandbox has other paths: write {relative} instead of {absolute}"
    if (root / words[0]).is_file() and words[0].endswith(".py"):
        return f"name the interpreter: --eval {shlex.quote(f'python {wanted.command}')}"
    folders = {Path(word).parent for word in words if (root / word).is_file()} - {Path()}
    within = [one for one in folders if any((root / one / name).exists() for name in names)]
    if within:
        return f"the command runs in {root}: begin it with `cd {within[0]} &&`"
    there = [name for name in names if is_path(name) and (wanted.root / name).exists()]
    if there:
        return f"add {' '.join(f'--with {name}' for name in there)}"
    if names:
        return f"it looks for {', '.join(names)}: put the missing files into this folder"
    return "run it by hand in a copy of this folder; the sandbox contains no other files"
