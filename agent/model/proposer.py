"""A proposer that asks a language model: a short conversation that ends in a checked patch.

A mistake in an answer (in its form, fit, safety or novelty) is reported to the model, which may
answer three times. The result is a source that passed the node's check, with sanitized texts. The
caller supplies a `Complete`, which sends the questions and limits their cost.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Final

from agent.completion import ModelCompletion, ModelCost
from agent.model.answers.answer import parse_answer
from agent.model.answers.draft import ParsedAnswer, Slip
from agent.model.asking import MAX_DETAIL, NOTHING_USABLE_S, Asker
from agent.model.conversation import ModelConversation
from agent.model.facts import facts, known_names
from agent.model.matching import apply_draft
from agent.model.novelty import Repeat, built_on, repeat_of
from agent.model.others_work import peer_row
from agent.model.outcomes import OutcomeWriter
from agent.model.prompt import proposal_prompt
from agent.model.quoting import MAX_LINE, MAX_TITLE, MAX_WHY, one_line
from agent.proposal import MAX_REPAIRS, Context, NoProposal, Proposal, ProposerQuestion, repair_key
from agent.source.canonical import fingerprint as fingerprint_of
from agent.source.capabilities import Check, Checked
from agent.source.edits import edits_between
from agent.source.hunks import hunks_between
from agent.visit.trace import TraceLog
from protocol.source import Source

NAME: Final = "llm"
MAX_TRIES: Final = 3
_MAX_SLUG = 60
_MOST_MARKS = 6
_NO_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True, eq=False, kw_only=True)
class ModelProposer(Asker):
    """A client that asks a model for a patch. `check` must accept the changed source."""

    check: Check

    @property
    def name(self) -> str:
        """The proposer's display name."""
        return f"{NAME} ({self.model})"

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return a patch that was never tried, or the reason there is none."""
        if context.crash is not None and context.crash.attempt > MAX_REPAIRS:
            return NoProposal(reason=f"repaired {MAX_REPAIRS} times already", retry_s=0.0)
        talk = await asyncio.to_thread(self._begun, context)
        if isinstance(talk, NoProposal):
            return talk
        made = await self._written(context, talk)
        return replace(made, steps=tuple(talk.log.steps))

    async def _written(self, context: Context, talk: ModelConversation) -> Proposal | NoProposal:
        """Return the patch that a conversation ends with, or the reason there is none."""
        cost = ModelCost()
        slip, was_repeated = Slip(message=""), False
        for _ in range(MAX_TRIES):
            answer, spent = await self.answer(talk)
            cost += spent
            if isinstance(answer, NoProposal):
                return replace(answer, cost=cost)
            result = await self._judge(context, answer, talk.log)
            if isinstance(result, Proposal):
                return replace(result, cost=cost)
            slip = result
            talk.log.refused(slip.refusal, "\n".join([slip.message, *slip.quoted]))
            if slip.is_repeated and was_repeated:
                break  # the model was already warned of a repeat
            was_repeated = was_repeated or slip.is_repeated
            talk.go_on(answer, slip)
        reason = f"{self.model} gave no usable answer: {one_line(slip.message, MAX_DETAIL)}"
        return NoProposal(reason=reason, retry_s=NOTHING_USABLE_S, cost=cost)

    def question(self, context: Context) -> ProposerQuestion | NoProposal:
        """Return the first question, or the reason there is none. Asks no model."""
        talk = self._begun(context)
        turns = talk if isinstance(talk, NoProposal) else talk.messages()
        room = f"{self.limits.prompt_chars:,} characters, as the model's context and price allow"
        return turns if isinstance(turns, NoProposal) else ProposerQuestion(turns=turns, room=room)

    def _begun(self, context: Context) -> ModelConversation | NoProposal:
        prompt = proposal_prompt(context, self.secret)
        if isinstance(prompt, NoProposal):
            return prompt
        return self.conversation(prompt.within, prompt.fence)

    async def _judge(
        self, context: Context, answer: ModelCompletion, log: TraceLog
    ) -> Proposal | Slip:
        """Return the patch in an answer, or the mistake in it. Record the edit in the log."""
        if answer.is_cut:
            return Slip(
                refusal="cut_off",
                message=f"Your answer was cut off after {answer.cost.tokens_out} tokens. Make a "
                "smaller change, in a few short blocks, without explanations.",
            )
        made = await asyncio.to_thread(_made, answer.text, context)
        if isinstance(made, Slip):
            return made
        draft, source = made
        await asyncio.to_thread(log.edited, _base_of(context), source)
        checked = await self.check(source)
        if checked.fingerprint is None or checked.fault or checked.marks:
            return _unfit(checked, source)
        proposal = await asyncio.to_thread(_proposal, context, draft, source, checked.fingerprint)
        return replace(proposal, model=self.model) if isinstance(proposal, Proposal) else proposal


def _made(text: str, context: Context) -> tuple[ParsedAnswer, Source] | Slip:
    """Return the parsed answer and the changed source, or the mistake in the answer."""
    draft = parse_answer(text, context.editable)
    if isinstance(draft, Slip):
        return draft
    source = apply_draft(draft, _base_of(context))
    if isinstance(source, Slip):
        return replace(source, refusal="unfit")
    if source == context.source:
        message = "Your answer reverts the whole change. Fix the change instead."
        return Slip(message=message, refusal="unchanged")
    return draft, source


def _base_of(context: Context) -> Source:
    """Return the source that an answer edits."""
    return context.source if context.crash is None else context.crash.source


def _proposal(
    context: Context, draft: ParsedAnswer, source: Source, fingerprint: bytes
) -> Proposal | Slip:
    if fingerprint == fingerprint_of(context.source):
        message = "Your change is to comments and layout only: the program is the same."
        return Slip(message=message, refusal="unchanged")
    hunks = hunks_between(context.source, source)
    known = known_names(context.source)
    repeat = repeat_of(hunks, fingerprint, context)
    if repeat is not None:
        return _repeated(repeat, known, context)
    title = one_line(draft.title, MAX_TITLE)
    if not title and context.crash is not None:
        title = one_line(context.crash.title, MAX_TITLE)
    if not title:
        title = one_line("; ".join(facts(hunks, known)), MAX_TITLE) or "A change"
    program = context.brief.program if context.brief is not None else ""
    return Proposal(
        parent=context.source.tree,
        source=source,
        edits=edits_between(context.source, source),
        key=_key(context, title, fingerprint),
        title=title,
        why=one_line(draft.why, MAX_WHY),
        proposer=NAME,
        fingerprint=fingerprint,
        program=hashlib.sha256(program.encode("utf-8", "surrogatepass")).digest(),
        parents=built_on(hunks, context.peers),
    )


def _key(context: Context, title: str, fingerprint: bytes) -> str:
    """Return the key of the idea. A new base or a repair does not change it."""
    if context.crash is not None:
        return repair_key(context.crash)
    slug = _NO_SLUG.sub("-", title.lower())[:_MAX_SLUG].strip("-")
    return f"{NAME}:{slug or fingerprint.hex()[:8]}"


def _unfit(checked: Checked, source: Source) -> Slip:
    """Return the mistake to report to the model for a source that may not run."""
    if checked.fault or not checked.marks:
        fault = one_line(checked.fault, MAX_DETAIL) or "it could not be read"
        return Slip(message=f"Your version cannot be run: {fault}.", refusal="not_allowed")
    rows = tuple(
        one_line(f"{finding.path}, line {finding.line}: {finding.text}", MAX_WHY)
        for finding in checked.marks[:_MOST_MARKS]
    )
    broken = next((finding for finding in checked.marks if finding.what == "uninspectable"), None)
    if broken is not None:
        lines = dict(source.files).get(broken.path, b"").decode("utf-8", "replace").split("\n")
        around = lines[max(0, broken.line - 3) : broken.line + 1]
        return Slip(
            message="Python cannot parse your version at these lines:",
            source_lines=tuple(line[:MAX_LINE] for line in around),
            quoted=rows,
            refusal="not_allowed",
        )
    return Slip(
        message="Your version is rejected before it runs: these lines do what no experiment needs.",
        quoted=rows,
        refusal="not_allowed",
    )


def _repeated(repeat: Repeat, known: frozenset[str], context: Context) -> Slip:
    """Return the slip for an idea that is too close to another."""
    if repeat.outcome is not None:
        writer = OutcomeWriter(known=known, shows_unverified=context.show_unverified_words)
        return Slip(
            message="This is hardly different from an experiment of this node. Propose something "
            "else, or a clearly different value.",
            quoted=(writer.row(repeat.outcome),),
            refusal="tried",
        )
    if repeat.peer is not None:
        return Slip(
            message="This is hardly different from a peer's patch, which this node tries anyway. "
            "Propose something else.",
            quoted=(peer_row(repeat.peer, known),),
            refusal="tried",
        )
    return Slip(
        message="An equivalent program was run or proposed before. Propose something else.",
        refusal="tried",
    )
