"""The research loop put together: who proposes and what they know, who judges, what comes next."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agent.proposal import Proposer, SlowProposer
from node.claims.choosing import Peers
from node.home.home import Home
from node.line.activity import Activity
from node.line.desk import Desk, RunNoise
from node.line.kinds import HEAD_TRIALS, ON_ONE_SPLIT
from node.line.noise import known_noise
from node.line.session import Session
from node.loop.agenda import Agenda, Goal
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.insights import tell_insight
from node.loop.outcomes import Outcomes
from node.loop.research import Research
from node.loop.slow_ideas import SlowIdeas
from node.running.books import Books, random_seed
from node.running.hearing import open_briefing, open_peers
from node.settings.config import Config
from node.settings.network_definition import Network
from node.store.store import Store
from protocol.rule import Policy
from trainer.measuring.host_load import Idle

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
        home, config, task = self.home, self.config, self.session.task
        ledger, policy = self.books.ledger, Policy(checkpoint_hours=config.checkpoint_hours)
        floor_nano = task.manifest.noise_floor_nano
        noise = RunNoise(lambda: known_noise(ledger.store, ledger.key, floor_nano))
        peers = open_peers(home, config, ledger, network=self.network, noise_sd=noise.sd, want=want)
        exploring = Exploring(ledger, peers=peers, noise_sd=noise.sd, bank_size=policy.bank_size)
        outcomes = Outcomes(ledger, task)
        ideas = Ideas(
            ledger=ledger,
            outcomes=outcomes,
            briefing=open_briefing(
                home,
                config,
                ledger,
                task,
                outcomes,
                peers=peers,
                noise_sd=noise.sd,
                aim=exploring.aim,
                say=self.activity.say,
            ),
            proposer=proposer,
            seed=proposal_seed(self.books.store),
            slow=SlowIdeas(slow, say=self.activity.say) if slow else None,
        )
        desk = Desk(
            ledger=ledger,
            session=self.session,
            learner=ideas,
            policy=policy,
            activity=self.activity,
            head_trials=HEAD_TRIALS,
            on_one_split=ON_ONE_SPLIT,
            noise=noise,
            on_record=self.books.keep_journal,
            on_stack=partial(tell_insight, ledger),
        )
        return ideas, Research(
            ledger=ledger,
            session=self.session,
            ideas=ideas,
            desk=desk,
            agenda=self._agenda(ideas, desk, exploring, peers, policy),
            random_seed=random_seed,
            on_record=self.books.keep_journal,
            activity=self.activity,
        )

    def _agenda(
        self,
        ideas: Ideas,
        desk: Desk,
        exploring: Exploring,
        peers: Peers | None,
        policy: Policy,
    ) -> Agenda:
        is_used = self.session.is_used_by_others
        return Agenda(
            ledger=self.books.ledger,
            ideas=ideas,
            desk=desk,
            exploring=exploring,
            policy=policy,
            goal=self.goal,
            activity=self.activity,
            peers=peers,
            has_company=self.network is not None,
            idle=Idle(is_card_used=is_used) if self.goal.when_idle else None,
        )


def proposal_seed(store: Store) -> int:
    """The seed that this node's proposals follow from, drawn once so that they can be replayed."""
    kept = store.meta(_SALT)
    if kept is None:
        kept = secrets.token_bytes(4)
        store.set_meta(_SALT, kept)
    return int.from_bytes(kept, "big")
