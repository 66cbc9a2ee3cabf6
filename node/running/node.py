"""What a node is made of: one home, one task, its books, its network and the research loop.

It holds the home's lock for as long as it is open, so there is one writer; a kill at any moment
loses nothing.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent.proposal import Proposer, SlowProposer
from node.home.home import Home
from node.line.activity import Activity
from node.line.heads import remember_folder
from node.line.session import Session, open_session
from node.loop.agenda import Goal
from node.loop.ideas import Ideas
from node.loop.research import Research
from node.running.assembly import Assembly
from node.running.books import Books
from node.running.loading import loading_rest
from node.running.questions import Question, take_question
from node.settings.config import Config
from node.settings.network_definition import Network
from node.store.intake import Quotas
from node.store.store import Store
from node.terminal.progress import Progress, in_thread
from protocol.topics import subscriptions
from trainer.cards.cards import probe_devices
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    from node.peering.membership import Membership

_log = logging.getLogger("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that is open: everything a command or a view may look at.

    `membership`: its part in a network, if it has one.
    """

    home: Home
    config: Config
    books: Books
    session: Session
    ideas: Ideas
    proposer: Proposer
    slow: SlowProposer | None
    research: Research
    membership: "Membership | None" = None

    def take(self, question: Question) -> int:
        """Queue a claim to be run again; return its job's number."""
        return take_question(
            question,
            home=self.home,
            config=self.config,
            store=self.books.store,
            task=self.session.task.id,
            research=self.research,
            author=self.books.keys.author.public,
        )


@contextlib.asynccontextmanager
async def open_node(
    home: Home,
    config: Config,
    task: Task,
    goal: Goal,
    *,
    proposer: Proposer,
    progress: Progress,
    slow: SlowProposer | None = None,
    network: Network | None = None,
) -> AsyncIterator[Node]:
    """Open everything for one task, and join the network. The caller holds the home's lock."""
    async with contextlib.AsyncExitStack() as stack:
        quotas = Quotas(total=config.max_records)
        store = stack.enter_context(Store.open(home, quotas=quotas, progress=progress))
        remember_folder(store, task, config.task)
        session = await stack.enter_async_context(
            _session(home, config, task, progress, is_on_demand=goal.is_on_demand)
        )
        books = Books.of(home, config, store, session.subject)
        books.ledger.announce()
        books.keep_journal()
        activity = Activity(_log.info)
        membership: Membership | None = None

        def want(patch: bytes) -> None:
            if membership is not None:
                membership.peering.fetcher.want(patch)

        assembly = Assembly(
            home=home,
            config=config,
            books=books,
            session=session,
            goal=goal,
            activity=activity,
            network=network,
        )
        ideas, research = assembly.put_together(proposer, want, slow=slow)
        await stack.enter_async_context(loading_rest(session.data, home.data, activity.say))
        if network is not None:
            membership = await stack.enter_async_context(
                _membership(home, config, books, network, on_news=research.hear)
            )
        yield Node(
            home=home,
            config=config,
            books=books,
            session=session,
            ideas=ideas,
            proposer=proposer,
            slow=slow,
            research=research,
            membership=membership,
        )


@contextlib.asynccontextmanager
async def _session(
    home: Home,
    config: Config,
    task: Task,
    progress: Progress,
    *,
    is_on_demand: bool,
) -> AsyncIterator[Session]:
    """Open the task on this machine's devices."""
    devices = probe_devices(task.manifest, config.gpus)
    opening = partial(
        open_session,
        home,
        task,
        devices=devices,
        data_url=config.data_url,
    )
    session = await in_thread(opening, progress)
    try:
        if is_on_demand:  # what somebody asks for is answered on all of the data
            await in_thread(session.data.load_rest, progress)
        if devices[0].cuda is not None:
            progress("looking at what is usual on the card", 0.95)
        await session.open()
        yield session
    finally:
        await session.close()


def _membership(
    home: Home, config: Config, books: Books, network: Network, *, on_news: Callable[[], None]
) -> "contextlib.AbstractAsyncContextManager[Membership]":
    from node.peering.membership import taking_part

    key = books.ledger.key
    return taking_part(
        network,
        home=home,
        keys=books.keys,
        store=books.store,
        topics=subscriptions(network.name, [key.task], key.hardware_class),
        listen=config.listen,
        mdns=config.mdns,
        on_news=on_news,
    )
