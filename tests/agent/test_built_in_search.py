"""The proposer without a model: deterministic, one line per patch, never the same twice."""

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from agent.hyperparameters.moves import ordered_moves
from agent.hyperparameters.proposer import BuiltInSearch
from agent.proposal import (
    Context,
    Decision,
    Outcome,
    PeerTrial,
    Proposal,
    hyperparameter_key,
)
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from agent.source.literals import find_hyperparameters
from protocol.ideas import Edit, HyperparameterSpec, Move
from protocol.source import Source

TEXT = """\
LR = 0.01
BETAS = (0.9, 0.95)
DEPTH = 4
BATCH = 64
USE_BIAS = True
PATTERN = "SL"


def model(x):
    return gelu(x)
"""
SPECS = (
    HyperparameterSpec(name="LR", type="float", low=1e-3, high=1e-1, scale="log"),
    HyperparameterSpec(name="PATTERN", type="choice", choices=("SL", "L", "S")),
)


def move(name: str, search: str, replacement: str) -> Move:
    edits = (Edit(path="train.py", search=search, replace=replacement),)
    return Move(name=name, title=f"try {name}", why="listed", edits=edits)


MOVES = (
    move("relu", "gelu(x)", "relu(x)"),
    move("silu", "gelu(x)", "silu(x)"),
    move("tanh", "gelu(x)", "tanh(x)"),
    move("twice", "    return gelu(x)\n", "    x = x + x\n    return gelu(x)\n"),
    move("absent", "not in the text", ""),
    move("ambiguous", "x", "y"),
    move("broken", "def model(x):", "def model(x:"),
)
APPLICABLE = {"move:relu", "move:silu", "move:tanh", "move:twice"}


def context(
    *,
    seed: int = 1,
    text: str = TEXT,
    history: tuple[Outcome, ...] = (),
    moves: tuple[Move, ...] = (),
    tried: Callable[[bytes], bool] = lambda _: False,
) -> Context:
    return Context(
        source=Source.of({"train.py": text.encode()}),
        editable=("train.py",),
        hyperparameters=SPECS,
        moves=moves,
        history=history,
        tried=tried,
        seed=seed,
    )


def proposals(count: int, start: Context, decision: Decision = "screened_out") -> list[Proposal]:
    """Propose repeatedly; all proposals have the same outcome, and the base stays the same."""
    seen: set[bytes] = set()
    made: list[Proposal] = []
    current = replace(start, tried=seen.__contains__)
    for _ in range(count):
        proposal = BuiltInSearch().propose(current)
        if proposal is None:
            break
        made.append(proposal)
        seen.add(proposal.fingerprint)
        outcome = Outcome(key=proposal.key, decision=decision, gain_sd=-1.0)
        current = replace(current, history=(*current.history, outcome))
    return made


def test_the_same_seed_and_history_propose_the_same_and_another_seed_does_not() -> None:
    one, again = proposals(30, context(moves=MOVES)), proposals(30, context(moves=MOVES))
    assert len(one) == 30
    assert one == again
    assert one != proposals(30, context(moves=MOVES, seed=2))


def test_a_proposal_is_whole_and_new() -> None:
    start = context(moves=MOVES)
    made = proposals(60, start)
    assert len({proposal.fingerprint for proposal in made}) == len(made) == 60
    for proposal in made:
        assert proposal.parent == start.source.tree
        assert proposal.fingerprint == fingerprint(proposal.source) != fingerprint(start.source)
        assert reapply(proposal.edits, start.source) == proposal.source
        assert proposal.proposer == "search"
        assert proposal.title
        assert proposal.why
        ast.parse(proposal.source["train.py"])


def test_a_hyperparameter_changes_one_line_to_a_tidy_literal_inside_its_range() -> None:
    made = proposals(80, context())
    for proposal in made:
        new = proposal.source["train.py"].decode()
        changed = [
            line
            for line in difflib.ndiff(TEXT.splitlines(), new.splitlines())
            if line.startswith(("+ ", "- "))
        ]
        assert len(changed) == 2
        name, _, literal = changed[1][2:].partition(" = ")
        assert proposal.title.startswith(name)
        assert proposal.title.endswith(literal if name != "BETAS" else "")
        value = ast.literal_eval(literal)
        if name == "LR":
            assert 1e-3 <= value <= 1e-1
            assert value == float(f"{value:.3g}")
        if name == "BATCH":
            assert value in {16, 32, 128, 256}
        if name == "DEPTH":
            assert 1 <= value <= 6
        if name == "BETAS":
            assert all(0 < beta < 1 for beta in value)
    keys = {proposal.key.rsplit(":", 1)[0] for proposal in made}
    assert keys == {
        "hyperparameter:LR",
        "hyperparameter:BETAS[0]",
        "hyperparameter:BETAS[1]",
        "hyperparameter:DEPTH",
        "hyperparameter:BATCH",
        "hyperparameter:USE_BIAS",
        "hyperparameter:PATTERN",
    }


