"""The document of one proposal that somebody asked to see, and of what a model would be asked."""

import asyncio
from collections.abc import Mapping
from typing import Final

from agent.completion import Message as Turn
from agent.completion import ModelCost
from agent.model.prompt import prompt
from agent.proposal import Context, Proposal, Proposer, Silence, SlowProposer
from node.home.control import Message
from node.home.home import Home
from node.proposing.prompting import fence_secret
from protocol.patches import unified_diff
from protocol.units import NANO

_PROMPT_CHARS: Final = 100_000  # of one that is only shown: a model's own is cut to its context


async def advice(
    context: Context, proposer: Proposer, slow: SlowProposer | None
) -> Mapping[str, Message]:
    """Ask for one proposal: the slow proposer, if there is one, else or then the other."""
    silence: Silence | None = None
    if slow is not None:
        written = await slow.propose(context)
        if isinstance(written, Proposal):
            return _proposed(context, written, None)
        silence = written
    return _proposed(context, await asyncio.to_thread(proposer.propose, context), silence)


def prompt_document(home: Home, context: Context, who: str) -> Mapping[str, Message]:
    """Return what a model would be asked now, and who proposes."""
    told = prompt(context, limit_chars=_PROMPT_CHARS, secret=fence_secret(home))
    turns: tuple[Turn, ...] = () if isinstance(told, Silence) else told
    return {
        "who": who,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in turns],
        "silence": told.reason if isinstance(told, Silence) else None,
    }


def _proposed(
    context: Context, proposal: Proposal | None, silence: Silence | None
) -> Mapping[str, Message]:
    cost = (proposal.cost if proposal else ModelCost()) + (silence.cost if silence else ModelCost())
    return {
        "proposal": None if proposal is None else _shown(context, proposal),
        "silence": silence.reason if silence else None,
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
