"""One row per experiment of this node: what `log`, the journal and `results.tsv` show.

A row follows from an own result record and what stood in the store before it (its patch, its
task, the metric of its base), so that the table can be derived again at any time. The figures
are for people; what decides is in the loop's own books.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final, Literal

from node.store.archive import number_of, parsed
from node.store.database import Database
from node.store.jobs import LineKey
from protocol.changes import Origin
from protocol.kinds import AdoptBody, PatchBody, ResultBody, Role, TaskBody
from protocol.records import Record

Decision = Literal[
    "baseline", "kept", "discarded", "failed", "rejected", "unconfirmed", "adopted", "branched"
]
# Proposers of patches that the node makes itself.
STACKING: Final = "checkpoint"  # a stack on trial
STRIPPING: Final = "stripping"  # a stranger's tree made clean
CATCHING_UP: Final = "catch-up"
ABLATION: Final = "ablation"  # a line without one of its parts
BRANCHING: Final = "branch"  # a step to another tree, which is no idea for a gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The fields are the columns of the table, in its order."""

    id: bytes
    n: int
    task: bytes
    hardware_class: str
    ts_ms: int
    title: str
    origin: str
    stage: str
    status: str
    decision: Decision
    metric_nano: int | None
    gain_nano: int | None
    peak_mem_bytes: int
    tree: bytes
    parent: bytes
    patch: bytes | None


_COLUMNS = ", ".join(
    "class" if field.name == "hardware_class" else field.name for field in fields(Experiment)
)
_PLACES = ", ".join("?" for _ in fields(Experiment))


def experiment_of(
    record: Record,
    n: int,
    *,
    patch_of: Callable[[bytes], PatchBody | None],
    task_of: Callable[[bytes], TaskBody | None],
    metric_of: Callable[[ResultBody], int | None],
) -> Experiment | None:
    """Return the row of an own result; None for every other kind of record.

    `n` is the record's number in the store; `metric_of` answers with the metric last recorded
    for the result's base.
    """
    body = record.body
    if not isinstance(body, ResultBody):
        return None
    patch = None if body.patch is None else patch_of(body.patch)
    task = task_of(body.task)
    maximised = task is not None and task.manifest.metric.direction == "max"
    own_role: Role = "base" if body.stage == "baseline" else "candidate"
    own = [run.metric_nano for run in body.runs if run.role == own_role]
    # A screen is selected, so where a recheck followed, that one speaks.
    metric = _mean(own if body.stage in ("baseline", "confirm") else own[-1:])
    loss = None if body.stage == "baseline" else _loss(body, metric, metric_of(body))
    return Experiment(
        id=record.id,
        n=n,
        task=body.task,
        hardware_class=body.hardware_class,
        ts_ms=record.ts_ms,
        title=body.stage if patch is None else patch.title,
        origin="task" if patch is None else patch.origin.proposer,
        stage=body.stage,
        status=body.status,
        decision=_decision(body, patch),
        metric_nano=metric,
        gain_nano=loss if loss is None or maximised else -loss,
        peak_mem_bytes=max((run.peak_mem_bytes for run in body.runs), default=0),
        tree=body.tree,
        parent=body.base,
        patch=body.patch,
    )


def is_branching(origin: Origin) -> bool:
    """Say whether a patch is the step with which the working line goes on from another tree."""
    return origin.proposer == BRANCHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A move of the verified head by this node; `n` is its number in the store."""

    id: bytes
    n: int
    ts_ms: int
    body: AdoptBody


def adoption_of(record: Record, n: int) -> Adoption | None:
    """Return the adoption that a record is; None for every other kind."""
    if not isinstance(record.body, AdoptBody):
        return None
    return Adoption(id=record.id, n=n, ts_ms=record.ts_ms, body=record.body)


def derive(
    database: Database,
    record: Record,
    *,
    patch_of: Callable[[bytes], PatchBody | None],
    task_of: Callable[[bytes], TaskBody | None],
) -> None:
    """Let the table follow from one more own record."""
    number = number_of(database, record.id)
    adoption = adoption_of(record, number)
    if adoption is not None:
        database.rows(
            "UPDATE experiment SET decision = 'adopted' WHERE id = ? AND stage = 'confirm'",
            (adoption.body.evidence,),
        )

    def metric_of(result: ResultBody) -> int | None:
        rows = database.rows(
            "SELECT metric_nano FROM experiment WHERE task = ? AND class = ? AND tree = ?"
            " AND metric_nano IS NOT NULL ORDER BY n DESC LIMIT 1",
            (result.task, result.hardware_class, result.base),
        )
        return rows[0][0] if rows else None

    experiment = experiment_of(
        record, number, patch_of=patch_of, task_of=task_of, metric_of=metric_of
    )
    if experiment is not None:
        database.rows(
            f"INSERT OR IGNORE INTO experiment ({_COLUMNS}) VALUES ({_PLACES})",  # noqa: S608 (constants)
            astuple(experiment),
        )


def listed(
    database: Database,
    line: LineKey | None,
    *,
    after: int,
    newest_first: bool,
    limit: int | None,
) -> list[Experiment]:
    """Return rows in the order they were recorded, from number `after` on."""
    values: dict[str, object] = {"after": after, "limit": -1 if limit is None else limit}
    where = ""
    if line is not None:
        values |= {"task": line.task, "class": line.hardware_class}
        where = " AND task = :task AND class = :class"
    order = "DESC" if newest_first else "ASC"
    rows = database.rows(
        f"SELECT {_COLUMNS} FROM experiment WHERE n > :after{where}"  # noqa: S608 (constants)
        f" ORDER BY n {order} LIMIT :limit",
        values,
    )
    names = [field.name for field in fields(Experiment)]
    return [Experiment(**dict(zip(names, row, strict=True))) for row in rows]


def adoptions(database: Database, line: LineKey, *, after: int) -> list[Adoption]:
    """Return this node's moves of the verified head of a line, in order."""
    rows = database.rows(
        "SELECT n, wire FROM record WHERE own AND kind = 'adopt' AND n > ? ORDER BY n", (after,)
    )
    found = (adoption_of(parsed(wire), n) for n, wire in rows)
    wanted = (line.task, line.hardware_class)
    return [
        adoption
        for adoption in found
        if adoption and (adoption.body.task, adoption.body.hardware_class) == wanted
    ]


def _loss(body: ResultBody, metric: int | None, base_metric: int | None) -> int | None:
    """Return candidate minus base: on the secret split where there are pairs."""
    if body.stage == "confirm":
        by_role = {
            role: _mean([run.secret_nano for run in body.runs if run.role == role])
            for role in ("base", "candidate")
        }
        candidate, base = by_role["candidate"], by_role["base"]
        return None if candidate is None or base is None else candidate - base
    return None if metric is None or base_metric is None else metric - base_metric


def _decision(body: ResultBody, patch: PatchBody | None) -> Decision:
    # A confirmation that passed becomes "adopted" by the adoption that rests on it.
    if body.status == "rejected":
        return "rejected"
    if body.status != "ok":
        return "failed"
    if body.stage == "keep" and patch is not None and is_branching(patch.origin):
        return "branched"
    by_stage: dict[str, Decision] = {
        "baseline": "baseline",
        "screen": "discarded",
        "keep": "kept",
        "confirm": "unconfirmed",
    }
    return by_stage[body.stage]


def _mean(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return (2 * sum(known) + len(known)) // (2 * len(known)) if known else None
