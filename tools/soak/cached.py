"""A runner that keeps its real runs on disk, so that a soak test makes each of them once.

A run's metrics are bit-identical for the same source, seed, data, scoring, torch and processor, so
a kept run is as good as a new one. Its audit sample and its cost are those of the original run.
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

# Every seed that a node draws in these tests is mapped to one of these. Planted patches are
# measured with the same seeds.
SEED_POOL = tuple(range(1000, 1040))

_DETERMINED = {"ok", "nan", "rejected"}  # other statuses also depend on the machine's state


def itself(source: Source) -> Source:
    """Return the source unchanged."""
    return source


class PooledSeeds:
    """A mapping of seeds to the pool. Any 40 consecutive new seeds get 40 different ones.

    So the pairs of a promotion trial are independent of earlier requests. `order` seeds the
    mapping.
    """

    def __init__(self, order: str) -> None:
        self._pool = random.Random(order).sample(SEED_POOL, len(SEED_POOL))
        self._given = {seed: seed for seed in SEED_POOL}
        self._count = 0

    def of(self, seed: int) -> int:
        """Return the seed of the pool for a given seed."""
        if seed not in self._given:
            self._given[seed] = self._pool[self._count % len(self._pool)]
            self._count += 1
        return self._given[seed]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRuns:
    """A folder with one file per run of one task on one secret split. Processes may share it.

    `setting` is everything besides tree and seed that determines a run.
    """

    folder: Path
    setting: tuple[str, ...]

    @classmethod
    def here(cls, folder: Path, task: Task, secret_rows: TokenRows) -> "KeptRuns":
        """Return the kept runs of a task with this secret split on this machine."""
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
        """Return the file of a run."""
        key = json.dumps([tree.hex(), seed, *self.setting])
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def get(self, tree: bytes, seed: int) -> RunOutcome | None:
        """Return a kept run or None. Its answers are missing, since only later audits use them."""
        path = self.path(tree, seed)
        if not path.exists():
            return None
        said = json.loads(path.read_bytes())
        audit = said.pop("audit")
        flags = tuple(said.pop("flags"))
        return RunOutcome(**said, audit=audit and Audit(**audit), flags=flags, answers=None)

    def put(self, tree: bytes, outcome: RunOutcome) -> None:
        """Keep a run if its status depends only on the source and the seed."""
        if outcome.status not in _DETERMINED:
            return
        said = asdict(replace(outcome, answers=None, stages=(), curve=()))
        # The answers are large. Stages and curve are not the same in another run.
        del said["answers"], said["stages"], said["curve"]
        path = self.path(tree, outcome.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(said).encode())


class CachedRunner(Runner):
    """The production runner with a cache of earlier runs.

    All runs use one secret split, whatever is requested, so that soak tests share them.
    Calibration is never cached, since it measures this machine now. `program_of` maps a source to
    the source that is run instead. It may leave out only code that was shown to change no bit.
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
        # Wall-clock time does not matter here: only the score of a run is used.
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
        """Return the run of this source with the pool's seed for `seed`; make it if it is new."""
        drawn, source = self._seeds.of(seed), self._program_of(source)
        kept = None if self.baseline_cost is None else self.kept.get(source.tree, drawn)
        if kept is not None:
            on_trained()
        else:
            if self.baseline_cost is None and source.tree != self.task.source.tree:
                await self.calibrate(SEED_POOL[0])
            # Always audit: another user of this cached run may need its audit.
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
    """Return a digest of the processor's feature flags, by which kernels are chosen."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    said = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(said.encode()).hexdigest()[:16]
