"""What the research loop must still know after a kill: its lines, its jobs, its planned runs.

A run's seed is committed before the run starts and its outcome when it has ended, so that a kill
is never a free retry. What the values mean is the loop's; `Store` adds the transactions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, cast

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.database import Database
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import without_hidden
from protocol.kinds import Role, Run
from trainer.measuring.timeline import Stage

JobState = Literal["open", "done"]


class Step(Protocol):
    """What a job is for and how far it has come. Each kind of job has a class of its own."""

    KIND: ClassVar[str]  # its word in the store
    # Its runs are compared with each other on one secret split, which it has alone.
    IS_ON_ONE_SPLIT: ClassVar[bool]

    def to_value(self) -> Value:
        """Return the body to keep."""
        ...

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the step that a body keeps."""
        ...


S = TypeVar("S", bound=Step)
S_co = TypeVar("S_co", bound=Step, covariant=True)

_LIMIT_BYTES = 1 << 20  # local values may hold a log's tail, which no record does


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKey:
    """One task on one hardware class."""

    task: bytes
    hardware_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where a line stands: what the node vouches for and where it explores (trees).

    `stack` are the patches kept since the last checkpoint, at `checkpoint_ms`; `bank_nano` is
    what runs of the working tree measured, for screening only.
    """

    task: bytes
    hardware_class: str
    verified: bytes
    working: bytes
    stack: tuple[bytes, ...]
    bank_nano: tuple[int, ...]
    checkpoint_ms: int

    @property
    def key(self) -> LineKey:
        """What names this line."""
        return LineKey(task=self.task, hardware_class=self.hardware_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[S_co]):
    """One piece of the loop's work. `step` is whatever its kind needs to go on after a kill.

    `split` names the secret split of its runs (`node.line.splits`); None: each has one of its own.
    """

    id: int
    line: LineKey
    step: S_co
    state: JobState
    created_ms: int
    split: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutcome:
    """How a run ended: what a record will say of it, and what only this node keeps."""

    run: Run
    log_tail: str
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run that was decided on; `outcome` is None until it has ended."""

    job_id: int
    ordinal: int
    role: Role
    tree: bytes
    seed: int
    outcome: StoredOutcome | None


def load_line(database: Database, key: LineKey) -> Line | None:
    """Return where a line stands."""
    rows = database.rows(
        "SELECT verified, working, stack, bank, checkpoint_ms FROM line"
        " WHERE task = ? AND class = ?",
        (key.task, key.hardware_class),
    )
    if not rows:
        return None
    verified, working, stack, bank, checkpoint_ms = rows[0]
    return Line(
        task=key.task,
        hardware_class=key.hardware_class,
        verified=verified,
        working=working,
        stack=tuple(item for item in _items(stack) if isinstance(item, bytes)),
        bank_nano=tuple(item for item in _items(bank) if isinstance(item, int)),
        checkpoint_ms=checkpoint_ms,
    )


def lines(database: Database) -> list[Line]:
    """Return every line."""
    rows = database.rows("SELECT task, class FROM line ORDER BY task, class")
    keys = [LineKey(task=task, hardware_class=name) for task, name in rows]
    return [line for key in keys if (line := load_line(database, key)) is not None]


def save_line(database: Database, line: Line) -> None:
    """Replace what is known of a line."""
    stack, bank = encode(list(line.stack)), encode(list(line.bank_nano))
    database.rows(
        "INSERT OR REPLACE INTO line"
        " (task, class, verified, working, stack, bank, checkpoint_ms) VALUES (?,?,?,?,?,?,?)",
        (
            line.task,
            line.hardware_class,
            line.verified,
            line.working,
            stack,
            bank,
            line.checkpoint_ms,
        ),
    )


def open_job(
    database: Database, line: LineKey, step: S, created_ms: int, split: bytes | None
) -> Job[S]:
    """Put a job into the queue."""
    number = database.insert(
        "INSERT INTO job (task, class, kind, state, body, created_ms, split)"
        " VALUES (?,?,?,'open',?,?,?)",
        (line.task, line.hardware_class, step.KIND, encode(step.to_value()), created_ms, split),
    )
    return Job(id=number, line=line, step=step, state="open", created_ms=created_ms, split=split)