def test_untried_moves_are_about_half_of_the_first_proposals_in_the_seeds_order() -> None:
    orders = set()
    positions = []
    for seed in range(40):
        keys = [proposal.key for proposal in proposals(14, context(seed=seed, moves=MOVES))]
        moves = [key for key in keys if key.startswith("move:")]
        assert set(moves) <= APPLICABLE
        assert len(set(moves)) == len(moves)
        orders.add(tuple(moves))
        positions.append(keys.index(moves[-1]) + 1 if len(moves) == 4 else 14)
    assert len(orders) > 5
    # With four of them and a chance of one half, the fourth is the eighth on average.
    assert 6 <= sum(positions) / len(positions) <= 10


def test_a_move_is_tried_again_only_on_another_base() -> None:
    made = proposals(100, context(moves=MOVES))
    moves = [proposal.key for proposal in made if proposal.key.startswith("move:")]
    assert sorted(moves) == sorted(APPLICABLE)
    history = tuple(Outcome(key=key, decision="screened_out", gain_sd=-1.0) for key in moves)
    seen = {proposal.fingerprint for proposal in made}
    later = replace(
        context(text=TEXT.replace("DEPTH = 4", "DEPTH = 5"), history=history, moves=MOVES),
        tried=seen.__contains__,
    )
    again = [proposal.key for proposal in proposals(80, later)]
    assert {key for key in again if key.startswith("move:")} == APPLICABLE


def test_a_move_that_crashed_or_did_much_harm_is_not_tried_again() -> None:
    history = (
        Outcome(key="move:relu", decision="failed", gain_sd=None),
        Outcome(key="move:silu", decision="screened_out", gain_sd=-8.0),
        Outcome(key="move:tanh", decision="screened_out", gain_sd=0.5),
    )
    keys = {proposal.key for proposal in proposals(80, context(moves=MOVES, history=history))}
    assert {key for key in keys if key.startswith("move:")} == {"move:tanh", "move:twice"}


def test_what_others_on_the_machine_cut_off_says_nothing_of_a_move() -> None:
    history = (Outcome(key="move:relu", decision="failed", gain_sd=None, was_cut_off=True),)
    keys = {proposal.key for proposal in proposals(80, context(moves=MOVES, history=history))}
    assert {key for key in keys if key.startswith("move:")} == APPLICABLE


def test_a_move_that_is_there_already_is_not_made_twice() -> None:
    done = TEXT.replace("    return", "    x = x + x\n    return")
    keys = {proposal.key for proposal in proposals(60, context(text=done, moves=MOVES))}
    assert "move:relu" in keys
    assert "move:twice" not in keys


def test_moves_tried_once_come_before_moves_tried_twice_and_near_misses_first() -> None:
    outcomes = [("relu", 1.9), ("relu", 0.7), ("silu", -1.0), ("tanh", 0.2), ("twice", -1.5)]
    history = tuple(
        Outcome(key=f"move:{name}", decision="screened_out", gain_sd=gain)
        for name, gain in outcomes
    )
    keys = [proposal.key for proposal in proposals(100, context(moves=MOVES, history=history))]
    assert [key for key in keys if key.startswith("move:")] == [
        "move:tanh",
        "move:silu",
        "move:twice",
        "move:relu",
    ]


def test_a_direction_that_gained_goes_on_and_one_that_crashed_turns_round() -> None:
    def shares(decision: Decision) -> tuple[int, int]:
        history = (Outcome(key="hyperparameter:LR:up", decision=decision, gain_sd=1.0),)
        made = [BuiltInSearch().propose(context(seed=seed, history=history)) for seed in range(300)]
        keys = [
            p.key for p in made if p is not None and p.why != "a quasi-random probe of its range"
        ]
        return keys.count("hyperparameter:LR:up"), keys.count("hyperparameter:LR:down")

    kept_up, kept_down = shares("kept")
    assert kept_up > 3 * kept_down
    failed_up, failed_down = shares("failed")
    assert failed_down > failed_up
    # A hyperparameter that gained is also chosen more often than one that failed.
    assert kept_up + kept_down > failed_up + failed_down


