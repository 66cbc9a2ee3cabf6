"""A table with one row per experiment of this node, for `log`, the journal and `results.tsv`.

Each row is derived from a result record of this node and from earlier records (its patch, its task,
the metric of its base), so the table can be derived again at any time. The figures are only for
display. The research loop decides with its own data.
"""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, Literal

from node.store.changed_constants import ChangedConstants
from node.store.database import Database
from node.store.experiment_filter import NEWEST_FIRST, Filter, SortOrder
from node.store.jobs import LineKey
from node.store.overfit import overfit_reason
from node.store.records import Records, parsed
from protocol.manifest import TaskManifest
from protocol.record_kinds import AdoptBody, Origin, PatchBody, ResultBody
from protocol.records import Record
from protocol.runs import Role, patch_score_nano
from protocol.units import mean_nano

Decision = Literal[
    "baseline", "kept", "discarded", "failed", "rejected", "unconfirmed", "overfit", "adopted",
    "branched",
]  # fmt: skip
# Proposers of patches that the node makes itself.
STACKING: Final = "promotion_trial"  # several kept patches as one, in a promotion trial
STRIPPING: Final = "stripping"  # a peer's tree without untrusted text
CATCHING_UP: Final = "catch-up"
ABLATION: Final = "ablation"  # a line without one of its patches
BRANCHING: Final = "branch"  # a switch to another tree, which claims no gain
MADE_HERE: Final = frozenset({STACKING, STRIPPING, CATCHING_UP, ABLATION, BRANCHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A row of the table. The fields are its columns, in order."""

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

    @property
    def line(self) -> LineKey:
        """The line of this experiment."""
        return LineKey(task=self.task, hardware_class=self.hardware_class)


_COLUMNS = ", ".join(
    "class" if field.name == "hardware_class" else field.name for field in fields(Experiment)
)
_PAGE_COLUMNS = ", ".join(f"experiment.{name}" for name in _COLUMNS.split(", "))
_NAMES = [field.name for field in fields(Experiment)]
_PLACES = ", ".join("?" for _ in fields(Experiment))


def _experiment(row: Sequence[Any]) -> Experiment:
    return Experiment(**dict(zip(_NAMES, row, strict=True)))


Facet = Literal["decision", "stage", "origin", "tag", "constant"]
_FACETS: Final[dict[Facet, tuple[str, str]]] = {
    "decision": ("decision", ""),
    "stage": ("stage", ""),
    "origin": ("origin", ""),
    "tag": ("name", " JOIN tag ON tag.experiment = experiment.id"),
    "constant": ("name", " JOIN changed_constant USING (patch)"),
}


def is_branching(origin: Origin) -> bool:
    """Return True if the patch only moves the working line to another tree."""
    return origin.proposer == BRANCHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A change of the verified head by this node; `n` is its record's number by arrival."""

    id: bytes
    n: int
    ts_ms: int
    body: AdoptBody


class Experiments:
    """The table of experiments, and the changes of the verified head."""

    def __init__(self, database: Database, records: Records) -> None:
        self._database = database
        self._records = records
        self.constants = ChangedConstants(database)

    def derive(self, record: Record) -> None:
        """Update the table from a new record of this node, which must already be stored."""
        if isinstance(record.body, AdoptBody):
            self._database.rows(
                "UPDATE experiment SET decision = 'adopted' WHERE id = ? AND stage = 'confirm'",
                (record.body.evidence,),
            )
        elif isinstance(record.body, ResultBody):
            self._database.rows(
                f"INSERT OR IGNORE INTO experiment ({_COLUMNS}) VALUES ({_PLACES})",  # noqa: S608 (constants)
                astuple(self._row(record, record.body)),
            )
            patch = record.body.patch and self._records.patch(record.body.patch)
            if record.body.patch and patch:
                self.constants.derive(record.body.patch, patch)

    def listed(
        self,
        line: LineKey | None = None,
        *,
        task: bytes | None = None,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Experiment]:
        """Return the rows of a line, of a task or of all, in the order they were recorded.

        `after`: only rows with a greater number.
        """
        values: dict[str, object] = {"after": after, "limit": -1 if limit is None else limit}
        where = ""
        if task is not None:
            values["task"] = task
            where = " AND task = :task"
        if line is not None:
            values |= {"task": line.task, "class": line.hardware_class}
            where = " AND task = :task AND class = :class"
        order = "DESC" if newest_first else "ASC"
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM experiment WHERE n > :after{where}"  # noqa: S608 (constants)
            f" ORDER BY n {order} LIMIT :limit",
            values,
        )
        return [_experiment(row) for row in rows]

    def page(
        self, wanted: Filter, *, order: SortOrder = NEWEST_FIRST, offset: int = 0, limit: int
    ) -> tuple[int, list[Experiment]]:
        """Return how many rows match a filter, and one page of them."""
        where, values = wanted.sql()
        ((total,),) = self._database.rows(f"SELECT count(*) FROM experiment WHERE {where}", values)  # noqa: S608 (constants)
        join, order_by, sought = order.sql()
        rows = self._database.rows(
            f"SELECT {_PAGE_COLUMNS} FROM experiment{join} WHERE {where}"  # noqa: S608 (constants)
            f" ORDER BY {order_by} LIMIT :limit OFFSET :offset",
            {**values, **sought, "limit": limit, "offset": offset},
        )
        return int(total), [_experiment(row) for row in rows]

    def numbers(self, lines: Collection[LineKey]) -> dict[int, int]:
        """Return each experiment's place on its line, from 1, by the number of its record."""
        statement = "SELECT n FROM experiment WHERE task = ? AND class = ? ORDER BY n"
        return {
            n: at
            for line in lines
            for at, (n,) in enumerate(
                self._database.rows(statement, (line.task, line.hardware_class)), 1
            )
        }

    def counts(self, by: Facet, wanted: Filter) -> dict[str, int]:
        """Return how many rows that match a filter have each value, the most frequent first.

        At most 200 values are returned.
        """
        where, values = wanted.sql()
        value, joined = _FACETS[by]
        rows = self._database.rows(
            f"SELECT {value}, count(*) AS often FROM experiment{joined} WHERE {where}"  # noqa: S608 (constants)
            f" GROUP BY {value} ORDER BY often DESC, {value} LIMIT 200",
            values,
        )
        return dict(rows)

    def tried(self, line: LineKey) -> dict[str, int]:
        """Return the number of experiments of a line by decision, without moves to another tree."""
        rows = self._database.rows(
            "SELECT decision, count(*) FROM experiment WHERE task = ? AND class = ?"
            " AND stage IN ('screen', 'keep') AND origin != ? GROUP BY decision ORDER BY decision",
            (line.task, line.hardware_class, BRANCHING),
        )
        return dict(rows)

    def confirmations(self, line: LineKey) -> dict[str, int]:
        """Return the number of promotion trials of a line by decision."""
        rows = self._database.rows(
            "SELECT decision, count(*) FROM experiment WHERE task = ? AND class = ?"
            " AND stage = 'confirm' GROUP BY decision",
            (line.task, line.hardware_class),
        )
        return dict(rows)

    def latest_of(self, line: LineKey, tree: bytes) -> Experiment | None:
        """Return the last baseline or promotion trial of a tree; None if there is none."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM experiment WHERE task = ? AND class = ? AND tree = ?"  # noqa: S608 (constants)
            " AND stage IN ('baseline', 'confirm') ORDER BY n DESC LIMIT 1",
            (line.task, line.hardware_class, tree),
        )
        return _experiment(rows[0]) if rows else None

    def find(self, record_id: bytes) -> Experiment | None:
        """Return the row of a result record; None if it has no row."""
        statement = f"SELECT {_COLUMNS} FROM experiment WHERE id = ?"  # noqa: S608 (constants)
        rows = self._database.rows(statement, (record_id,))
        return _experiment(rows[0]) if rows else None

    def lines(self) -> list[LineKey]:
        """Return the lines that have experiments."""
        rows = self._database.rows("SELECT DISTINCT task, class FROM experiment")
        return [LineKey(task=task, hardware_class=name) for task, name in rows]

    def adoptions(self, line: LineKey, *, after: int = 0) -> list[Adoption]:
        """Return this node's changes of the verified head of a line, in order."""
        rows = self._database.rows(
            "SELECT n, wire FROM record WHERE own AND kind = 'adopt' AND n > ? ORDER BY n", (after,)
        )
        return [
            Adoption(id=record.id, n=n, ts_ms=record.ts_ms, body=body)
            for n, record in ((n, parsed(wire)) for n, wire in rows)
            if isinstance(body := record.body, AdoptBody)
            and (body.task, body.hardware_class) == (line.task, line.hardware_class)
        ]

    def has_passed(self, line: LineKey, tree: bytes) -> bool:
        """Return True if a tree ever passed a promotion trial on this node."""
        return bool(
            self._database.rows(
                "SELECT 1 FROM experiment WHERE task = ? AND class = ? AND tree = ?"
                " AND stage = 'confirm' AND decision = 'adopted' ORDER BY n DESC LIMIT 1",
                (line.task, line.hardware_class, tree),
            )
        )

    def evidence_for(self, line: LineKey, tree: bytes) -> bytes | None:
        """Return this node's latest result that supports a tree and was not retracted.

        Such a result is that of a baseline, or of a promotion trial that the tree passed.
        """
        for entry in reversed(self.listed(line)):
            adopted = entry.stage == "baseline" or entry.decision == "adopted"
            if entry.tree == tree and adopted and self._records.retraction(entry.id) is None:
                return entry.id
        return None

    def forget_all(self) -> None:
        """Empty the table. The caller derives it again."""
        self._database.rows("DELETE FROM experiment")
        self.constants.forget_all()

    def _row(self, record: Record, body: ResultBody) -> Experiment:
        patch = None if body.patch is None else self._records.patch(body.patch)
        manifest = self._records.manifest(body.task)
        is_maximised = manifest is not None and manifest.metric.direction == "max"
        metric = metric_of(body)
        loss = None if body.stage == "baseline" else _loss(body, metric, self._base_metric(body))
        return Experiment(
            id=record.id,
            n=self._records.number_of(record.id),
            task=body.task,
            hardware_class=body.hardware_class,
            ts_ms=record.ts_ms,
            title=body.stage if patch is None else patch.title,
            origin="task" if patch is None else patch.origin.proposer,
            stage=body.stage,
            status=body.status,
            decision=_decision(body, patch, manifest),
            metric_nano=metric,
            gain_nano=loss if loss is None or is_maximised else -loss,
            peak_mem_bytes=max((run.peak_mem_bytes for run in body.runs), default=0),
            tree=body.tree,
            parent=body.base,
            patch=body.patch,
        )

    def _base_metric(self, body: ResultBody) -> int | None:
        """Return the metric last recorded for a result's base."""
        rows = self._database.rows(
            "SELECT metric_nano FROM experiment WHERE task = ? AND class = ? AND tree = ?"
            " AND metric_nano IS NOT NULL ORDER BY n DESC LIMIT 1",
            (body.task, body.hardware_class, body.base),
        )
        return rows[0][0] if rows else None


def metric_of(body: ResultBody) -> int | None:
    """Return a result's score from the runs of its own tree, in 1e-9 units of the metric."""
    if body.stage not in ("baseline", "confirm"):
        return patch_score_nano(body.runs)
    own_role: Role = "base" if body.stage == "baseline" else "candidate"
    return _mean([run.metric_nano for run in body.runs if run.role == own_role])


def loss_from(body: ResultBody, metric: int | None, base_metric: int | None) -> int | None:
    """Return a metric minus the base's metric; None if either is unknown.

    The base's metric is the result's `level_nano`, else the mean of the result's base runs, else
    `base_metric`.
    """
    base_runs = [run.metric_nano for run in body.runs if run.role == "base"]
    if body.level_nano is not None:
        base_metric = body.level_nano
    elif base_runs:
        base_metric = _mean(base_runs)
    return None if metric is None or base_metric is None else metric - base_metric


def _loss(body: ResultBody, metric: int | None, base_metric: int | None) -> int | None:
    """Return a result's metric minus its base's metric (`loss_from`).

    For a promotion trial, both are measured on the secret split.
    """
    if body.stage == "confirm":
        by_role = {
            role: _mean([run.secret_nano for run in body.runs if run.role == role])
            for role in ("base", "candidate")
        }
        candidate, base = by_role["candidate"], by_role["base"]
        return None if candidate is None or base is None else candidate - base
    return loss_from(body, metric, base_metric)


def _decision(body: ResultBody, patch: PatchBody | None, manifest: TaskManifest | None) -> Decision:
    # If a promotion trial passed, the adoption record that cites it sets "adopted" later.
    if body.stage == "confirm" and overfit_reason(body.runs, manifest) is not None:
        return "overfit"
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
    return mean_nano(known) if known else None
