"""Instruction counts by valgrind instead of seconds, judged by the same rule.

This is for the bench's own, trusted programs only. Under valgrind a program shares a process with
the counter and could tamper with it. Tasks use the CPU's hardware counter instead
(`trainer.host.counting`), which many machines lack. Both count the whole process, including the
loader.
"""

import asyncio
import hashlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from protocol.statistics import NoiseEstimate
from protocol.styles import Style
from protocol.units import NANO
from tools.bench import timing
from tools.bench.edits import NOISE_FLOOR, RUN
from trainer.host.capacity import usable_cores
from trainer.program.bench import Bench
from trainer.program.instances import DrawnInstance
from trainer.program.metric import InstanceMeasurement, metric_nano
from trainer.task_folder.task import Task

ROUNDS: Final = 1_000_000  # a few million instructions
SHORTER: Final = 0.03
TRIALS, NULLS, REPEATED = 2, 200, 10
_COUNT: Final = re.compile(rb"I +refs: +([\d,]+)")
_VALGRIND: Final = (
    "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
)  # fmt: skip


def run_counting(_kept: Path) -> dict[str, object]:
    """Count instructions of the C program and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_counted(Path(folder, "task")))


async def _counted(folder: Path) -> dict[str, object]:
    base, shorter = RUN.program(rounds=ROUNDS), RUN.program(rounds=ROUNDS, shorter=SHORTER)
    task = timing.written(RUN, folder, metric="instructions", text=base)
    counts = Counts(task, base, folder)
    start = NoiseEstimate.from_class(NOISE_FLOOR)
    chain = timing.Chain(style=Style.of(task.manifest), noise=start)
    try:
        scatter = await counts.scatter(REPEATED)
        trials = await timing.planted(counts.measure, shorter, chain, TRIALS)
        chain = replace(chain, noise=start.with_groups([one.differences for one in trials]))
        edits = await timing.screened(
            counts.measure, lambda number: RUN.null_edit(number, base), chain, NULLS
        )
    finally:
        await counts.close()
    return {
        "counted_by": "valgrind",
        "the_same_program_on_one_instance": scatter,
        f"shorter_by_{SHORTER:.0%}": timing.trial_figures(trials),
        "edits_that_change_nothing": timing.null_edit_figures(edits),
        "most_that_such_an_edit_gained": max(1 - one for one in edits.null),
    }


class Counts:
    """A counter of executed instructions, once per compiled program and instance.

    Instances are from a task that measures seconds, since this machine may not support a task that
    counts.
    """

    def __init__(self, task: Task, base: str, folder: Path) -> None:
        self._task = task
        self._base = base
        self._folder = folder
        self._bench = Bench(timing.written(RUN, folder / "seconds", metric="cpu_s", text=base))
        self._known: dict[tuple[Path, bytes], int] = {}
        self._same: dict[bytes, Path] = {}
        self._cores = asyncio.Semaphore(usable_cores())

    async def close(self) -> None:
        """End the judge process that makes instances."""
        await self._bench.close()

    async def measure(self, text: str | None, seed: int, secret: bool) -> float:
        """Return a program's count relative to the base, on one split of a run's instances.

        A `text` of None is the base itself.
        """
        asked = [one for one in await self._bench.asked(seed) if one.is_secret is secret]
        own, base_program = await self._built(text or self._base), await self._built(self._base)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._measured(own, base_program, one)) for one in asked]
        return metric_nano(self._task.manifest, [task.result() for task in tasks], size=0) / NANO

    async def scatter(self, times: int) -> dict[str, object]:
        """Return the smallest and the largest count of the base on one instance."""
        asked, program = await self._bench.asked(0), await self._built(self._base)
        counts = [await self.count(program, asked[0].data) for _ in range(times)]
        return {"counted": times, "least": min(counts), "most": max(counts)}

    async def count(self, program: Path, instance: bytes) -> int:
        """Return a program's instruction count on an instance. Its answer must be right."""
        async with self._cores:
            answer, printed = await _outputs_of(*_VALGRIND, str(program), given=instance)
        assert int(answer) == sum(map(int, instance.split()))
        found = _COUNT.search(printed)
        assert found is not None, printed
        return int(found[1].replace(b",", b""))

    async def _measured(
        self, own: Path, base_program: Path, asked: DrawnInstance
    ) -> InstanceMeasurement:
        base = _measured(await self._counted(base_program, asked.data))
        return replace(_measured(await self._counted(own, asked.data)), base=base)

    async def _counted(self, program: Path, instance: bytes) -> int:
        known = program, instance
        if known not in self._known:
            self._known[known] = await self.count(program, instance)
        return self._known[known]

    async def _built(self, text: str) -> Path:
        """Compile a text. Return the program, or an earlier one with the same machine code."""
        folder = self._folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        program, source = folder / "solve", folder / "solve.c"
        if not program.exists():
            folder.mkdir()
            source.write_text(text)
            await _outputs_of("cc", "-O2", "-o", str(program), str(source))
        return self._same.setdefault(program.read_bytes(), program)


async def _outputs_of(*command: str, given: bytes = b"") -> tuple[bytes, bytes]:
    """Return the stdout and the stderr of a command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    said = await process.communicate(given)
    assert process.returncode == 0, said
    return said


def _measured(instructions: int) -> InstanceMeasurement:
    return InstanceMeasurement(
        wall_s=0.0, cpu_s=0.0, peak_bytes=0, answer_bytes=0, instructions=instructions
    )
