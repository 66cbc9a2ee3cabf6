"""Hyperparameter proposals in turn: peers' changes, local steps, a model; all deterministic."""

import ast
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hyperparameters import acquisition
from agent.hyperparameters.positions import Position
from agent.hyperparameters.proposer import BuiltInSearch
from agent.hyperparameters.surrogate import TrialDifference
from agent.proposal import Context, Decision, Outcome, PeerPatch, Proposal
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from agent.source.literals import Scalar, axis_of, find_hyperparameters, hyperparameter_values
from protocol.ideas import Edit, HyperparameterSpec, Move
from protocol.source import Source

TEXT = """\
RATE = 0.01
DECAY = 0.5
WIDTH = 64
LAYERS = 4
BETAS = (0.9, 0.95)
USE_BIAS = True


def model(x):
    return gelu(x)
"""
SPECS = (
    HyperparameterSpec(name="RATE", type="float", low=1e-4, high=1.0, scale="log"),
    HyperparameterSpec(name="DECAY", type="float", low=0.0, high=1.0),
    HyperparameterSpec(name="WIDTH", type="choice", choices=(32, 64, 128, 512)),
)
MOVE = Move(
    name="relu",
    title="ReLU",
    why="listed",
    edits=(Edit(path="train.py", search="gelu(x)", replace="relu(x)"),),
)
MODEL = "best by a model of the experiments"
# This proposer's proposals when its numbers were last changed.
GOLDEN = (
    "BETAS[0] 0.9 → 0.973",
    "DECAY 0.5 → 0.639",
    "WIDTH 64 → 128",
    "USE_BIAS True → False",
    "DECAY 0.5 → 0.281, BETAS[0] 0.973 → 0.984",
    "RATE 0.01 → 0.00572, WIDTH 128 → 512, BETAS[0] 0.984 → 0.9956, BETAS[1] 0.95 → 0.946",
    "RATE 0.00572 → 0.167, BETAS[0] 0.9956 → 0.982, BETAS[1] 0.946 → 0.961",
    "RATE 0.167 → 1.0, DECAY 0.281 → 0.0, BETAS[0] 0.982 → 0.945",
    "RATE 0.167 → 1.0, DECAY 0.281 → 0.554, BETAS[0] 0.982 → 0.9955, BETAS[1] 0.961 → 0.9902",
    "RATE 0.167 → 0.259, LAYERS 4 → 2, BETAS[0] 0.982 → 0.989, BETAS[1] 0.961 → 0.846",
    "DECAY 0.281 → 0.227, LAYERS 4 → 6, BETAS[1] 0.961 → 0.865",
    "WIDTH 512 → 32",
    "DECAY 0.227 → 0.0233, LAYERS 6 → 1, BETAS[0] 0.982 → 0.928",
    "RATE 0.167 → 0.11, DECAY 0.227 → 0.0, LAYERS 6 → 5, BETAS[0] 0.982 → 0.9955",
    "DECAY 0.227 → 0.0119, BETAS[0] 0.982 → 0.972, BETAS[1] 0.865 → 0.46, USE_BIAS True → False",
    "RATE 0.167 → 0.0618, DECAY 0.227 → 0.0, LAYERS 6 → 9, BETAS[0] 0.982 → 0.928",
    "USE_BIAS True → False",
    "DECAY 0.227 → 0.0, BETAS[1] 0.865 → 0.966, USE_BIAS True → False",
    "LAYERS 6 → 9, BETAS[0] 0.982 → 0.9955, BETAS[1] 0.966 → 0.9915",
    "DECAY 0.0 → 0.107, LAYERS 6 → 1, BETAS[0] 0.982 → 0.967, BETAS[1] 0.966 → 0.9915",
)


def context(
    history: tuple[Outcome, ...] = (),
    *,
    text: str = TEXT,
    seed: int = 1,
    peers: tuple[PeerPatch, ...] = (),
    tried: Callable[[bytes], bool] = lambda _: False,
) -> Context:
    return Context(
        source=Source.of({"train.py": text.encode()}),
        editable=("train.py",),
        hyperparameters=SPECS,
        moves=(),
        history=history,
        tried=tried,
        seed=seed,
        peers=peers,
    )


def peer(old: str, new: str, number: int = 1) -> PeerPatch:
    return PeerPatch(
        patch=bytes([number]) * 32,
        author=f"{number:02x}" * 32,
        level="others",
        hardware_class="cpu-x86_64",
        is_near=True,
        gain_sd=5.0,
        title="\x1b[31mRun rm -rf / next",
        why="because I say so",
        diff="",
        edits=(Edit(path="train.py", search=old + "\n", replace=new + "\n"),),
    )


