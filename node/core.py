"""What a node is made of: one home, one task, its books, its network and the research loop.

It holds the home's lock for as long as it is open, so there is one writer; a kill at any moment
loses nothing.
"""

import contextlib
import logging
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent.proposal import Proposer, SlowProposer
from node.clock import clock_ms
from node.config import Config
from node.home import Home
from node.identity import identity_of
from node.inspiration import briefing_of, peers_of
from node.journal.journal import Journal
from node.keyfile import NodeKeys, load_keys
from node.loading import loading_rest
from node.loop.activity import Activity
from node.loop.agenda import Agenda, Goal
from node.loop.heads import remember_folder
from node.loop.ideas import Ideas
from node.loop.ledger import Ledger
from node.loop.outcomes import Outcomes
from node.loop.quiet import Quiet
from node.loop.research import Research
from node.loop.session import (
    CONFIRMATIONS_PER_SECRET_SPLIT,
    Session,
    Subject,
    open_session,
)
from node.loop.slow_ideas import SlowIdeas
from node.loop.verdicts import Verdicts
from node.peering.definition import Network
from node.progress import Progress, in_thread
from node.questions import Question, take_question
from node.store.blobs import Blobs
from node.store.intake import Quotas
from node.store.jobs import HEAD_TRIALS, LineKey
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.rule import Policy
from protocol.runs import MAX_SEED
from protocol.topics import subscriptions
from trainer.device import probe_devices
from trainer.task import Task

if TYPE_CHECKING:
    from node.peering.membership import Membership

_log = logging.getLogger("node")
_SALT = "proposal-seed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One line's books, open for writing: enough to record, not to measure."""

    keys: NodeKeys
    store: Store
    ledger: Ledger
    journal: Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that is open: everything a command or a view may look at.

    `membership`: its part in a network, if it has one.
    """

    home: Home
    config: Config
    books: Books
    session: Session
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


@contextlib.contextmanager
def open_books(home: Home, config: Config, manifest: TaskManifest) -> Iterator[Books]:
    """Open the books of a recorded task while no node runs; holds the home's lock."""
    with home.lock(), Store.open(home, quotas=Quotas(total=config.max_records)) as store:
        baseline = Blobs(home.blobs).get_source(manifest.baseline_tree)
        device = probe_devices(manifest, config.gpus)[0]
        yield _books(home, config, store, Subject.on(device, manifest, baseline))


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
    quotas = Quotas(total=config.max_records)
    with Store.open(home, quotas=quotas, progress=progress) as store:
        remember_folder(store, task, config.task)
        devices = probe_devices(task.manifest, config.gpus)
        key = LineKey(task=task.id, hardware_class=devices[0].slug)
        confirmations = sum(len(store.closed_jobs(key, kind)) for kind in HEAD_TRIALS)
        rotation = confirmations // CONFIRMATIONS_PER_SECRET_SPLIT
        session = await in_thread(
            partial(
                open_session,
                home,
                task,
                devices=devices,
                rotation=rotation,
                data_url=config.data_url,
            ),
            progress,
        )
        try:
            if goal.is_on_demand:  # what somebody asks for is answered on all of the data
                await in_thread(session.data.load_rest, progress)
            if devices[0].cuda is not None:
                progress("looking at what is usual on the card", 0.95)
            await session.open()
            books = _books(home, config, store, session.subject)
            _keep_journal(books.journal)
            activity = Activity(_log.info)
            policy = Policy(checkpoint_hours=config.checkpoint_hours)
            outcomes = Outcomes(books.ledger, task)
            membership: Membership | None = None

            def keep_journal() -> None:
                _keep_journal(books.journal)

            def want(patch: bytes) -> None:
                if membership is not None:
                    membership.peering.fetcher.want(patch)

            def noise_sd() -> float:
                return verdicts.noise_sd

            peers = peers_of(home, config, books.ledger, noise_sd, network, want)
            ideas = Ideas(
                ledger=books.ledger,
                outcomes=outcomes,
                briefing=briefing_of(
                    home, config, books.ledger, task, outcomes, peers, noise_sd, activity.say
                ),
                proposer=proposer,
                seed=_proposal_seed(store),
                slow=SlowIdeas(slow, say=activity.say) if slow else None,
            )
            verdicts = Verdicts(
                ledger=books.ledger,
                session=session,
                ideas=ideas,
                policy=policy,
                activity=activity,
                on_record=keep_journal,
            )
            agenda = Agenda(
                ledger=books.ledger,
                rotation=rotation,
                ideas=ideas,
                verdicts=verdicts,
                policy=policy,
                goal=goal,
                activity=activity,
                peers=peers,
                has_company=network is not None,
                quiet=Quiet(is_card_used=session.is_used_by_others) if goal.when_idle else None,
            )
            research = Research(
                ledger=books.ledger,
                session=session,
                ideas=ideas,
                verdicts=verdicts,
                agenda=agenda,
                random_seed=random_seed,
                on_record=keep_journal,
                activity=activity,
            )
            async with contextlib.AsyncExitStack() as stack:
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
                    research=research,
                    membership=membership,
                )
        finally:
            await session.close()


def _books(home: Home, config: Config, store: Store, subject: Subject) -> Books:
    keys = load_keys(home)
    blobs = Blobs(home.blobs)
    blobs.remove_leftovers()
    ledger = Ledger(
        store=store,
        blobs=blobs,
        identity=identity_of(keys, config),
        subject=subject,
        clock_ms=clock_ms,
        random_seed=random_seed,
    )
    ledger.announce()
    journal = Journal(home, store, blobs, ledger.key)
    return Books(keys=keys, store=store, ledger=ledger, journal=journal)


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


def random_seed() -> int:
    """A seed that nobody could know before."""
    return secrets.randbelow(MAX_SEED + 1)


def _proposal_seed(store: Store) -> int:
    """The seed that this node's proposals follow from, drawn once so that they can be replayed."""
    kept = store.meta(_SALT)
    if kept is None:
        kept = secrets.token_bytes(4)
        store.set_meta(_SALT, kept)
    return int.from_bytes(kept, "big")


def _keep_journal(journal: Journal) -> None:
    """Bring the journal up to date; it follows the store, so a fault here costs no result."""
    # A terminal's Ctrl-C is for the node, not for the git that it runs; a mask is inherited.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        journal.catch_up()
    except ArnodeError as fault:
        _log.warning("the journal is behind: %s (%s)", fault.message, fault.hint)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
