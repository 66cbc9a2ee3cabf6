"""Sandboxes with scripts of a few numbers, on a machine whose load a test decides.

They replace only processes and torch; stages, ceilings, clocks and audits are real. A script trains
one number, its luck, and a larger one means a better model. The script knows it, and if it is bad,
may waste processor seconds in any stage.
"""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from protocol.source import Source
from trainer.language_model import lm_bpb_1
from trainer.language_model.data import TaskData
from trainer.measuring import host_load, metering
from trainer.measuring.host_load import HostLoad
from trainer.runner import Runner
from trainer.sandbox.inside.channel import ANSWER, JOB, NEED_DATA, SERVING, WEIGHTS
from trainer.sandbox.profile import Profile, Role, Start
from trainer.sandbox.sandbox import Sandbox
from trainer.task_folder.task import Task

Place = Literal["training", "start", "first answer", "score", "audit's first answer", "audit"]

CLAIM, AUDIT = lm_bpb_1.asked(1, 1)  # only the tags
ROWS = 64  # of each split, in batches of 32
_BATCHES = 2 * ROWS // 32
_WORTH = 0.01  # of the model's scale, for one standard deviation of luck
_CROWD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The costs of a script on an idle machine, and its reaction to bad luck.

    With `is_random` its luck does not come from its seed. `burns` gives the stage where it wastes
    seconds if its luck is below `content`, and their number; None means for ever.
    """

    train_s: float = 4.0
    start_s: float = 0.1
    score_s: float = 1.0
    audit_s: float = 0.3
    is_random: bool = True
    burns: Place | None = None
    content: float = 0.0
    burnt_s: float | None = None

    def source(self, task: Task) -> Source:
        """Return a task's source with this script."""
        return task.source.replacing("train.py", json.dumps(asdict(self)).encode())


HONEST = Script()


@dataclass(kw_only=True)
class Machine:
    """A machine with other load, which stretches seconds, and a record of the scripts on it.

    `luck` are the numbers drawn, one for each training. `scored` are those of the weights that saw
    rows. `audits` are the requests of audits. `stretches`: on a busy machine, a training takes from
    once to this many times as long.
    """

    random: Random = field(default_factory=lambda: Random(1))
    is_crowded: bool = False
    stretch: float = 1.0
    stretches: float = 1.0
    luck: list[float] = field(default_factory=list)
    scored: list[float] = field(default_factory=list)
    served: int = 0
    audits: list[bytes] = field(default_factory=list)
    slow_starts: int = 0
    prints: bytes = b""

    @property
    def share(self) -> float:
        """The others' share of all processors' time."""
        return _CROWD if self.is_crowded else 0.0

    def calm_down(self) -> None:
        """End the other load."""
        self.is_crowded, self.stretch = False, 1.0


