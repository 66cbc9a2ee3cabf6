"""Histories of any length, as a node gives them: constants and moves of the tiny task, faults."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Final

from agent.hyperparameters.changes import Change, edits_of
from agent.proposal import BaseFigures, Context, Decision, Left, Outcome
from agent.source.literals import Hyperparameter, find_hyperparameters
from protocol.ideas import Edit
from tests.agent.contexts import BRIEF, MOVES, TINY, context, outcome, peer

IN_FULL: Final = 300  # of the latest; a node forgets the edits of older ones
_STEPS: Final = (0.25, 0.5, 0.71, 0.84, 1.19, 1.41, 2.0, 4.0)
_FAULTS: Final = (
    ("exit code 1", "RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x64 and 96x64)"),
    ("out of memory", "torch.OutOfMemoryError: Tried to allocate 512.00 MiB."),
    ("took longer than 120 s", "step 187/300 loss 4.1031"),
)


def long_context(experiments: int) -> Context:
    """Return a node's context after `experiments` experiments, including some by peers."""
    history = tuple(_outcomes(experiments))
    last_kept = max((one.number for one in history if one.decision == "kept"), default=0)
    base = BaseFigures(
        metric=1.2345,
        error=0.0144,
        runs=2,
        number=last_kept,
        seconds=61.2,
        cpu_seconds=60.8,
        memory_bytes=512_000_000,
        curve=tuple((step, 5.5 - step / 100) for step in range(5, 305, 5)),
    )
    brief = replace(BRIEF, base=base, left=Left(seconds=9_000.0))
    peers = tuple(
        peer(name, level="here" if at < 3 else "claimed") for at, name in enumerate(MOVES)
    )
    return context(history=history, brief=brief, peers=peers)


def _outcomes(experiments: int) -> Iterator[Outcome]:
    chance = random.Random(0)
    hyperparameters = [
        one
        for one in find_hyperparameters(TINY, ("train.py",), ())
        if type(one.value) in (int, float)
    ]
    base = 0
    for number, at in zip(count(1), range(experiments), strict=False):
        title, key, edits = _idea(chance, hyperparameters)
        drawn = chance.random()
        decision: Decision = "screened_out"
        if drawn < 0.2:
            decision = "kept" if drawn < 0.04 else "rechecked_out" if drawn < 0.1 else "failed"
        gain_sd = chance.gauss(1.5, 0.4) if decision == "kept" else chance.gauss(-1.0, 1.2)
        reported = outcome(
            decision,
            key=key,
            title=title,
            edits=edits if at >= experiments - IN_FULL else (),
            number=number,
            base=base,
            gain_sd=None if decision == "failed" else gain_sd,
            error_sd=None if decision == "failed" else 1.2,
            metric=None if decision == "failed" else 1.2345 - 0.01 * gain_sd,
            seconds=chance.uniform(55, 75),
        )
        if decision == "failed":
            reason, last_line = chance.choice(_FAULTS)
            reported = replace(reported, reason=reason, last_line=last_line)
        base = number if decision == "kept" else base
        yield reported


def _idea(
    chance: random.Random, hyperparameters: list[Hyperparameter]
) -> tuple[str, str, tuple[Edit, ...]]:
    """Return the title, key and edits of a change of a constant, or sometimes of a move."""
    if chance.random() < 0.25:
        name = chance.choice([*MOVES])
        return f"What {name} is for, once more", f"move:{name}", MOVES[name]
    hyperparameter = chance.choice(hyperparameters)
    assert isinstance(hyperparameter.value, int | float)
    value = type(hyperparameter.value)((hyperparameter.value or 0.1) * chance.choice(_STEPS)) or 1
    change = Change(hyperparameter, value)
    return (
        str(change),
        f"hyperparameter:{hyperparameter.name}:{change.direction}",
        edits_of(TINY, [change]),
    )
