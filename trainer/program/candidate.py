"""Runs one candidate on one instance, or on several in turn, in a sandbox under the node's clock.

The clock runs while the candidate's code runs: from the arrival of its files to the last byte of
its answer, except while it waits for the first instance. Its printed output is a log that does not
affect the result.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from trainer.host.counting import Counter, counted
from trainer.host.device import Device
from trainer.host.processes import status_number
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.metering import ProgramFailed, RunFailed, stage
from trainer.program.asking import Questions
from trainer.program.harness.tags import INSTANCE, MESSAGE, OUTPUT, REPLY, TALK, USED
from trainer.program.judge import Conversation
from trainer.program.manifest import counts_instructions, recipe_of, spec_of
from trainer.program.profiles import candidate_filter, profile_of
from trainer.program.stopwatch import Stopwatch
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import ANSWER, JOB, SERVING
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import Sealed, sealed
from trainer.task_folder.task import Task

_LINE_BYTES: Final = 1 << 20  # of one message or reply
_USED_BYTES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceResult:
    """A candidate's answer to an instance, and its cost.

    `instructions` counts CPU instructions; None if the task does not need the count.
    """

    answer: bytes
    wall_s: float
    cpu_s: float
    instructions: int | None = None
    peak_bytes: int
    log: str


Forge: TypeAlias = Callable[[bytes, bytes], bytes]  # a request, its reply → the forged reply


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRun:
    """One instance for a candidate to answer. `package` holds the candidate's built files.

    `talk` opens the conversation of an interactive instance. `questions` answers the candidate's
    questions to language models. `name` names the instance in messages. If `keeps_output` is False,
    the candidate's output is discarded. `core` is the CPU core that all its threads share; None if
    they may use any. `curve` collects the losses that it prints. `forge` changes its replies to an
    imported evaluator, to test if the evaluator believes them.
    """

    package: Sealed
    instance: bytes
    seed: int
    name: str
    keeps_output: bool
    core: int | None = None
    warm_ups: tuple[bytes, ...] = ()
    talk: Callable[[bytes], AbstractAsyncContextManager[Conversation]] | None = None
    questions: Questions | None = None
    curve: LossCurve | None = None
    forge: Forge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """CPU seconds of a command that the sandbox's first process waited for, and peak memory."""

    waited_cpu_s: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The work of a sandbox's processes: CPU seconds, and CPU instructions if counted."""

    cpu_s: float
    instructions: int

    @classmethod
    def so_far(cls, sandbox: Sandbox, counter: Counter | None) -> "_Work":
        """Return all work up to now."""
        instructions = 0 if counter is None else counter.instructions()
        return cls(cpu_s=sandbox.cpu_s(), instructions=instructions)

    @classmethod
    def of(cls, result: InstanceResult) -> "_Work":
        """Return the CPU seconds and instructions that an instance took."""
        return cls(cpu_s=result.cpu_s, instructions=result.instructions or 0)

    def __add__(self, other: "_Work") -> "_Work":
        instructions = self.instructions + other.instructions
        return _Work(cpu_s=self.cpu_s + other.cpu_s, instructions=instructions)

    def __sub__(self, other: "_Work") -> "_Work":
        instructions = self.instructions - other.instructions
        return _Work(cpu_s=self.cpu_s - other.cpu_s, instructions=instructions)


