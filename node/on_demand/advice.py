"""One proposal to look at: asked of whoever proposes here, run by nobody.

A running node is asked over its socket; without one this process opens the books for so long.
Nothing is recorded but what a model costs, and with `is_dry` nobody is asked at all.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.knobs.proposer import KnobsProposer
from agent.proposal import Silent
from node.claims.peer_patches import MOST_SHOWN
from node.home.control import Message, ask, is_running
from node.home.home import Home
from node.home.keyfile import keep_to_oneself
from node.line.noise import known_noise
from node.line.session import Subject
from node.loop.exploring import Exploring
from node.loop.outcomes import Outcomes
from node.networks.known import defined_network
from node.on_demand.measuring import Workbench, find_workbench
from node.proposing.advice import advice, prompt_document
from node.proposing.choice import NOBODY, choose
from node.proposing.opening import Means, open_slow, take_means
from node.running.assembly import proposal_seed
from node.running.books import Books
from node.running.hearing import open_briefing, open_peers
from node.store.intake import Quotas
from node.store.store import Store
from node.terminal.progress import reporting
from node.terminal.terminal import plain
from protocol.rule import DEFAULT
from trainer.cards.probing import probe_devices

PATIENCE_S: Final = 3600.0  # a coding agent may take long


def ask_for_advice(*, task: str | None, text: Path | None, is_dry: bool) -> Mapping[str, Message]:
    """Return the document of one proposal, or of what would be asked.

    Raises ArnodeError.
    """
    home = Home.here()
    if is_running(home.socket) and not (task or text):
        return ask(home.socket, "propose", {"dry": is_dry}, timeout_s=PATIENCE_S)
    keep_to_oneself()
    bench = find_workbench(task, text)
    means = take_means(os.environ, bench.config)
    with _books(bench) as books:
        return asyncio.run(_alone(bench, books, means, is_dry=is_dry))


async def _alone(
    bench: Workbench, books: Books, means: Means, *, is_dry: bool
) -> Mapping[str, Message]:
    """Be the node for one proposal."""
    home, config, task, ledger = bench.home, bench.config, bench.task, books.ledger
    outcomes = Outcomes(ledger, task)
    noise = known_noise(books.store, ledger.key, task.manifest.noise_floor_nano)

    def noise_sd() -> float:
        return noise.sd

    defined = defined_network(home, config.net)
    network = defined.network if defined else None
    peers = open_peers(home, config, ledger, network=network, noise_sd=noise_sd)
    exploring = Exploring(ledger, peers=peers, noise_sd=noise_sd, bank_size=DEFAULT.bank_size)
    briefing = open_briefing(
        home,
        config,
        ledger,
        task,
        outcomes,
        peers=peers,
        noise_sd=noise_sd,
        aim=exploring.aim,
        say=_say,
        most_fresh=MOST_SHOWN,
    )
    tried = books.store.jobs.fingerprints(task.id)
    seed = proposal_seed(books.store) + len(outcomes.all)
    context = briefing.context(tried=tried.__contains__, seed=seed)
    choice = choose(config, means.keys, means.environment).choice
    if is_dry:
        return prompt_document(home, context, choice.name)
    proposer = Silent() if choice == NOBODY else KnobsProposer()
    with reporting() as progress:
        async with open_slow(home, config, task, choice, means, progress) as slow:
            progress(f"asking {slow.name if slow else choice.name}", 0.0)
            return await advice(context, proposer, slow)


def _say(text: str) -> None:
    print(plain(text), file=sys.stderr)


@contextlib.contextmanager
def _books(bench: Workbench) -> Iterator[Books]:
    """Open the books of a task that may never have run; holds the home's lock."""
    home, config, task = bench.home, bench.config, bench.task
    with home.lock(), Store.open(home, quotas=Quotas(total=config.max_records)) as store:
        device = probe_devices(task.manifest, config.gpus)[0]
        subject = Subject.on(device, task.manifest, task.source)
        yield Books.of(home, config, store, subject)
