"""The rates of authors: how many of each author's claims this node confirmed on this line.

Only this node's own measurements count. A failure of this machine, or code that does not run here,
does not lower any author's rate.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from node.home.people import People
from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep
from node.line.line_writer import LineWriter
from node.line.rerun import RerunStep
from node.store.jobs import Job
from protocol.prospects import AuthorRate, AuthorStatus, Outcome, stack_outcome, trial_outcome

_FRIEND = AuthorRate(confirmed=1.0)  # like one confirmed claim: tried first, judged the same
_FAILED = {"screened_out", "rechecked_out", "rejected", "failed"}


class Authors:
    """The authors whose claims a line considers, and their rates.

    If there are `members`, only they are accepted; with `only_friends`, only the user's friends.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        people: Callable[[], People],
        members: frozenset[bytes],
        only_friends: bool,
    ) -> None:
        self._line_writer = line_writer
        self._people = people
        self._members = members
        self._only_friends = only_friends

    def rates(self) -> dict[bytes, AuthorRate]:
        """Return each author's rate on this line."""
        return author_rates(self._line_writer, self._people().trusted)

    def accepted(self) -> Callable[[bytes], bool]:
        """Return a function that is True for authors whose claims are considered.

        It rejects this node, blocked authors and, where the choice is restricted, all other
        authors.
        """
        people = self._people()
        rejected = people.blocked | {self._line_writer.record_writer.author}
        return lambda author: (
            author not in rejected
            and (not self._members or author in self._members)
            and (not self._only_friends or author in people.trusted)
        )

    def not_doubted(self) -> Callable[[bytes], bool]:
        """Return a function that is True for accepted authors without the status `doubted`."""
        is_accepted, rates = self.accepted(), self.rates()
        return lambda author: is_accepted(author) and status_of(rates, author) != "doubted"


def status_of(rates: Mapping[bytes, AuthorRate], author: bytes) -> AuthorStatus:
    """Return an author's status; that of a newcomer if it has no rate yet."""
    return rates.get(author, AuthorRate()).status


def author_rates(line_writer: LineWriter, friends: Iterable[bytes]) -> dict[bytes, AuthorRate]:
    """Return the rates of `friends` (authors whom the user trusts) and of authors measured here."""
    outcomes = sorted(
        (job.id, number, author, outcome)
        for number, (job, author, outcome) in enumerate(_outcomes(line_writer))
        if author != line_writer.record_writer.author
    )
    rates = dict.fromkeys(friends, _FRIEND)
    for _, _, author, outcome in outcomes:
        rates[author] = rates.get(author, AuthorRate()).after(outcome)
    return rates


def failed_alone(line_writer: LineWriter) -> set[bytes]:
    """Return peers' patches that were tried here alone, with no other patch, and not kept."""
    jobs = line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep)
    ideas = (job.step.idea for job in jobs if job.step.decision in _FAILED)
    return {idea.parents[0] for idea in ideas if idea.authors and len(idea.parents) == 1}


def _outcomes(line_writer: LineWriter) -> Iterator[tuple[Job[Any], bytes, Outcome]]:
    store, key = line_writer.store, line_writer.key
    for rerun in store.jobs.closed_jobs(key, RerunStep):
        step = rerun.step
        if outcome := _outcome_of(step.verdict, step.word):
            is_not_reproduced = outcome == "unconfirmed" and step.verdict == "unconfirmed"
            yield rerun, step.author, "not_reproduced" if is_not_reproduced else outcome
    for caught_up in store.jobs.closed_jobs(key, CatchUpStep):
        tried = caught_up.step
        if outcome := _outcome_of(tried.verdict, tried.word):
            yield caught_up, tried.author, outcome
    for experiment in store.jobs.closed_jobs(key, ExperimentStep):
        authors = experiment.step.idea.authors  # usually empty: own ideas
        if experiment.step.idea.found_on is not None:  # a transfer claims nothing on this line
            continue
        if authors and (outcome := outcome_of_trial(experiment.step)):
            for author in authors:
                yield experiment, author, outcome


def _outcome_of(verdict: str, word: str | None) -> Outcome | None:
    match verdict:
        case "smaller":
            return "unconfirmed"  # an inflated gain is no evidence for its author
        case "confirmed" if word in ("open", "smaller"):  # the gain falls short of the claim
            return "unconfirmed"
        case "confirmed" | "refuted" | "unconfirmed":
            return verdict
    return None  # it did not run here, which may not be its author's fault


def outcome_of_trial(step: ExperimentStep) -> Outcome | None:
    """Return how an experiment on peers' claims counts for their authors; None if it does not."""
    # A claim combined with a patch of this node's own is not tried alone.
    is_kept, claims = step.decision == "kept", max(len(step.idea.authors), len(step.idea.parents))
    claim_sd, gain_sd = (step.idea.claim_milli or 0) / 1000, (step.gain_milli or 0) / 1000
    match step.decision:
        case "kept" | "screened_out" | "rechecked_out" if claims > 1:
            return stack_outcome(is_kept=is_kept, claim_sd=claim_sd, gain_sd=gain_sd, claims=claims)
        case "kept" | "screened_out" | "rechecked_out":
            return trial_outcome(is_kept=is_kept, claim_sd=claim_sd, gain_sd=gain_sd)
        case "rejected" if claims == 1:
            return "refuted"
    return None