def update_step(database: Database, job: Job[Step], step: S) -> Job[S]:
    """Remember how far a job has come."""
    values = (encode(step.to_value()), job.id)
    database.rows("UPDATE job SET body = ? WHERE id = ?", values)
    return cast("Job[S]", replace(job, step=step))


def close_job(database: Database, job_id: int) -> None:
    """Take a job out of the queue."""
    database.rows("UPDATE job SET state = 'done' WHERE id = ?", (job_id,))


def open_jobs(database: Database, line: LineKey, kinds: Sequence[type[S]]) -> list[Job[S]]:
    """Return a line's jobs of these kinds in the queue, oldest first."""
    return _jobs_of_line(database, line, "state = 'open'", kinds)


def open_ids(database: Database, line: LineKey) -> set[int]:
    """Return the numbers of a line's jobs in the queue, of whatever kind."""
    rows = database.rows(
        "SELECT id FROM job WHERE task = ? AND class = ? AND state = 'open'",
        (line.task, line.hardware_class),
    )
    return {number for (number,) in rows}


def closed_jobs(
    database: Database, line: LineKey, kinds: Sequence[type[S]], *, after: int = 0
) -> list[Job[S]]:
    """Return a line's finished jobs of these kinds that come after number `after`, oldest first."""
    return _jobs_of_line(database, line, "state = 'done' AND id > :after", kinds, {"after": after})


def get_job(database: Database, job_id: int, kinds: Sequence[type[S]]) -> Job[S] | None:
    """Return the job with this number, if it is of one of these kinds."""
    found = _jobs(database, "id = :id", kinds, {"id": job_id})
    return found[0] if found else None


def _jobs_of_line(
    database: Database,
    line: LineKey,
    condition: str,
    kinds: Sequence[type[S]],
    values: Mapping[str, object] | None = None,
) -> list[Job[S]]:
    of_line = {"task": line.task, "class": line.hardware_class, **(values or {})}
    return _jobs(database, f"task = :task AND class = :class AND {condition}", kinds, of_line)


def _jobs(
    database: Database, condition: str, kinds: Sequence[type[S]], values: Mapping[str, object]
) -> list[Job[S]]:
    by_word = {kind.KIND: kind for kind in kinds}
    words = {f"kind{number}": word for number, word in enumerate(by_word)}
    places = ", ".join(f":{name}" for name in words)
    rows = database.rows(
        "SELECT id, task, class, kind, state, body, created_ms, split FROM job"  # noqa: S608 (constants)
        f" WHERE {condition} AND kind IN ({places}) ORDER BY id",
        {**values, **words},
    )
    return [
        Job(
            id=number,
            line=LineKey(task=task, hardware_class=hardware_class),
            step=_read_step(by_word[kind], body),
            state=state,
            created_ms=created_ms,
            split=split,
        )
        for number, task, hardware_class, kind, state, body, created_ms, split in rows
    ]


def _read_step(kind: type[S], body: bytes) -> S:
    step = kind.from_value(decode_body(body))
    if isinstance(step, Rejected):
        raise DamagedStoreError(f"a job in the store does not read: {step.reason}", DAMAGED_HINT)
    return step


def plan_run(database: Database, job_id: int, role: Role, tree: bytes, seed: int) -> PlannedRun:
    """Append a run without an outcome."""
    ((ordinal,),) = database.rows("SELECT count(*) FROM planned_run WHERE job = ?", (job_id,))
    database.rows(
        "INSERT INTO planned_run (job, ordinal, role, tree, seed) VALUES (?,?,?,?,?)",
        (job_id, ordinal, role, tree, seed),
    )
    return PlannedRun(job_id=job_id, ordinal=ordinal, role=role, tree=tree, seed=seed, outcome=None)


def finish_run(database: Database, run: PlannedRun, outcome: StoredOutcome) -> PlannedRun:
    """Keep how a planned run ended."""
    database.rows(
        "UPDATE planned_run SET outcome = ? WHERE job = ? AND ordinal = ?",
        (_encode_outcome(outcome), run.job_id, run.ordinal),
    )
    return replace(run, outcome=outcome)


