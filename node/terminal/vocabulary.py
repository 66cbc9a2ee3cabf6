"""The one table of outcomes: the word, what it says and the colour, wherever people read of one.

An outcome is known by the name that it has in the store, on the wire and in JSON. Those names stay;
what people read is here alone, so that no two places tell the same decision in two words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from agent.proposal import DECISION_WORDS
from node.terminal.terminal import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How an outcome is told. `style` is a terminal's colour in rich's words, "" for none."""

    word: str
    meaning: str
    style: str = ""


_CONFIRMED: Final = Wording(
    word="confirmed", meaning="there is a gain in pairs of fresh runs", style="bold green"
)
_UNCONFIRMED: Final = Wording(
    word="unconfirmed",
    meaning="no gain shows in these pairs; a small one may still be there",
    style="yellow",
)
WORDINGS: Final[Mapping[str, Wording]] = {
    # An experiment, as the loop decides and a proposer learns it.
    "kept": Wording(
        word=DECISION_WORDS["kept"],
        meaning="both runs gain: the working line has it",
        style="green",
    ),
    "screened_out": Wording(
        word=DECISION_WORDS["screened_out"],
        meaning="the first run gains too little for a second",
        style="bright_black",
    ),
    "rechecked_out": Wording(
        word=DECISION_WORDS["rechecked_out"],
        meaning="a second run with a fresh seed does not bear the first one out",
        style="bright_black",
    ),
    "rebased": Wording(
        word="rebased",
        meaning="good, but the working line had moved on: tried again there",
        style="bright_black",
    ),
    "failed": Wording(word=DECISION_WORDS["failed"], meaning="it gave no metric", style="yellow"),
    "rejected": Wording(
        word=DECISION_WORDS["rejected"], meaning="rejected by the evaluator", style="red"
    ),
    # The same from its record alone, which does not tell why it was not kept.
    "discarded": Wording(
        word="discarded", meaning="screened out, rechecked out or rebased", style="bright_black"
    ),
    "baseline": Wording(word="baseline", meaning="the task's own source"),
    "branched": Wording(
        word="branched", meaning="the working line goes on from another tree", style="cyan"
    ),
    # A trial in pairs: a checkpoint, a peer's tree, a claim run again, a comparison.
    "confirmed": _CONFIRMED,
    "smaller": Wording(
        word="smaller", meaning="there is a gain, but a smaller one than claimed", style="green"
    ),
    "unconfirmed": _UNCONFIRMED,
    "refuted": Wording(
        word="refuted",
        meaning="what was claimed is not there, nor any gain that shows",
        style="red",
    ),
    "unrunnable": Wording(
        word="unrunnable", meaning="it does not run here, which says nothing of it", style="yellow"
    ),
    "open": Wording(word="open", meaning="interrupted before it was known", style="bright_black"),
    # Other names of the same outcomes: of the result that the head moved by, of a stack's end,
    # of a peer's idea that was not kept.
    "adopted": _CONFIRMED,
    "passed": _CONFIRMED,
    "missed": _UNCONFIRMED,
    "no gain": Wording(word="discarded", meaning="it was not kept", style="bright_black"),
}


def wording(outcome: str) -> Wording:
    """Return how an outcome is told; one of a later version by its own name."""
    known = WORDINGS.get(outcome)
    return Wording(word=plain(outcome), meaning="") if known is None else known


def word(outcome: str) -> str:
    """Return the word for an outcome."""
    return wording(outcome).word


def counted(counts: Mapping[str, int], outcomes: Iterable[str]) -> str:
    """Return how many there are of each: `3 kept, 1 failed`."""
    return ", ".join(f"{counts[outcome]} {word(outcome)}" for outcome in outcomes)


def many(count: int, one: str, several: str = "") -> str:
    """Return a number of things."""
    return f"{count} {one if count == 1 else several or one + 's'}"
