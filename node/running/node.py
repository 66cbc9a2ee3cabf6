"""A node: one home, one task, its line, its network and the research loop.

An open node holds the home's lock, so no other process writes there. A kill at any moment loses no
record.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.exchange.bundle_check import claim_in
from node.exchange.bundling import bundle_of, take_in
from node.home.config import Config
from node.home.home import Home
from node.home.network_definition import Network
from node.home.sandboxing import require_peer_sandbox
from node.line.activity import Activity
from node.line.noise import RunNoise
from node.line.open_task import Session, opened
from node.loop.ideas import Ideas
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.loop.slow_ideas import SlowIdeas
from node.proposing.opening import Proposers
from node.running.lanes import LanesHere, are_elsewhere, lanes_here
from node.running.line_resources import LineResources
from node.running.loading import loading_rest
from node.running.loop_assembly import LoopAssembly, open_peers
from node.running.questions import RerunRequest
from node.running.transfer_request import TransferRequest
from node.store.intake import Quotas
from node.store.named_tasks import remember_folder, remember_session
from node.store.store import Store
from node.terminal.progress import Progress
from protocol.errors import ConfigurationError, UsageError
from protocol.rule import Policy
from protocol.topics import subscriptions
from trainer.host.power_state import is_on_battery
from trainer.measuring.host_load import Idle
from trainer.measuring.models import KeptModels
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    from node.peering.membership import Membership
    from node.remote.lanes import RemoteLanes

_log = logging.getLogger("node")
_LARGE_BYTES: Final = 256 << 20
_COPY_S: Final = 60.0  # to find a peer with the records that a key signed after a copy of its home


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An open node: everything that a command or a view may look at.

    `membership` is the connection to a network, `remote` are the lanes on other machines, if any.
    """

    home: Home
    config: Config
    line_resources: LineResources
    session: Session
    ideas: Ideas
    proposers: Proposers
    research: Research
    membership: "Membership | None" = None
    remote: "RemoteLanes | None" = None

    def take(self, question: RerunRequest) -> int:
        """Check a claim, queue its re-run, and return the job's number.

        Everything in the claim's bundle is stored.
        """
        store, blobs = self.line_resources.store, self.line_resources.line_writer.blobs
        bundle = bundle_of(store, blobs, question.claim)
        found = claim_in(bundle, question.claim)
        if found.manifest.id != self.session.task.id:
            raise UsageError(
                f"the claim is about task {found.manifest.name}, but the node works on another one",
                "run `arnode stop` first, then `arnode verify` again",
            )
        if found.author != self.line_resources.keys.author.public:
            require_peer_sandbox(self.config)
        take_in(store, blobs, bundle, net=self.config.net)
        return self.research.rerun(question.wanted(found))

    def carry(self, request: TransferRequest) -> tuple[int, ...]:
        """Queue transfers from another rung; return the jobs' numbers in the same order."""
        if request.to != self.session.task.id:
            raise UsageError(
                f"the running node works on {self.session.task.name}, not on the task to try the"
                " patches on",
                "run `arnode stop` first, then `arnode try --from` again",
            )
        above = self.session.task.manifest
        candidates = request.candidates(
            self.line_resources.store, self.line_resources.line_writer.blobs, above
        )
        if any(candidate.author is not None for candidate in candidates):
            require_peer_sandbox(self.config)
        return self.research.carry(candidates)