def test_an_unlisted_constant_that_is_always_wrong_is_left_alone_and_a_listed_one_is_not() -> None:
    def changed(name: str, decision: Decision) -> int:
        history = (Outcome(key=f"hyperparameter:{name}:up", decision=decision, gain_sd=None),) * 3
        made = [BuiltInSearch().propose(context(seed=seed, history=history)) for seed in range(200)]
        return sum(p is not None and name in p.title for p in made)

    assert changed("BATCH", "rejected") == 0
    assert changed("BATCH", "screened_out") > 0
    assert changed("LR", "rejected") > 0


def test_listed_numbers_are_taken_one_after_the_other() -> None:
    spec = HyperparameterSpec(name="WIDTH", type="choice", choices=(32, 48, 64, 96, 128))
    start = replace(context(text="WIDTH = 64\n"), hyperparameters=(spec,))
    made = [BuiltInSearch().propose(replace(start, seed=seed)) for seed in range(60)]
    local = {(p.key, p.title) for p in made if p is not None and "probe" not in p.why}
    assert local == {
        ("hyperparameter:WIDTH:up", "WIDTH 64 → 96"),
        ("hyperparameter:WIDTH:down", "WIDTH 64 → 48"),
    }


def test_steps_grow_with_success_and_shrink_with_failure() -> None:
    def mean_step(decision: Decision, times: int) -> float:
        outcome = Outcome(key="hyperparameter:LR:up", decision=decision, gain_sd=1.0)
        ratios: list[float] = []
        for seed in range(800):
            start = context(seed=seed, text="LR = 0.01\n", history=(outcome,) * times)
            proposal = BuiltInSearch().propose(start)
            assert proposal is not None
            if "probe" not in proposal.why:
                value = float(proposal.title.rpartition(" ")[2])
                ratios.append(max(value / 0.01, 0.01 / value))
        assert len(ratios) >= 50
        return sum(ratios) / len(ratios)

    fresh = mean_step("screened_out", 0)
    assert mean_step("kept", 3) > 1.1 * fresh
    assert mean_step("screened_out", 10) < 0.9 * fresh
    assert mean_step("rechecked_out", 10) > 0.9 * fresh


def test_probes_spread_over_the_whole_range_of_a_hyperparameter() -> None:
    made = proposals(150, context(text="LR = 0.01\n"))
    probed = [
        ast.literal_eval(p.source["train.py"].decode().removeprefix("LR = "))
        for p in made
        if "probe" in p.why
    ]
    assert len(probed) >= 40
    assert min(probed) < 0.0015
    assert max(probed) > 0.07


def test_out_of_ideas_is_none_after_a_bounded_search() -> None:
    asked: list[bytes] = []

    def everything_was_tried(mark: bytes) -> bool:
        asked.append(mark)
        return True

    assert BuiltInSearch().propose(context(moves=MOVES, tried=everything_was_tried)) is None
    assert 0 < len(asked) <= 200
    assert BuiltInSearch().propose(context(text="x = 1\n")) is None


def test_a_small_space_is_searched_to_its_end() -> None:
    made = proposals(50, context(text="DEPTH = 4\nUSE_BIAS = True\n"))
    values = {proposal.source["train.py"] for proposal in made}
    expected = {f"DEPTH = {depth}\nUSE_BIAS = True\n".encode() for depth in (1, 2, 3, 5, 6)}
    assert values == expected | {b"DEPTH = 4\nUSE_BIAS = False\n"}


def firsts(start: Context, count: int = 200) -> list[str]:
    """Return the first untried move in each context; the contexts differ only by seed."""
    orders = (ordered_moves(replace(start, seed=seed), ())[0] for seed in range(count))
    return [f"move:{order[0].name}" for order in orders]


def test_a_move_that_others_tried_in_vain_comes_later_but_not_never() -> None:
    start = context(moves=MOVES)
    plain = firsts(start).count("move:relu") / 200
    (title,) = [one.title for one in MOVES if one.name == "relu"]
    with_reports = firsts(reported(start, in_vain=frozenset([title]))).count("move:relu") / 200
    assert 0.15 < plain < 0.35  # one of four
    assert 0 < with_reports < plain / 2


