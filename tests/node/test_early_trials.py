"""Patches kept from models are judged early where peers would build on them."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from agent.proposal import Context, Proposal
from node.home.home import Home
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.styles import Style
from tests.node.examples import BASELINE
from tests.node.line_writers import line_writer_of, proposal_of
from tests.node.peer_authors import SD_NANO, PeerAuthor, peers
from tests.node.scripted import Bench, Rates, better, until

LARGE_SD, SMALL_SD = 9, 7
IDEAS = 6


@dataclass(frozen=True)
class Writer:
    """Proposes rates as somebody else would."""

    proposer: str

    def propose(self, context: Context) -> Proposal | None:
        proposal = Rates(IDEAS).propose(context)
        return proposal and replace(proposal, proposer=self.proposer)


def judged_after(
    home: Home,
    store: Store,
    *,
    goal: Goal,
    gain_sd: int,
    has_others: bool = True,
    theirs_sd: float = 1.0,
    proposer: str = "llm",
) -> int:
    """Work until nothing is left to try; the first idea has this gain.

    Return after how many others it was judged.
    """
    bench = Bench(
        home=home,
        store=store,
        proposer=Writer(proposer),
        goal=goal,
        has_company=True,
        peers=peers(share=0.0),
    )
    bench.runner.outcomes = dict([better("0.200", gain_nano=gain_sd * SD_NANO)])
    if has_others:
        line_writer_of(home, store).announce()
        ada = PeerAuthor(store, Blobs(home.blobs))
        ada.claims(proposal_of(BASELINE, "0.9").source, theirs_sd)

    async def work() -> None:
        research = bench.research()
        async with asyncio.timeout(60):
            working = asyncio.create_task(research.run())
            await until(lambda: working.done() or any("waiting for" in one for one in bench.said))
            research.stop()
            await working

    asyncio.run(work())
    decisions = bench.decisions()
    return decisions[: decisions.index("adopted")].count("discarded")


@pytest.mark.parametrize("proposer", ["llm", "command"])
def test_what_gains_much_is_judged_for_the_others_once_an_experiment_gains_nothing(
    home: Home, store: Store, proposer: str
) -> None:
    """While each experiment is kept, the next one joins the same trial."""
    assert judged_after(home, store, goal=Goal(), gain_sd=LARGE_SD, proposer=proposer) == 1


@pytest.mark.parametrize(
    ("goal", "gain_sd", "has_others", "proposer"),
    [
        (Goal(), LARGE_SD, False, "llm"),
        (Goal(), SMALL_SD, True, "llm"),
        (Goal(max_experiments=IDEAS), LARGE_SD, True, "llm"),
        (Goal(), LARGE_SD, True, "search"),
    ],
    ids=["alone", "too little", "a session that has an end", "values, which others hear of"],
)
def test_else_it_waits_for_more(
    home: Home, store: Store, goal: Goal, gain_sd: int, proposer: str, *, has_others: bool
) -> None:
    after = judged_after(
        home, store, goal=goal, gain_sd=gain_sd, has_others=has_others, proposer=proposer
    )
    assert after == IDEAS - 1


@pytest.mark.parametrize(
    ("gain_sd", "theirs_sd", "is_early"),
    [(3, 1.0, True), (1, 0.0, False), (3, 4.0, False), (3, 1000.0, False)],
    ids=["in front", "too little", "a small lead", "a peer is in front"],
)
def test_the_node_that_leads_on_an_exact_task_is_judged_early(
    home: Home,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    gain_sd: int,
    theirs_sd: float,
    *,
    is_early: bool,
) -> None:
    """There a trial takes one pair, and the others catch up with a smaller lead."""
    monkeypatch.setattr(Style, "of", lambda _manifest: Style(name="exact"))
    after = judged_after(
        home, store, goal=Goal(), gain_sd=gain_sd, theirs_sd=theirs_sd, proposer="search"
    )
    assert (after == 1) is is_early
