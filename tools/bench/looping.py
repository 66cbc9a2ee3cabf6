"""The cost of an experiment for the event loop, with 3,000 earlier experiments and with ten.

Runs take no time here (`tests.node.scripted`). The rest is choosing, planning, deciding and
recording. A fifth of the experiments are peers' claims, and every fortieth of the node's own is
kept. A home is made once, by the loop itself, and kept under build/bench.
"""

import asyncio
import itertools
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from agent.proposal import Context, Proposal
from node.home.home import Home
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.node.examples import BASELINE
from tests.node.line_writers import BASE_NANO, GAIN_NANO, proposal_of
from tests.node.peer_authors import PeerAuthor, peers
from tests.node.scripted import OUTCOME, Bench, ScriptedRunner
from trainer.measuring.outcome import RunOutcome

SIZES = (10, 3_000)
_MEASURED = 60  # experiments, of which one is kept
_ROUNDS = 3
_KEEP_EVERY = 40
_GAIN_NANO = GAIN_NANO // 2  # 75 of them stay below the baseline's metric
_PEERS_SHARE = 0.2
_AUTHORS = 20
_CLAIMED_SD = 2.0
_OWN, _CLAIMED = 200_000, 700_000  # the first rates, in millionths; all rates differ


def run_looping(
    kept: Path, sizes: Sequence[int] = SIZES, *, number: int = _MEASURED, rounds: int = _ROUNDS
) -> dict[str, object]:
    """Return the CPU milliseconds of the event loop's thread per experiment."""
    homes = {size: _home_with(kept, size) for size in sizes}
    ms: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, home in homes.items():
            ms[size].append(_ms_each(home, kept / "loop-at-work", number))
    few, *_, many = (median(each) for each in ms.values())
    return {
        "experiments_measured": number,
        "peers_share": _PEERS_SHARE,
        "ms_on_the_event_loop": {str(size): [round(one, 1) for one in ms[size]] for size in sizes},
        "ratio": round(many / few, 2),
    }


def _home_with(kept: Path, size: int) -> Home:
    """Return a home with `size` experiments, creating it if missing."""
    home, begun = Home(kept / f"loop-{size}"), Home(kept / f"loop-{size}-begun")
    if not home.root.exists():
        print(f"making a home with {size} experiments …", file=sys.stderr)
        shutil.rmtree(begun.root, ignore_errors=True)
        begun.prepare()
        with Store.open(begun) as store:
            _publish_claims(store, begun, round(size * _PEERS_SHARE) + _MEASURED)
            _work(begun, store, size)
        begun.root.rename(home.root)
    return home


def _publish_claims(store: Store, home: Home, number: int) -> None:
    """Publish peers' claims of gains, each of a different learning rate."""
    blobs = Blobs(home.blobs)
    authors = [PeerAuthor(store, blobs, number=1 + one) for one in range(_AUTHORS)]
    for one, author in zip(range(number), itertools.cycle(authors)):
        author.claims(proposal_of(BASELINE, _rate(_CLAIMED + one)).source, _CLAIMED_SD)


def _ms_each(home: Home, at_work: Path, number: int) -> float:
    """Do `number` experiments in a copy of a home; return the milliseconds per experiment."""
    shutil.rmtree(at_work, ignore_errors=True)
    shutil.copytree(home.root, at_work)
    with Store.open(Home(at_work)) as store:
        began_s = time.thread_time()
        done = _work(Home(at_work), store, number)
        took_s = time.thread_time() - began_s
    shutil.rmtree(at_work)
    return 1000 * took_s / done


def _work(home: Home, store: Store, number: int) -> int:
    """Let the loop do `number` experiments; return how many it did."""
    before = len(store.experiments.listed())
    bench = Bench(
        home=home,
        store=store,
        runner=_Machine(),
        goal=Goal(max_experiments=number),
        proposer=_Rates(before),
        peers=peers(_PEERS_SHARE),
    )
    asyncio.run(bench.research().run())
    return len(store.experiments.listed()) - before


def _rate(millionths: int) -> str:
    return f"0.{millionths:06}"


class _Rates:
    """A proposer of one new learning rate after another."""

    def __init__(self, before: int) -> None:
        self._numbers = itertools.count(_OWN + before)

    def propose(self, context: Context) -> Proposal:
        return proposal_of(context.source, _rate(next(self._numbers)))


@dataclass(kw_only=True)
class _Machine(ScriptedRunner):
    """A runner that scores by rate: every fortieth own one beats all before, no claim holds."""

    async def run(self, source: Source, seed: int, **how: Any) -> RunOutcome:
        number = round(float(source["train.py"].decode().split("=")[1]) * 1e6)
        level, rest = divmod(number - _OWN, _KEEP_EVERY)
        gains = 0 if not _OWN < number < _CLAIMED else level - (rest > 0)
        nano = BASE_NANO - gains * _GAIN_NANO
        self.outcomes = {source.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano)}
        return await super().run(source, seed, **how)
