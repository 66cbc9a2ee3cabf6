"""JSON documents for a user who requests one proposal, or the prompt from which it is made."""

import asyncio
from collections.abc import Mapping
from typing import Final

from agent.completion import ModelCost
from agent.model.prompt import prompt
from agent.proposal import Context, NoProposal, Proposal, Proposer, ProposerQuestion, SlowProposer
from node.home.control_socket import Message
from node.home.home import Home
from node.proposing.prompting import fence_secret
from protocol.patches import unified_diff
from protocol.units import NANO

_PROMPT_CHARS: Final = 100_000  # limit of a prompt that is shown without a model


async def advice(
    context: Context, proposer: Proposer, slow: SlowProposer | None
) -> Mapping[str, Message]:
    """Return one proposal of the slow proposer or, if it has none, of the fast proposer."""
    no_proposal: NoProposal | None = None
    if slow is not None:
        written = await slow.propose(context)
        if isinstance(written, Proposal):
            return _proposed(context, written, None)
        no_proposal = written
    return _proposed(context, await asyncio.to_thread(proposer.propose, context), no_proposal)


async def prompt_document(
    home: Home, context: Context, who: str, slow: SlowProposer | None, *, fault: str = ""
) -> Mapping[str, Message]:
    """Return the prompt of the next proposal, its proposer, and what limits the prompt's length.

    If `slow` is None, return the prompt that a model would get, limited to `_PROMPT_CHARS`.
    `fault` is the reason a configured proposer cannot be used.
    """
    if slow is not None:
        found = await asyncio.to_thread(slow.question, context)
    else:
        found = await asyncio.to_thread(_usual, home, context, fault or "no model is set")
    turns = found.turns if isinstance(found, ProposerQuestion) else ()
    return {
        "who": who,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in turns],
        "room": found.room if isinstance(found, ProposerQuestion) else None,
        "silence": found.reason if isinstance(found, NoProposal) else None,
    }


def _usual(home: Home, context: Context, why: str) -> ProposerQuestion | NoProposal:
    turns = prompt(context, limit_chars=_PROMPT_CHARS, secret=fence_secret(home))
    room = f"{_PROMPT_CHARS:,} characters, as {why}"
    return turns if isinstance(turns, NoProposal) else ProposerQuestion(turns=turns, room=room)


def _proposed(
    context: Context, proposal: Proposal | None, no_proposal: NoProposal | None
) -> Mapping[str, Message]:
    cost = (proposal.cost if proposal else ModelCost()) + (
        no_proposal.cost if no_proposal else ModelCost()
    )
    return {
        "proposal": None if proposal is None else _shown(context, proposal),
        "silence": no_proposal.reason if no_proposal else None,
        "cost": {
            "calls": cost.calls,
            "tokens_in": cost.tokens_in,
            "tokens_out": cost.tokens_out,
            "usd": cost.usd_nano / NANO,
        },
    }


def _shown(context: Context, proposal: Proposal) -> Message:
    return {
        "proposer": proposal.proposer,
        "model": proposal.model,
        "key": proposal.key,
        "title": proposal.title,
        "why": proposal.why,
        "parent": proposal.parent.hex(),
        "tree": proposal.source.tree.hex(),
        "diff": unified_diff(context.source, proposal.source),
    }
