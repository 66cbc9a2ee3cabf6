"""What comes from peers: which of their claims this node looks at next, and what came of those.

A peer's best tree may be tried as a whole against the verified head (catch up), a patch on the
working line like an own idea, a claim as it was made (audit). Whose claims held here decides the
order, never the verdict; nothing is adopted that this node did not confirm itself. Only code
without marks is looked at, and only without its prose.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from agent.proposal import Proposal
from node.loop.attestations import WantedClaim
from node.loop.ideas import Idea
from node.loop.ledger import Ledger
from node.loop.steps import PEER, AttestationStep, CatchUpStep, ExperimentStep
from node.people import People
from node.store.boards import BoardKey
from node.store.jobs import Job
from node.vetting.adoption import Candidate, examine
from node.vetting.inspection import inspect
from node.vetting.merging import merged
from protocol.board import Row
from protocol.errors import ArnodeError
from protocol.kinds import ResultBody
from protocol.patches import unified_diff
from protocol.prospects import AuthorRate, Outcome, trial_outcome
from protocol.rule import POWER
from protocol.source import Source
from protocol.units import NANO

NEWCOMERS_SHARE = 0.2  # of the slots: else whoever came first would be the only one heard
_AUDITS_SHARE = 0.05
_OTHER_CLASS = 0.5  # what a gain on another kind of hardware is worth here, to order by
# Less of a lead is cheaper had patch by patch, which keeps what this node has of its own.
LEAST_CATCH_UP_SD = 4.0
_FRIEND = AuthorRate(confirmed=1.0)  # as if one claim had held: heard first, believed no more
_LEAST_CHANCE = 0.4
_LOOKED_AT = 200  # rows of each board


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A peer's claim of a gain: the result that makes it, and how sure its own figures are."""

    row: Row
    body: ResultBody
    patch: bytes
    worth_sd: float

    @property
    def author(self) -> bytes:
        """Who claims it."""
        return self.row.author


