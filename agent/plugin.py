"""The interface for proposers from other packages.

A proposer is a `ProposerPlugin` under the entry-point group `arnode.proposers`. The setting `agent`
selects it by the name of the entry. Its code may rely on this module, `agent.proposal`,
`protocol.source` and `protocol.ideas`. It is called in a thread while runs continue. If it raises
an error, the node reports the error and goes on without a proposal from it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent.proposal import Context, NoProposal, Proposal, Proposer, ProposerQuestion
from agent.source.capabilities import Check
from agent.source.edits import edits_between
from protocol.codecs import fit_line, fit_text
from protocol.record_kinds import MAX_WHY
from protocol.remarks import MAX_TITLE
from protocol.source import Source

_AGAIN_S: Final = 5.0  # after an unusable idea
_LATER_S: Final = 60.0  # after no idea, or a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposerPlugin:
    """A proposer behind an entry point: a one-line `summary`, and `make`, which is called once."""

    summary: str
    make: Callable[[], Proposer]


def change(context: Context, source: Source, *, key: str, title: str, why: str) -> Proposal:
    """Return a proposal that replaces the present source with `source`.

    `key` names the idea. Its outcomes appear in `context.history` under this key, even if the
    source has changed since.
    """
    return Proposal(
        parent=context.source.tree,
        source=source,
        edits=edits_between(context.source, source),
        key=key,
        title=title,
        why=why,
        proposer="",
        fingerprint=b"",
    )


class PluggedProposer:
    """A plugin's proposer as a `SlowProposer`; `check` decides whether a source may run."""

    def __init__(self, name: str, proposer: Proposer, check: Check) -> None:
        self._name = name
        self._proposer = proposer
        self._check = check

    @property
    def name(self) -> str:
        """The plugin's name in the setting `agent`."""
        return self._name

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return the plugin's proposal if it passes the check, or the reason there is none."""
        try:
            proposal = await asyncio.to_thread(self._asked, context)
        except Exception as fault:  # noqa: BLE001 (somebody else's code: it costs its turn alone)
            return NoProposal(
                reason=f"it failed: {type(fault).__name__}: {fault}", retry_s=_LATER_S
            )
        if proposal is None:
            return NoProposal(reason="it has no more ideas", retry_s=_LATER_S)
        if proposal.source.tree == context.source.tree:
            return NoProposal(reason="it changed nothing", retry_s=_AGAIN_S)
        checked = await self._check(proposal.source)
        fingerprint = checked.fingerprint
        if fingerprint is None or checked.fault or checked.marks:
            why = checked.fault or (
                checked.marks[0].text if checked.marks else "it cannot be parsed"
            )
            return NoProposal(reason=f"its proposal may not be run: {why}", retry_s=_AGAIN_S)
        if context.tried(fingerprint):
            return NoProposal(reason="its proposal was tried before", retry_s=_AGAIN_S)
        return replace(proposal, proposer=self._name, fingerprint=fingerprint)

    def _asked(self, context: Context) -> Proposal | None:
        """Return the plugin's proposal, with its texts cut to the limits of a stored job."""
        found = self._proposer.propose(context)
        if found is None:
            return None
        return change(
            context,
            Source.of(dict(found.source.files)),
            key=fit_line(found.key, MAX_TITLE) or "idea",
            title=fit_line(found.title, MAX_TITLE) or "a change without a title",
            why=fit_text(found.why, MAX_WHY),
        )

    def question(self, _context: Context) -> ProposerQuestion | NoProposal:
        """Return the reason there is no question: this proposer asks no model."""
        return NoProposal(reason=f"{self._name} asks no model", retry_s=_LATER_S)