def test_a_move_that_others_kept_comes_first_but_not_always() -> None:
    (title,) = [one.title for one in MOVES if one.name == "relu"]
    start = reported(context(moves=MOVES), kept={title: 9.0})
    everything = frozenset(one.name for one in MOVES)
    first = firsts(reported(start, assigned=everything)).count("move:relu") / 200
    assert 0.7 < first < 1


def ran(source: Source, one: Move) -> Callable[[bytes], bool]:
    """Treat what a move makes of a source as tried."""
    made = reapply(one.edits, source)
    assert made is not None
    return {fingerprint(made)}.__contains__


def test_few_moves_that_peers_kept_wait_for_those_assigned_to_this_node() -> None:
    """Others wait for these, and later several finds can be tried at once.

    The first experiment waits for no number of finds.
    """
    moves = tuple(
        move(f"m{number}", "DEPTH = 4", f"DEPTH = 4\nM{number} = 1") for number in range(6)
    )
    own = moves[0]
    start = reported(context(moves=moves), assigned=frozenset(one.name for one in moves[1:]))
    titles = tuple(one.title for one in moves[1:])
    known = reported(start, kept=claimed(titles[:3]))
    # What peers kept is assigned to nobody.
    kept = reported(known, assigned=frozenset(one.name for one in moves[4:]))
    enough = reported(start, kept=claimed(titles[:4]))
    for waiting in (known, kept, enough, reported(kept, in_vain=frozenset([own.title]))):
        few = first_keys(waiting)
        assert few.count(f"move:{own.name}") > 60
        assert not any(key.startswith("moves:") for key in few)
    tried = Outcome(key="hyperparameter:WIDTH", decision="screened_out", gain_sd=0.0)
    for ready in (
        replace(enough, history=(tried,)),
        reported(start, kept=claimed([*titles[:2], own.title])),
        # The owner rejected it, or another node is trying it now.
        reported(start, kept=claimed(titles[:2]), tried=ran(start.source, own)),
    ):
        assert sum(key.startswith("moves:") for key in first_keys(ready)) > 60


def test_a_node_begins_with_a_listed_move() -> None:
    """Nodes that begin at once cannot divide the ideas yet, and values do not combine so well."""
    start = context(moves=MOVES)
    assert all(key.startswith("move:") for key in first_keys(start))
    tried = Outcome(key="move:none", decision="screened_out", gain_sd=0.0)
    later = first_keys(replace(start, history=(tried,)))
    assert 20 < sum(key.startswith("hyperparameter") for key in later) < 80


def reported(
    start: Context,
    *,
    in_vain: frozenset[str] | None = None,
    given_up: frozenset[str] | None = None,
    kept: Mapping[str, float] | None = None,
    assigned: frozenset[str] | None = None,
    **more: Any,
) -> Context:
    """Return a context in which peers reported more, and with other fields."""
    given = {"in_vain": in_vain, "given_up": given_up, "kept": kept, "assigned": assigned}
    known = {name: value for name, value in given.items() if value is not None}
    return replace(start, from_others=start.from_others._replace(**known), **more)


def claimed(titles: Iterable[str]) -> dict[str, float]:
    """Return changes that peers kept, the best first."""
    return {title: 9.0 - place for place, title in enumerate(titles)}


def first_keys(start: Context, count: int = 100) -> list[str]:
    made = (BuiltInSearch().propose(replace(start, seed=seed)) for seed in range(count))
    return [proposal.key for proposal in made if proposal is not None]


def test_moves_that_others_kept_come_together_as_far_as_they_fit() -> None:
    lines = TEXT.replace("    return gelu(x)\n", "    x = gelu(x)\n    y = 1\n    return x\n")
    first, second = move("relu", "gelu(x)", "relu(x)"), move("other", "y = 1", "y = 2")
    overlaps = move("silu", "gelu(x)", "silu(x)")
    start = context(text=lines, moves=(first, second, overlaps))
    start = reported(start, kept=claimed([first.title, second.title, overlaps.title]))
    keys = first_keys(start)
    assert keys.count("moves:relu+other") > 50
    assert all(key.startswith("moves:") for key in keys), "nothing is tried before them"
    assert not any("relu" in key and "silu" in key for key in keys)
    assert not any(key.startswith("moves:") for key in first_keys(reported(start, kept={})))


