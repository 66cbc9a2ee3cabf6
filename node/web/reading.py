"""The routes that read: each a document that commands print too, or one that a page draws."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypedDict

import msgspec

from node.home.clock import clock_ms
from node.home.people import read_people
from node.ladder.climbed import climbed, slopes_known, tasks_of
from node.line.heads import line_to_show
from node.reporting.boards import BoardDocument, Code
from node.reporting.concluded import TimeSpan
from node.reporting.experiment import OneExperimentDocument, one_experiment_document
from node.reporting.experiments import ExperimentsDocument, experiments_document
from node.reporting.jobs import JobDocument, job_document
from node.reporting.knowledge import InsightsDocument, insights_document
from node.reporting.lineage import LineageDocument, lineage_document
from node.reporting.matrix import transfer_matrix
from node.reporting.owner import (
    HypothesesDocument,
    NotesDocument,
    hypotheses_document,
    notes_document,
)
from node.reporting.progress import ProgressDocument, progress_document
from node.reporting.published import ReportsDocument, ReportTextDocument, reports_document, text_of
from node.reporting.records import RecordDocument, diff_of, record_document
from node.reporting.report import report_of
from node.reporting.report_json import ReportDocument, report_document
from node.reporting.tasks import TaskName, TasksDocument, task_name, tasks_document
from node.reporting.transfer import TransferDocument, transfer_document
from node.reporting.tries import TryDocument, try_document
from node.store.boards import BoardKey
from node.store.experiments import Filter
from node.store.jobs import LineKey
from node.store.measured_here import boards_of
from node.store.named_tasks import labels, task_named
from node.terminal.durations import moment_before
from node.web.library import Library, Shelves
from node.web.problems import HttpFault
from node.web.queries import (
    OfBoard,
    OfExperiments,
    OfHypotheses,
    OfLine,
    OfNight,
    OfRecords,
    OfTask,
)
from node.web.routes import ID, Ask, Nothing, Route
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest
from protocol.remarks import ReportBody

_IN_PATH: Final = {
    "id": ID,
    "task": "^[0-9a-f]{64}$",
    "class": "^[a-z0-9_-]{1,48}$",
    "number": "^[1-9][0-9]{0,14}$",
    "mark": "^[0-9a-f]{64}$",
}


BoardName = TypedDict(
    "BoardName", {"network": str, "task": TaskName, "class": str, "rows": int | None}
)
"""A board; how many rows it has, where that is known without making it."""


class BoardNames(TypedDict):
    """The boards that something was said about."""

    boards: list[BoardName]


class BoardPage(BoardDocument):
    """Some rows of a board, and how many there are in all."""

    total: int
    offset: int


class RecordRow(TypedDict):
    """A record by its envelope."""

    id: str
    kind: str
    author: str
    seq: int
    ts: int
    own: bool


class RecordsDocument(TypedDict):
    """Some records, and how many fit in all."""

    total: int
    offset: int
    records: list[RecordRow]


class DiffDocument(TypedDict):
    """What a record changed."""

    id: str
    diff: str


def reading_routes(library: Library, net: str) -> list[Route]:
    """Return the routes; `net` is the network in use."""

    def route(
        path: str,
        summary: str,
        answer: Any,
        reader: Callable[[Shelves, Ask], Any],
        query: type[msgspec.Struct] = Nothing,
    ) -> Route:
        async def handle(ask: Ask) -> Any:
            try:
                return await library.read(lambda shelves: reader(shelves, ask))
            except UsageError as fault:
                raise HttpFault(404, fault.message, fault.hint) from fault

        return Route(
            method="GET",
            path=path,
            summary=summary,
            answer=answer,
            handle=handle,
            query=query,
            words=_IN_PATH,
        )

    return [
        route("/experiments", "Experiments.", ExperimentsDocument, _experiments, OfExperiments),
        route("/experiments/{id}", "One experiment.", OneExperimentDocument, _experiment),
        route("/progress", "A line's history.", ProgressDocument, _progress, OfLine),
        route("/report", "What happened.", ReportDocument, _with_net(_night, net), OfNight),
        route("/lineage", "Trees and steps.", LineageDocument, _with_net(_lineage, net), OfLine),
        route("/records", "Records.", RecordsDocument, _records, OfRecords),
        route("/records/{id}", "One record.", RecordDocument, _record),
        route("/records/{id}/diff", "Its diff.", DiffDocument, _diff),
        route("/boards", "The boards.", BoardNames, _boards),
        route("/boards/{task}/{class}", "A board.", BoardPage, _with_net(_board, net), OfBoard),
        route("/transfer", "Step by class.", TransferDocument, _with_net(_transfer, net), OfTask),
        route("/notes", "What the owner said.", NotesDocument, _notes, OfLine),
        route(
            "/hypotheses", "What is to be found out.", HypothesesDocument, _hypotheses, OfHypotheses
        ),
        route(
            "/insights", "What series taught.", InsightsDocument, _with_net(_insights, net), OfTask
        ),
        route("/reports", "Published sessions.", ReportsDocument, _with_net(_reports, net), OfTask),
        route("/reports/{id}/text", "The text of one.", ReportTextDocument, _report_text),
        route("/jobs/{number}", "A claim that is run again.", JobDocument, _job),
        route("/tries/{mark}", "A source that was handed in.", TryDocument, _try),
        route("/tasks", "What can be worked on.", TasksDocument, _tasks),
    ]


def _with_net(
    reader: Callable[[Shelves, Ask, str], Any], net: str
) -> Callable[[Shelves, Ask], Any]:
    return lambda shelves, ask: reader(shelves, ask, net)


def _task(shelves: Shelves, wanted: str | None) -> bytes | None:
    if wanted is None:
        return None
    lines = (line.task for line in shelves.store.experiments.lines())
    return task_named(shelves.store, wanted, lines)


def _line(shelves: Shelves, query: OfLine) -> tuple[LineKey, TaskManifest]:
    store = shelves.store
    line, _ = line_to_show(store, query.task)
    key = line.key
    if query.hardware_class is not None:
        key = LineKey(task=line.task, hardware_class=query.hardware_class)
        if key not in store.experiments.lines():
            raise UsageError(f"nothing was measured on {query.hardware_class} here", "see /status")
    manifest = store.records.manifest(key.task)
    if manifest is None:
        raise ArnodeError("the line's task is not recorded here", "run `arnode fsck`")
    return key, manifest


def _experiments(shelves: Shelves, ask: Ask) -> ExperimentsDocument:
    query: OfExperiments = ask.query
    store = shelves.store
    wanted = Filter(
        task=_task(shelves, query.task),
        hardware_class=query.hardware_class,
        decision=query.decision,
        stage=query.stage,
        origin=query.origin,
        words=query.q,
    )
    total, rows = store.experiments.page(
        wanted,
        by="n" if query.sort == "ts" else query.sort,
        is_rising=query.order == "asc",
        offset=query.offset,
        limit=query.limit,
    )
    imported = store.imported.listed() if wanted == Filter() and query.offset == 0 else []
    return experiments_document(rows, imported, total=total, offset=query.offset)


def _experiment(shelves: Shelves, ask: Ask) -> OneExperimentDocument:
    return one_experiment_document(shelves.store, shelves.blobs, ask.path["id"])


def _progress(shelves: Shelves, ask: Ask) -> ProgressDocument:
    key, manifest = _line(shelves, ask.query)
    return progress_document(shelves.store, key, manifest)


def _night(shelves: Shelves, ask: Ask, net: str) -> ReportDocument:
    until_ms = clock_ms()
    now = datetime.fromtimestamp(until_ms / 1000).astimezone()
    try:
        since_ms = round(moment_before(ask.query.since, now).timestamp() * 1000)
    except UsageError as fault:
        raise HttpFault(400, fault.message, fault.hint) from fault
    span = TimeSpan(since_ms=since_ms, until_ms=until_ms)
    return report_document(report_of(shelves.store, span, net=net), None)


def _lineage(shelves: Shelves, ask: Ask, net: str) -> LineageDocument:
    key, manifest = _line(shelves, ask.query)
    return lineage_document(shelves.store, key, manifest, net=net)


def _records(shelves: Shelves, ask: Ask) -> RecordsDocument:
    query: OfRecords = ask.query
    store = shelves.store
    author = None if query.author is None else store.records.find_author(query.author)
    total, rows = store.records.page(query.kind, author, offset=query.offset, limit=query.limit)
    return {
        "total": total,
        "offset": query.offset,
        "records": [
            {
                "id": row.id.hex(),
                "kind": row.kind,
                "author": row.author.hex(),
                "seq": row.seq,
                "ts": row.ts_ms,
                "own": row.own,
            }
            for row in rows
        ],
    }


def _record(shelves: Shelves, ask: Ask) -> RecordDocument:
    store = shelves.store
    return record_document(store, shelves.blobs, store.records.find(ask.path["id"]))


def _diff(shelves: Shelves, ask: Ask) -> DiffDocument:
    record = shelves.store.records.find(ask.path["id"])
    return {"id": record.id.hex(), "diff": diff_of(shelves.store, shelves.blobs, record)}


def _boards(shelves: Shelves, _: Ask) -> BoardNames:
    store = shelves.store
    keys = [key for net in store.boards.networks() for key in store.boards.listed(net)]
    named = [(key, manifest) for key in keys if (manifest := store.records.manifest(key.task))]
    return {
        "boards": [
            {
                "network": key.net,
                "task": task_name(manifest),
                "class": key.hardware_class,
                "rows": store.boards.kept_rows(key),
            }
            for key, manifest in named
        ]
    }


def _board(shelves: Shelves, ask: Ask, net: str) -> BoardPage:
    query: OfBoard = ask.query
    key = BoardKey(
        net=query.network or net,
        task=bytes.fromhex(ask.path["task"]),
        hardware_class=ask.path["class"],
    )
    board = shelves.boards.get(shelves.store, key)
    rows = board.rows(query.level)
    shown = rows[query.offset : query.offset + query.limit]
    code = Code.of(shelves.store, shelves.blobs, board.manifest, shown, reads=False)
    document = board.document(shown, code, shelves.store.imported.listed(), top=20)
    return {**document, "total": len(rows), "offset": query.offset}


def _transfer(shelves: Shelves, ask: Ask, net: str) -> TransferDocument:
    store = shelves.store
    keys = boards_of(store, net, ask.query.task)
    manifest = store.records.manifest(keys[0].task) if keys else None
    changes = climbed(store)
    named = labels(store, tasks_of(changes))
    steps = transfer_matrix(store, keys)
    return transfer_document(net, manifest, steps, changes, slopes_known(changes), named)


def _notes(shelves: Shelves, ask: Ask) -> NotesDocument:
    key, _ = _line(shelves, ask.query)
    return notes_document(shelves.store, key)


def _hypotheses(shelves: Shelves, ask: Ask) -> HypothesesDocument:
    key, _ = _line(shelves, ask.query)
    return hypotheses_document(shelves.store, key, best_first=ask.query.order == "best")


def _insights(shelves: Shelves, ask: Ask, net: str) -> InsightsDocument:
    return insights_document(shelves.store, _task(shelves, ask.query.task), net=net)


def _reports(shelves: Shelves, ask: Ask, net: str) -> ReportsDocument:
    task = _task(shelves, ask.query.task)
    blocked = read_people(shelves.home.people).blocked
    return reports_document(shelves.store, shelves.blobs, task, net=net, blocked=blocked)


def _report_text(shelves: Shelves, ask: Ask) -> ReportTextDocument:
    record = shelves.store.records.find(ask.path["id"])
    text = text_of(shelves.blobs, record.body) if isinstance(record.body, ReportBody) else None
    if text is None:
        raise UsageError("that is no report whose text is here", "`arnode report --fetch ID`")
    return {"text": text}


def _job(shelves: Shelves, ask: Ask) -> JobDocument:
    return job_document(shelves.store, int(ask.path["number"]))


def _try(shelves: Shelves, ask: Ask) -> TryDocument:
    return try_document(shelves.store, shelves.blobs, bytes.fromhex(ask.path["mark"]))


def _tasks(shelves: Shelves, _: Ask) -> TasksDocument:
    return tasks_document(shelves.home)