def runs_of(database: Database, job_id: int) -> list[PlannedRun]:
    """Return a job's runs in the order they were planned."""
    rows = database.rows(
        "SELECT ordinal, role, tree, seed, outcome FROM planned_run WHERE job = ? ORDER BY ordinal",
        (job_id,),
    )
    return [_planned(job_id, *row) for row in rows]


def _planned(
    job_id: int, ordinal: int, role: Role, tree: bytes, seed: int, outcome: bytes | None
) -> PlannedRun:
    return PlannedRun(
        job_id=job_id,
        ordinal=ordinal,
        role=role,
        tree=tree,
        seed=seed,
        outcome=None if outcome is None else decode_outcome(outcome),
    )


def count_runs(
    database: Database, task: bytes, kinds: Sequence[type[Step]], *, before_job: int | None = None
) -> int:
    """Return how many runs of a task's jobs of these kinds ended, all or before a job."""
    places = ",".join("?" * len(kinds))
    ((count,),) = database.rows(
        "SELECT count(outcome) FROM planned_run JOIN job ON job = id"  # noqa: S608 (places only)
        f" WHERE task = ? AND kind IN ({places}) AND id < coalesce(?, id + 1)",
        (task, *(kind.KIND for kind in kinds), before_job),
    )
    return int(count)


def ended_runs(database: Database, seeds: Sequence[int]) -> list[PlannedRun]:
    """Return the runs with one of these seeds that have ended, in the order they were planned."""
    places = ",".join("?" * len(seeds))
    rows = database.rows(
        "SELECT job, ordinal, role, tree, seed, outcome FROM planned_run"  # noqa: S608 (places only)
        f" WHERE seed IN ({places}) AND outcome IS NOT NULL ORDER BY job, ordinal",
        seeds,
    )
    return [_planned(*row) for row in rows]


def values(database: Database) -> Iterator[Value]:
    """Yield all that lines, jobs and planned runs hold."""
    for verified, working, stack in database.stream("SELECT verified, working, stack FROM line"):
        yield [verified, working, decode_body(stack)]
    for (body,) in database.stream("SELECT body FROM job"):
        yield decode_body(body)
    for (tree,) in database.stream("SELECT DISTINCT tree FROM planned_run"):
        yield tree


def _encode_outcome(outcome: StoredOutcome) -> bytes:
    """Return the bytes the store keeps. The log is foreign text, hence bytes."""
    log = outcome.log_tail.encode("utf-8", "backslashreplace")
    stages: list[Value] = [[one.part, one.name, one.start_ms, one.end_ms] for one in outcome.stages]
    return encode({"log": log, "run": outcome.run.to_value(), "stages": stages})


def decode_outcome(data: bytes) -> StoredOutcome:
    """Return what `_encode_outcome` was given."""
    match decode(data, limit_bytes=_LIMIT_BYTES):
        case {"log": bytes() as log, "run": dict() as value, **rest}:
            run = Run.from_value(without_hidden(value))
            if not isinstance(run, Rejected):
                text = log.decode("utf-8", "replace")
                # Of runs before there were any, nothing is known.
                stages = tuple(_stage(item) for item in cast("list[Any]", rest.get("stages", [])))
                return StoredOutcome(run=run, log_tail=text, stages=stages)
    raise DamagedStoreError("a run's outcome in the store does not read", DAMAGED_HINT)


def _stage(item: Any) -> Stage:
    part, name, start_ms, end_ms = item
    return Stage(part=part, name=name, start_ms=start_ms, end_ms=end_ms)


def decode_body(data: bytes) -> Value:
    """Return a job's body, with U+FFFD for what texts could once hold and may no longer."""
    value = decode(data, limit_bytes=_LIMIT_BYTES)
    if isinstance(value, Rejected):
        raise DamagedStoreError(f"a job in the store does not read: {value.reason}", DAMAGED_HINT)
    return without_hidden(value)


def _items(data: bytes) -> list[Value]:
    value = decode_body(data)
    return value if isinstance(value, list) else []