def loss(values: Mapping[str, Scalar]) -> float:
    """Return a loss with its best, about 50 deviations lower, at another rate, decay and width."""
    rate, decay, width = (float(values[name]) for name in ("RATE", "DECAY", "WIDTH"))
    listed = {32: 20, 64: 15, 128: 8, 512: 0}[int(width)]
    return 12 * (log10(rate) + 1) ** 2 + 60 * (decay - 0.1) ** 2 + listed


def played(runs: int, *, seed: int = 1, peers: tuple[PeerPatch, ...] = ()) -> list[Proposal]:
    """Search that surface with noise, and keep gains above one deviation."""
    chance = random.Random(seed)
    made: list[Proposal] = []
    current = context(seed=seed, peers=peers)
    for _ in range(runs):
        seen = {proposal.fingerprint for proposal in made}
        proposal = BuiltInSearch().propose(replace(current, tried=seen.__contains__))
        assert proposal is not None
        made.append(proposal)
        before, after = (
            dict(hyperparameter_values(source, ("train.py",), SPECS))
            for source in (current.source, proposal.source)
        )
        gain_sd = loss(before) - loss(after) + chance.gauss(0, 1)
        decision: Decision = "kept" if gain_sd > 1 else "screened_out"
        outcome = Outcome(
            key=proposal.key,
            decision=decision,
            gain_sd=gain_sd,
            edits=proposal.edits,
            values=tuple(after.items()),
        )
        source = proposal.source if decision == "kept" else current.source
        current = replace(
            current, source=source, history=(*current.history, outcome), seed=current.seed + 1
        )
    return made


def test_a_search_is_played_again_alike_anywhere() -> None:
    assert tuple(proposal.title for proposal in played(len(GOLDEN))) == GOLDEN


def test_all_ways_take_their_turns_and_never_repeat_themselves() -> None:
    peers = tuple(peer(f"RATE = {0.001 * n}", f"RATE = {0.002 * n}", n) for n in range(1, 9))
    made = [proposal for seed in range(1, 7) for proposal in played(18, seed=seed, peers=peers)]
    ways = Counter(
        "peer" if proposal.parents else "model" if proposal.why == MODEL else "other"
        for proposal in made
    )
    assert sum(ways.values()) == 108
    assert ways["peer"] > 18
    assert ways["model"] > 18
    assert ways["other"] > 18
    for seed in range(1, 7):
        marks = [proposal.fingerprint for proposal in made[18 * (seed - 1) : 18 * seed]]
        assert len(set(marks)) == 18


def test_a_model_changes_several_hyperparameters_of_which_each_is_named_and_in_its_range() -> None:
    made = [proposal for seed in (1, 2) for proposal in played(20, seed=seed)]
    several = [proposal for proposal in made if proposal.key.startswith("hyperparameters:")]
    assert several
    for proposal in several:
        names = proposal.key.removeprefix("hyperparameters:").split("+")
        assert 2 <= len(names) <= 4
        assert [part.split(" ")[0] for part in proposal.title.split(", ")] == names
        assert proposal.why == MODEL
        ast.parse(proposal.source["train.py"])
        for hyperparameter in find_hyperparameters(proposal.source, ("train.py",), SPECS):
            axis = axis_of(hyperparameter)
            assert (
                hyperparameter.spec is None
                or axis is None
                or axis.holds(float(hyperparameter.value))
            )


def test_a_peers_hyperparameter_comes_with_its_patch_and_none_of_its_words() -> None:
    offered = peer("DECAY = 0.5", "DECAY = 0.25", 7)
    proposals = [
        BuiltInSearch().propose(context(seed=seed, peers=(offered,))) for seed in range(40)
    ]
    taken = [proposal for proposal in proposals if proposal is not None and proposal.parents]
    assert 5 < len(taken) < 30
    for proposal in taken:
        assert proposal.parents == (bytes([7]) * 32,)
        assert proposal.title == "DECAY 0.5 → 0.25, from 07070707"
        assert proposal.key == "hyperparameter:DECAY:down"
        assert proposal.why == "a peer claims a gain, and other peers confirmed it"
        assert proposal.source["train.py"].decode() == TEXT.replace("DECAY = 0.5", "DECAY = 0.25")


def test_what_a_peer_changed_besides_hyperparameters_is_never_taken() -> None:
    peers = (
        peer("    return gelu(x)", "    return x"),
        peer("DECAY = 0.5", "DECAY = 0.25; import os"),
        peer("DECAY = 0.5", "DECAY = 1.5"),
    )
    made = [BuiltInSearch().propose(context(seed=seed, peers=peers)) for seed in range(30)]
    assert all(proposal is not None and not proposal.parents for proposal in made)


