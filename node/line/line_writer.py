"""The writer of one line: it stores the loop's decisions as records and queue entries.

Every method is one transaction: a patch, its result, the line's new state and the end of its job
are on disk together or not at all. Decisions are made elsewhere (`node.line.trial`).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from node.home.keyfile import Identity
from node.line.open_task import Subject
from node.line.record_writer import RecordWriter
from node.line.splits import fresh_nonce
from node.store.blobs import Blobs
from node.store.jobs import Job, Line, LineKey, S, Step
from node.store.others_results import TTL_S, others_intents, titles_on
from node.store.store import Store, meta_key
from protocol.encoding import decode, encode
from protocol.errors import ArnodeError
from protocol.runs import MAX_SEED, Role, Run
from protocol.source import Source
from protocol.styles import Style

_SCREENS: Final = b"arnode/screens/1\0"
LEAST_RUNS: Final = 4  # of one tree, for other nodes to learn its noise


class LineWriter:
    """The writer of one line's history. `line` is None before the baseline is measured."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        identity: Identity,
        subject: Subject,
        clock_ms: Callable[[], int],
        random_seed: Callable[[], int],
    ) -> None:
        self.store = store
        self.key = LineKey(task=subject.manifest.id, hardware_class=subject.hardware_class)
        self.line = store.jobs.line(self.key)
        self.blobs = blobs
        self.subject = subject
        self.record_writer = RecordWriter(
            store=store, blobs=blobs, identity=identity, subject=subject, clock_ms=clock_ms
        )
        self.style = Style.of(subject.manifest)
        self._clock_ms = clock_ms
        self._random_seed = random_seed

    @property
    def known_line(self) -> Line:
        """The line. Raises ArnodeError before its baseline is measured."""
        if self.line is None:
            raise ArnodeError("the baseline is not measured yet", "start the node first")
        return self.line

    @property
    def explored(self) -> Source:
        """The source that experiments start from: the working line, or the baseline at first."""
        return self.source(self.line.working) if self.line else self.subject.source

    def source(self, tree: bytes) -> Source:
        """Return the exact source of a tree that ran here."""
        return self.blobs.get_source(tree)

    def others_titles(self, base: bytes) -> frozenset[str]:
        """Return the titles of ideas that peers announced to try on a tree of this line."""
        author, now_ms = self.record_writer.author, self._clock_ms()
        return titles_on(others_intents(self.store, self.key, author=author, now_ms=now_ms), base)

    def intend(self, base: bytes, title: str) -> None:
        """Announce to peers that an idea with this title will be tried on a tree."""
        self.record_writer.intent(base, title, ttl_s=TTL_S)

    def announce(self) -> None:
        """Record this node's profile and its task, if they are not recorded yet."""
        with self.store.transaction():
            self.record_writer.announce()

    def begin_at(self, tree: bytes, runs: Sequence[Run]) -> None:
        """Start head and working line at the baseline's tree, with these reference runs."""
        self.save(
            Line(
                task=self.key.task,
                hardware_class=self.key.hardware_class,
                verified=tree,
                working=tree,
                stack=(),
                reference_nano=self._reference_nano(runs),
                promotion_trial_ms=self._clock_ms(),
            )
        )

    # The working line

    def go_on_from(self, tree: bytes, patch: bytes, runs: Sequence[Run]) -> None:
        """Add a patch to the stack: its tree is the working line, `runs` are its reference runs."""
        self.go_on_at(tree, (*self.known_line.stack, patch), runs)

    def go_on_at(self, tree: bytes, stack: tuple[bytes, ...], runs: Sequence[Run]) -> None:
        """Make a tree the working line; the stack leads to it from the head.

        `runs` are its reference runs.
        """
        line = self.known_line
        self.save(
            replace(line, working=tree, stack=stack, reference_nano=self._reference_nano(runs))
        )

    def forget_reference_runs(self) -> None:
        """Drop the reference runs, since sessions differ a little; screens wait for new ones."""
        if self.line and self.line.reference_nano:
            self.save(replace(self.line, reference_nano=()))

    # Trials of the verified head

    def plan_fresh_pair(self, job: Job[Any], base: bytes, candidate: bytes) -> None:
        """Plan a pair with an unpredictable seed."""
        self.plan_pair(job, base, candidate, self._random_seed())

    def plan_anchors(self, job: Job[Any], seeds: Sequence[int]) -> None:
        """Queue runs of the baseline tree with the seeds of the last pairs."""
        with self.store.transaction():
            for seed in seeds:
                tree = self.subject.source.tree
                self.store.jobs.plan_run(job.id, role="anchor", tree=tree, seed=seed)

    def move_to(self, tree: bytes, runs: Sequence[Run]) -> None:
        """Move head and working line to a tree, with these reference runs and an empty stack."""
        if tree != self.known_line.verified:
            self.note_move()
        self.save(
            replace(
                self.known_line,
                verified=tree,
                working=tree,
                stack=(),
                reference_nano=self._reference_nano(runs),
                promotion_trial_ms=self._clock_ms(),
            )
        )

    def verify_up_to(self, tree: bytes, newer: tuple[bytes, ...]) -> None:
        """Move the verified head to a tree on which the working line already has patches."""
        self.note_move()
        promotion_trial_ms = self._clock_ms()
        self.save(
            replace(
                self.known_line, verified=tree, stack=newer, promotion_trial_ms=promotion_trial_ms
            )
        )

    @property
    def moved_at_job(self) -> int:
        """The number of the latest job at the head's last change; 0 if the head never changed."""
        return moved_at_job(self.store, self.key)

    def note_move(self) -> None:
        """Store the latest job's number, since the verified head changes now."""
        self.store.set_meta(meta_key("moved", self.key), encode(self.store.jobs.last_job()))

    # Jobs and their runs

    def open_job(self, step: S) -> Job[S]:
        """Queue a job of this line, with a secret split of its own if it needs one."""
        split = fresh_nonce() if step.IS_ON_ONE_SPLIT else None
        return self.store.jobs.open_job(self.key, step, created_ms=self._clock_ms(), split=split)

    def open_runs(self, step: S, *, role: Role, tree: bytes, count: int = 1) -> Job[S]:
        """Queue a job and plan its first runs, which are all of one tree."""
        with self.store.database.writing():
            job = self.open_job(step)
            for _ in range(count):
                self.plan(job, role=role, tree=tree)
        return job

    def open_repeated(self, step: S, *, tree: bytes, seeds: int, times: int) -> Job[S]:
        """Queue a job and plan runs of a tree: `seeds` seeds, each run `times` times."""
        with self.store.database.writing():
            job = self.open_job(step)
            for seed in [self._random_seed() for _ in range(seeds)]:
                for _ in range(times):
                    self.store.jobs.plan_run(job.id, role="base", tree=tree, seed=seed)
        return job

    def close_job(self, job: Job[Any], step: Step) -> None:
        """Take a job out of the queue, with its outcome. Callers hold the transaction."""
        self.store.jobs.update_step(job, step)
        self.store.jobs.close_job(job.id)

    def plan_pair(self, job: Job[Any], base: bytes, candidate: bytes, seed: int) -> None:
        """Plan a pair: runs of base and candidate with one seed, in random order."""
        order: list[tuple[Role, bytes]] = [("base", base), ("candidate", candidate)]
        if self._random_seed() % 2:
            order.reverse()
        with self.store.transaction():
            for role, tree in order:
                self.store.jobs.plan_run(job.id, role=role, tree=tree, seed=seed)

    def plan(self, job: Job[Any], *, role: Role, tree: bytes) -> None:
        """Plan one run of a tree with an unpredictable seed."""
        self.store.jobs.plan_run(job.id, role=role, tree=tree, seed=self._random_seed())

    def plan_screen(self, job: Job[Any], base: bytes, tree: bytes) -> None:
        """Plan a candidate's screen, which is compared with a base."""
        seed = self.screening_seed(base, 0)
        self.store.jobs.plan_run(job.id, role="candidate", tree=tree, seed=seed)

    def screening_seed(self, base: bytes, number: int) -> int:
        """Return the seed of a screen on a base, and of the base's run that it is compared with.

        If seeds select instances, both runs get the same instances, derived from the base. A kept
        patch makes a new base, so it is not measured again on the instances that selected it.
        """
        if self.style.name == "runs":
            return self._random_seed()
        hashed = _SCREENS + self.key.task + base + bytes([number])
        return int.from_bytes(hashlib.sha256(hashed).digest()[:4], "big") & MAX_SEED

    def _reference_nano(self, runs: Sequence[Run]) -> tuple[int, ...]:
        """Return the figures of a tree's runs that can serve as reference runs.

        Return () if the seed selects the instances: these runs have other seeds than screens.
        """
        if self.style.name == "differences":
            return ()
        return tuple(run.metric_nano for run in runs if run.metric_nano is not None)

    def save(self, line: Line) -> None:
        """Store the line's state."""
        self.store.jobs.save_line(line)
        self.line = line


def moved_at_job(store: Store, line: LineKey) -> int:
    """Return the number of the latest job at the head's last change; 0 if it never changed."""
    kept = store.meta(meta_key("moved", line))
    value = decode(kept) if kept else 0
    return value if isinstance(value, int) else 0
