"""The proposer that asks a language model: a short conversation that ends in a checked patch.

A fault in the answer, in form, fit, safety or novelty, goes back to the model in words, and after
three answers there is none. Nothing that a model writes is parsed here or trusted: what comes out
is a source that the node's check found fit to be run, and texts made harmless. Who answers, and
what it may cost, is the business of the `Complete` that is handed in.
"""

import asyncio
import hashlib
import math
import re
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final

from agent.completion import Complete, Completion, CompletionRequest, Fault, FaultKind, ModelCost
from agent.model.answers.answer import parse_answer
from agent.model.answers.draft import Draft, Slip
from agent.model.answers.joining import joined
from agent.model.conversation import Conversation
from agent.model.facts import facts, known_names
from agent.model.matching import apply_draft
from agent.model.novelty import Repeat, built_on, repeat_of
from agent.model.others_work import peer_row
from agent.model.quoting import MAX_LINE, MAX_TITLE, MAX_WHY, fence_for, one_line
from agent.model.table import Teller
from agent.proposal import MAX_REPAIRS, Context, Proposal, Silence, repair_key
from agent.source.canonical import fingerprint as fingerprint_of
from agent.source.capabilities import Check, Checked
from agent.source.edits import edits_between
from agent.source.hunks import hunks_between
from protocol.source import Source

NAME: Final = "llm"
MAX_TRIES: Final = 3
_MAX_SLUG = 60
_MAX_MODEL = 80
_MOST_MARKS = 6
_MAX_DETAIL = 200

# How long to leave a model alone after a fault, and whether twice as long after each more.
_PAUSES_S: Final[dict[FaultKind, float]] = {
    "unauthorized": 3600.0,
    "unknown_model": 3600.0,
    "overflow": 3600.0,
    "over_budget": 3600.0,
    "rate_limited": 60.0,
    "unreachable": 60.0,
    "server": 60.0,
    "timeout": 60.0,
    "garbage": 60.0,
    "empty": 60.0,
    "worker": 30.0,
}
_LONGEST_PAUSE_S = 3600.0
# To look whether a server is back costs a call at most, and whoever starts it again waits for it.
_LONGEST_PAUSES_S: Final[dict[FaultKind, float]] = {"unreachable": 300.0}
_NO_IDEA_S = 60.0
_DAY_S = 86_400.0
_NO_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLimits:
    """What one question may be: characters of the conversation, tokens and seconds of an answer."""

    prompt_chars: int
    answer_tokens: int
    timeout_s: float


@dataclass(slots=True, eq=False)
class ModelProposer:
    """Asks `model` through `complete`; `check` is told every source before it is proposed.

    `secret`, of at least 16 bytes, is this node's own: the fences of quotes follow from it.
    """

    complete: Complete
    _: KW_ONLY
    model: str
    limits: QuestionLimits
    check: Check
    secret: bytes = field(repr=False)
    _faults: int = field(default=0, init=False)  # in a row

    def __post_init__(self) -> None:
        fence_for(self.secret, "")  # refuses one that can be guessed, before it is needed
        self.model = one_line(self.model, _MAX_MODEL)

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return f"{NAME} ({self.model})"

    async def propose(self, context: Context) -> Proposal | Silence:
        """Return a patch nobody tried before, or why there is none."""
        if context.crash is not None and context.crash.attempt > MAX_REPAIRS:
            return Silence(reason=f"mended {MAX_REPAIRS} times already", retry_s=0.0)
        talk = Conversation(
            context=context, secret=self.secret, limit_chars=self.limits.prompt_chars
        )
        cost = ModelCost()
        slip, was_repeated = Slip(message=""), False
        for _ in range(MAX_TRIES):
            answer, spent = await self._answer(talk)
            cost += spent
            if isinstance(answer, Silence):
                return replace(answer, cost=cost)
            result = await self._judge(context, answer)
            if isinstance(result, Proposal):
                return replace(result, cost=cost)
            slip = result
            if slip.is_repeated and was_repeated:
                break  # it was told once
            was_repeated = was_repeated or slip.is_repeated
            talk.go_on(answer, slip)
        reason = f"{self.model} gave no usable answer: {one_line(slip.message, _MAX_DETAIL)}"
        return Silence(reason=reason, retry_s=_NO_IDEA_S, cost=cost)

    async def _answer(self, talk: Conversation) -> tuple[Completion | Silence, ModelCost]:
        """Return the next answer, in one piece if it came in several, and what asking took."""
        answer, cost = await self._ask(talk)
        while (
            isinstance(answer, Completion)
            and answer.is_cut
            and await asyncio.to_thread(talk.resume, answer.text)
        ):
            more, spent = await self._ask(talk)
            cost += spent
            if isinstance(more, Silence):
                return more, cost
            whole = await asyncio.to_thread(joined, answer.text, more.text)
            answer = replace(more, text=whole, cost=answer.cost + more.cost)
        return answer, cost

    async def _ask(self, talk: Conversation) -> tuple[Completion | Silence, ModelCost]:
        """Return what comes next of the model, or why nothing does, and what asking took."""
        cost = ModelCost()
        while True:
            messages = await asyncio.to_thread(talk.messages)
            if isinstance(messages, Silence):
                return messages, cost
            question = CompletionRequest(
                messages=messages,
                max_tokens=self.limits.answer_tokens,
                timeout_s=self.limits.timeout_s,
            )
            answer = await self.complete(question)
            cost += answer.cost
            if isinstance(answer, Completion):
                self._faults = 0
                return answer, cost
            if answer.kind != "overflow" or not talk.shrink():
                self._faults += 1
                return _silence(answer, self._faults), cost

    async def _judge(self, context: Context, answer: Completion) -> Proposal | Slip:
        """Return the patch that an answer is, or what is wrong with it."""
        if answer.is_cut:
            return Slip(
                message=f"Your answer was cut off after {answer.cost.tokens_out} tokens. Make a "
                "smaller change, in few short blocks, without explanations."
            )
        made = await asyncio.to_thread(_made, answer.text, context)
        if isinstance(made, Slip):
            return made
        draft, source = made
        checked = await self.check(source)
        if checked.fingerprint is None or checked.fault or checked.marks:
            return _unfit(checked, source)
        proposal = await asyncio.to_thread(_proposal, context, draft, source, checked.fingerprint)
        return replace(proposal, model=self.model) if isinstance(proposal, Proposal) else proposal


