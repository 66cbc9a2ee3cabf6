"""A runner that keeps its real runs on disk, so that a long proof makes each of them once.

A run's metrics are the same bits whenever its source, seed, data, scoring, torch and processor are,
so a kept run is a real one. What its audit drew and what it cost are those of the day it was made.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from protocol.runs import Audit
from protocol.source import Source
from trainer.host.device import processor
from trainer.language_model.data import TaskData
from trainer.language_model.text.token_cache import tokens_digest, write_atomically
from trainer.language_model.text.vocabulary import TokenRows
from trainer.measuring.kind import NeedsAudit, always
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import Answers, RunOutcome
from trainer.runner import Runner
from trainer.task_folder.task import Task

# Every seed that a proof's node draws becomes one of these, for which planted patches are measured.
SEED_POOL = tuple(range(1000, 1040))

_DETERMINED = {"ok", "nan", "rejected"}  # the others say as much of the machine's state


def itself(source: Source) -> Source:
    """Return the source: it is what runs."""
    return source


class PooledSeeds:
    """Gives every seed one of the pool: any 40 that are new in a row get 40 different ones.

    So a confirmation's pairs are independent, whatever was asked before. `order` decides which.
    """

    def __init__(self, order: str) -> None:
        self._pool = random.Random(order).sample(SEED_POOL, len(SEED_POOL))
        self._given = {seed: seed for seed in SEED_POOL}
        self._count = 0

    def of(self, seed: int) -> int:
        """Return the pool's seed that stands for this one."""
        if seed not in self._given:
            self._given[seed] = self._pool[self._count % len(self._pool)]
            self._count += 1
        return self._given[seed]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRuns:
    """A folder with one file for each run of one task on one secret split; processes may share it.

    `setting` is what the runs have in common, beside tree and seed.
    """

    folder: Path
    setting: tuple[str, ...]

    @classmethod
    def here(cls, folder: Path, task: Task, secret_rows: TokenRows) -> "KeptRuns":
        """The runs of a task with this secret split on this machine."""
        return cls(
            folder=folder,
            setting=(
                task.id.hex(),
                tokens_digest(secret_rows).hex(),
                task.manifest.evaluator,
                str(processor().environment["torch"]),
                processor().slug,
                _instruction_set(),
            ),
        )

    def path(self, tree: bytes, seed: int) -> Path:
        """Where a run is kept."""
        key = json.dumps([tree.hex(), seed, *self.setting])
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def get(self, tree: bytes, seed: int) -> RunOutcome | None:
        """Return a kept run, without claims: they only aim later audits."""
        path = self.path(tree, seed)
        if not path.exists():
            return None
        said = json.loads(path.read_bytes())
        audit = said.pop("audit")
        flags = tuple(said.pop("flags"))
        return RunOutcome(**said, audit=audit and Audit(**audit), flags=flags, answers=None)

    def put(self, tree: bytes, outcome: RunOutcome) -> None:
        """Keep a run whose end the source and the seed decide."""
        if outcome.status not in _DETERMINED:
            return
        said = asdict(replace(outcome, answers=None, stages=(), curve=()))
        # The one is large, the others are no other run's.
        del said["answers"], said["stages"], said["curve"]
        path = self.path(tree, outcome.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(said).encode())


class CachedRunner(Runner):
    """The production runner, which looks first whether it made a run before.

    All its runs are on one secret split, whichever is asked for: the runs of a proof are shared.
    Calibration is always real: it is about this machine now. `program_of` names the source that
    is run for another one; it may leave out only what was shown to change no bit.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        *,
        split: bytes,
        audit_key: bytes,
        folder: Path,
        seeds: PooledSeeds,
        program_of: Callable[[Source], Source] = itself,
    ) -> None:
        # Time is no matter here: what is told of a run is what it comes to.
        super().__init__(task, data, audit_key=audit_key, patience_s=0.0)
        self.kept = KeptRuns.here(folder, task, data.secret_rows(split))
        self._split = split
        self._seeds = seeds
        self._program_of = program_of

    async def run(
        self,
        source: Source,
        seed: int,
        *,
        split: bytes | None = None,
        needs_audit: NeedsAudit = always,
        incumbent: Answers | None = None,
        on_trained: Callable[[], None] = lambda: None,
        session_ends_s: float = math.inf,
        is_fresh: bool = False,
        on_training: Callable[[LossCurve], None] = lambda _curve: None,
        is_hopeless: Callable[[LossCurve], str | None] = lambda _curve: None,
        on_product: Callable[[bytes], None] = lambda _product: None,
    ) -> RunOutcome:
        """Return the run of this source with the pool's seed for `seed`, made now if it is new."""
        drawn, source = self._seeds.of(seed), self._program_of(source)
        kept = None if self.baseline_cost is None else self.kept.get(source.tree, drawn)
        if kept is not None:
            on_trained()
        else:
            if self.baseline_cost is None and source.tree != self.task.source.tree:
                await self.calibrate(SEED_POOL[0])
            # Audited whatever is asked now: another reader of this run may want its audit.
            kept = await super().run(
                source,
                drawn,
                split=self._split,
                incumbent=incumbent,
                on_trained=on_trained,
                session_ends_s=session_ends_s,
                is_fresh=is_fresh,
                on_training=on_training,
                is_hopeless=is_hopeless,
                on_product=on_product,
            )
            self.kept.put(source.tree, kept)
        if kept.metric_nano is None or kept.secret_nano is None:
            return replace(kept, seed=seed)
        is_audited = await needs_audit(kept.metric_nano, kept.secret_nano)
        return replace(kept, seed=seed, audit=kept.audit if is_audited else None)


def _instruction_set() -> str:
    """A digest of what the processor says it can do, which is what kernels are chosen by."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    said = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(said.encode()).hexdigest()[:16]
