"""Measures a program with an imported evaluator: one evaluation for each instance.

Evaluator and program run in separate sandboxes. The evaluator's sandbox is new for each evaluation.
The evaluator calls a stub of the program, and each load of the stub starts a sandbox for the
program. This module forwards their messages, in frames of bounded size, without reading them. Only
the evaluator's figures count. The evaluator may start processes. This needs sandbox tier full,
where all processes end with their namespace.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Final

from protocol.errors import SafetyError
from trainer.host.device import Device
from trainer.host.processes import status_number
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.metering import ProgramFailed, RunFailed, stage
from trainer.program.candidate import InstanceResult, InstanceRun, keep_to, peak_of
from trainer.program.execution import first_failure
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File, pack_files
from trainer.program.harness.tags import CALLS, LEFT, MESSAGE, REFUSAL, REPLY, VERDICT
from trainer.program.manifest import JUDGE, recipe_of, spec_of
from trainer.program.profiles import SCRATCH_BYTES, candidate_filter, profile_of
from trainer.program.stopwatch import Stopwatch
from trainer.sandbox.inside.channel import JOB, SERVING
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import Sealed
from trainer.sandbox.tier import probe_tier
from trainer.task_folder.task import Task

_VERDICT_BYTES: Final = 64 << 10
_REFUSAL_BYTES: Final = 8 << 10
_FRAME_BYTES: Final = 1 << 16  # a frame's size beyond the values in it
_MOST_LOADED: Final = 8  # sandboxes of one program at once
_PROCESSES: Final = 256  # processes and threads of an evaluator
_HINT: Final = "import it again with --self-scored: its score is then measured, but not ranked"


class Evaluations:
    """Runs evaluations for one lane and one task.

    `run_on` has the interface of `trainer.program.candidate.Candidate`.
    """

    def __init__(self, task: Task, work: LaneWork, *, card: Device | None = None) -> None:
        """Raise SafetyError if no sandbox on this machine may start processes safely."""
        if probe_tier().name != "full":
            raise SafetyError(
                f"task {task.name}: its evaluator may start processes, so it needs sandbox tier"
                f" full, and this machine has tier {probe_tier().name}",
                "`arnode doctor` shows what tier full needs",
            )
        recipe = recipe_of(task)
        means = recipe.judge_means
        self._evaluator = Profile(
            role="evaluate",
            harness=HARNESS,
            memory_bytes=means.memory_bytes,
            scratch_bytes=means.scratch_bytes or SCRATCH_BYTES,
            threads=_PROCESSES,
            single_process=False,
            packages=means.packages,
            data=tuple(folder.shown for folder in means.data),
        )
        files = [File(path=JUDGE, data=recipe.judge), *recipe.fixed, *recipe.judge_files]
        self._files = Sealed([pack_files(files)])
        self._task = task
        self._work = work
        self._program = profile_of(
            task.manifest, packages=recipe.packages, data=recipe.data, card=card
        )

    async def close(self) -> None:
        """Close the evaluator's files. Each evaluation ends the sandboxes that it started."""
        self._files.close()

    async def run_on(self, instance_runs: Sequence[InstanceRun]) -> list[InstanceResult]:
        """Return the evaluator's verdict on each instance, as an answer. Raises RunFailed."""
        return [await self._evaluated(instance_run) for instance_run in instance_runs]

    async def _evaluated(self, instance_run: InstanceRun) -> InstanceResult:
        for folder in recipe_of(self._task).judge_means.data:
            await asyncio.to_thread(folder.check)
        sandbox = await Sandbox.launch(self._evaluator)
        if not instance_run.keeps_output:
            sandbox.discard_output()
        self._work.begin(sandbox)
        one = _Evaluation(self._task, instance_run, sandbox, program=self._program, work=self._work)
        try:
            with self._files.opened() as files:
                verdict = await one.verdict(files)
        except RunFailed as failed:
            raise ProgramFailed(failed, one.log + sandbox.output_tail()) from failed
        finally:
            self._work.end(sandbox)
            await sandbox.close()
        return InstanceResult(
            answer=verdict,
            wall_s=one.watch.used_s,
            cpu_s=one.cpu_s,
            peak_bytes=max(1, one.peak_bytes),
            log=one.log + sandbox.output_tail(),
        )


