"""Other nodes' whole trees: those to catch up with, and those to branch to.

Each replaces the patches of the working line, so it is tried only if its lead is large.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from agent.source.canonical import fingerprint
from agent.source.edits import edits_between
from node.line.branch import Root
from node.line.catch_up import CatchUpStep
from node.line.experiment import PEER, ExperimentStep
from node.line.idea import WHOLE_TREE, Idea
from node.line.line_writer import LineWriter
from node.loop.authors import Authors, outcome_of_trial, status_of
from node.loop.offers import Offers
from node.loop.others_lines import OthersLines, ReachedTree
from node.source_review.source_review import SourceReview
from node.store.jobs import Job
from protocol.board import Row
from protocol.prospects import MOST_IN_STACK, AuthorRate, least_lead_sd, may_catch_up
from protocol.source import Source
from protocol.units import NANO

_NO_ROOT: Final = ("refuted", "unrunnable", "failed")
_LEAD_SD: Final = 4.0  # of another working line
_FIRST: Final = 20  # experiments of a newcomer; later, leads by patches kept by luck cost more


class WholeTrees:
    """The choice of a peer's whole tree.

    `noise_sd` is the current noise of one run. `is_due` returns True if peers' claims got less than
    their fraction of the runs.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        offers: Offers,
        authors: Authors,
        source_review: SourceReview,
        noise_sd: Callable[[], float],
        is_due: Callable[[], bool],
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        self._offers = offers
        self._authors = authors
        self._source_review = source_review
        self._noise_sd = noise_sd
        self._is_due = is_due
        self._lines = OthersLines(line_writer)

    def catch_up(self, *, kept_sd: float = 0.0) -> CatchUpStep | None:
        """Return the leaderboard's best untried tree to try against the head.

        Its lead over the head's gain plus `kept_sd` must be large.
        """
        line = self._line_writer.known_line
        rows = self._offers.rows()
        baseline_tree = self._line_writer.record_writer.manifest.baseline_tree
        has_own = line.verified != baseline_tree or kept_sd > 0.0
        lead_sd = least_lead_sd(has_own=has_own, is_exact=self._line_writer.style.is_exact)
        least_nano = self._own_bound_nano(rows) + (lead_sd + kept_sd) * self._noise_sd() * NANO
        ahead = [row for row in rows if row.bound_nano is not None and row.bound_nano >= least_nano]
        if not ahead:  # nearly always: skip reading anything else
            return None
        tried = {step.theirs for step in self._caught_up()}
        rates, is_accepted = self._authors.rates(), self._authors.accepted()
        own_nano = max(
            (row.figure_nano or 0 for row in rows if row.tree == line.verified), default=0
        )
        for row in ahead:
            if row.tree in tried or not is_accepted(row.author):
                continue
            if not self._may_try(row.author, rates):
                continue
            body = self._offers.result(row)
            fit = body and self._source_review.tree(row.tree, body)
            if body is None or body.patch is None or not fit or fit.source.tree == line.verified:
                continue
            if self._is_tried(fit.source):
                continue
            return CatchUpStep(
                base=line.verified,
                tree=self._line_writer.blobs.put_source(fit.source),
                theirs=row.tree,
                patch=body.patch,
                target=row.result,
                author=row.author,
                gain_nano=(row.figure_nano or 0) - own_nano,
                lower_nano=(row.bound_nano or 0) - own_nano,
            )
        return None

    def lead_sd(self, *, kept_sd: float) -> float:
        """Return the working line's lead over the best of its head and accepted authors' trees.

        `kept_sd` is the working line's gain over the head.
        """
        rows, is_accepted = self._offers.rows(), self._authors.not_doubted()
        own_nano = self._own_bound_nano(rows)
        theirs = [row.bound_nano or 0 for row in rows if is_accepted(row.author)]
        return kept_sd - (max([own_nano, *theirs]) - own_nano) / NANO / self._noise_sd()

    def best_tree(self, *, kept_sd: float) -> Idea | None:
        """Return the best untried tree to catch up with, as an idea on the working line.

        `kept_sd` is the working line's gain over the head. Keeping the tree takes fewer runs than a
        trial against the head. The trial of the working line follows.
        """
        experiments = self._store.jobs.closed_jobs(self._line_writer.key, ExperimentStep)
        reached = self._reached(experiments, kept_sd)
        if reached == "awaited":
            return None
        if reached:
            return reached
        step = self.catch_up(kept_sd=kept_sd)
        if step is None:
            return None
        source, author = self._line_writer.source(step.tree), step.author
        return self._whole(
            source, step.patch, author=author, gain_nano=step.gain_nano, what="best tree"
        )

    def request(self) -> None:
        """Request the files of what a newcomer tries first."""
        if not self._line_writer.style.is_exact:
            for one in self._reached_by_others(self._offers.rows())[:1]:
                self._source_review.tree(one.result.tree, one.result)

    def _reached(
        self, experiments: Sequence[Job[ExperimentStep]], kept_sd: float
    ) -> Idea | Literal["awaited"] | None:
        """Return a tree that a working line of a peer reached, if it leads by much.

        None after the first `experiments`, and after a whole tree that was not kept, unless other
        processes cut it off: so invented ones cost one run, however many there are. Missing files
        are requested. "awaited" if those of the best are missing at the start: they arrive during
        an experiment.
        """
        if self._line_writer.style.is_exact or len(experiments) >= _FIRST:
            return None
        if any(map(self._is_vain_tree, experiments)):
            return None
        rows, rates, sd_nano = self._offers.rows(), self._authors.rates(), self._noise_sd() * NANO
        own_nano = self._own_bound_nano(rows) + kept_sd * sd_nano
        for author, result, gain_nano, patches in self._reached_by_others(rows):
            is_leading = gain_nano >= own_nano + _LEAD_SD * sd_nano
            if not is_leading or not self._may_try(author, rates):
                continue
            fit = self._source_review.tree(result.tree, result)
            if not (fit or experiments or self._source_review.is_here(result)):
                return "awaited"
            if fit and not self._is_tried(fit.source):
                lead_nano = round(gain_nano - own_nano)
                # Several claims: if they fail together, that is no evidence against the author.
                claims = patches[:MOST_IN_STACK]
                return self._whole(
                    fit.source, *claims, author=author, gain_nano=lead_nano, what="working line"
                )
        return None

    def _is_vain_tree(self, job: Job[ExperimentStep]) -> bool:
        if not job.step.idea.is_whole_tree or job.step.decision == "kept":
            return False
        ended = (planned.run for planned in self._store.jobs.runs_of(job.id))
        return not any(run is not None and run.was_cut_off_by_others for run in ended)

    def _reached_by_others(self, rows: Iterable[Row]) -> list[ReachedTree]:
        confirmed_nano = {row.tree: row.figure_nano for row in rows if row.figure_nano is not None}
        return self._lines.reached(self._authors.not_doubted(), confirmed_nano=confirmed_nano)

    def _whole(
        self, source: Source, *patches: bytes, author: bytes, gain_nano: int, what: str
    ) -> Idea:
        """Return an author's tree as an idea on the working line."""
        working = self._line_writer.explored
        return Idea(
            base=working.tree,
            tree=self._line_writer.blobs.put_source(source),
            fingerprint=fingerprint(source),
            key=WHOLE_TREE,
            title=f"{what} of {author.hex()[:12]}",
            why=f"the {what} of a node that is further",
            proposer=PEER,
            edits=edits_between(working, source),
            parents=patches,
            author=author,
            co_authors=(author,) * (len(patches) - 1) or None,
            claim_milli=round(1000 * gain_nano / NANO / self._noise_sd()),
        )

    def elsewhere(self, *, avoided: Collection[bytes], reach_sd: float) -> Root | None:
        """Return another author's best tree that is not far below the head, to branch to.

        Another node must have confirmed it, or this node must trust its author. Trees in `avoided`
        are skipped.
        """
        line, rows = self._line_writer.known_line, self._offers.rows()
        least_nano = self._own_bound_nano(rows) - reach_sd * self._noise_sd() * NANO
        passed_over = {line.verified, line.working, *avoided, *self._refuted()}
        rates, is_accepted = self._authors.rates(), self._authors.accepted()
        for row in sorted(rows, key=lambda row: -(row.bound_nano or 0)):
            if row.bound_nano is None or row.bound_nano < least_nano:
                continue
            is_known = row.found_gain > 0 or status_of(rates, row.author) == "trusted"
            if row.tree in passed_over or not is_known or not is_accepted(row.author):
                continue
            if status_of(rates, row.author) == "doubted":
                continue
            body = self._offers.result(row)
            fit = body and self._source_review.tree(row.tree, body)
            if body is None or body.patch is None or not fit or fit.source.tree in passed_over:
                continue
            return Root(
                where="peer",
                tree=self._line_writer.blobs.put_source(fit.source),
                title=f"a tree of {row.author.hex()[:12]}",
                patch=body.patch,
                author=row.author,
                theirs=row.tree,
            )
        return None

    def _may_try(self, author: bytes, rates: Mapping[bytes, AuthorRate]) -> bool:
        return may_catch_up(rates.get(author, AuthorRate()), is_due=self._is_due())

    def _is_tried(self, source: Source) -> bool:
        return self._store.jobs.tried(self._line_writer.key.task, fingerprint(source))

    def _own_bound_nano(self, rows: Iterable[Row]) -> int:
        """Return the leaderboard's lower bound of the head's gain over the baseline; 0 without one.

        A bound is used because the best of many scores owes most to luck.
        """
        head = self._line_writer.known_line.verified
        return max((row.bound_nano or 0 for row in rows if row.tree == head), default=0)

    def _refuted(self) -> set[bytes]:
        """Return peers' trees that were tried as a whole and refuted, or did not run."""
        return {
            *(step.theirs for step in self._caught_up() if step.verdict in _NO_ROOT),
            *(
                one.tree
                for one in self._tried_whole()
                if (outcome_of_trial(one) or one.decision) in _NO_ROOT
            ),
        }

    def _tried_whole(self) -> Iterator[ExperimentStep]:
        """Yield the experiments with peers' whole trees."""
        experiments = self._store.jobs.closed_jobs(self._line_writer.key, ExperimentStep)
        return (job.step for job in experiments if job.step.idea.is_whole_tree)

    def _caught_up(self) -> Iterator[CatchUpStep]:
        for job in self._store.jobs.closed_jobs(self._line_writer.key, CatchUpStep):
            step = job.step
            if not (step.measured and step.measured.bases_fault):  # no evidence about their tree
                yield step