class ScriptedSandbox:
    """A script's process: the frames of a harness, and a clock that the script advances."""

    has_ended = False
    peak_memory_bytes = 1
    start = Start(0.0, 0.0, 0.0)
    root = 0

    def __init__(
        self, machine: Machine, profile: Profile, log_frequencies: NDArray[np.float32]
    ) -> None:
        self.profile = profile
        self._machine = machine
        self._log_frequencies = log_frequencies
        self._used_s = 0.0
        self._script = HONEST
        self._job: Mapping[str, object] = {}
        self._luck = 0.0
        self._asked: list[tuple[bytes, bytes]] = []
        self._answers = 0

    def metered_s(self) -> float:
        return self._used_s

    cpu_s = metered_s

    def output_tail(self) -> str:
        return ""

    async def shut_gate(self) -> None:
        return

    def discard_output(self) -> None:
        return

    def on_output(self, callback: Callable[[bytes], None]) -> None:
        callback(self._machine.prints)

    async def close(self) -> None:
        return

    async def send(self, tag: bytes, payload: bytes = b"", descriptor: int | None = None) -> None:
        if tag == JOB:
            self._job = json.loads(payload)
            text = base64.b64decode(cast("dict[str, str]", self._job["files"])["train.py"])
            with contextlib.suppress(ValueError):  # the task's own script is the honest one
                self._script = Script(**json.loads(text))
        elif tag == WEIGHTS:
            assert descriptor is not None
            self._luck = float(load(os.pread(descriptor, 1 << 20, 0))["luck"][0])
        elif tag in (CLAIM.tag, AUDIT.tag):
            self._asked.append((tag, payload))

    async def receive(self, tag: bytes, size: int = 0) -> bytes:
        if tag == SERVING:
            self._spend(self._script.start_s)
            if self._machine.slow_starts:
                self._machine.slow_starts -= 1
                self._spend(9.0)
            await self._burn("start")
        if tag != ANSWER:
            return b""
        asked, payload = self._asked.pop()
        self._answers += 1
        if asked == AUDIT.tag:
            self._machine.audits.append(payload)
            await self._burn("audit's first answer")
            self._spend(self._script.audit_s / _BATCHES)
            await self._burn("audit")
            return self._logits(payload)
        if self._answers == 1:
            self._machine.served += 1
            self._machine.scored.append(self._luck)
        await self._burn("first answer")
        self._spend(self._script.score_s / _BATCHES)
        if self._answers == _BATCHES:
            await self._burn("score")
        return self._claims(payload)

    async def receive_one(
        self, expected: Mapping[bytes, int], *, on_begun: Callable[[bytes], None]
    ) -> tuple[bytes, bytes]:
        assert {NEED_DATA, WEIGHTS} == set(expected)
        random = self._machine.random if self._script.is_random else Random(str(self._job["seed"]))
        self._luck = random.gauss(0.0, 1.0)
        self._machine.luck.append(self._luck)
        if self._machine.is_crowded and self._machine.stretches > 1.0:
            self._machine.stretch = self._machine.random.uniform(1.0, self._machine.stretches)
        self._spend(self._script.train_s)
        await self._burn("training")
        on_begun(WEIGHTS)
        return WEIGHTS, save({"luck": np.array([self._luck], np.float32)})

    async def _burn(self, place: Place) -> None:
        if self._script.burns != place or self._luck >= self._script.content:
            return
        if self._script.burnt_s is None:
            self._used_s += 1e6
            await asyncio.Event().wait()  # until the sandbox is closed
        self._spend(self._script.burnt_s or 0.0)

    def _spend(self, seconds: float) -> None:
        self._used_s += seconds * self._machine.stretch

    def _claims(self, payload: bytes) -> bytes:
        rows, length, words = _read(payload)
        targets = words[rows * length :].reshape(rows, length)
        return self._log_probabilities()[targets].astype("<f4").tobytes()

    def _logits(self, payload: bytes) -> bytes:
        rows, _, _ = _read(payload)
        logits = (self._scale() * self._log_frequencies).astype("<f4")
        return np.tile(logits, (rows, 1)).tobytes()

    def _scale(self) -> float:
        return 0.8 + _WORTH * self._luck

    def _log_probabilities(self) -> "np.typing.NDArray[np.float64]":
        logits = (self._scale() * self._log_frequencies).astype("<f4").astype(np.float64)
        return np.asarray(logits - np.log(np.exp(logits).sum()), dtype=np.float64)


def _read(payload: bytes) -> tuple[int, int, "np.typing.NDArray[np.uint16]"]:
    rows, length = (int(one) for one in np.frombuffer(payload[:8], dtype=">u4"))
    return rows, length, np.frombuffer(payload[8:], dtype=">u2").astype(np.uint16)


class ScriptedPool:
    """A pool of such sandboxes, instead of `trainer.sandbox.pool`."""

    def __init__(
        self,
        machine: Machine,
        profiles: Mapping[Role, Profile],
        log_frequencies: NDArray[np.float32],
    ) -> None:
        self._machine, self._profiles = machine, profiles
        self._log_frequencies = log_frequencies

    def warm(self, role: Role, *, is_fresh: bool = False) -> None:
        return

    def start_no_next(self) -> None:
        return

    async def take(self, role: Role, *, is_fresh: bool = False) -> Sandbox:
        made = ScriptedSandbox(self._machine, self._profiles[role], self._log_frequencies)
        return cast("Sandbox", made)

    async def close(self) -> None:
        return


def scripted_runner(
    task: Task, data: TaskData, machine: Machine, *, audit_key: bytes = b"a key"
) -> Runner:
    """Return a runner with few rows whose sandboxes are scripted."""
    few = replace(
        data,
        public_rows=data.public_rows[:ROWS],
        secret_rows=lambda key: data.secret_rows(key)[:ROWS],
    )
    runner = Runner(task, few, audit_key=audit_key)
    profiles: dict[Role, Profile] = {role: runner._stages.profile(role) for role in ROLES}
    counts = np.bincount(few.public_rows.ravel(), minlength=data.vocabulary.size)
    frequencies = np.log(counts.astype(np.float64) + 1.0).astype(np.float32)
    runner._stages._pool = ScriptedPool(machine, profiles, frequencies)  # type: ignore[assignment]
    return runner


ROLES: tuple[Role, ...] = ("train", "serve")


@contextlib.contextmanager
def watched(machine: Machine) -> Iterator[None]:
    """Let all measurements of other load see the scripted machine; minutes pass at once."""
    share, idle_s, step_s = HostLoad.share, host_load.IDLE_S, metering._FIRST_STEP_S
    HostLoad.share = lambda _load: machine.share  # type: ignore[method-assign]
    host_load.IDLE_S = 0.0  # type: ignore[misc]
    metering._FIRST_STEP_S = 0.001
    try:
        yield
    finally:
        HostLoad.share = share  # type: ignore[method-assign]
        host_load.IDLE_S = idle_s  # type: ignore[misc]
        metering._FIRST_STEP_S = step_s
