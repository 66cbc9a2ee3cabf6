"""The trace of a visit: what a model or a coding agent was asked, what it answered and changed.

A visit is one request for a proposal. Proposers record its steps with a `TraceLog` and return them
with their proposal, or with the reason there is none. Texts are recorded as they were sent, so they
may contain secrets: the node removes these and shortens the texts before it stores a trace
(`node.proposing.traced`). Traces are private.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal, TypeAlias

from agent.completion import ChatMessage, CompletionFault, ModelCompletion, ModelCost
from protocol.codecs import utf8
from protocol.fields import OPTIONAL, Items, Mapped, Named, Natural
from protocol.patches import unified_diff
from protocol.source import Source

StepKind: TypeAlias = Literal[
    "prompt",  # what the model was given first
    "answer",
    "reply",  # a later message to the model, such as the mistake in its answer
    "thought",
    "tool",  # a call of a tool by a coding agent
    "output",  # of a tool or a program
    "edit",
    "choice",  # of a reviewer
    "refusal",
]
Refusal: TypeAlias = Literal[
    "unreadable",  # the answer has no change in a known format
    "cut_off",
    "unfit",  # its change does not fit the files
    "not_allowed",  # the check rejects its source
    "tried",
    "unchanged",
    "reviewer",  # the reviewer chose another proposal
    "limit",  # a daily limit is reached
    "fault",  # there was no answer
    "outdated",  # it does not fit the working line any more, or was tried meanwhile
]

MOST_STEPS: Final = 80
_FIRST_STEPS: Final = 30  # that stay if there are too many; the others that stay are the last ones
_LONGEST_TEXT: Final = 1 << 20  # bytes; the trace's own limit is smaller
_MOST_FILES: Final = 64
# Characters of each text: the first limit with which the whole trace fits.
_TEXT_LIMITS: Final = (8_000, 4_000, 2_000, 1_000, 400, 100)
_HEAD_SHARE: Final = 2 / 3  # of a shortened text; the rest is its end
_STEP_BYTES: Final = 400  # of a step without its text


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFile(Mapped):
    """A file that an edit changes, and its numbers of added and removed lines."""

    path: Annotated[str, utf8(1_024)]
    added: Natural
    removed: Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep(Mapped):
    """One step of a visit.

    `who` is the model, the tool or the role that it comes from. `left_out` is the number of
    characters that were removed from `text` to shorten it. `draft` numbers the proposals of a visit
    with a reviewer. Tokens, cost and time are None if they are unknown or belong to other steps.
    The text of an edit is its diff.
    """

    kind: StepKind
    who: Annotated[str, utf8(512)] = ""
    text: Annotated[str, utf8(_LONGEST_TEXT)] = ""
    left_out: Natural = 0
    refusal: Annotated[Refusal | None, OPTIONAL] = None
    files: Annotated[tuple[EditedFile, ...], Items(0, _MOST_FILES)] = ()
    draft: Annotated[Natural | None, OPTIONAL] = None
    ms: Annotated[Natural | None, OPTIONAL] = None
    tokens_in: Annotated[Natural | None, OPTIONAL] = None
    tokens_out: Annotated[Natural | None, OPTIONAL] = None
    usd_nano: Annotated[Natural | None, Named("usd"), OPTIONAL] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The kind of reason for which an answer cannot be used, and the reason in words."""

    kind: Refusal
    reason: str