@contextlib.asynccontextmanager
async def open_node(
    home: Home,
    config: Config,
    task: Task,
    goal: Goal,
    *,
    proposers: Proposers,
    progress: Progress,
    network: Network | None = None,
    models: KeptModels | None = None,
) -> AsyncIterator[Node]:
    """Open everything for one task, and join the network. The caller holds the home's lock.

    `models` are the language models that the task's programs may call.
    """
    async with contextlib.AsyncExitStack() as stack:
        quotas = Quotas(total=config.max_records)
        store = stack.enter_context(Store.open(home, quotas=quotas))
        if home.store.stat().st_size > _LARGE_BYTES:  # a smaller one is read within a second
            progress("checking the store's pages", 0.0)
        store.database.require_whole()
        remember_folder(store, task, config.task)
        activity, news = Activity(_log.info), asyncio.Event()
        remote: RemoteLanes | None = None
        if are_elsewhere(config) and not goal.is_on_demand:
            if models is not None:
                raise ConfigurationError(
                    "programs that ask language models are measured on this machine alone",
                    "leave --ray and --lane out for this task",
                )
            remote = await stack.enter_async_context(
                _remote_lanes(
                    home,
                    config,
                    task,
                    has_company=network is not None,
                    progress=progress,
                    say=activity.say,
                )
            )
            lanes = LanesHere(devices=(remote.runners[0].device,))
        else:
            lanes = lanes_here(task.manifest, config, is_on_demand=goal.is_on_demand)
        session = await stack.enter_async_context(
            opened(
                home,
                config,
                task,
                progress,
                devices=lanes.devices,
                needs_all=goal.is_on_demand,  # a request is answered on all of the data
                models=models,
                lanes=remote.runners if remote else (),
            )
        )
        line_resources = LineResources.of(home, config, store, session.subject)
        membership: Membership | None = None
        if network is not None:
            membership = await stack.enter_async_context(
                _membership(home, config, line_resources, network, on_news=news.set)
            )
        if store.is_copy():
            await _go_on_from_copy(store, membership, progress, activity.say)
        line_resources.line_writer.announce()
        if not goal.is_on_demand:  # re-running a claim does not change the task in progress
            remember_session(store, line_resources.line_writer.key)
        line_resources.keep_journal()
        if lanes.remark:
            activity.say(lanes.remark)
        await stack.enter_async_context(loading_rest(session.data, home.data, activity.say))
        noise = RunNoise(line_resources.line_writer)
        loop_assembly = LoopAssembly.of(
            home,
            config,
            line_resources.line_writer,
            task,
            noise=noise,
            peers=open_peers(
                home,
                config,
                line_resources.line_writer,
                noise,
                network=network,
                want=membership.peering.fetcher.want if membership else None,
            ),
            proposer=proposers.fast,
            say=activity.say,
            slow=_at_work(proposers, activity.say, on_written=news.set),
            has_hyperparameters=proposers.has_hyperparameters,
            planner=proposers.planner,
            policy=Policy(promotion_trial_hours=config.promotion_trial_hours),
        )
        research = loop_assembly.research(
            session,
            goal,
            activity,
            on_record=line_resources.keep_journal,
            has_company=network is not None,
            waits_for=_waited_for(config, goal, network),
            idle=Idle(is_card_used=session.is_used_by_others) if goal.when_idle else None,
            is_on_battery=_resting_on_battery(config, session),
            news=news,
        )
        yield Node(
            home=home,
            config=config,
            line_resources=line_resources,
            session=session,
            ideas=loop_assembly.ideas,
            proposers=proposers,
            research=research,
            membership=membership,
            remote=remote,
        )


async def _go_on_from_copy(
    store: Store, membership: "Membership | None", progress: Progress, say: Callable[[str], None]
) -> None:
    """Ask peers for records that this home's key signed after the copy of the home was made.

    The node must know these records before it signs new ones.
    """
    if membership is None:  # without a network no peer can have such records
        return
    progress("this home is a copy: asking peers for later records of its key", 0.0)
    if await membership.wait_first_sync(_COPY_S):
        store.settle()
        return
    say(
        "this home is a copy, and no peer knows later records of its key: if there are any, no peer"
        " will count its claims. A new key is safe: `arnode stop`, then `arnode home key renew`"
    )


def _at_work(
    proposers: Proposers, say: Callable[[str], None], *, on_written: Callable[[], None]
) -> list[SlowIdeas]:
    """Return the slow proposers, which write patches while runs are made."""
    others = "the others" if len(proposers.slow) > 1 else "search"
    return [
        SlowIdeas(
            writer.proposer,
            say=say,
            name=writer.arm.name,
            text=writer.arm.text,
            others=others,
            on_written=on_written,
        )
        for writer in proposers.slow
    ]


def _remote_lanes(
    home: Home,
    config: Config,
    task: Task,
    *,
    has_company: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> "contextlib.AbstractAsyncContextManager[RemoteLanes]":
    from node.remote.opening import remote_lanes

    return remote_lanes(
        home,
        config,
        task,
        runs_untrusted=has_company and config.peer_code != "none",
        progress=progress,
        say=say,
    )


def _resting_on_battery(config: Config, session: Session) -> Callable[[], bool]:
    """Return a function that is True while the node must rest because it runs on battery.

    With `battery = "auto"` only tasks on a card rest.
    """
    is_card = session.runners[0].device.cuda is not None
    spares = config.battery == "rest" or (config.battery == "auto" and is_card)
    return is_on_battery if spares else lambda: False


def _waited_for(config: Config, goal: Goal, network: Network | None) -> str:
    """Return what a session waits for once it has nothing left to try; "" if it ends instead."""
    if network is not None:
        return "peers' findings"
    waits = config.agent == ("none",) and not goal.is_on_demand
    return "submitted sources" if waits else ""


def _membership(
    home: Home,
    config: Config,
    line_resources: LineResources,
    network: Network,
    *,
    on_news: Callable[[], None],
) -> "contextlib.AbstractAsyncContextManager[Membership]":
    from node.peering.membership import taking_part

    key = line_resources.line_writer.key
    return taking_part(
        network,
        home=home,
        keys=line_resources.keys,
        store=line_resources.store,
        topics=subscriptions(network.name, [key.task], key.hardware_class),
        listen=config.listen,
        mdns=config.mdns,
        on_news=on_news,
    )