def test_moves_of_small_gain_come_after_several_of_large_gain() -> None:
    """A large gain hides the harm that a small one does next to it."""
    moves = (
        move("m0", "DEPTH = 4", "DEPTH = 5"),
        move("m1", "WIDTH = 8", "WIDTH = 9"),
        move("small", "gelu(x)", "relu(x)"),
    )
    claims = {moves[0].title: 40.0, moves[1].title: 5.0, moves[2].title: 1.0}
    start = reported(context(text=TEXT + "WIDTH = 8\n", moves=moves), kept=claims)
    assert "moves:m0+m1" in (keys := first_keys(start))
    assert not any("small" in key for key in keys)
    one_large = {**claims, moves[1].title: 2.0}
    assert "moves:m0+m1+small" in first_keys(reported(start, kept=one_large))


def test_moves_that_insert_lines_at_one_place_come_together_too() -> None:
    both = tuple(
        move(name, "DEPTH = 4", f"DEPTH = 4\n{line}")
        for name, line in (("one", "A = 1"), ("two", "B = 2"))
    )
    start = reported(context(moves=both), kept=claimed(one.title for one in both))
    made = BuiltInSearch().propose(replace(start, seed=3))
    assert made is not None
    assert made.key == "moves:one+two"
    assert {"A = 1", "B = 2"} <= set(made.source["train.py"].decode().splitlines())
    assert reapply(made.edits, start.source) == made.source


def test_moves_that_failed_together_are_tried_one_by_one_until_one_is_kept() -> None:
    first, second = move("relu", "gelu(x)", "relu(x)"), move("other", "DEPTH = 4", "DEPTH = 5")
    kept = claimed([first.title, second.title])
    together = Outcome(key="moves:relu+silu", decision="screened_out", gain_sd=-1.0)
    start = reported(context(moves=(first, second), history=(together,)), kept=kept)
    keys = first_keys(start)
    assert not any(key.startswith("moves:") for key in keys)
    assert sum(key.startswith("move:") for key in keys) > 50
    kept = Outcome(key="move:silu", decision="kept", gain_sd=2.0)
    again = first_keys(replace(start, history=(together, kept)))
    assert again.count("moves:relu+other") + again.count("moves:other+relu") > 50


def test_after_a_combination_that_failed_half_as_many_are_combined() -> None:
    """One of them may do harm, and others gain only together."""
    moves = tuple(
        move(f"m{number}", "DEPTH = 4", f"DEPTH = 4\nM{number} = 1") for number in range(5)
    )
    failed = Outcome(key="moves:m0+m1+m2+m3+m4", decision="rechecked_out", gain_sd=9.0)
    start = reported(
        context(moves=moves, history=(failed,)), kept=claimed(one.title for one in moves)
    )
    together = [key for key in first_keys(start) if key.startswith("moves:")]
    assert len(together) > 50
    assert max(map(len, together)) == len("moves:m0+m1")
    assert together.count("moves:m0+m1") > 50


def test_moves_kept_together_are_taken_out_one_by_one_if_they_gained_little() -> None:
    """The least claim first: together they gained less than peers claim for one of them."""
    moves = (move("m0", "DEPTH = 4", "DEPTH = 4\nM0 = 1"), move("m1", "gelu(x)", "relu(x)"))
    text = TEXT.replace("DEPTH = 4", "DEPTH = 4\nM0 = 1").replace("gelu(x)", "relu(x)")
    start = reported(context(text=text, moves=moves), kept=claimed(one.title for one in moves))

    def after(*history: Outcome) -> Proposal:
        made = BuiltInSearch().propose(replace(start, history=history))
        assert made is not None
        return made

    little = Outcome(key="moves:m0+m1+DEPTH:up", decision="kept", gain_sd=6.0)
    first = after(little)
    assert first.key == "without:m1"
    assert first.source["train.py"].decode() == text.replace("relu(x)", "gelu(x)")
    in_vain = Outcome(key="without:m1", decision="screened_out", gain_sd=-3.0)
    assert after(little, in_vain).key == "without:m0"
    for history in (
        (little, replace(in_vain, decision="kept", gain_sd=3.0)),
        (little, in_vain, replace(in_vain, key="without:m0")),
        (replace(little, gain_sd=7.0),),
        (replace(little, decision="rechecked_out"),),
    ):
        assert not after(*history).key.startswith("without:")