class Candidate:
    """Runs candidates on instances of one task."""

    def __init__(self, task: Task, work: LaneWork, *, card: Device | None = None) -> None:
        """Use `card` for the task's programs, if they need one."""
        self._manifest = manifest = task.manifest
        self._spec = spec = spec_of(manifest)
        self._limit_s = float(manifest.limits.limit_s)
        self._warmup_limit_s = float(manifest.limits.warmup_limit_s)
        self._most_bytes = spec.limits.answer_mb * 1_000_000
        self._work = work
        self._counts = counts_instructions(manifest)
        recipe = recipe_of(task)
        self._profile = profile_of(manifest, packages=recipe.packages, data=recipe.data, card=card)

    async def close(self) -> None:
        """Do nothing: each call of `run_on` ends the sandbox that it started."""

    async def run_on(self, instance_runs: Sequence[InstanceRun]) -> list[InstanceResult]:
        """Run one process on several instances in turn; return its answers. Raises RunFailed.

        The first instance run decides if output is kept. The last result holds the whole log. The
        first result's cost includes the import.
        """
        first, results = instance_runs[0], list[InstanceResult]()
        sandbox = await Sandbox.launch(self._profile)
        if not first.keeps_output:
            sandbox.discard_output()
        elif first.curve is not None:
            sandbox.on_output(first.curve.feed)
        if first.core is not None:
            keep_to(sandbox, first.core)
        self._work.begin(sandbox)
        load = HostLoad(self._work)
        watch = Stopwatch(self._limit_s, first.name, outside_share=load.share)
        counting = contextlib.ExitStack()
        try:
            questions = first.questions
            answered = nullcontext() if questions is None else questions.answered(sandbox)
            async with stage(sandbox, first.name), answered:
                counter = counting.enter_context(counted(sandbox.pid)) if self._counts else None
                before = _Work.so_far(sandbox, counter)
                async with watch.running():
                    with first.package.opened() as files:
                        await sandbox.send(JOB, self._job(first), files)
                    await sandbox.receive(SERVING)
                before += await self._warm_up(sandbox, counter, first, watch)
                for instance_run in instance_runs:
                    if results:  # what a thread does between two instances counts for the later one
                        before, watch = (
                            before + _Work.of(results[-1]),
                            watch.next(instance_run.name),
                        )
                    async with stage(sandbox, instance_run.name):
                        results.append(
                            await self._one(sandbox, counter, instance_run, watch, before)
                        )
        except RunFailed as failed:
            raise ProgramFailed(failed, sandbox.output_tail()) from failed
        finally:
            counting.close()
            self._work.end(sandbox)
            await sandbox.close()
        is_piped = not self._spec.entry and not self._spec.interactive
        read_bytes = sum(len(one.answer) for one in results) if is_piped else 0
        found = max(one.peak_bytes for one in results)
        peak_bytes = peak_of(sandbox, found, read_bytes=read_bytes)
        results = [replace(one, peak_bytes=peak_bytes) for one in results]
        return [*results[:-1], replace(results[-1], log=sandbox.output_tail())]

    async def _one(
        self,
        sandbox: Sandbox,
        counter: Counter | None,
        instance_run: InstanceRun,
        watch: Stopwatch,
        before: _Work,
    ) -> InstanceResult:
        """Return the answer to one instance and its cost, which excludes the work done `before`."""
        answer, used = await self._answer(sandbox, instance_run, watch)
        work = _Work.so_far(sandbox, counter) - before
        return InstanceResult(
            answer=answer,
            wall_s=watch.used_s,
            cpu_s=work.cpu_s + used.waited_cpu_s,
            instructions=None if counter is None else work.instructions,
            peak_bytes=used.peak_bytes,
            log="",
        )

    def _job(self, instance_run: InstanceRun) -> bytes:
        spec = self._spec
        job: dict[str, object] = {
            "entry": spec.entry,
            "module": None,
            "run": spec.run,
            "encoding": spec.encoding,
        }
        keeps_core = instance_run.core is not None
        confined = candidate_filter(self._manifest, self._profile, keeps_core=keeps_core)
        job |= {"seed": instance_run.seed, "waits": self._profile.waits, "filter": confined.hex()}
        return json.dumps(job).encode()

    async def _warm_up(
        self, sandbox: Sandbox, counter: Counter | None, instance_run: InstanceRun, watch: Stopwatch
    ) -> _Work:
        """Run a function on throw-away instances. Return the work that this took.

        That work does not count as cost of an answer. One time limit covers all warm-ups together.
        """
        before = _Work.so_far(sandbox, counter)
        if instance_run.warm_ups:
            watch = watch.next("the warm-up", limit_s=self._warmup_limit_s)
        for instance in instance_run.warm_ups:
            async with watch.running():
                with sealed(instance) as descriptor:
                    await sandbox.send(INSTANCE, descriptor=descriptor)
                await sandbox.receive_one({ANSWER: self._most_bytes})
        return _Work.so_far(sandbox, counter) - before

    async def _answer(
        self, sandbox: Sandbox, instance_run: InstanceRun, watch: Stopwatch
    ) -> tuple[bytes, _Used]:
        """Return the answer, and the cost that the sandbox cannot measure by itself."""
        if self._spec.entry is None:
            return await self._answer_of_command(sandbox, instance_run, watch)
        if instance_run.talk is not None:
            async with instance_run.talk(instance_run.instance) as conversation:
                while (message := await conversation.message()) is not None:
                    async with watch.running():
                        await sandbox.send(MESSAGE, message)
                        _, reply = await sandbox.receive_one({REPLY: _LINE_BYTES})
                    await self._reply(conversation, reply, instance_run)
                answer = conversation.transcript
        else:
            with sealed(instance_run.instance) as descriptor:
                async with watch.running():
                    await sandbox.send(INSTANCE, descriptor=descriptor)
                    _, answer = await sandbox.receive_one({ANSWER: self._most_bytes})
        peak_kib = status_number(sandbox.pid, "VmHWM")
        sandbox.note_written()
        if not peak_kib:  # a live process would wait for the next message
            reason = "it exited before its memory was measured"
            raise RunFailed("crash", f"{instance_run.name}: {reason}")
        return answer, _Used(peak_bytes=peak_kib << 10)

    async def _answer_of_command(
        self, sandbox: Sandbox, instance_run: InstanceRun, watch: Stopwatch
    ) -> tuple[bytes, _Used]:
        if instance_run.talk is not None:
            answer = await self._spoken(sandbox, instance_run, watch)
        else:
            with sealed(instance_run.instance) as descriptor:
                await sandbox.send(INSTANCE, descriptor=descriptor)
            reading, writing = os.pipe()
            lines = os.fdopen(reading, "rb")
            try:
                async with watch.running():
                    await sandbox.send(OUTPUT, descriptor=writing)
                    os.close(writing)
                    writing = -1
                    answer = await _read_all(lines, self._most_bytes, instance_run.name)
            finally:
                lines.close()
                if writing >= 0:
                    os.close(writing)
        async with watch.running():
            return answer, await self._ended(sandbox)

    async def _spoken(self, sandbox: Sandbox, instance_run: InstanceRun, watch: Stopwatch) -> bytes:
        """Talk with a command: one line of text for each message and for each reply."""
        assert instance_run.talk is not None  # noqa: S101 -- asked by the caller
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                await sandbox.send(TALK, descriptor=theirs.fileno())
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        try:
            async with instance_run.talk(instance_run.instance) as conversation:
                while (message := await conversation.message()) is not None:
                    async with watch.running():
                        writer.write(message + b"\n")
                        await writer.drain()
                        reply = await reader.readline()
                    if not reply.endswith(b"\n"):
                        raise SandboxEnded
                    await self._reply(conversation, reply[:-1], instance_run)
                return conversation.transcript
        except (ConnectionError, ValueError) as error:  # it has ended, or the line is too long
            raise SandboxEnded from error
        finally:
            writer.close()

    async def _reply(
        self, conversation: Conversation, reply: bytes, instance_run: InstanceRun
    ) -> None:
        """Send the judge a reply. Raises RunFailed if replies together exceed an answer's limit."""
        await conversation.reply(reply)
        if conversation.replied_bytes > self._most_bytes:
            raise RunFailed("rejected", f"{instance_run.name}: its answer is larger than allowed")

    async def _ended(self, sandbox: Sandbox) -> _Used:
        """Wait for a command's end. Return its cost. Raises SandboxEnded if it failed."""
        if self._profile.single_process:
            if await sandbox.ended():
                raise SandboxEnded
            return _Used()
        _, payload = await sandbox.receive_one({USED: _USED_BYTES})
        sandbox.note_written()
        used = json.loads(payload)
        if used["exit"]:
            raise SandboxEnded
        return _Used(waited_cpu_s=used["cpu_s"], peak_bytes=int(used["peak_kib"]) << 10)