class Peers:
    """Chooses among the claims on this task's boards. `noise_sd` is of one run, as known now."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        net: str,
        share: float,
        chance: random.Random,
        noise_sd: Callable[[], float],
        people: Callable[[], People] = People,
    ) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._manifest = ledger.publication.manifest
        self._net = net
        self._share = share
        self._chance = chance
        self._noise_sd = noise_sd
        self._people = people
        self._looked_at: set[tuple[bytes, bytes]] = set()  # result and the working line then
        self._unfit: set[tuple[bytes, bytes]] = set()  # result and a tree of it not to be run
        self._runs = self._peer_runs = 0

    def count(self, *, is_peers: bool) -> None:
        """Note that a run begins, own or for a peer's claim."""
        self._runs += 1
        self._peer_runs += is_peers

    @property
    def is_due(self) -> bool:
        """Whether peers' claims had less than their share of this session's runs."""
        return self._peer_runs < self._share * (self._runs + 1)

    def rates(self) -> dict[bytes, AuthorRate]:
        """Return what came of each author's claims here, from what is recorded of every job."""
        outcomes = sorted(
            (job.id, author, outcome)
            for job, author, outcome in self._outcomes()
            if author != self._ledger.publication.author
        )
        rates = dict.fromkeys(self._people().friends, _FRIEND)
        for _, author, outcome in outcomes:
            rates[author] = rates.get(author, AuthorRate()).after(outcome)
        return rates

    def catch_up(self, *, rotation: int) -> CatchUpStep | None:
        """Return the best tree of this class's board to try against the verified head, if any."""
        line = self._ledger.known_line
        rows = self._rows(line.hardware_class)
        # What this node measured of its own head over the anchor; 0 if nothing.
        own_nano = max(
            (row.gain_anchor_nano or 0 for row in rows if row.tree == line.verified), default=0
        )
        least_nano = own_nano + LEAST_CATCH_UP_SD * self._noise_sd() * NANO
        ahead = [
            (row, row.gain_anchor_nano - own_nano)
            for row in rows
            if row.gain_anchor_nano is not None and row.gain_anchor_nano >= least_nano
        ]
        if not ahead:  # as nearly always: nothing else need be read
            return None
        tried = {
            CatchUpStep.from_value(job.body).theirs
            for job in self._store.closed_jobs(line.key, "catchup")
        }
        rates, left_out = self.rates(), self._left_out()
        for row, lead_nano in ahead:
            if row.tree in tried or row.author in left_out:
                continue
            if not may_catch_up(rates.get(row.author, AuthorRate()), is_due=self.is_due):
                continue
            body = self._result(row)
            fit = body and self._vetted(row.result, row.tree)
            if body is None or body.patch is None or not fit or fit.source.tree == line.verified:
                continue
            return CatchUpStep(
                base=line.verified,
                tree=self._ledger.blobs.put_source(fit.source),
                theirs=row.tree,
                patch=body.patch,
                target=row.result,
                author=row.author,
                gain_nano=lead_nano,
                rotation=rotation,
            )
        return None

    def idea(self) -> Idea | None:
        """Return the most promising patch of a peer that fits on the working line."""
        rates = self.rates()
        offers = self._offers(rates)
        if self._chance.random() < NEWCOMERS_SHARE:
            fresh = [offer for offer in offers if offer.author not in rates]
            self._chance.shuffle(fresh)
            offers = fresh + offers
        for offer in offers:
            if idea := self._idea_of(offer):
                return idea
        return None

    def audit(self) -> WantedClaim | None:
        """Return, now and then, a claim to run again as it was made."""
        if self._chance.random() >= _AUDITS_SHARE:
            return None
        done = {
            AttestationStep.from_value(job.body).target
            for job in self._store.closed_jobs(self._ledger.key, "attestation")
        }
        offers = [offer for offer in self._offers(self.rates()) if offer.row.result not in done]
        self._chance.shuffle(offers)
        for offer in offers:
            sources = [self._source(tree) for tree in (offer.body.base, offer.body.tree)]
            if None in sources or self._vetted(offer.row.result, offer.body.tree) is None:
                continue
            base, candidate = (source for source in sources if source)
            return WantedClaim(
                base=base,
                candidate=candidate,
                target=offer.row.result,
                author=offer.author,
                gain_nano=offer.row.gain_nano,
                lower_nano=offer.row.gain_lower_nano,
                alpha=POWER.alpha,
                max_pairs=POWER.max_pairs,
                is_quick=False,
                is_published=True,
            )
        return None

    def _offers(self, rates: Mapping[bytes, AuthorRate]) -> list[Offer]:
        """Return the claims of others, the most promising first."""
        noise_sd, left_out = self._noise_sd(), self._left_out()
        offers: list[Offer] = []
        for key in self._store.boards(self._net):
            if key.task != self._ledger.key.task:
                continue
            nearness = (
                1.0 if key.hardware_class == self._ledger.key.hardware_class else _OTHER_CLASS
            )
            for row in self._store.board(key, _LOOKED_AT).rows:
                body = None if row.author in left_out else self._result(row)
                if body is None or body.patch is None or row.gain_nano <= 0:
                    continue
                worth_sd = rates.get(row.author, AuthorRate()).worth_sd(
                    row.gain_nano / NANO / noise_sd, standard_error_sd=sqrt(2 / row.pairs)
                )
                offers.append(
                    Offer(row=row, body=body, patch=body.patch, worth_sd=nearness * worth_sd)
                )
        return sorted(offers, key=lambda offer: (-offer.worth_sd, offer.row.tree))

    def _idea_of(self, offer: Offer) -> Idea | None:
        working = self._ledger.explored
        seen = (offer.row.result, working.tree)
        if seen in self._looked_at:
            return None
        self._looked_at.add(seen)
        source, mark, left = self._ported(offer, working)
        if source is None or mark is None or self._store.tried(self._ledger.key.task, mark):
            return None
        patch = self._store.patch(offer.patch)
        return Idea(
            proposal=Proposal(
                parent=working.tree,
                source=source,
                edits=(),
                key=PEER,
                title=patch.title if patch else "a peer's patch",
                why=f"claimed by {offer.author.hex()[:12]}",
                proposer=PEER,
                fingerprint=mark,
            ),
            parents=(offer.patch,),
            author=offer.author,
            claim_milli=round(1000 * left * offer.row.gain_nano / NANO / self._noise_sd()),
        )

    def _ported(self, offer: Offer, working: Source) -> tuple[Source | None, bytes | None, float]:
        """Return the patch's step made on the working line, without prose, and its fingerprint.

        And how much of the step is new here: what is there already cannot be gained again, and
        its author is not to be held to it.
        """
        nothing = None, None, 0.0
        fit = self._vetted(offer.row.result, offer.body.tree)
        base = self._source(offer.body.base)
        if fit is None or base is None:
            return nothing
        source: Source | None = fit.source
        if base.tree != working.tree:
            if self._manifest.baseline_tree != base.tree:
                below = self._vetted(offer.row.result, base.tree)
                if below is None:
                    return nothing
                base = below.source
            source = merged(base, working, fit.source)
        if source is None or source.tree == working.tree:
            return nothing
        baseline = self._ledger.source(self._manifest.baseline_tree)
        found = inspect(source, baseline=baseline)
        if found.marks:
            return nothing
        left = _changed_lines(working, source) / max(1, _changed_lines(base, fit.source))
        return source, found.fingerprint, min(1.0, left)

    def _vetted(self, result: bytes, tree: bytes) -> Candidate | None:
        """Return what may be run of a tree without being asked; None if nothing may."""
        if (result, tree) in self._unfit:
            return None
        try:
            fit = examine(self._store, self._ledger.blobs, self._manifest, tree)
        except ArnodeError:  # a file is missing, or it is not fit to be run: others are
            fit = None
        if fit is None or fit.marks:
            self._unfit.add((result, tree))
            return None
        return fit

    def _source(self, tree: bytes) -> Source | None:
        try:
            return self._ledger.source(tree)
        except ArnodeError:  # not fetched yet
            return None

    def _result(self, row: Row) -> ResultBody | None:
        body = self._store.record(row.result).body
        return body if isinstance(body, ResultBody) else None

    def _left_out(self) -> frozenset[bytes]:
        """Whose claims are not looked at: the node's own, and whom the user blocked."""
        return self._people().blocked | {self._ledger.publication.author}

    def _rows(self, hardware_class: str) -> tuple[Row, ...]:
        task = self._ledger.key.task
        key = BoardKey(net=self._net, task=task, hardware_class=hardware_class)
        is_there = key in self._store.boards(self._net)
        return self._store.board(key, _LOOKED_AT).rows if is_there else ()

    def _outcomes(self) -> Iterator[tuple[Job, bytes, Outcome]]:
        line = self._ledger.key
        for job in self._store.closed_jobs(line, "attestation"):
            step = AttestationStep.from_value(job.body)
            if outcome := _outcome_of(step.verdict):
                yield job, step.author, outcome
        for job in self._store.closed_jobs(line, "catchup"):
            tried = CatchUpStep.from_value(job.body)
            if outcome := _outcome_of(tried.verdict):
                yield job, tried.author, outcome
        for job in self._store.closed_jobs(line, "experiment"):
            trial = ExperimentStep.from_value(job.body)
            outcome = _trial_outcome(trial)
            if trial.author is not None and outcome:
                yield job, trial.author, outcome


def may_catch_up(rate: AuthorRate, *, is_due: bool) -> bool:
    """Say whether a lead that an author claims is worth a confirmation.

    A made-up head costs its author nothing and this node several runs: whoever made one up gets
    no second, and keys that nothing is known of share the peers' part of the runs.
    """
    return rate.chance >= _LEAST_CHANCE and (rate.is_proven or is_due)


def _changed_lines(old: Source, new: Source) -> int:
    lines = unified_diff(old, new).splitlines()
    return sum(line[:1] in "+-" and line[:4] not in ("--- ", "+++ ") for line in lines)


def _outcome_of(verdict: str) -> Outcome | None:
    match verdict:
        case "confirmed" | "refuted" | "unconfirmed":
            return verdict
    return None  # it did not run here: nobody's fault that could be told


def _trial_outcome(step: ExperimentStep) -> Outcome | None:
    match step.decision:
        case "rejected":
            return "refuted"
        case "kept" | "screened_out" | "rechecked_out":
            return trial_outcome(
                is_kept=step.decision == "kept",
                claim_sd=(step.claim_milli or 0) / 1000,
                gain_sd=(step.gain_milli or 0) / 1000,
            )
    return None