def test_a_move_that_was_taken_out_is_not_made_again() -> None:
    (relu,) = moves = (move("relu", "gelu(x)", "relu(x)"),)
    taken_out = Outcome(key="without:relu", decision="kept", gain_sd=3.0)
    start = reported(context(moves=moves), kept={relu.title: 9.0})
    assert first_keys(start).count("move:relu") > 60
    assert "move:relu" not in first_keys(replace(start, history=(taken_out,)))


def test_moves_that_fall_to_others_come_later_but_not_never() -> None:
    start = reported(context(moves=MOVES), assigned=frozenset(["relu", "silu", "tanh", "broken"]))
    first = firsts(start)
    assert 0.75 < first.count("move:twice") / 200 < 1
    assert {"move:relu", "move:silu", "move:tanh"} & set(first)


def test_a_move_of_others_part_that_they_tried_in_vain_comes_last() -> None:
    """The node that is to repeat it may lie: a false loss must not hide it for long."""
    (title,) = [one.title for one in MOVES if one.name == "relu"]
    others = frozenset(["relu", "silu"])
    start = reported(context(moves=MOVES), in_vain=frozenset([title]), assigned=others)
    orders = [ordered_moves(replace(start, seed=seed), ())[0] for seed in range(200)]
    assert sum(order[-1].name == "relu" for order in orders) / 200 > 0.6
    assert all(any(move.name == "relu" for move in order) for order in orders)


def test_a_move_that_enough_nodes_screened_out_is_mostly_left_out() -> None:
    (title,) = [one.title for one in MOVES if one.name == "relu"]
    start = reported(context(moves=MOVES), given_up=frozenset([title]))
    orders = [ordered_moves(replace(start, seed=seed), ())[0] for seed in range(200)]
    listed = sum(any(move.name == "relu" for move in order) for order in orders)
    assert 0.1 < listed / 200 < 0.4


def test_who_knows_that_all_was_tried_in_vain_tries_it_all_the_same() -> None:
    start = reported(context(moves=MOVES), in_vain=frozenset(one.title for one in MOVES))
    assert set(firsts(start)) == APPLICABLE | {"move:broken"}


def left(key: str, *edits: Edit) -> Outcome:
    """Return an experiment that the owner wants left alone."""
    return Outcome(key=key, decision="screened_out", gain_sd=0.1, edits=edits, leave=True)


def test_a_hyperparameter_that_is_left_alone_is_never_changed_again() -> None:
    history = (left("hyperparameter:LR:up"), left("hyperparameters:BATCH+DEPTH"))
    made = proposals(60, context(history=history))
    assert len(made) == 60
    for proposal in made:
        names = {line.split(" = ")[0] for line in changed_lines(proposal)}
        assert "LR" not in names
        assert not {"BATCH", "DEPTH"} <= names
    assert any("BATCH" in proposal.title for proposal in made)


def test_a_move_that_is_left_alone_is_not_made_again() -> None:
    history = (left("move:relu"), left("moves:silu+tanh"))
    keys = {one.key for one in proposals(40, context(history=history, moves=MOVES))}
    assert "move:relu" not in keys
    assert {"move:silu", "move:tanh", "move:twice"} <= keys


def test_another_proposer_s_change_of_a_hyperparameter_is_left_alone_too() -> None:
    edit = Edit(path="train.py", search="DEPTH = 4\n", replace="DEPTH = 6\n")
    other = Edit(path="train.py", search="def model(x):", replace="def model(x, y=1):")
    history = (left("llm:deeper", edit), left("llm:argument", other))
    made = proposals(60, context(history=history))
    assert not any("DEPTH" in proposal.title for proposal in made)
    assert any("BATCH" in proposal.title for proposal in made)


def changed_lines(proposal: Proposal) -> list[str]:
    new = proposal.source["train.py"].decode().splitlines()
    return [line for line in new if line not in TEXT.splitlines()]


def test_values_that_others_kept_come_together_after_moves_that_they_kept() -> None:
    """The large gains of moves would hide the harm that a false value does."""
    first = move("relu", "gelu(x)", "relu(x)")
    depth = PeerTrial(
        author="ada", base="00", values=(), before=(("DEPTH", 4),), after=(("DEPTH", 6),),
        gain_sd=9.0, is_kept=True,
    )  # fmt: skip
    batch = replace(depth, before=(("BATCH", 64),), after=(("BATCH", 32),), gain_sd=8.0)
    start = reported(context(moves=(first,)), kept=claimed([first.title]), others=(depth, batch))
    assert first_keys(start).count("move:relu") > 80
    values = reported(start, kept={}, moves=())
    assert first_keys(values).count("moves:DEPTH:up+BATCH:down") > 80
    alone = replace(values, others=(depth,))
    assert first_keys(alone).count("hyperparameter:DEPTH:up") > 80, "a single one comes first too"
    exact = replace(start, others=(replace(depth, lead_sd=-1.0),))
    assert first_keys(exact).count("move:relu") > 80


