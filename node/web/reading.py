"""The read-only routes. Each returns a document that commands also print or that the page draws.

A document is a function of an open home (store, blobs, leaderboards) and a typed query. It is read
in a separate thread, so that disk access never blocks the node's event loop. A home without a
store counts as empty.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, Self, TypeVar, get_type_hints

from node.home.home import Home
from node.reporting.boards_page import board_page, boards_document
from node.reporting.experiment import experiment_page
from node.reporting.experiments import experiment_filters, experiments_page
from node.reporting.hyperparameters import hyperparameters_document
from node.reporting.importance import kinds_document
from node.reporting.jobs import job_document
from node.reporting.knowledge import insights_document
from node.reporting.lineage import lineage_document
from node.reporting.open_home import BoardCache, OpenHome
from node.reporting.owner import hypotheses_document, notes_document, try_document
from node.reporting.progress import progress_document
from node.reporting.proposals import proposal_page, proposals_page
from node.reporting.published import published_page, report_text
from node.reporting.queries import Nothing
from node.reporting.records import diff_document, record_page, records_page
from node.reporting.report_json import report_page
from node.reporting.tasks import TasksDocument, tasks_document
from node.reporting.traces import trace_page, visits_page
from node.reporting.transfer import transfer_page
from node.store.blobs import Blobs
from node.store.store import Store
from node.web.problems import HttpFault
from node.web.route import ApiRequest, Route
from protocol.errors import UsageError

T = TypeVar("T")


class Library:
    """A reader of a home's store, to be used as a context manager.

    `net` is the network in use. `recorded_ms` is the end of a recording, else None.
    """

    def __init__(self, home: Home, net: str, recorded_ms: int | None = None) -> None:
        self._home = home
        self._net = net
        self._recorded_ms = recorded_ms
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="web")
        self._open = ExitStack()
        self._open_home: OpenHome | None = None
        self._has_store = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open.close)
        self._thread.shutdown()

    async def read(self, reader: Callable[[OpenHome], T]) -> T:
        """Call a reader in the library's thread. Raises what the reader raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: reader(self._at_hand()))

    def _at_hand(self) -> OpenHome:
        if self._open_home is None or not self._has_store:
            self._open.close()
            self._has_store = self._home.store.exists()
            store = self._open.enter_context(Store.open_read_only(self._home))
            self._open_home = OpenHome(
                home=self._home,
                net=self._net,
                store=store,
                blobs=Blobs(self._home.blobs),
                boards=BoardCache(),
                recorded_ms=self._recorded_ms,
            )
        return self._open_home


def _tasks(at: OpenHome, _: Nothing) -> TasksDocument:
    return tasks_document(at.home)


_READERS: Final[tuple[tuple[str, str, Callable[[OpenHome, Any], Any]], ...]] = (
    ("/experiments", "Experiments.", experiments_page),
    ("/experiments/filters", "What experiments can be filtered and sorted by.", experiment_filters),
    (
        "/hyperparameters",
        "The values of hyperparameters in experiments, with the scores.",
        hyperparameters_document,
    ),
    ("/kinds", "Kinds of change.", kinds_document),
    ("/experiments/{id}", "One experiment.", experiment_page),
    ("/progress", "A line's history.", progress_document),
    ("/report", "A report on a time span.", report_page),
    ("/lineage", "Sources and the patches between them.", lineage_document),
    ("/records", "Records.", records_page),
    ("/records/{id}", "One record.", record_page),
    ("/records/{id}/diff", "The diff of a record.", diff_document),
    ("/boards", "The leaderboards.", boards_document),
    ("/boards/{task}/{class}", "A leaderboard.", board_page),
    ("/transfer", "Gains by hardware class.", transfer_page),
    ("/notes", "The owner's notes.", notes_document),
    ("/hypotheses", "The hypotheses.", hypotheses_document),
    ("/proposals", "Proposals that wait for the owner.", proposals_page),
    ("/proposals/{id}", "One proposal.", proposal_page),
    ("/insights", "Insights from experiments.", insights_document),
    ("/reports", "Published reports.", published_page),
    ("/reports/{id}/text", "The text of a published report.", report_text),
    ("/jobs/{number}", "A re-run of a claim.", job_document),
    ("/tries/{mark}", "A submitted source.", try_document),
    ("/tasks", "The tasks.", _tasks),
)
_OF_OWNER: Final[tuple[tuple[str, str, Callable[[OpenHome, Any], Any]], ...]] = (
    ("/traces", "Visits of models and coding agents.", visits_page),
    ("/traces/{number}", "One visit, with its steps.", trace_page),
)


def reading_routes(library: Library, *, is_public: bool) -> list[Route]:
    """Return the read-only routes of the API, without private ones if anyone may read."""
    return [_route(library, *one) for one in (*_READERS, *(() if is_public else _OF_OWNER))]


def _route(
    library: Library, path: str, summary: str, reader: Callable[[OpenHome, Any], Any]
) -> Route:
    async def handle(request: ApiRequest) -> Any:
        try:
            return await library.read(lambda at: reader(at, request.asked))
        except UsageError as fault:
            raise HttpFault(404, fault.message, fault.hint) from fault

    types = get_type_hints(reader)
    answer = types.pop("return")
    (_, asks) = types.values()
    return Route(method="GET", path=path, summary=summary, asks=asks, answer=answer, handle=handle)
