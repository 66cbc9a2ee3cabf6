"""The research loop put together: who proposes and what they know, who judges, what comes next."""

import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from agent.proposal import Insight, Proposer, SlowProposer
from node.books import Books, random_seed
from node.config import Config
from node.home import Home
from node.loop.activity import Activity
from node.loop.agenda import Agenda, Goal
from node.loop.briefing import Briefing
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.insights import insights_of
from node.loop.outcomes import Outcomes
from node.loop.peer_patches import PeerPatches
from node.loop.peers import Peers
from node.loop.quiet import Quiet
from node.loop.research import Research
from node.loop.session import Session
from node.loop.slow_ideas import SlowIdeas
from node.loop.verdicts import Verdicts
from node.peering.definition import Network
from node.people import People, read_people
from node.proposing.program_text import ProgramText
from node.sandboxing import require_peer_sandbox
from node.store.store import Store
from protocol.errors import SafetyError
from protocol.rule import Policy

_log = logging.getLogger("node")
_SALT = "proposal-seed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What a loop is put together from."""

    home: Home
    config: Config
    books: Books
    session: Session
    goal: Goal
    activity: Activity
    network: Network | None

    def put_together(
        self,
        proposer: Proposer,
        want: Callable[[bytes], None],
        *,
        slow: SlowProposer | None = None,
    ) -> tuple[Ideas, Research]:
        """Return the loop and where its ideas come from. `want` is told of patches to fetch."""
        ledger, policy = (
            self.books.ledger,
            Policy(checkpoint_hours=self.config.checkpoint_hours),
        )

        def noise_sd() -> float:
            return verdicts.noise_sd

        peers = self._peers(noise_sd, want)
        exploring = Exploring(ledger, peers=peers, noise_sd=noise_sd, bank_size=policy.bank_size)
        outcomes = Outcomes(ledger, self.session.task)
        ideas = Ideas(
            ledger=ledger,
            outcomes=outcomes,
            briefing=self._briefing(outcomes, peers, noise_sd, exploring),
            proposer=proposer,
            seed=proposal_seed(self.books.store),
            slow=SlowIdeas(slow, say=self.activity.say) if slow else None,
        )
        verdicts = Verdicts(
            ledger=ledger,
            session=self.session,
            ideas=ideas,
            policy=policy,
            activity=self.activity,
            on_record=self.books.keep_journal,
        )
        return ideas, Research(
            ledger=ledger,
            session=self.session,
            ideas=ideas,
            verdicts=verdicts,
            agenda=self._agenda(ideas, verdicts, exploring, peers, policy),
            random_seed=random_seed,
            on_record=self.books.keep_journal,
            activity=self.activity,
        )

    def _agenda(
        self,
        ideas: Ideas,
        verdicts: Verdicts,
        exploring: Exploring,
        peers: Peers | None,
        policy: Policy,
    ) -> Agenda:
        is_used = self.session.is_used_by_others
        return Agenda(
            ledger=self.books.ledger,
            rotation=self.session.rotation,
            ideas=ideas,
            verdicts=verdicts,
            exploring=exploring,
            policy=policy,
            goal=self.goal,
            activity=self.activity,
            peers=peers,
            has_company=self.network is not None,
            quiet=Quiet(is_card_used=is_used) if self.goal.when_idle else None,
        )

    def _briefing(
        self,
        outcomes: Outcomes,
        peers: Peers | None,
        noise_sd: Callable[[], float],
        exploring: Exploring,
    ) -> Briefing:
        """What tells proposers all that they may know."""
        ledger, task = self.books.ledger, self.session.task
        author, path = ledger.publication.author, self.home.people

        def insights() -> tuple[Insight, ...]:
            blocked = read_people(path).blocked
            return insights_of(
                ledger.store, ledger.key, author, is_heard=lambda one: one not in blocked
            )

        shown = peers and PeerPatches(ledger, peers, net=self.config.net, noise_sd=noise_sd)
        return Briefing(
            ledger=ledger,
            task=task,
            outcomes=outcomes,
            program=ProgramText(task, self.home.programs, self.activity.say).read,
            noise_sd=noise_sd,
            peers=shown.latest if shown else tuple,
            insights=insights,
            aim=exploring.aim,
            show_unverified_words=self.config.peers_words,
        )

    def _peers(self, noise_sd: Callable[[], float], want: Callable[[bytes], None]) -> Peers | None:
        """What chooses among peers' claims; None where their code is not to run."""
        config, path = self.config, self.home.people
        if config.peer_code == "none":
            return None
        members = self.network.authors if self.network else frozenset()

        def only(people: People) -> frozenset[bytes] | None:
            """Whose claims are looked at: friends' where only theirs are, an invited network's."""
            if config.peer_code == "friends":
                return people.friends & members if members else people.friends
            return members or None

        try:
            require_peer_sandbox(config)
        except SafetyError as fault:
            _log.warning("peers' claims are not tried here: %s (%s)", fault.message, fault.hint)
            return None
        return Peers(
            self.books.ledger,
            people=lambda: read_people(path),
            net=config.net,
            share=config.peer_share,
            chance=random.Random(secrets.randbits(64)),
            noise_sd=noise_sd,
            only=only,
            want=want,
        )


def proposal_seed(store: Store) -> int:
    """The seed that this node's proposals follow from, drawn once so that they can be replayed."""
    kept = store.meta(_SALT)
    if kept is None:
        kept = secrets.token_bytes(4)
        store.set_meta(_SALT, kept)
    return int.from_bytes(kept, "big")