def peak_of(sandbox: Sandbox, found_bytes: int, *, read_bytes: int = 0) -> int:
    """Return a sandbox's peak memory, files in its folders included.

    `found_bytes` is the peak measured for its processes. A file may be created and deleted between
    two measurements. So if the sandbox measures memory, all written bytes count, deleted or not,
    except output that was read here.
    """
    peak_bytes = max(sandbox.peak_resident_bytes, found_bytes)
    if sandbox.profile.weighs_memory:
        peak_bytes += max(0, sandbox.written_bytes - sandbox.printed_bytes - read_bytes)
    return max(sandbox.peak_memory_bytes, peak_bytes)


def keep_to(sandbox: Sandbox, core: int) -> None:
    """Pin all threads of a sandbox to one core. System call filters keep them on it."""
    threads = Path(f"/proc/{sandbox.pid}/task")
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended by itself
        for thread in threads.iterdir():
            os.sched_setaffinity(int(thread.name), {core})


async def _read_all(file: object, most_bytes: int, name: str) -> bytes:
    """Return all bytes that are written to a pipe until every writer has closed it."""
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), file)
    data = bytearray()
    try:
        while chunk := await stream.read(1 << 20):
            data += chunk
            if len(data) > most_bytes:
                raise RunFailed("rejected", f"{name}: its answer is larger than allowed")
    finally:
        transport.close()
    return bytes(data)
