"""Peers' claims while the node works: tried in the order they promise, believed when measured."""

import asyncio
import random
from dataclasses import replace

import pytest

from node.demo.story import verdicts
from node.home.home import Home
from node.home.people import People, read_people
from node.line.catch_up import CatchUpStep
from node.line.experiment import PEER, ExperimentStep
from node.line.line_writer import LineWriter
from node.loop.authors import author_rates
from node.loop.others_tries import OthersTries
from node.loop.peer_claims import Peers
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.prospects import AuthorRate
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.rule import DEFAULT
from protocol.source import Source
from protocol.styles import Style, StyleName
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import BASE_NANO, conclude, line_writer_of, proposal_of, with_baseline
from tests.node.peer_authors import SD_NANO, PeerAuthor, peers
from tests.node.scripted import OUTCOME, Bench, until
from tests.node.test_commands import arnode

pytestmark = pytest.mark.usefixtures("inspected_here")

KEY = BoardKey(net="main", task=LINE.task, hardware_class=LINE.hardware_class)


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node whose baseline is measured and that has no ideas of its own."""
    with_baseline(home, store)
    return Bench(home=home, store=store, goal=Goal(max_experiments=3), ideas=3, peers=peers())


@pytest.fixture
def ada(store: Store, blobs: Blobs) -> PeerAuthor:
    return PeerAuthor(store, blobs, number=50)


@pytest.fixture
def omar(store: Store, blobs: Blobs) -> PeerAuthor:
    return PeerAuthor(store, blobs, number=51)


def rated(rate: str, base: Source = BASELINE) -> Source:
    return proposal_of(base, rate).source


def truly(bench: Bench, source: Source, gain_sd: float) -> None:
    """Set a source's true gain over the baseline here."""
    nano = BASE_NANO - round(gain_sd * SD_NANO)
    bench.runner.outcomes = {
        **bench.runner.outcomes,
        source.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano),
    }


def work(bench: Bench) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await bench.research().run()

    asyncio.run(within())


def heads(bench: Bench) -> tuple[bytes, bytes]:
    line = bench.store.jobs.line(LINE)
    assert line is not None
    return line.verified, line.working


def catch_ups(bench: Bench) -> list[CatchUpStep]:
    jobs = bench.store.jobs.closed_jobs(LINE, CatchUpStep)
    return [job.step for job in jobs]


def peer_trials(bench: Bench) -> list[ExperimentStep]:
    jobs = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    steps = [job.step for job in jobs]
    return [step for step in steps if step.idea.proposer == PEER]


@pytest.mark.parametrize(
    ("claim_sd", "gain_sd", "is_whole", "verdict"),
    [
        (6.0, 6.0, True, "confirmed"),
        (2.0, 6.0, False, "confirmed"),
        (2.0, 0.0, False, "unconfirmed"),
    ],
)
def test_the_demo_reports_what_came_of_a_claim_however_it_was_tried(
    bench: Bench, ada: PeerAuthor, claim_sd: float, gain_sd: float, is_whole: bool, verdict: str
) -> None:
    """One that leads by little is tried as a patch."""
    theirs = rated("0.5")
    ada.claims(theirs, claim_sd)
    truly(bench, theirs, gain_sd)
    bench.ideas = 0
    work(bench)
    assert [step.idea.is_whole_tree for step in peer_trials(bench)] == [is_whole]
    reported = [(tree, said) for tree, _, said in verdicts(bench.store, LINE)]
    assert reported == [(theirs.tree, verdict)]


def test_a_newcomer_catches_up_with_the_best_tree_and_adopts_it(
    bench: Bench, blobs: Blobs, ada: PeerAuthor
) -> None:
    best = rated("0.5")
    ada.claims(best, 6.0, title="a better rate")
    truly(bench, best, 6.0)
    work(bench)
    assert heads(bench)[0] == best.tree
    (step,) = peer_trials(bench)
    assert (step.tree, step.idea.author, step.decision) == (best.tree, ada.key.public, "kept")
    adoptions = [
        record.body for record in bench.store.records.own() if isinstance(record.body, AdoptBody)
    ]
    assert [(one.to_tree, one.unverified) for one in adoptions] == [(best.tree, False)]
    evidence = bench.store.records.get(adoptions[0].evidence or b"").body
    assert isinstance(evidence, ResultBody)
    assert evidence.stage == "confirm"
    assert {run.role for run in evidence.runs} == {"base", "candidate"}


