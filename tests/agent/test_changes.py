"""Several hyperparameters changed at once: one edit per line, and an edit shows all changes."""

import ast
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hyperparameters.changes import (
    Change,
    HyperparameterChanges,
    edits_of,
    key_of,
    read_back,
    title_of,
    trials,
)
from agent.proposal import Outcome
from agent.source.edits import edits_between, reapply
from agent.source.literals import Scalar, find_hyperparameters, hyperparameter_values
from protocol.ideas import Edit, HyperparameterSpec
from protocol.source import Source

TEXT = """\
RATES = (0.3, 0.3)  # the embedding's and the head's
DEPTH = 4
BATCH = 2**9
BETAS = (
    0.9,
    0.9,
)
USE_BIAS = True
PATTERN = "SL"


def model(x):
    return x
"""
SOURCE = Source.of({"train.py": TEXT.encode()})
SPECS = (HyperparameterSpec(name="PATTERN", type="choice", choices=("SL", "L", "S")),)
SEARCH = {
    hyperparameter.name: hyperparameter
    for hyperparameter in find_hyperparameters(SOURCE, ("train.py",), SPECS)
}
OTHERS: dict[str, tuple[Scalar, ...]] = {
    "RATES[0]": (0.1, 1e-5),
    "RATES[1]": (0.1, 0.25),
    "DEPTH": (3, 12),
    "BATCH": (2**8, 2**11),
    "USE_BIAS": (False,),
    "PATTERN": ("L", "S"),
}


def changes(**values: Scalar) -> list[Change]:
    return [
        Change(SEARCH[name.replace("_at_", "[") + "]" * ("_at_" in name)], value)
        for name, value in values.items()
    ]


def made(*some: Change) -> str:
    result = reapply(edits_of(SOURCE, some), SOURCE)
    assert result is not None
    return result["train.py"].decode()


def test_hyperparameters_of_one_line_share_an_edit_and_others_have_their_own() -> None:
    some = changes(RATES_at_0=0.1, RATES_at_1=0.25, DEPTH=6)
    edits = edits_of(SOURCE, some)
    assert [edit.replace for edit in edits] == [
        "RATES = (0.1, 0.25)  # the embedding's and the head's\n",
        "DEPTH = 6\n",
    ]
    assert made(*some) == TEXT.replace("(0.3, 0.3)", "(0.1, 0.25)").replace(
        "DEPTH = 4", "DEPTH = 6"
    )


def test_lines_that_only_their_neighbours_distinguish_are_changed_together() -> None:
    betas = [Change(SEARCH["BETAS[0]"], 0.8), Change(SEARCH["BETAS[1]"], 0.95)]
    assert made(*betas) == TEXT.replace("    0.9,\n    0.9,\n", "    0.8,\n    0.95,\n")


def test_words_say_what_becomes_of_what() -> None:
    some = changes(DEPTH=6, BATCH=2**8, PATTERN="L")
    assert title_of(some) == 'DEPTH 4 → 6, BATCH 2**9 → 2**8, PATTERN "SL" → "L"'
    assert key_of(some) == "hyperparameters:DEPTH+BATCH+PATTERN"
    assert [key_of([one]) for one in some] == [
        "hyperparameter:DEPTH:up",
        "hyperparameter:BATCH:down",
        "hyperparameter:PATTERN:set",
    ]
    assert not any(one.does_nothing for one in some)
    assert all(one.does_nothing for one in changes(DEPTH=4, BATCH=2**9, USE_BIAS=True))


@given(st.sets(st.sampled_from(sorted(OTHERS)), min_size=1), st.integers(0, 2**32))
def test_what_was_changed_is_read_back_from_the_edits_alone(names: set[str], seed: int) -> None:
    chance = random.Random(seed)
    values = {name: chance.choice(OTHERS[name]) for name in sorted(names)}
    some = [Change(SEARCH[name], value) for name, value in values.items()]
    step = read_back(edits_of(SOURCE, some), SPECS)
    assert step == HyperparameterChanges({name: SEARCH[name].value for name in values}, values)
    after = Source.of({"train.py": made(*some).encode()})
    assert dict(hyperparameter_values(after, ("train.py",), SPECS)).items() >= values.items()
    ast.parse(made(*some))


@pytest.mark.parametrize(
    ("search", "replace"),
    [
        ("DEPTH = 4\n", "DEPTH = 6  # deeper\n"),
        ("DEPTH = 4\n", "DEPTH = 6\nimport os\n"),
        ("DEPTH = 4\n", "DEPTH = int(6)\n"),
        ("DEPTH = 4\n", "WIDTH = 6\n"),
        ("DEPTH = 4\n", "DEPTH = 4\n"),
        ("    0.9,\n", "    0.8,\n"),
        ("    return x\n", "    return 2 * x\n"),
        ('PATTERN = "SL"\n', 'PATTERN = print("SL")\n'),
    ],
)
def test_edits_of_anything_else_are_no_step_of_hyperparameters(search: str, replace: str) -> None:
    other = Edit(path="train.py", search=search, replace=replace)
    depth = Edit(path="train.py", search="BATCH = 2**9\n", replace="BATCH = 2**8\n")
    assert read_back((other,), SPECS) is None
    if replace != search:
        assert read_back((depth, other), SPECS) is None
    assert read_back((), SPECS) is None


def test_sources_that_differ_in_more_than_hyperparameters_are_no_step_of_hyperparameters() -> None:
    def to(old: str, new: str) -> HyperparameterChanges | None:
        tree = SOURCE.replacing("train.py", TEXT.replace(old, new).encode())
        return read_back(edits_between(SOURCE, tree), SPECS)

    assert to("DEPTH = 4", "DEPTH = 5") == HyperparameterChanges({"DEPTH": 4}, {"DEPTH": 5})
    assert to("    0.9,\n    0.9,\n", "    0.9,\n    0.8,\n") is None  # not all lines of it
    assert to("return x", "return -x") is None
    assert to("the head's", "the tail's") is None
    assert to("DEPTH = 4\n", "") is None
    assert to("DEPTH = 4", "DEPTH = 4") is None


def test_trials_are_numbered_by_the_reference_runs_that_they_were_compared_with() -> None:
    def outcome(depth: int, decision: str) -> Outcome:
        edits = edits_of(SOURCE, changes(DEPTH=depth))
        return Outcome(key="hyperparameter:DEPTH:up", decision=decision, gain_sd=1.0, edits=edits)  # type: ignore[arg-type]

    history = (
        outcome(5, "screened_out"),
        outcome(6, "kept"),
        Outcome(key="move:rope", decision="screened_out", gain_sd=0.0),
        outcome(7, "screened_out"),
        outcome(8, "kept"),
        outcome(9, "failed"),
    )
    found = [(trial.step.after["DEPTH"], trial.reference_group) for trial in trials(history, SPECS)]
    assert found == [(9, 0), (8, 1), (7, 1), (6, 2), (5, 2)]