@dataclass(slots=True, eq=False)
class TraceLog:
    """A recorder of the steps of one visit. `clock_s` returns seconds since an arbitrary start."""

    clock_s: Callable[[], float] = time.monotonic
    steps: list[TraceStep] = field(default_factory=list)
    _first: int = field(default=0, init=False)  # messages of the prompt
    _last: ChatMessage | None = field(default=None, init=False)

    def ask(self, messages: Sequence[ChatMessage]) -> float:
        """Record the messages that are new in a question; return the time that it starts."""
        if not self._first:
            self._first = len(messages)
            self.steps += (_prompt(message) for message in messages)
        elif messages[-1] is not self._last:  # two replies may say the same
            is_prompt = len(messages) <= self._first  # sent again, shorter
            last = _prompt(messages[-1])
            self.steps.append(last if is_prompt else replace(last, kind="reply"))
        self._last = messages[-1]
        return self.clock_s()

    def answered(self, who: str, answer: ModelCompletion | CompletionFault, since_s: float) -> None:
        """Record a model's answer, or the fault instead of one, and its cost."""
        if isinstance(answer, ModelCompletion):
            step = TraceStep(kind="answer", who=who, text=answer.text)
        else:
            kind: Refusal = "limit" if answer.kind == "over_budget" else "fault"
            words = answer.kind.replace("_", " ")
            reason = f"{words}: {answer.detail}" if answer.detail else words
            step = TraceStep(kind="refusal", who=who, text=reason, refusal=kind)
        self.steps.append(_with_cost(step, answer.cost, self.clock_s() - since_s))

    def edited(self, base: Source, source: Source) -> None:
        """Record the change from one source to another, if there is one."""
        old, new = dict(base.files), dict(source.files)
        paths = [path for path in sorted(old | new) if old.get(path) != new.get(path)]
        if not paths:
            return
        files = (_file_of(path, old.get(path, b""), new.get(path, b"")) for path in paths)
        diff = unified_diff(base, source)
        self.steps.append(TraceStep(kind="edit", text=diff, files=tuple(files)[:_MOST_FILES]))

    def refused(self, kind: Refusal, reason: str) -> None:
        """Record why the last answer or edit cannot be used."""
        self.steps.append(TraceStep(kind="refusal", text=reason, refusal=kind))


def numbered(steps: Iterable[TraceStep], draft: int) -> tuple[TraceStep, ...]:
    """Return the steps of one of several proposals, with the proposal's number."""
    return tuple(replace(step, draft=draft) for step in steps)


def last_refusal(steps: Sequence[TraceStep]) -> Refusal | None:
    """Return the kind of the last refusal; None if no answer was refused."""
    return next((step.refusal for step in reversed(steps) if step.refusal), None)


def has_answer(steps: Iterable[TraceStep]) -> bool:
    """Return True if a model or an agent said or did something in these steps."""
    return any(step.kind not in {"prompt", "refusal"} for step in steps)


def bounded(
    steps: Sequence[TraceStep], *, limit_bytes: int, clean: Callable[[str], str]
) -> tuple[tuple[TraceStep, ...], int]:
    """Return steps that fit into a limit, with cleaned texts, and the number of dropped steps.

    Of too many steps the first and the last stay. Texts lose their middle. `clean` removes secrets
    before a text is shortened, because a part of a secret is harder to find.
    """
    dropped = max(0, len(steps) - MOST_STEPS)
    kept = [*steps[:_FIRST_STEPS], *steps[_FIRST_STEPS + dropped :]] if dropped else [*steps]
    kept = [_cleaned(step, clean) for step in kept]
    shortened = kept
    for limit in _TEXT_LIMITS:
        shortened = [_shortened(step, limit) for step in kept]
        size = sum(_STEP_BYTES + len(step.text.encode("utf-8", "replace")) for step in shortened)
        if size <= limit_bytes:
            break
    return tuple(shortened), dropped


def _cleaned(step: TraceStep, clean: Callable[[str], str]) -> TraceStep:
    files = tuple(replace(one, path=clean(one.path)[:256]) for one in step.files[:_MOST_FILES])
    return replace(step, who=clean(step.who)[:120], text=clean(step.text), files=files)


def _shortened(step: TraceStep, limit: int) -> TraceStep:
    if len(step.text) <= limit:
        return step
    head = int(limit * _HEAD_SHARE)
    left_out = len(step.text) - limit
    text = (
        f"{step.text[:head]}\n… {left_out:,} characters left out …\n{step.text[head + left_out :]}"
    )
    return replace(step, text=text, left_out=left_out)


def _prompt(message: ChatMessage) -> TraceStep:
    return TraceStep(kind="prompt", who=message.role, text=message.content)


def _with_cost(step: TraceStep, cost: ModelCost, seconds: float) -> TraceStep:
    return replace(
        step,
        ms=max(0, round(seconds * 1000)),
        tokens_in=cost.tokens_in,
        tokens_out=cost.tokens_out,
        usd_nano=cost.usd_nano,
    )


def _file_of(path: str, old: bytes, new: bytes) -> EditedFile:
    diff = unified_diff(Source.of({path: old}), Source.of({path: new}))
    lines = diff.splitlines()[2:]  # below the two lines with the file's name
    return EditedFile(
        path=path,
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
    )