@pytest.mark.parametrize(("style", "runs"), [("runs", 2), ("differences", 3), ("exact", 1)])
def test_a_newcomer_is_level_as_soon_as_the_best_tree_is_kept(
    bench: Bench, ada: PeerAuthor, monkeypatch: pytest.MonkeyPatch, style: StyleName, runs: int
) -> None:
    """A trial against the head takes four pairs, and thirteen or more on drawn instances."""
    monkeypatch.setattr(Style, "of", lambda _manifest: Style(name=style))
    best = rated("0.5")
    ada.claims(best, 20.0, title="a better rate", pairs=13)
    truly(bench, best, 20.0)
    bench.goal = Goal(max_experiments=1)
    work(bench)
    assert catch_ups(bench) == []
    (step,) = peer_trials(bench)
    assert (step.decision, step.idea.title) == ("kept", f"best tree of {ada.digits}")
    assert heads(bench)[0] == best.tree, "the trial at the session's end verified it"
    (job,) = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    assert len(bench.store.jobs.runs_of(job.id)) == runs


def test_a_peers_tree_is_verified_early_by_any_node(
    bench: Bench, ada: PeerAuthor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a newcomer would have no verified head for as long as it finds little."""
    monkeypatch.setattr(OthersTries, "is_assigned", lambda *_: False)
    best = rated("0.5")
    ada.claims(best, 20.0)
    truly(bench, best, 20.0)
    now_s = 0.0

    def pass_time() -> None:
        nonlocal now_s
        now_s += 3.0

    bench.runner.takes, bench.clock_s = pass_time, lambda: now_s
    bench.ideas, bench.goal, bench.has_company = 6, Goal(), False
    work(bench)
    decisions = bench.decisions()
    assert "discarded" in decisions[decisions.index("adopted") :], decisions


@pytest.mark.parametrize(("claim_sd", "is_tried"), [(6.0, True), (4.0, False)])
def test_a_tree_that_leads_the_working_line_is_tried_next_to_own_patches(
    bench: Bench,
    ada: PeerAuthor,
    monkeypatch: pytest.MonkeyPatch,
    claim_sd: float,
    *,
    is_tried: bool,
) -> None:
    """Otherwise a node with a patch of its own would stay behind until its own trial."""
    monkeypatch.setattr(Style, "of", lambda _manifest: Style(name="exact"))
    own, theirs = proposal_of(BASELINE, "0.3").source, rated("0.5")
    truly(bench, own, 3.0)
    truly(bench, theirs, claim_sd)
    bench.rates = ["0.3", "0.4", "0.6"]

    async def within() -> None:
        research = bench.research()
        working = asyncio.create_task(research.run())
        await until(lambda: "kept" in bench.decisions() or working.done())
        ada.claims(theirs, claim_sd)
        await working

    asyncio.run(within())
    assert bool(peer_trials(bench)) is is_tried


@pytest.mark.parametrize("forks_untrusted", [True, False])
def test_untrusted_code_alone_is_kept_from_forks_where_that_is_set(
    bench: Bench, ada: PeerAuthor, *, forks_untrusted: bool
) -> None:
    bench.forks_untrusted = forks_untrusted
    theirs = rated("0.5")
    ada.claims(theirs, 6.0)
    work(bench)
    assert {theirs.tree, BASELINE.tree} < set(bench.runner.started)
    assert bench.runner.fresh == (set() if forks_untrusted else {theirs.tree})


def test_a_lie_is_refuted_and_moves_nothing(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    ada.claims(rated("0.5"), 6.0)
    work(bench)
    assert heads(bench) == (BASELINE.tree, BASELINE.tree)
    (step,) = peer_trials(bench)
    assert step.decision == "screened_out"
    rates = peers()(line_writer_of(bench.home, bench.store)).authors.rates()
    assert rates[ada.key.public].chance < 0.25


def test_it_is_tried_once(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    ada.claims(rated("0.5"), 6.0)
    work(bench)
    work(bench)
    assert (len(peer_trials(bench)), catch_ups(bench)) == (1, [])


@pytest.mark.parametrize(("gain_sd", "decision"), [(3.5, "rechecked_out"), (4.5, "kept")])
def test_a_tree_replaces_the_line_only_if_it_gains_half_of_a_large_claim(
    bench: Bench, ada: PeerAuthor, gain_sd: float, decision: str
) -> None:
    """Two lucky runs keep a patch, but must not displace this node's own patches."""
    ada.claims(rated("0.5"), 20.0)
    truly(bench, rated("0.5"), gain_sd)
    work(bench)
    assert [step.decision for step in peer_trials(bench)] == [decision]


def test_a_small_lead_is_not_worth_a_confirmation_of_its_own(
    bench: Bench, blobs: Blobs, ada: PeerAuthor
) -> None:
    ada.claims(rated("0.5"), 3.6)
    work(bench)
    assert [step.idea.is_whole_tree for step in peer_trials(bench)] == [False]


def test_the_tree_to_catch_up_with_is_chosen_by_what_is_sure_of_it(
    bench: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    """Of many figures the largest is the luckiest: a bound allows for its author's tries."""
    steady, lucky = rated("0.5"), rated("0.6")
    ada.claims(steady, 6.0)
    for number in range(30):
        omar.claims(rated(f"0.{700 + number}"), 0.1)
    omar.claims(lucky, 6.5)
    truly(bench, steady, 6.0)
    work(bench)
    (step,) = (step for step in peer_trials(bench) if step.idea.is_whole_tree)
    assert (step.tree, step.idea.claim_milli) == (steady.tree, 6000)


def test_a_patch_on_the_best_tree_is_tried_once_this_node_is_there(
    bench: Bench, blobs: Blobs, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    best = rated("0.5")
    wider = Source.of({"train.py": best["train.py"] + b"WIDTH = 64\n"})
    ada.claims(best, 6.0)
    omar.claims(wider, 2.0, base=best)
    truly(bench, best, 6.0)
    truly(bench, wider, 8.0)
    work(bench)
    whole, step = peer_trials(bench)
    assert (whole.tree, whole.decision) == (best.tree, "kept")
    assert (step.base, step.tree, step.idea.author) == (best.tree, wider.tree, omar.key.public)
    assert step.decision == "kept"
    assert heads(bench)[1] == wider.tree


@pytest.mark.parametrize("line", [b"import os\n", b"print(open('/etc/passwd'))\n"])
def test_marked_code_is_never_tried_unasked(
    bench: Bench, blobs: Blobs, line: bytes, ada: PeerAuthor
) -> None:
    marked = Source.of({"train.py": line + b"LEARNING_RATE = 0.5\n"})
    ada.claims(marked, 6.0)
    work(bench)
    assert marked.tree not in bench.runner.started
    assert catch_ups(bench) == []
    assert peer_trials(bench) == []


def test_prose_is_left_out_of_what_is_adopted(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    wordy = Source.of({"train.py": b"# obey me\nLEARNING_RATE = 0.5\n"})
    clean = Source.of({"train.py": b"LEARNING_RATE = 0.5\n"})
    ada.claims(wordy, 6.0)
    truly(bench, clean, 6.0)
    work(bench)
    adopted = blobs.get_source(heads(bench)[0])["train.py"]
    assert b"obey" not in adopted
    assert b"0.5" in adopted


def test_own_claims_are_no_peers(bench: Bench, blobs: Blobs) -> None:
    bench.peers = None
    best = rated("0.200")
    truly(bench, best, 6.0)
    work(bench)  # kept and confirmed as its own
    line_writer = line_writer_of(bench.home, bench.store)
    assert peers()(line_writer).idea() is None
    assert peers()(line_writer).trees.catch_up() is None


def test_the_users_share_bounds_what_peers_get(home: Home, store: Store, blobs: Blobs) -> None:
    with_baseline(home, store)
    bench = Bench(
        home=home, store=store, goal=Goal(max_experiments=12), ideas=40, peers=peers(share=0.25)
    )
    for number in range(12):
        PeerAuthor(store, blobs, number=60 + number).claims(rated(f"0.{600 + number}"), 0.9)
    work(bench)
    trials = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    assert 1 <= len(peer_trials(bench)) <= 0.4 * len(trials)


@pytest.mark.parametrize(("share", "tried"), [(0.25, 6), (0.0, 0)])
def test_a_node_without_ideas_tries_peers_claims_beyond_their_share(
    home: Home, store: Store, blobs: Blobs, share: float, tried: int
) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store, goal=Goal(), ideas=0, peers=peers(share=share))
    for number in range(6):
        PeerAuthor(store, blobs, number=60 + number).claims(rated(f"0.{600 + number}"), 0.9)
    work(bench)
    assert len(peer_trials(bench)) == tried


def test_a_node_without_ideas_awaits_no_more_claims_for_a_stack(
    bench: Bench, ada: PeerAuthor
) -> None:
    ada.claims(rated("0.5"), 1.5)
    trust(bench, ada, share=0.25)
    bench.ideas, bench.goal = 0, Goal()
    work(bench)
    assert authors_tried(bench) == [((ada.key.public,), "screened_out")]


def test_without_leave_nothing_of_peers_is_run(
    home: Home, store: Store, blobs: Blobs, ada: PeerAuthor
) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=2), peers=None)
    best = rated("0.5")
    ada.claims(best, 6.0)
    work(bench)
    assert best.tree not in bench.runner.started


def test_whom_the_user_blocked_is_not_looked_at(bench: Bench, ada: PeerAuthor) -> None:
    best = rated("0.5")
    ada.claims(best, 6.0)
    truly(bench, best, 6.0)
    people = People(blocked=frozenset([ada.key.public]))
    bench.peers = peers(people=lambda: people)
    work(bench)
    assert best.tree not in bench.runner.started
    assert [row.tree for row in bench.store.boards.get(KEY).rows] == [best.tree], (
        "the board shows all"
    )


def test_a_friend_is_trusted_first_and_believed_no_more(
    bench: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    ada.claims(rated("0.5"), 0.9)
    omar.claims(rated("0.6"), 0.9)
    people = People(friends=frozenset([omar.key.public]))
    choice = peers(people=lambda: people)(line_writer_of(bench.home, bench.store))
    assert [offer.author for offer in choice.offers(choice.authors.rates())] == [
        omar.key.public,
        ada.key.public,
    ]


def test_people_are_named_by_command(
    home: Home,
    ada: PeerAuthor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    ada.claims(rated("0.5"), 0.9)
    assert "is a friend" in arnode(capsys, "network", "friends", "add", ada.digits)
    assert read_people(home.people).friends == {ada.key.public}
    assert "is blocked" in arnode(capsys, "network", "block", ada.key.public.hex())
    assert read_people(home.people) == People(blocked=frozenset([ada.key.public]))
    assert ada.key.public.hex() in arnode(capsys, "network", "friends", "--json")
    assert "is neither a friend nor blocked" in arnode(
        capsys, "network", "friends", "remove", ada.digits
    )
    assert read_people(home.people) == People()
    assert "no known key begins" in arnode(capsys, "network", "block", "00000000", code=2)
    home.people.write_text('{"friends": ["x"]}')
    assert "not a list of friends" in arnode(capsys, "network", "friends", code=6)


def test_who_made_up_a_head_gets_no_second_confirmation(bench: Bench, ada: PeerAuthor) -> None:
    for number in range(4):
        ada.claims(rated(f"0.{500 + number}"), 6.0 + number)
    work(bench)
    work(bench)
    assert [step.decision for step in peer_trials(bench)] == ["screened_out"]


def test_a_gain_blown_up_proves_no_author(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    head = rated("0.5")
    ada.claims(head, 18.0)
    truly(bench, head, 6.0)
    work(bench)
    assert [step.decision for step in peer_trials(bench)] == ["kept"]
    assert heads(bench)[0] == head.tree
    rate = author_rates(line_writer_of(bench.home, bench.store), ())[ada.key.public]
    assert rate.status == "open"


def test_audits_are_rare_for_what_they_cost(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    ada.claims(rated("0.5"), 2.0)

    class Drawn(random.Random):
        drawn = 0.0

        def random(self) -> float:
            return self.drawn

    chance = Drawn()
    auditor = Peers(
        line_writer_of(bench.home, bench.store),
        net="main",
        share=1.0,
        chance=chance,
        noise_sd=lambda: SD_NANO / 1e9,
    )
    wanted = auditor.audit()
    assert wanted is not None
    assert wanted.author == ada.key.public
    chance.drawn = 0.01
    assert auditor.audit() is None


def test_a_tree_that_is_not_here_is_wanted_and_tried_once_it_is(
    bench: Bench, blobs: Blobs, ada: PeerAuthor
) -> None:
    head = rated("0.5")
    ada.claims(head, 6.0)
    (claimed,) = (record.id for record in bench.store.records.listed("patch", ada.key.public))
    truly(bench, head, 6.0)
    path = blobs.path(head.tree)
    path.rename(path.with_suffix(".away"))
    wanted: list[bytes] = []

    def wanting(line_writer: LineWriter) -> Peers:
        return Peers(
            line_writer,
            net="main",
            share=1.0,
            chance=random.Random(3),
            noise_sd=lambda: SD_NANO / 1e9,
            want=wanted.append,
        )

    bench.peers = wanting
    work(bench)
    assert set(wanted) == {claimed}
    assert (catch_ups(bench), peer_trials(bench)) == ([], [])
    path.with_suffix(".away").rename(path)
    work(bench)
    assert heads(bench)[0] == head.tree


def test_while_other_untrusted_code_runs_no_tree_is_tried_in_any_way(
    bench: Bench, ada: PeerAuthor
) -> None:
    ada.claims(rated("0.5"), 6.0)
    bench.research()._agenda.next_run((), has_lanes=True, skips_untrusted=True)
    opened = bench.store.jobs.open_jobs(LINE, CatchUpStep, ExperimentStep)
    assert [job for job in opened if job.step.tree == rated("0.5").tree] == []


def test_a_trusted_authors_next_head_is_tried(bench: Bench, blobs: Blobs, ada: PeerAuthor) -> None:
    first, second = rated("0.5"), rated("0.6")
    ada.claims(first, 6.0)
    truly(bench, first, 6.0)
    work(bench)
    ada.claims(second, 14.0)
    truly(bench, second, 14.0)
    work(bench)
    assert [step.decision for step in peer_trials(bench)] == ["kept", "kept"]
    assert heads(bench)[0] == second.tree


# Stacks of what trusted authors claim

OWN = rated("0.200")  # the node's own idea, which its promotion trial is due after
FIRST = Source.of({"train.py": b"A = 1\n" + OWN["train.py"]})
LAST = Source.of({"train.py": OWN["train.py"] + b"B = 1\n"})
BOTH = Source.of({"train.py": b"A = 1\n" + OWN["train.py"] + b"B = 1\n"})


@pytest.fixture
def stacking(bench: Bench, ada: PeerAuthor, omar: PeerAuthor) -> Bench:
    """A node with one idea that it keeps, its promotion trial, and two friends' claims on it."""
    ada.claims(FIRST, 3.0, base=OWN, title="first")
    omar.claims(LAST, 3.0, base=OWN, title="last")
    bench.ideas = 1
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    truly(bench, OWN, 3.0)
    trust(bench, ada, omar)
    return bench


def trust(bench: Bench, *others: PeerAuthor, share: float = 0.0) -> None:
    people = People(friends=frozenset(peer_author.key.public for peer_author in others))
    bench.peers = lambda line_writer: Peers(
        line_writer,
        net="main",
        share=share,
        chance=random.Random(3),
        noise_sd=lambda: SD_NANO / 1e9,
        people=lambda: people,
    )


def authors_tried(bench: Bench) -> list[tuple[tuple[bytes, ...], str]]:
    return [(step.idea.authors, step.decision) for step in peer_trials(bench)]


def test_what_trusted_authors_claim_joins_the_next_promotion_trial_as_one_stack(
    stacking: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    truly(stacking, BOTH, 9.0)
    work(stacking)
    (step,) = peer_trials(stacking)
    assert set(step.idea.authors) == {ada.key.public, omar.key.public}
    assert (step.tree, step.decision, step.idea.claim_milli) == (BOTH.tree, "kept", 5750)
    assert heads(stacking)[0] == BOTH.tree, "judged together with the node's own keep"
    made = next(
        body
        for record in stacking.store.records.own()
        if isinstance(body := record.body, PatchBody) and body.origin.proposer == PEER
    )
    assert made.parents == step.idea.parents
    assert [stacking.store.records.get(parent).author for parent in made.parents] == list(
        step.idea.authors
    )
    assert made.title in ("2 of peers: first; last", "2 of peers: last; first")
    rates = peers()(line_writer_of(stacking.home, stacking.store)).authors.rates()
    assert [rates[author].confirmed for author in step.idea.authors] == [1.0, 1.0]


def test_a_patch_that_does_not_fit_with_the_others_is_left_out_of_the_stack(
    stacking: Bench, blobs: Blobs, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    eve = PeerAuthor(stacking.store, blobs, number=52)
    eve.claims(Source.of({"train.py": b"C = 1\n" + OWN["train.py"]}), 2.0, base=OWN)
    trust(stacking, ada, omar, eve)
    truly(stacking, BOTH, 9.0)
    work(stacking)
    assert [set(authors) for authors, _ in authors_tried(stacking)] == [
        {ada.key.public, omar.key.public}
    ]


def test_a_stack_that_fails_is_bisected_and_charges_nobody(
    stacking: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    truly(stacking, FIRST, 3.0)  # as the node's own idea: nothing gained
    truly(stacking, LAST, 6.0)
    work(stacking)
    tried = authors_tried(stacking)
    assert (len(tried[0][0]), tried[0][1]) == (2, "screened_out")
    assert tried[-1] == ((omar.key.public,), "kept")
    assert all(len(authors) == 1 for authors, _ in tried[1:])
    assert heads(stacking)[0] == LAST.tree
    rates = peers()(line_writer_of(stacking.home, stacking.store)).authors.rates()
    assert rates[omar.key.public].confirmed == 1.0
    assert rates.get(ada.key.public, AuthorRate()).failed < 0.2, "at most for her own trial"


def test_a_bisection_goes_on_after_a_restart_and_ends(
    stacking: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    truly(stacking, BOTH, 0.0)
    work(stacking)
    assert [len(authors) for authors, _ in authors_tried(stacking)] == [2, 1, 1]
    line_writer = line_writer_of(stacking.home, stacking.store)
    assert stacking.peers
    assert stacking.peers(line_writer).stack() is None, "what failed alone is not tried again"
    work(stacking)
    assert len(peer_trials(stacking)) == 3


def test_half_a_bisection_is_taken_up_by_the_next_start(
    home: Home, store: Store, stacking: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    line_writer = line_writer_of(home, store)
    conclude(line_writer, proposal_of(BASELINE, "0.200"), "kept", BASE_NANO - 3 * SD_NANO)
    assert stacking.peers
    whole = stacking.peers(line_writer).stack()
    assert whole
    assert len(whole.parents) == 2
    store.jobs.mark_tried(LINE.task, whole.fingerprint)
    half = stacking.peers(line_writer_of(home, store)).stack()
    assert half
    assert (half.parents, half.co_authors) == (whole.parents[:1], None)


def test_large_claims_of_trusted_authors_need_no_promotion_trial_to_wait_for(
    home: Home, store: Store, stacking: Bench, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    line_writer = line_writer_of(home, store)
    conclude(line_writer, proposal_of(BASELINE, "0.200"), "kept", BASE_NANO - 3 * SD_NANO)
    assert stacking.peers
    assert stacking.peers(line_writer).idea() is None, "six deviations wait for the promotion trial"
    ada.claims(Source.of({"train.py": b"C = 1\n" + FIRST["train.py"]}), 3.0, base=FIRST)
    idea = stacking.peers(line_writer).idea()
    assert idea
    assert len(idea.parents) == 3


def test_a_head_with_patches_of_its_own_needs_a_larger_lead(bench: Bench, ada: PeerAuthor) -> None:
    truly(bench, OWN, 6.0)
    bench.peers, bench.ideas = None, 1
    work(bench)
    assert heads(bench)[0] == OWN.tree
    ada.claims(rated("0.5"), 6.0 + 6.0)
    trust(bench, ada)
    work(bench)
    assert [step.idea.is_whole_tree for step in peer_trials(bench)] == []
    ada.claims(rated("0.6"), 6.0 + 9.0)
    work(bench)
    assert [step.idea.is_whole_tree for step in peer_trials(bench)] == [True]


# With company


def test_a_node_without_ideas_waits_for_others_and_receives_them(
    bench: Bench, blobs: Blobs, ada: PeerAuthor
) -> None:
    bench.ideas, bench.goal, bench.has_company = 1, Goal(), True
    head = rated("0.5")
    truly(bench, head, 6.0)

    async def within() -> None:
        research = bench.research()
        async with asyncio.timeout(60):
            working = asyncio.create_task(research.run())
            await until(lambda: any("waiting for peers' findings" in one for one in bench.said))
            ada.claims(head, 6.0)
            bench.news.set()
            await until(lambda: heads(bench)[0] == head.tree)
            research.stop()
            await working

    asyncio.run(within())
    assert [step.decision for step in peer_trials(bench)] == ["kept"]
