"""The construction of the research loop and of the objects that it uses.

A node builds all of them; `node.running.node` adds its page and its network. A command that shows
one proposal builds only `LoopAssembly`, and runs nothing.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from agent.model.planner import ModelPlanner
from agent.proposal import Proposer
from node.home.agents import named_agent
from node.home.clock import boottime_s, clock_ms
from node.home.config import Config
from node.home.fleet import people_of
from node.home.home import Home
from node.home.network_definition import Network
from node.home.sandboxing import require_peer_sandbox
from node.ladder.transfer_selector import TransferSelector
from node.line.activity import Activity
from node.line.invalidation import reopen_invalidated
from node.line.job_kinds import HEAD_TRIALS, ON_ONE_SPLIT
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.noise import RunNoise
from node.line.open_task import Session
from node.loop.agenda import Agenda
from node.loop.approvals import Approvals
from node.loop.briefing import Briefing, ProgramText
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.imported_tries import ImportedTries
from node.loop.insights import publish_insight
from node.loop.others_tries import OthersTries
from node.loop.outcomes import Outcomes
from node.loop.peer_claims import Peers
from node.loop.peer_patches import MOST_FRESH, PeerPatches
from node.loop.planning import Planning
from node.loop.research import Research
from node.loop.session_plan import Goal, local_time
from node.loop.slots import Slots
from node.loop.slow_ideas import SlowIdeas
from node.proposing.budget import usd_left_today
from node.store.store import Store
from protocol.errors import SafetyError
from protocol.rule import DEFAULT, Policy, screening_policy
from trainer.measuring.host_load import Idle
from trainer.task_folder.task import Task

_SALT = "proposal-seed"
_log = logging.getLogger("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopAssembly:
    """The proposers of experiments on one line, and the facts that they are given."""

    line_writer: LineWriter
    policy: Policy
    noise: RunNoise
    peers: Peers | None
    exploring: Exploring
    ideas: Ideas
    stops_early: bool
    transfer_selector: TransferSelector | None

    @classmethod
    def of(
        cls,
        home: Home,
        config: Config,
        line_writer: LineWriter,
        task: Task,
        *,
        noise: RunNoise,
        peers: Peers | None,
        proposer: Proposer,
        say: Callable[[str], None],
        slow: Sequence[SlowIdeas] = (),
        has_hyperparameters: bool = True,
        planner: ModelPlanner | None = None,
        policy: Policy = DEFAULT,
        most_fresh: int = MOST_FRESH,
    ) -> "LoopAssembly":
        """Build the proposers for a task and what they use.

        - `peers`: the choice among peers' claims; None where no peer's code may run.
        - `most_fresh`: how many new patches of peers are inspected at once, at most.
        - `say`: reports unreadable files of instructions, and messages of the planner.
        - `has_hyperparameters`: if True, experiments are divided among the fast proposer and the
          `slow` proposers; if False, the fast proposer only works while they have no idea ready.
        - `planner`: writes an aim for the slow proposers.
        """
        policy = screening_policy(line_writer.style, policy)

        def run_sd() -> float:
            return noise.sd() * line_writer.style.public_scatter

        exploring = Exploring(
            line_writer, peers=peers, noise_sd=noise.sd, reference_runs=policy.reference_runs
        )
        outcomes = Outcomes(line_writer, task.manifest, task.hyperparameters)
        claimed = peers and PeerPatches(
            line_writer, peers, net=config.net, noise_sd=noise.sd, most_fresh=most_fresh
        )
        briefing = Briefing(
            line_writer=line_writer,
            task=task,
            outcomes=outcomes,
            program=ProgramText(task, home.programs, say).read,
            texts={
                text: ProgramText(task, home.programs, say, name=text).read
                for text in sorted({named_agent(entry).text for entry in config.agent} - {""})
            },
            noise_sd=noise.sd,
            people=partial(people_of, home, config.friends),
            peers=claimed.latest if claimed else tuple,
            policy=policy,
            aim=exploring.aim,
            has_planner=config.planner is not None,
            show_unverified_words=config.peer_texts,
            imported=ImportedTries.read(line_writer.store, line_writer.blobs, task),
            others=OthersTries(
                line_writer.store,
                line_writer.key,
                line_writer.record_writer.author,
                task,
                run_sd=run_sd,
                author_filter=peers.authors.not_doubted if peers else None,
            ),
            usd_left=lambda: usd_left_today(line_writer.store, config, clock_ms()),
        )
        seed = _proposal_seed(line_writer.store)
        ideas = Ideas(
            line_writer=line_writer,
            outcomes=outcomes,
            briefing=briefing,
            proposer=proposer,
            slots=Slots(
                line_writer,
                slow=slow,
                has_hyperparameters=has_hyperparameters,
                run_sd=run_sd,
                seed=seed,
                hour_usd=config.device_hour_usd,
            ),
            approvals=Approvals(line_writer, config.approve, say=say),
            seed=seed,
            planning=Planning(planner, line_writer, say=say) if planner else None,
        )
        return cls(
            line_writer=line_writer,
            policy=policy,
            noise=noise,
            peers=peers,
            exploring=exploring,
            ideas=ideas,
            stops_early=config.stop_early,
            transfer_selector=TransferSelector(
                line_writer, net=config.net, noise_sd=noise.sd, includes_peers=peers is not None
            )
            if config.ladder
            else None,
        )

    def research(
        self,
        session: Session,
        goal: Goal,
        activity: Activity,
        *,
        on_record: Callable[[], None],
        has_company: bool,
        waits_for: str,
        idle: Idle | None,
        is_on_battery: Callable[[], bool] = lambda: False,
        news: asyncio.Event | None = None,
        now: Callable[[], datetime] = local_time,
        clock_s: Callable[[], float] = boottime_s,
    ) -> Research:
        """Return the loop that runs the proposed experiments.

        `waits_for` is what a session without ideas waits for; "" ends the session. `on_record` is
        called after each record. Setting the event `news` makes the loop look for work.
        """
        line_context = LineContext(
            line_writer=self.line_writer,
            session=session,
            learner=self.ideas,
            policy=self.policy,
            activity=activity,
            noise=self.noise,
            head_trials=HEAD_TRIALS,
            on_one_split=ON_ONE_SPLIT,
            reopen_invalidated=partial(reopen_invalidated, self.line_writer),
            on_record=on_record,
            on_stack=partial(publish_insight, self.line_writer),
            stops_early=self.stops_early,
        )
        agenda = Agenda(
            line_context=line_context,
            ideas=self.ideas,
            exploring=self.exploring,
            peers=self.peers,
            transfer_selector=self.transfer_selector,
            goal=goal,
            has_company=has_company,
            waits_for=waits_for,
            idle=idle,
            is_on_battery=is_on_battery,
            now=now,
            clock_s=clock_s,
        )
        self.ideas.plan_by(lambda: agenda.plan.left)
        return Research(line_context=line_context, ideas=self.ideas, agenda=agenda, news=news)


def open_peers(
    home: Home,
    config: Config,
    line_writer: LineWriter,
    noise: RunNoise,
    *,
    network: Network | None,
    want: Callable[[bytes], None] | None = None,
) -> Peers | None:
    """Return the choice among peers' claims; None where peers' code may not run.

    `want` is called with the patches to fetch from peers.
    """
    if config.peer_code == "none":
        return None
    try:
        require_peer_sandbox(config)
    except SafetyError as fault:
        _log.warning("peers' claims are not tried here: %s (%s)", fault.message, fault.hint)
        return None
    return Peers(
        line_writer,
        people=partial(people_of, home, config.friends),
        net=config.net,
        share=config.peer_share,
        chance=random.Random(secrets.randbits(64)),
        noise_sd=noise.sd,
        members=network.authors if network else frozenset(),
        only_friends=config.peer_code == "friends",
        want=want,
    )


def _proposal_seed(store: Store) -> int:
    """Return the seed of this node's proposals, drawn once so that they can be replayed."""
    kept = store.meta(_SALT)
    if kept is None:
        kept = secrets.token_bytes(4)
        store.set_meta(_SALT, kept)
    return int.from_bytes(kept, "big")