def _made(text: str, context: Context) -> tuple[Draft, Source] | Slip:
    """Return what an answer wants and the source with it done."""
    draft = parse_answer(text, context.editable)
    if isinstance(draft, Slip):
        return draft
    base = context.source if context.crash is None else context.crash.source
    source = apply_draft(draft, base)
    if isinstance(source, Slip):
        return source
    if source == context.source:
        return Slip(message="That takes the whole change back. Mend it instead.")
    return draft, source


def _proposal(
    context: Context, draft: Draft, source: Source, fingerprint: bytes
) -> Proposal | Slip:
    if fingerprint == fingerprint_of(context.source):
        return Slip(message="Your change is to comments and layout only: the program is the same.")
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
    """Return what the idea is called across bases; a mended one keeps its name."""
    if context.crash is not None:
        return repair_key(context.crash)
    slug = _NO_SLUG.sub("-", title.lower())[:_MAX_SLUG].strip("-")
    return f"{NAME}:{slug or fingerprint.hex()[:8]}"


def _unfit(checked: Checked, source: Source) -> Slip:
    """Say why a source may not be run."""
    if checked.fault or not checked.marks:
        fault = one_line(checked.fault, _MAX_DETAIL) or "it could not be read"
        return Slip(message=f"Your version cannot be run: {fault}.")
    rows = tuple(
        one_line(f"{mark.path}, line {mark.line}: {mark.text}", MAX_WHY)
        for mark in checked.marks[:_MOST_MARKS]
    )
    broken = next((mark for mark in checked.marks if mark.what == "uninspectable"), None)
    if broken is not None:
        lines = dict(source.files).get(broken.path, b"").decode("utf-8", "replace").split("\n")
        around = lines[max(0, broken.line - 3) : broken.line + 1]
        return Slip(
            message="Your version is not Python that can be read, here:",
            source_lines=tuple(line[:MAX_LINE] for line in around),
            quoted=rows,
        )
    return Slip(
        message="Your version is refused before it runs: no candidate has a need of what these "
        "lines do.",
        quoted=rows,
    )


def _repeated(repeat: Repeat, known: frozenset[str], context: Context) -> Slip:
    """Say what an idea is too close to."""
    if repeat.outcome is not None:
        teller = Teller(known=known, shows_unverified=context.show_unverified_words)
        return Slip(
            message="This is hardly different from an experiment that was made here. Propose "
            "something else, or a clearly other value.",
            quoted=(teller.row(repeat.outcome),),
            is_repeated=True,
        )
    if repeat.peer is not None:
        return Slip(
            message="This is hardly different from a patch of a peer, which is tried as it is. "
            "Propose something else.",
            quoted=(peer_row(repeat.peer, known),),
            is_repeated=True,
        )
    return Slip(
        message="This very program was run before, however it is written. Propose something else.",
        is_repeated=True,
    )


def _silence(fault: Fault, faults: int) -> Silence:
    """Return a pause: as long as the other end asked for, else longer with every fault in a row."""
    longest_s = _LONGEST_PAUSES_S.get(fault.kind, _LONGEST_PAUSE_S)
    pause_s = min(longest_s, _PAUSES_S[fault.kind] * 2.0 ** min(faults - 1, 20))
    if fault.retry_s is not None and math.isfinite(fault.retry_s):
        pause_s = min(max(1.0, fault.retry_s), _DAY_S)
    detail = one_line(fault.detail, _MAX_DETAIL)
    words = fault.kind.replace("_", " ")
    return Silence(reason=f"{words}: {detail}" if detail else words, retry_s=pause_s)
