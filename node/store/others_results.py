"""Results and intents of other nodes on a line.

Results are read in the order of arrival. An intent says which patch a node is about to try, so that
two nodes do not try the same patch at once. It is only advice: anybody can publish intents for
free, and they expire.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cache, partial
from typing import Final, NamedTuple

from node.store.experiments import loss_from, metric_of
from node.store.jobs import LineKey
from node.store.records import Envelope, Records
from node.store.store import Store
from protocol.record_kinds import PatchBody, ResultBody
from protocol.records import Record
from protocol.remarks import IntentBody

_LOOKED_BACK: Final = 5_000  # records that are read at the start
_READ_AT_ONCE: Final = 500
TTL_S: Final = 900  # three runs of the five-minute task: screen, recheck, time to arrive
_LOOKED_AT = 500  # the newest intents
_LATEST: Final = 16  # the newest results of an author
_MOST_AWAITED: Final = 1_000  # patches whose results wait for them
_FAILED: Final = frozenset({"crash", "oom", "timeout", "nan"})


class ReportedGains:
    """The gains that other nodes claim, each computed from its author's figures alone.

    Only the latest metrics of at most `most` trees are remembered; None means no limit.
    """

    def __init__(self, *, is_maximised: bool, most: int | None = None) -> None:
        self._sign = 1 if is_maximised else -1
        self._most = most
        self._metrics: dict[tuple[bytes, bytes], int] = {}  # the latest by author and tree

    def metric(self, author: bytes, tree: bytes) -> int | None:
        """Return the latest metric that an author reported of a tree; None if it is unknown."""
        return self._metrics.get((author, tree))

    def best(self, authors: Collection[bytes]) -> int | None:
        """Return the best metric that one of these authors reported; None without any."""
        metrics = [nano for (author, _), nano in self._metrics.items() if author in authors]
        return max(metrics, key=lambda nano: self._sign * nano, default=None)

    def take(self, author: bytes, body: ResultBody) -> int | None:
        """Add a result; return its gain over its base, in 1e-9 units, positive if better.

        The gain is None for a baseline, and if the metric of the result or its base is unknown.
        """
        metric = metric_of(body) if body.status == "ok" else None
        if metric is not None:
            self._metrics[author, body.tree] = metric
            if self._most is not None and len(self._metrics) > self._most:
                del self._metrics[next(iter(self._metrics))]
        if body.patch is None:
            return None
        loss = loss_from(body, metric, self._metrics.get((author, body.base)))
        return None if loss is None else self._sign * loss


def did_fail(result: ResultBody) -> bool:
    """Return True if a run ended without a score, and not because of other processes' load."""
    was_cut_off = any(run.was_cut_off_by_others for run in result.runs)
    return result.status in _FAILED and not was_cut_off


class OthersResult(NamedTuple):
    """A node's result and the patch that it measured, None if it is of a baseline."""

    envelope: Envelope
    body: ResultBody
    patch: PatchBody | None


class OthersResults:
    """A reader of new results. It skips authors for whom `is_wanted` returns False.

    This node's own results are read only if `with_own` is set.
    """

    def __init__(
        self,
        store: Store,
        line: LineKey,
        *,
        is_wanted: Callable[[bytes], bool] = lambda _: True,
        with_own: bool = False,
    ) -> None:
        self._records = store.records
        self._line = line
        self._is_wanted = is_wanted
        self._with_own = with_own
        self._read = max(0, store.records.last_number() - _LOOKED_BACK)
        self._waiting: dict[bytes, list[OthersResult]] = {}  # by the patch that is not here yet

    def new(self) -> Iterator[OthersResult]:
        """Yield each result that arrived since the last call, with its patch.

        Records arrive in any order. A result waits until its patch has arrived.
        """
        records = self._records
        while arrived := records.after(self._read, limit=_READ_AT_ONCE):
            self._read = records.number_of(arrived[-1].id)
            for one in arrived:
                if one.kind == PatchBody.kind:
                    for result in self._waiting.pop(one.id, ()):
                        yield result._replace(patch=records.patch(one.id))
                elif (result_body := self._body(one)) is not None:
                    yield from self._complete(one, result_body)

    def _body(self, one: Envelope) -> ResultBody | None:
        """Return the body of a wanted result of the line, None of any other record."""
        is_skipped = one.own and not self._with_own
        if one.kind != ResultBody.kind or is_skipped or not self._is_wanted(one.author):
            return None
        body = self._records.get(one.id).body
        if not isinstance(body, ResultBody):
            return None
        is_here = (body.task, body.hardware_class) == (self._line.task, self._line.hardware_class)
        return body if is_here else None

    def _complete(self, envelope: Envelope, body: ResultBody) -> Iterator[OthersResult]:
        """Yield a result with its patch, or let it wait for it."""
        patch = None if body.patch is None else self._records.patch(body.patch)
        result = OthersResult(envelope, body, patch)
        if body.patch is None or patch is not None:
            yield result
            return
        self._waiting.setdefault(body.patch, []).append(result)
        if len(self._waiting) > _MOST_AWAITED:
            del self._waiting[next(iter(self._waiting))]


def others_intents(store: Store, line: LineKey, *, author: bytes, now_ms: int) -> list[Record]:
    """Return the current intents of all authors but `author` on this line, newest first.

    An intent ends after its time, or once its author published a result of what it announced.
    """
    results_of = cache(partial(_latest_results, store.records))
    live: list[Record] = []
    for record in store.records.listed("intent", newest_first=True, limit=_LOOKED_AT):
        body = record.body
        if not isinstance(body, IntentBody) or record.author == author:
            continue
        is_here = (body.task, body.hardware_class) == (line.task, line.hardware_class)
        if is_here and 0 <= now_ms - record.ts_ms < 1000 * body.ttl_s:
            done_ms = results_of(record.author).get((body.base, body.title), -1)
            if done_ms < record.ts_ms:
                live.append(record)
    return live


def _latest_results(records: Records, author: bytes) -> dict[tuple[bytes, str], int]:
    """Return when an author last published a result of a patch, by base and title of the patch."""
    times_ms: dict[tuple[bytes, str], int] = {}
    for result in records.listed("result", author, newest_first=True, limit=_LATEST):
        if isinstance(result.body, ResultBody) and result.body.patch is not None:
            patch = records.patch(result.body.patch)
            if patch is not None:
                times_ms.setdefault((patch.base, patch.title), result.ts_ms)
    return times_ms


def titles_on(intents: list[Record], base: bytes) -> frozenset[str]:
    """Return the titles of the intents to try a patch on this tree."""
    bodies = (record.body for record in intents)
    return frozenset(
        body.title for body in bodies if isinstance(body, IntentBody) and body.base == base
    )
