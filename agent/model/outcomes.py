"""Lines of text on one experiment: its change, its gain, and the reason it failed.

Text by peers is included only where it may be shown. Callers put these lines into a fence.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.model.facts import constant_in_title, facts
from agent.model.quoting import MAX_TITLE, one_line
from agent.proposal import DECISION_WORDS, Outcome
from agent.source.hunks import Hunk, hunks_of
from protocol.ideas import Edit

FAILED: Final = frozenset({"failed", "rejected"})
NONE: Final = "-"
_IMPLAUSIBLE_SD: Final = 100.0
_MAX_REASON: Final = 200
_SHORT_REASON: Final = 80
_SHORT_TITLE: Final = 60
_MAX_CHANGE: Final = 160


def gain_words(gain_sd: float) -> str:
    """Return a gain in standard deviations of one run, or a phrase if it is implausible."""
    if not math.isfinite(gain_sd) or abs(gain_sd) > _IMPLAUSIBLE_SD:
        return "an implausible gain"
    return f"{gain_sd:+.2f} sd"


@lru_cache(maxsize=4096)  # the history is written again in every prompt
def hunks_by(edits: tuple[Edit, ...]) -> tuple[Hunk, ...]:
    """Return the hunks that edits make."""
    return hunks_of(edits)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeWriter:
    """A writer of lines on outcomes. Facts may contain `known` names."""

    known: frozenset[str]
    shows_unverified: bool

    def may_quote(self, outcome: Outcome) -> bool:
        """Return whether title and reason may be shown: for this node's ideas and kept patches."""
        return outcome.author is None or outcome.decision == "kept" or self.shows_unverified

    def facts(self, outcome: Outcome) -> tuple[str, ...]:
        """Return the facts of a change: from its edits or, if none were stored, from its title."""
        if outcome.edits:
            return facts(hunks_by(outcome.edits), self.known)
        constant = constant_in_title(outcome.title, self.known)
        return (constant,) if constant else ()

    def change(self, outcome: Outcome) -> str:
        """Return the change in words, without its result."""
        whose = "a peer's idea" if outcome.author is not None else ""
        title = one_line(outcome.title, MAX_TITLE) if self.may_quote(outcome) else ""
        change = one_line("; ".join(self.facts(outcome)), _MAX_CHANGE)
        # The title of a changed constant is already equal to the fact.
        parts = [whose, title, "" if change and change in title else change]
        return " | ".join(filter(None, parts)) or "a change"

    def reason(self, outcome: Outcome) -> str:
        """Return the reason for a failure, "" if the reason may not be shown."""
        return one_line(outcome.reason, _MAX_REASON) if self.may_quote(outcome) else ""

    def row(self, outcome: Outcome) -> str:
        """Return one line on an experiment and its result."""
        words = DECISION_WORDS[outcome.decision]
        if outcome.gain_sd is not None:
            words += f" {gain_words(outcome.gain_sd)}"
        reason = self.reason(outcome)
        return f"{words}: {self.change(outcome)}" + (f" | because: {reason}" if reason else "")

    def line(self, outcome: Outcome) -> str:
        """Return the outcome's line in the table."""
        metric = NONE if outcome.metric is None else f"{outcome.metric:.6g}"
        seconds = NONE if outcome.seconds is None else f"{outcome.seconds:.3g}"
        reason = self.reason(outcome)
        cells = [
            str(outcome.number or NONE),
            NONE if outcome.base is None else str(outcome.base),
            metric,
            difference(outcome),
            seconds,
            DECISION_WORDS[outcome.decision],
            self.change(outcome),
            *([one_line(reason, _SHORT_REASON)] if reason else []),
        ]
        return " | ".join(cells)

    def short_line(self, outcome: Outcome) -> str:
        """Return the outcome's line in short form."""
        gain = NONE if outcome.gain_sd is None else difference(outcome).split(" ")[0]
        cells = [
            str(outcome.number or NONE),
            gain,
            DECISION_WORDS[outcome.decision],
            one_line(self.change(outcome), _SHORT_TITLE),
        ]
        return " | ".join(cells)


def difference(outcome: Outcome) -> str:
    """Return the gain over the base in sd, with its standard error if there is one."""
    if outcome.gain_sd is None:
        return NONE
    if not math.isfinite(outcome.gain_sd) or abs(outcome.gain_sd) > _IMPLAUSIBLE_SD:
        if outcome.author is None and outcome.gain_sd:  # measured here, with almost no noise
            return f"{'over +' if outcome.gain_sd > 0 else 'below -'}{_IMPLAUSIBLE_SD:g}"
        return "implausible"
    error = f" ± {outcome.error_sd:.1f}" if outcome.error_sd else ""
    return f"{outcome.gain_sd:+.2f}{error}"


def counted(outcomes: Iterable[Outcome]) -> str:
    """Return the number of outcomes by decision: `3 kept, 12 screened out`."""
    count = Counter(one.decision for one in outcomes)
    return ", ".join(f"{count[one]} {DECISION_WORDS[one]}" for one in DECISION_WORDS if count[one])


def is_near_miss(outcome: Outcome) -> bool:
    """Return whether an experiment scored better than its base and was not kept."""
    return outcome.decision in {"screened_out", "rechecked_out"} and (outcome.gain_sd or 0.0) > 0
