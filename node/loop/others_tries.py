"""Peers' experiments on a line, from their results: ideas without a gain, and who is at work.

Nodes with the same list of ideas would otherwise try the same ideas. Peers' results are not
trusted, so an idea that a peer tried in vain is only postponed, until three have. Among untried
ideas each node first tries those assigned to it, by a hash of its key. This node's own results
count there as others see them: what it tried would else take the place of its next idea.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Final

from agent.proposal import PeerTrial
from node.line.experiment import ExperimentStep
from node.loop.others_trials import OthersTrials
from node.store.jobs import LineKey
from node.store.others_results import OthersResults, ReportedGains, did_fail
from node.store.records import Envelope
from node.store.store import Store
from protocol.prospects import LARGE_SD
from protocol.record_kinds import PatchBody, ResultBody
from protocol.styles import Style
from protocol.units import NANO
from trainer.task_folder.task import Task

_AT_WORK_MS: Final = 6 * 3_600_000  # since an author's last result
_MOST_AT_WORK: Final = 64
ENOUGH_DENIERS: Final = 3  # nodes that screened an idea out; if a third lies, hardly all are liars
_ASSIGNED_TO: Final = 4  # one of so many nodes; one alone could be a liar, or stop
KEEP_WEIGHT: Final = 2  # as many screens without success weigh as much as one keep
_MOST_TREES: Final = 2_000  # trees whose scores are remembered


class OthersTries:
    """A reader of a line's records that keeps its position. `author` is this node's key.

    `run_sd` returns the standard deviation of one run, in the metric's unit.
    `author_filter` returns a function that accepts or rejects an author. Without it no values that
    peers tried are passed on. Most methods take the `authors` whose results count (`accepted`).
    """

    def __init__(
        self,
        store: Store,
        line: LineKey,
        author: bytes,
        task: Task,
        *,
        run_sd: Callable[[], float],
        author_filter: Callable[[], Callable[[bytes], bool]] | None = None,
    ) -> None:
        self._run_sd = run_sd
        self._jobs = store.jobs
        self._line = line
        self._is_exact = Style.of(task.manifest).is_exact
        self._author = author
        self._author_filter = author_filter
        is_maximised = task.manifest.metric.direction == "max"
        self._gains = ReportedGains(is_maximised=is_maximised, most=_MOST_TREES)
        self._trials = OthersTrials(task)
        self._results = OthersResults(store, line, with_own=True)
        # The claimed gains by title and author; None if unknown.
        self._screened: dict[str, dict[bytes, int | None]] = defaultdict(dict)
        self._kept: dict[str, dict[bytes, int]] = defaultdict(dict)
        self._last_ms: dict[bytes, int] = {}

    def accepted(self) -> set[bytes]:
        """Return the authors of results so far whom `author_filter` accepts, or all without it.

        If scores are exact, authors are left out most of whose scores were others here.
        """
        self._read_on()
        authors = set(self._last_ms) - {self._author}
        if authors and self._author_filter is not None:
            authors = set(filter(self._author_filter(), authors))
        return authors - self._contradicted() if self._is_exact else authors

    def _contradicted(self) -> set[bytes]:
        """Return the authors who reported other scores than this node for most common trees."""
        held = Counter[bytes]()
        for job in self._jobs.closed_jobs(self._line, ExperimentStep):
            own_nano = job.step.screen_nano
            for author in self._last_ms if own_nano is not None else ():
                theirs = self._gains.metric(author, job.step.tree)
                if theirs is not None:
                    held[author] += 1 if theirs == own_nano else -1
        return {author for author, balance in held.items() if balance < 0}

    def denied_by(
        self, titles: Iterable[str], authors: set[bytes], *, least: int = 1
    ) -> frozenset[str]:
        """Return the titles that failed or did not gain at `least` of the authors, kept or not."""
        return frozenset(title for title in titles if len(self._deniers(title, authors)) >= least)

    def kept_by(self, titles: Iterable[str], authors: set[bytes]) -> dict[str, float]:
        """Return the titles kept at least half as often as screened out, the largest gain first.

        Each title's gain is the median of those claimed, in 1e-9 units of the metric. A good idea
        fails its one screen far more often than a bad one passes the rechecks of a keep. So a few
        false losses do not hide a good idea. A large gain is no luck: it is worth a run, however
        many deny it.
        """
        large_nano = LARGE_SD * self._run_sd() * NANO
        gains: dict[str, float] = {}
        for title in titles:
            claimed = self._kept.get(title, {})
            known = [gain_nano for author, gain_nano in claimed.items() if author in authors]
            gain_nano = median(known) if known else 0
            is_frequent = KEEP_WEIGHT * len(known) >= len(self._deniers(title, authors))
            if known and (is_frequent or gain_nano >= large_nano):
                gains[title] = gain_nano
        return dict(sorted(gains.items(), key=lambda item: (-item[1], item[0])))

    def _deniers(self, title: str, authors: set[bytes]) -> set[bytes]:
        """Return the authors whose screen of an idea failed or gained less than one sd.

        A patch that passed its screen is published like this too if the line moved on meanwhile.
        """
        least_nano = 0.0 if self._is_exact else self._run_sd() * NANO
        return {
            author
            for author, gain_nano in self._screened.get(title, {}).items()
            if author in authors and (gain_nano is None or gain_nano <= least_nano)
        }

    def trials(self, authors: set[bytes], *, level_nano: int | None) -> tuple[PeerTrial, ...]:
        """Return the trials of values by these authors (`OthersTrials.as_peer_trials`)."""
        if self._author_filter is None:
            return ()
        return self._trials.as_peer_trials(self._run_sd(), level_nano=level_nano, authors=authors)

    def best_nano(self, authors: set[bytes]) -> int | None:
        """Return the best score that one of these authors reported, in 1e-9 units."""
        return self._gains.best(authors)

    def are_at_work(self, now_ms: int) -> bool:
        """Return True if another node is at work on the line."""
        self._read_on()
        return len(self._at_work(set(self._last_ms), now_ms)) > 1

    def moves_of_others(
        self, titles: Mapping[str, str], authors: set[bytes], now_ms: int
    ) -> frozenset[str]:
        """Return the moves, by name, that are assigned to other nodes (`part_of`).

        New moves and those to repeat are divided each by themselves: a node with two moves would
        test the second one late. New ones go to nodes that tried the fewest moves so far: a move
        would else pass to another node whenever somebody has tried one.
        """
        everyone = authors | {self._author}
        kept = self.kept_by(titles.values(), everyone)
        denied = self.denied_by(titles.values(), everyone)
        open_moves = [name for name, title in titles.items() if title not in kept]
        new = [name for name in open_moves if titles[name] not in denied]
        again = [name for name in open_moves if titles[name] in denied]
        done = Counter(
            who
            for title in titles.values()
            for who in {*self._screened.get(title, {}), *self._kept.get(title, {})}
        )
        return self.part_of(new, authors, now_ms, titles=titles, done=done) | self.part_of(
            again, authors, now_ms, titles=titles
        )

    def part_of(
        self,
        ideas: Sequence[str],
        authors: set[bytes],
        now_ms: int,
        *,
        titles: Mapping[str, str] = MappingProxyType({}),
        done: Mapping[bytes, int] = MappingProxyType({}),
    ) -> frozenset[str]:
        """Return the ideas that are assigned to other nodes at work on the line.

        An idea whose title is in `titles` is not assigned to a node that screened it. Once a node
        has screened it out, it is assigned to as many as may still do so (`ENOUGH_DENIERS`): a
        single one may lie or stop.

        An idea is assigned to the node whose key gives the largest hash with it (Thaler &
        Ravishankar, 1998) among those that have less than an even part (Mirrokni et al., 2018). So
        no node is without ideas while another has several, and few assignments change when a node
        joins or leaves. The ideas that each node has `done` are in its part; those with the fewest
        come first.
        """
        nodes = self._at_work(authors, now_ms)
        wanted = {idea: self._wanted(titles.get(idea, ""), authors) for idea in sorted(ideas)}
        load = Counter({who: done.get(who, 0) for who in nodes})
        part = -(-(sum(wanted.values()) + load.total()) // len(nodes))
        others: set[str] = set()
        for idea, count in wanted.items():
            screened = self._screened.get(titles.get(idea, ""), {})
            free = [who for who in nodes if load[who] < part and who not in screened]
            free.sort(key=lambda who: (-done.get(who, 0), _weight(who, idea)), reverse=True)
            owners = (free or [self._author])[:count]
            load.update(owners)
            if self._author not in owners:
                others.add(idea)
        return frozenset(others)

    def _wanted(self, title: str, authors: set[bytes]) -> int:
        """Return the number of nodes that are to try an idea: one, or those that may repeat it."""
        deniers = len(self._deniers(title, authors | {self._author}))
        return max(0, ENOUGH_DENIERS - deniers) if deniers else 1

    def is_assigned(self, what: str, authors: set[bytes], now_ms: int) -> bool:
        """Return True if `what` is assigned to this node: to a quarter of those at work, or one."""
        nodes = self._at_work(authors, now_ms)
        nodes.sort(key=lambda who: _weight(who, what), reverse=True)
        return self._author in nodes[: max(1, len(nodes) // _ASSIGNED_TO)]

    def _at_work(self, authors: set[bytes], now_ms: int) -> list[bytes]:
        """Return this node and those of the authors who are at work on the line."""
        recent = [who for who in authors if now_ms - self._last_ms[who] < _AT_WORK_MS]
        recent.sort(key=lambda who: (self._last_ms[who], who))
        return list(dict.fromkeys([self._author, *recent[-_MOST_AT_WORK:]]))

    def _read_on(self) -> None:
        for result in self._results.new():
            self._take(*result)

    def _take(self, envelope: Envelope, body: ResultBody, patch: PatchBody | None) -> None:
        author, ts_ms = envelope.author, envelope.ts_ms
        gain_nano = self._gains.take(author, body)
        self._last_ms[author] = max(ts_ms, self._last_ms.get(author, 0))
        if patch is None:  # a baseline
            return
        if author != self._author:
            self._trials.take(author, body, patch, gain_nano)
        if body.stage == "screen" and (body.status == "ok" or did_fail(body)):
            self._screened[patch.title][author] = gain_nano
        elif body.stage in ("keep", "confirm"):
            self._kept[patch.title][author] = gain_nano or 0


def _weight(author: bytes, idea: str) -> bytes:
    return hashlib.sha256(author + idea.encode()).digest()