def test_the_values_of_a_peers_better_tree_come_first() -> None:
    start = context(moves=MOVES)
    found = find_hyperparameters(start.source, start.editable, start.hyperparameters)
    values = tuple((one.name, one.value) for one in found)
    tree = PeerTrial(
        author="ada", base="00", values=values, before=(("DEPTH", 4),), after=(("DEPTH", 6),),
        gain_sd=1.0, lead_sd=3.0, is_kept=True,
    )  # fmt: skip
    first = first_keys(replace(start, others=(tree,)))
    assert first.count("hyperparameter:DEPTH:up") > 80
    behind = first_keys(replace(start, others=(replace(tree, lead_sd=-3.0, is_kept=False),)))
    assert behind.count("hyperparameter:DEPTH:up") < 40
    lines = TEXT.replace("    return gelu(x)\n", "    x = gelu(x)\n    y = 1\n    return x\n")
    both = move("relu", "gelu(x)", "relu(x)"), move("other", "y = 1", "y = 2")
    start = context(text=lines, moves=both)
    titles = tuple(one.title for one in both)
    keys = first_keys(reported(start, others=(tree,), kept=claimed(titles)))
    assert keys.count("moves:relu+other") > 60, "what gained more comes first"


def test_in_company_this_nodes_part_of_the_moves_comes_first() -> None:
    start = context(moves=MOVES)
    others = frozenset(["relu", "silu", "tanh", "broken"])
    part = first_keys(reported(start, assigned=others)).count("move:twice")
    assert part > 65
    assert first_keys(start).count("move:twice") < 40


def test_a_move_in_vain_that_is_this_nodes_to_repeat_comes_before_values_of_peers() -> None:
    """A false loss of a good move would otherwise hide it for as long as peers keep values."""
    depth = PeerTrial(
        author="ada", base="00", values=(), before=(("DEPTH", 4),), after=(("DEPTH", 6),),
        gain_sd=9.0, is_kept=True,
    )  # fmt: skip
    moves = MOVES[:2]
    denied = reported(
        context(moves=moves),
        others=(depth,),
        in_vain=frozenset(move.title for move in moves),
    )
    own = reported(denied, assigned=frozenset(["silu"]))
    assert first_keys(own).count("move:relu") > 65
    assert first_keys(denied).count("move:relu") < 20, "alone on the line, values come first"


def test_what_peers_kept_is_called_a_find() -> None:
    """Nodes on one base adopt it at once: each measures it itself."""
    lines = TEXT.replace("    return gelu(x)\n", "    x = gelu(x)\n    y = 1\n    return x\n")
    both = move("relu", "gelu(x)", "relu(x)"), move("other", "y = 1", "y = 2")
    batch = PeerTrial(
        author="ada", base="00", values=(), before=(("BATCH", 64),), after=(("BATCH", 32),),
        gain_sd=8.0, is_kept=True,
    )  # fmt: skip
    start = context(text=lines, moves=both)
    together = reported(start, kept=claimed(one.title for one in both))
    single = reported(start, kept=claimed([both[0].title]))
    values = reported(context(text=lines), others=(batch,))
    keys = {"moves:relu+other": together, "move:relu": single, "hyperparameter:BATCH:down": values}
    for key, given in keys.items():
        made = BuiltInSearch().propose(given)
        assert made is not None
        assert (made.key, made.is_find) == (key, True)
    own = BuiltInSearch().propose(reported(start, assigned=frozenset(["relu"])))
    assert own is not None
    assert (own.key, own.is_find) == ("move:other", False)


def test_in_company_this_nodes_part_of_the_hyperparameters_comes_first() -> None:
    start = context()
    names = {one.name for one in find_hyperparameters(start.source, start.editable, ())}
    others = frozenset(hyperparameter_key(name) for name in names - {"DEPTH"})

    def part(keys: list[str]) -> int:
        return sum(key.startswith("hyperparameter:DEPTH") for key in keys)

    assert part(first_keys(reported(start, assigned=others))) > 2 * part(first_keys(start))
