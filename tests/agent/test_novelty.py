"""An earlier idea is recognised under any name; one with another value is a different idea."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.novelty import ALIKE, Repeat, built_on, likeness, repeat_of, signature
from agent.source.hunks import Hunk, hunks_of
from tests.agent.contexts import MOVES, TINY, context, crash, edit, outcome, peer

SOFTCAP = """\
LOGIT_CAP = 15.0
        logits = LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)"""
OTHER = b"f" * 32


def change(removed: str, added: str) -> list[Hunk]:
    lines = [tuple(text.split("\n")) if text else () for text in (removed, added)]
    return [Hunk(removed=lines[0], added=lines[1])]


def alike(one: list[Hunk], other: list[Hunk]) -> float:
    return likeness(signature(one), signature(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # the same with another name
        (("", SOFTCAP), ("", SOFTCAP.replace("LOGIT_CAP", "SOFT_LIMIT"))),
        (
            ("", "def rotate(x):\n    left, right = x.chunk(2)\n    return left + right"),
            ("", "def turn(y):\n    first, second = y.chunk(2)\n    return first + second"),
        ),
        (
            ("", "for name in rows:\n    total = total + norm(name)"),
            ("", "for row in rows:\n    total = total + norm(row)"),
        ),
        # with other spacing and comments
        (("", "x = F.relu( h ).square()  # sparse"), ("", "x=F.relu(h).square()")),
        (
            ("hidden = F.gelu(h)", "hidden = F.relu(h)"),
            ("hidden = F.gelu( h )", "hidden = F.relu(h)"),
        ),
        # on another base
        (("x = F.gelu(y)", "x = F.relu(y).square()"), ("x = F.silu(y)", "x = F.relu(y).square()")),
        (("LR = 0.01", "LR = 0.02"), ("LR = 0.015", "LR = 0.02")),
        # nearly the same value
        (("LR = 0.01", "LR = 0.0200"), ("LR = 0.01", "LR = 0.0202")),
        (("", SOFTCAP), ("", SOFTCAP.replace("15.0", "15.2"))),
        # the same removal
        (("x = x + self.positions.weight[: n]", ""), ("x = x + self.positions.weight[:n]", "")),
    ],
    ids=range(10),
)
def test_one_idea_is_known_again(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert alike(change(*one), change(*other)) >= ALIKE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # a clearly different value
        (("LR = 0.01", "LR = 0.02"), ("LR = 0.01", "LR = 0.03")),
        (("LAYERS = 2", "LAYERS = 3"), ("LAYERS = 2", "LAYERS = 4")),
        (("BETA2 = 0.95", "BETA2 = 0.99"), ("BETA2 = 0.95", "BETA2 = 0.98")),
        (("BATCH = 2**18", "BATCH = 2**19"), ("BATCH = 2**18", "BATCH = 2**17")),
        (("", SOFTCAP), ("", SOFTCAP.replace("15.0", "30.0"))),
        # another hyperparameter
        (("LR = 0.01", "LR = 0.02"), ("HEAD_LR = 0.01", "HEAD_LR = 0.02")),
        # another function in the same place
        (("x = F.gelu(y(z))", "x = F.relu(y(z))"), ("x = F.gelu(y(z))", "x = F.silu(y(z))")),
        (("", "opt = AdamW(p, amsgrad=True)"), ("", "opt = AdamW(p, foreach=True)")),
        # in and out
        (("x = norm(x)", ""), ("", "x = norm(x)")),
    ],
    ids=range(9),
)
def test_another_idea_is_another(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert alike(change(*one), change(*other)) < ALIKE


def test_the_listed_moves_are_all_different_and_like_themselves() -> None:
    signatures = {name: signature(hunks_of(edits)) for name, edits in MOVES.items()}
    for one, signed in signatures.items():
        for other, other_signed in signatures.items():
            close = likeness(signed, other_signed)
            assert close == 1.0 if one == other else close < ALIKE / 2


lines = st.lists(st.text(alphabet="ab =(1.)\n#'"), max_size=5).map(tuple)


@given(lines, lines, lines, lines)
def test_likeness_is_a_symmetric_share(
    removed: tuple[str, ...], added: tuple[str, ...], gone: tuple[str, ...], new: tuple[str, ...]
) -> None:
    one = signature([Hunk(removed=removed, added=added)])
    other = signature([Hunk(removed=gone, added=new)])
    assert 0.0 <= likeness(one, other) == likeness(other, one) <= 1.0
    assert likeness(one, one) in (0.0, 1.0)


def repeat(name: str = "rope", fingerprint: bytes = OTHER, **changes: Any) -> Repeat | None:
    return repeat_of(hunks_of(MOVES[name]), fingerprint, context(**changes))


def test_a_program_that_ran_is_a_repeat_whatever_it_looks_like() -> None:
    assert repeat(tried=lambda mark: mark == OTHER) == Repeat(likeness=1.0)
    assert repeat() is None


def test_the_closest_earlier_experiment_is_named() -> None:
    same = outcome(title="Rotary", edits=MOVES["rope"])
    found = repeat(history=(outcome(), same, outcome(edits=MOVES["clip"])))
    assert found == Repeat(likeness=1.0, outcome=same)
    assert repeat(history=(outcome(edits=MOVES["clip"]), outcome(edits=()))) is None


@pytest.mark.parametrize("is_by_diff", [False, True])
def test_a_peers_patch_is_compared_by_its_edits_or_its_diff(*, is_by_diff: bool) -> None:
    theirs = peer("rope", edits=()) if is_by_diff else peer("rope", diff="")
    found = repeat(peers=(peer("clip"), theirs))
    assert found is not None
    assert found.peer == theirs


def test_a_failure_a_repair_and_a_combination_may_come_close() -> None:
    history = (outcome(edits=MOVES["rope"]),)
    assert repeat(history=(outcome("failed", edits=MOVES["rope"]),)) is None
    assert repeat(history=history) is not None
    assert repeat(history=history, crash=crash(TINY)) is None
    assert repeat(history=history, aim="combine") is None
    assert repeat(history=history, aim="combine", tried=lambda _: True) is not None


def test_only_the_latest_are_compared() -> None:
    old = outcome(edits=MOVES["rope"])
    assert repeat(history=(old, *(outcome(edits=()),) * 299)) is not None
    assert repeat(history=(old, *(outcome(edits=()),) * 300)) is None


def test_what_a_change_holds_most_of_is_what_it_was_built_on() -> None:
    both = hunks_of([*MOVES["rope"], *MOVES["softcap"]])
    peers = (peer("rope"), peer("softcap"), peer("muon"), peer("small-embeddings"))
    assert set(built_on(both, peers)) == {peers[0].patch, peers[1].patch}
    assert built_on(hunks_of([edit("LAYERS = 2", "LAYERS = 3")]), peers) == ()


@pytest.mark.parametrize(
    "text", ["x " * 200, "#" * 400, " " * 399 + "x", "a," * 200, "for x in " * 40]
)
def test_hostile_lines_are_compared_in_bounded_work(text: str) -> None:
    hostile = peer("rope", edits=(), diff=f"+{text}\n" * 5_000)
    assert repeat(peers=(hostile,) * 20) is None