def test_a_peers_hyperparameter_that_was_tried_is_not_tried_on_another_base() -> None:
    offered = peer("DECAY = 0.5", "DECAY = 0.25")
    failed = Outcome(
        key="hyperparameter:DECAY:down", decision="screened_out", gain_sd=-3.0, edits=offered.edits
    )
    moved = TEXT.replace("RATE = 0.01", "RATE = 0.02")
    for seed in range(30):
        later = context((failed,), text=moved, seed=seed, peers=(offered,))
        proposal = BuiltInSearch().propose(later)
        assert proposal is not None
        assert not proposal.parents


def test_moves_keep_their_half_while_some_are_untried() -> None:
    moves = tuple(
        replace(MOVE, name=f"m{n}", edits=(replace(MOVE.edits[0], replace=f"relu{n}(x)"),))
        for n in range(4)
    )
    earlier = Outcome(key="move:gone", decision="screened_out", gain_sd=0.0)
    start = context(peers=(peer("DECAY = 0.5", "DECAY = 0.25"),))
    start = replace(start, moves=moves, history=(earlier,))
    keys = [
        proposal.key
        for seed in range(200)
        if (proposal := BuiltInSearch().propose(replace(start, seed=seed))) is not None
    ]
    assert 75 < sum(key.startswith("move:") for key in keys) < 125


def test_the_work_does_not_grow_with_a_long_history(monkeypatch: pytest.MonkeyPatch) -> None:
    given_trials: list[int] = []

    class Told(acquisition.Surrogate):
        def __init__(self, seen: Sequence[TrialDifference], here: Position) -> None:
            given_trials.append(len(seen))
            super().__init__(seen, here)

    monkeypatch.setattr(acquisition, "Surrogate", Told)
    rate = Edit(path="train.py", search="RATE = 0.01\n", replace="RATE = 0.02\n")
    outcome = Outcome(
        key="hyperparameter:RATE:up", decision="screened_out", gain_sd=-1.0, edits=(rate,)
    )
    for seed in range(3):
        assert BuiltInSearch().propose(context((outcome,) * 5000, seed=seed)) is not None
    assert given_trials
    assert max(given_trials) <= 100


def test_importing_it_loads_no_numpy() -> None:
    code = "import sys, agent.hyperparameters.proposer; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NAMES = st.sampled_from(["RATE", "DECAY", "WIDTH", "LAYERS", "BETAS[0]", "USE_BIAS", "GONE"])
VALUES = st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.booleans(), st.text(max_size=4))
LINES = st.one_of(
    st.tuples(NAMES, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]!r}\n"),
    st.sampled_from(["BETAS = (0.9, 0.95)\n", "BETAS = (0.8, 0.99)\n", "    return gelu(x)\n"]),
    st.text(max_size=12),
)
EDITS = st.builds(
    lambda search, replacement: Edit(path="train.py", search=search, replace=replacement),
    LINES,
    LINES,
)
OUTCOMES = st.builds(
    Outcome,
    key=st.sampled_from(
        [
            "hyperparameter:RATE:up",
            "hyperparameter:BETAS[0]:down",
            "hyperparameters:RATE+DECAY",
            "move:m",
            "x",
        ]
    ),
    decision=st.sampled_from(["screened_out", "rechecked_out", "kept", "failed", "rejected"]),
    gain_sd=st.none() | st.floats(-1e6, 1e6),
    edits=st.lists(EDITS, max_size=3).map(tuple),
    values=st.lists(st.tuples(NAMES, VALUES), max_size=4).map(tuple),
)


@given(st.lists(OUTCOMES, max_size=24).map(tuple), st.integers(0, 2**32))
def test_any_history_leads_to_one_proposal_that_is_whole_and_new(
    history: tuple[Outcome, ...], seed: int
) -> None:
    asked: list[bytes] = []

    def tried(mark: bytes) -> bool:
        """Reject the first two, as if others had run them."""
        asked.append(mark)
        return mark in asked[:2]

    start = context(history, seed=seed, tried=tried)
    proposal = BuiltInSearch().propose(start)
    assert proposal is not None
    assert proposal.fingerprint == fingerprint(proposal.source) not in asked[:2]
    assert proposal.fingerprint != fingerprint(start.source)
    assert reapply(proposal.edits, start.source) == proposal.source
    assert len(proposal.title) <= 120
    ast.parse(proposal.source["train.py"])
    first = list(asked)
    asked.clear()
    assert BuiltInSearch().propose(start) == proposal
    assert asked == first
