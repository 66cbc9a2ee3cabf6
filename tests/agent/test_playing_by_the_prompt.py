"""A prompt shows enough to try nothing twice.

A scripted model chooses among a finite set of constants' values. It knows only the prompt: the
source in it, and the lines of the table.
"""

import asyncio
import random
import re
from dataclasses import replace

import pytest

from agent.completion import CompletionRequest, ModelCompletion
from agent.proposal import Context, Outcome, Proposal
from tests.agent.contexts import context
from tests.agent.scripted import LIMITS, SPENT, Model, proposer, replacing

PROPOSALS = 60
VALUES = {
    "LAYERS": ("1", "3", "4", "5", "6", "8"),
    "WIDTH": ("16", "32", "48", "96", "128", "192"),
    "HEADS": ("1", "2", "8", "16"),
    "MLP_RATIO": ("1", "2", "3", "6", "8"),
    "MATRIX_INIT": ("0.005", "0.01", "0.03", "0.04", "0.08"),
    "EMBEDDING_INIT": ("0.05", "0.1", "0.2", "0.5", "0.8", "1.2"),
    "BATCH": ("1", "2", "8", "16", "32"),
    "SEQUENCE": ("32", "64", "256"),
    "LEARNING_RATE": ("1e-3", "2e-3", "4e-3", "7e-3", "2e-2", "3e-2", "5e-2"),
    "BETA1": ("0.5", "0.7", "0.8", "0.95"),
    "BETA2": ("0.8", "0.9", "0.98", "0.99"),
    "WEIGHT_DECAY": ("0.001", "0.01", "0.05", "0.1", "0.3"),
    "WARMDOWN": ("0.1", "0.2", "0.3", "0.7", "0.9"),
}
CHOICES = [(name, value) for name, values in VALUES.items() for value in values]


class Player(Model):
    """A model that chooses the first value that the prompt does not show as tried or present."""

    async def __call__(self, question: CompletionRequest) -> ModelCompletion:
        self.asked.append(question)
        output = "\n".join(message.content for message in question.messages)
        name, value = next(one for one in CHOICES if not is_shown(*one, output))
        (line,) = re.findall(rf"^{name} = .*$", output, re.MULTILINE)
        present = line.removeprefix(f"{name} = ").partition(" ")[0]
        answer = replacing((line, f"{name} = {value}"), title=f"{name} {present} → {value}")
        return ModelCompletion(text=answer, is_cut=False, cost=SPENT)


def is_shown(name: str, value: str, known: str) -> bool:
    """Return True if the source, or a line of the table, shows this value."""
    tried = rf" \| {name} \S+ → {re.escape(value)}( |$)"
    present = rf"^{name} = {re.escape(value)}( |$)"
    return bool(re.search(f"{tried}|{present}", known, re.MULTILINE))


def played(limit_chars: int) -> tuple[list[Proposal], Player, Context]:
    """Make all proposals, each with the outcomes of those before it."""
    player, known, made = Player(), context(), list[Proposal]()
    one = proposer(player, limits=replace(LIMITS, prompt_chars=limit_chars))
    chance = random.Random(1)
    base = 0
    for number in range(1, PROPOSALS + 1):
        proposal = asyncio.run(one.propose(known))
        assert isinstance(proposal, Proposal), proposal
        made.append(proposal)
        decision = chance.choice(["kept", *["screened_out"] * 6, "rechecked_out", "failed"])
        outcome = Outcome(
            key=proposal.key,
            decision=decision,  # type: ignore[arg-type]
            gain_sd=None if decision == "failed" else chance.gauss(0.0, 1.0),
            title=proposal.title,
            proposer=proposal.proposer,
            edits=proposal.edits,
            number=number,
            base=base,
        )
        known = replace(known, history=(*known.history, outcome), seed=number)
        if decision == "kept":
            base, known = number, replace(known, source=proposal.source)
    return made, player, known


@pytest.mark.soak
@pytest.mark.parametrize("limit_chars", [pytest.param(60_000, marks=pytest.mark.soak), 12_750])
def test_who_plays_by_the_prompt_alone_tries_nothing_twice(limit_chars: int) -> None:
    made, player, known = played(limit_chars)
    tried = [proposal.title.replace(" → ", " ").split(" ") for proposal in made]
    assert len({(name, value) for name, _, value in tried}) == PROPOSALS
    assert len(player.asked) == PROPOSALS  # no answer was rejected as a repetition
    assert any(one.decision == "kept" for one in known.history)
    assert all(
        sum(len(message.content) for message in question.messages) <= limit_chars
        for question in player.asked
    )
    if limit_chars < 60_000:  # the limit was too small for everything
        assert "quoted: shortened: " in player.asked[-1].messages[1].content