class _Evaluation:
    """One evaluation: the loads of a program, their total cost and their output."""

    def __init__(
        self,
        task: Task,
        instance_run: InstanceRun,
        evaluator: Sandbox,
        *,
        program: Profile,
        work: LaneWork,
    ) -> None:
        manifest = task.manifest
        self.cpu_s = 0.0
        self.peak_bytes = 0
        self.log = ""
        load = HostLoad(work)
        limit_s = float(manifest.limits.limit_s)
        self.watch = Stopwatch(limit_s, instance_run.name, outside_share=load.share)
        all_s = limit_s + recipe_of(task).judge_means.limit_s
        name = f"{instance_run.name}: its evaluation"
        self._whole = Stopwatch(all_s, name, outside_share=load.share)
        self._spec = spec_of(manifest)
        self._manifest = manifest
        self._instance_run = instance_run
        self._evaluator = evaluator
        self._program = program
        self._work = work
        self._loads: dict[int, tuple[asyncio.Queue[bytes], asyncio.Task[None]]] = {}

    async def verdict(self, files: int) -> bytes:
        """Return the evaluator's verdict. Raises RunFailed."""
        name = self._instance_run.name
        try:
            async with stage(self._evaluator, name), self._whole.running():
                await self._evaluator.send(JOB, self._job(), files)
                await self._evaluator.receive(SERVING)
                return await self._served()
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    def _job(self) -> bytes:
        job = {
            "file": JUDGE,
            "module": self._spec.module,
            "instance": self._instance_run.instance.decode(),
            "vary": self._spec.vary or "",
        }
        return json.dumps(job).encode()

    async def _served(self) -> bytes:
        """Forward requests and replies until the evaluator sends its verdict."""
        expected = {
            MESSAGE: self._spec.limits.instance_mb * 1_000_000 + _FRAME_BYTES,
            LEFT: CALLS.size,
            REFUSAL: _REFUSAL_BYTES,
            VERDICT: _VERDICT_BYTES,
        }
        async with asyncio.TaskGroup() as group, stage(self._evaluator, self._instance_run.name):
            while True:
                tag, payload = await self._evaluator.receive_one(expected)
                if tag == VERDICT:
                    break
                self._take(group, tag, payload)
            for _, load in self._loads.values():
                load.cancel()
        return payload

    def _take(self, group: asyncio.TaskGroup, tag: bytes, payload: bytes) -> None:
        (number,), said = CALLS.unpack(payload[: CALLS.size]), payload[CALLS.size :]
        if tag == REFUSAL:
            raise self._refused(said.decode("utf-8", "replace"))
        if tag == LEFT:
            if number in self._loads:
                self._loads.pop(number)[1].cancel()
            return
        if number not in self._loads:
            if len(self._loads) >= _MOST_LOADED:
                raise self._refused(f"the program is loaded more than {_MOST_LOADED} times at once")
            asked = asyncio.Queue[bytes]()
            self._loads[number] = asked, group.create_task(self._load(number, asked))
        self._loads[number][0].put_nowait(said)

    def _refused(self, why: str) -> RunFailed:
        message = f"{self._instance_run.name}: a value is not plain data, so it cannot be passed"
        if not self._instance_run.keeps_output:
            return RunFailed("rejected", message)
        return RunFailed("rejected", f"{self._instance_run.name}: {why}; {_HINT}", unquoted=message)

    async def _load(self, number: int, asked: "asyncio.Queue[bytes]") -> None:
        """Load the program in a new sandbox and let it answer requests until cancelled."""
        program = await Sandbox.launch(self._program)
        if not self._instance_run.keeps_output:
            program.discard_output()
        if self._instance_run.core is not None:
            keep_to(program, self._instance_run.core)
        self._work.begin(program)
        most = self._spec.limits.answer_mb * 1_000_000 + _FRAME_BYTES
        try:
            async with stage(program, self._instance_run.name):
                async with self.watch.running():
                    with self._instance_run.package.opened() as files:
                        await program.send(JOB, self._program_job(), files)
                    await program.receive(SERVING)
                while True:
                    request = await asked.get()
                    async with self.watch.running():
                        await program.send(MESSAGE, request)
                        _, reply = await program.receive_one({REPLY: most})
                    if self._instance_run.forge is not None:
                        reply = self._instance_run.forge(request, reply)
                    await self._evaluator.send(REPLY, CALLS.pack(number) + reply)
        finally:
            found_bytes = status_number(program.pid, "VmHWM") << 10
            program.note_written()
            self.cpu_s += program.cpu_s()
            self._work.end(program)
            await program.close()
            self.peak_bytes = max(self.peak_bytes, peak_of(program, found_bytes))
            self.log += program.output_tail()

    def _program_job(self) -> bytes:
        keeps_core = self._instance_run.core is not None
        confined = candidate_filter(self._manifest, self._program, keeps_core=keeps_core)
        job = {
            "module": self._spec.module,
            "entry": None,
            "seed": self._instance_run.seed,
            "waits": self._program.waits,
            "filter": confined.hex(),
        }
        return json.dumps(job).encode()
