"""The turns of a conversation with a model, within a length limit.

The prompt is the first turn. For each question it is shortened to the space that the later turns
leave. This module does not depend on what the turns say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from agent.completion import ChatMessage, ModelCompletion
from agent.model.answers.answer import without_thoughts
from agent.model.answers.draft import Slip
from agent.model.answers.joining import whole_lines
from agent.model.quoting import QuoteFence
from agent.proposal import NoProposal
from agent.visit.trace import TraceLog

_MAX_TURN = 12_000  # characters of an answer that are sent back to the model
_MAX_CUT_TURN = 1_000
_MOST_RESUMED: Final = 2  # continuations of answers that were cut off
_RESUME: Final = """\
Your answer was cut off there. Continue where it stopped: repeat its last line, then write what \
follows. Say nothing else, and put no fence around it."""
_SHRUNK: Final = 2  # a conversation that was too long is limited to 1/2 of its length

Begin: TypeAlias = Callable[[int], tuple[ChatMessage, ...] | NoProposal]
"""Returns a prompt of at most the given number of characters, or the reason there is none."""


@dataclass(slots=True, kw_only=True, eq=False)
class ModelConversation:
    """Questions to a model and its answers, at most `limit_chars` long.

    `begin` returns the prompt, and `fence` encloses its quotes. `log` records what was asked and
    answered.
    """

    begin: Begin
    fence: QuoteFence
    limit_chars: int
    log: TraceLog = field(default_factory=TraceLog)
    _resumed: int = field(default=0, init=False)
    _unfinished: tuple[ChatMessage, ...] = field(default=(), init=False)
    _is_shrunk: bool = field(default=False, init=False)
    # Each answer, with the reply that names its mistake.
    _turns: list[tuple[ChatMessage, ChatMessage]] = field(default_factory=list, init=False)

    def messages(self) -> tuple[ChatMessage, ...] | NoProposal:
        """Return the conversation to send; the oldest turns are dropped if space is short."""
        while True:
            turns = [message for turn in (*self._turns, self._unfinished) for message in turn]
            left = self.limit_chars - sum(len(message.content) for message in turns)
            begun = self.begin(left)
            if not isinstance(begun, NoProposal):
                return (*begun, *turns)
            if not self._turns:
                return begun
            del self._turns[0]

    def resume(self, said: str) -> bool:
        """Ask the model to continue an answer that was cut off; return False if that is impossible.

        It is impossible after two continuations, if the answer has no whole line, or if no space
        is left.
        """
        shown = whole_lines(said)
        if self._resumed >= _MOST_RESUMED or not shown:
            return False
        self._resumed += 1
        self._unfinished = (
            ChatMessage(role="assistant", content=shown),
            ChatMessage(role="user", content=_RESUME),
        )
        if isinstance(self.messages(), NoProposal):
            self._unfinished = ()
            return False
        return True

    def shrink(self) -> bool:
        """Shorten the conversation from now on; return False if that was done before."""
        if self._is_shrunk:
            return False
        self._is_shrunk = True
        self.limit_chars //= _SHRUNK
        return True

    def go_on(self, answer: ModelCompletion, slip: Slip) -> None:
        """Add a turn that names the mistake in an answer."""
        self._unfinished = ()
        said = without_thoughts(answer.text).strip() or "(nothing)"
        limit = _MAX_CUT_TURN if answer.is_cut else _MAX_TURN
        shown = said if len(said) <= limit else f"{said[:limit]}\n…"
        lines = [slip.message]
        if slip.source_lines:
            lines.append(self.fence.source("a part of the file", "\n".join(slip.source_lines)))
        if slip.quoted:
            lines.append(self.fence.quote("lines in question", slip.quoted))
        lines.append("Give the whole answer again in the same format; the file is unchanged.")
        self._turns.append(
            (
                ChatMessage(role="assistant", content=shown),
                ChatMessage(role="user", content="\n".join(lines)),
            )
        )
