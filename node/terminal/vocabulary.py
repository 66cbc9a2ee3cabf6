"""The single table of outcomes, with the word, meaning and colour that people see.

The keys are the names in the store, on the wire and in JSON, which do not change. The words are
defined here alone, so that every page and command uses the same word for an outcome. The words of
an experiment's decisions come from `agent/proposal.py`, because proposers see them, too.

A standard deviation is shown as `sd`, an interval by its two ends. `±` is never used, because
readers take it for either.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from agent.proposal import DECISION_WORDS
from protocol.codecs import plain
from protocol.manifest import TaskManifest
from protocol.rule import Judgement
from protocol.styles import Style

_DIGITS: Final = 9  # decimals of a metric
_SHOWN_GAIN: Final = 5e-5  # smaller exact gains are shown as powers of ten
_SMALL_GAP: Final = 1e-3  # below it, six decimals would show three significant digits or fewer


def interval_words(lower: float | None, upper: float | None, *, spec: str = "+.6f") -> str:
    """Return text with a gain's 95 % interval, or "too few pairs" if an end is None.

    If both ends are equal, the gain is exact. `spec` is the number format of both ends.
    """
    if lower is None or upper is None:
        return "too few pairs for an interval"
    if lower == upper:
        return "exact"
    return f"95 % interval {lower:{spec}} to {upper:{spec}}"


def gain_words(judged: Judgement, *, spec: str = "+.6f") -> str:
    """Return text with the gain that pairs show and its interval."""
    return f"gain {judged.gain:{spec}}, {interval_words(judged.lower, judged.upper, spec=spec)}"


class Wording(NamedTuple):
    """An outcome's word, its meaning, and its terminal style in rich's syntax."""

    word: str
    meaning: str
    style: str = ""


_CONFIRMED: Final = Wording("confirmed", "pairs of new runs show a gain", "bold green")
_UNCONFIRMED: Final = Wording(
    "unconfirmed", "these pairs show no clear gain; there may be a small one", "yellow"
)
_OVERFIT: Final = Wording(
    "overfit", "discarded as overfit: it gains on the visible data and fails on the holdout", "red"
)
_DIM: Final = "bright_black"
WORDINGS: Final[Mapping[str, Wording]] = {
    # An experiment's decision, as the loop makes it and proposers see it.
    "kept": Wording(DECISION_WORDS["kept"], "both runs gain: it is in the working line", "green"),
    "screened_out": Wording("discarded", "the first run gains too little for a recheck", _DIM),
    "rechecked_out": Wording("discarded", "the recheck does not confirm the first run", _DIM),
    "failed": Wording(DECISION_WORDS["failed"], "it ended without a score", "yellow"),
    "rejected": Wording(DECISION_WORDS["rejected"], "rejected by the evaluator", "red"),
    "rebased": Wording(
        "discarded", "good, but the working line had changed: tried again on it", _DIM
    ),
    # The same from its record alone, which does not say why the patch was not kept.
    "discarded": Wording("discarded", "too little gain, or the working line had changed", _DIM),
    "baseline": Wording("baseline", "the task's unedited source"),
    "branched": Wording("branched", "the working line continues from another source", "cyan"),
    # A trial in pairs: a promotion trial, a peer's tree, a re-run of a claim, a comparison.
    "confirmed": _CONFIRMED,
    "smaller": Wording("smaller", "there is a gain, but a smaller one than claimed", "green"),
    "unconfirmed": _UNCONFIRMED,
    "overfit": _OVERFIT,
    "refuted": Wording(
        "refuted", "the pairs show neither the claimed gain nor a smaller one", "red"
    ),
    "unrunnable": Wording(
        "unrunnable", "it does not run here; this does not count against it", "yellow"
    ),
    "open": Wording("open", "interrupted before a result", _DIM),
    # The verified head, since it was last put in doubt.
    "recheck_pending": Wording(
        "not re-confirmed yet", "its gain is in doubt, and no pairs have settled it yet", "yellow"
    ),
    # Other names of the same outcomes: the result by which the head moved, the outcome of several
    # patches together, a peer's patch that was not kept.
    "adopted": _CONFIRMED,
    "passed": _CONFIRMED,
    "missed": _UNCONFIRMED,
    "no gain": Wording("discarded", "it was not kept", _DIM),
}


_UNRANKED: Final = {
    "self": "self-scored: the candidate reports its own number, so it is not ranked",
    "model": "scored by a language model: the number is an opinion, so it is not ranked",
}
_MARKS: Final = {
    "self": " (self-scored)",
    "model": " (scored by a model)",
    "public": " (public instances)",
}
JUDGED: Final = "judged"
_PUBLIC: Final = "public"
MOST_SD: Final = 1000.0  # the largest gain shown in sd; beyond it the noise is next to nothing


def why_unranked(scoring: str) -> str | None:
    """Return why a task has no leaderboard; None if it has one."""
    later = f"unknown scoring of a later arnode ({scoring}), so it is not ranked here"
    return None if is_judged(scoring) else _UNRANKED.get(scoring, later)


def is_judged(scoring: str) -> bool:
    """Return True if a judge scores the task, on drawn or public instances."""
    return scoring in (JUDGED, _PUBLIC)


def scoring_words(manifest: TaskManifest) -> str:
    """Return one line on how a task is scored."""
    scoring, program = manifest.scoring, manifest.program
    if scoring == _PUBLIC:
        return "judged, public instances: every candidate gets the same instances"
    if program is not None and program.vary is not None:
        return f"judged, held out: {program.vary} is drawn for each run"
    return (
        why_unranked(scoring) or "judged: instances are drawn for each run, or are the task's own"
    )


def scoring_mark(scoring: str) -> str:
    """Return a suffix for a task's name where there is no room for `why_unranked`."""
    return _MARKS.get(scoring, "")


def head_words(scoring: str) -> str:
    """Return "verified head" if a judge scores the task, else "measured head"."""
    return "verified head" if is_judged(scoring) else "measured head"


def wording(outcome: str) -> Wording:
    """Return an outcome's wording; an outcome unknown to this version is shown by its key."""
    return WORDINGS.get(outcome) or Wording(plain(outcome), "")


def word(outcome: str) -> str:
    """Return the word for an outcome."""
    return wording(outcome).word


def counted(counts: Mapping[str, int], outcomes: Iterable[str]) -> str:
    """Return the counts of outcomes as text: `3 kept, 1 failed`."""
    return ", ".join(f"{counts[outcome]} {word(outcome)}" for outcome in outcomes)


def reused_words(number: int) -> str:
    """Return the message that this node's key signed two records with the same number."""
    return f"this node's key signed two records with number {number}, so no node counts its claims"


def many(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun; the plural is `several`, or `one` with an s."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def gap_to(best_known: float, metric: float, *, sign: int) -> float:
    """Return the distance from a metric to the best known one, negative if better."""
    return round(sign * (metric - best_known), _DIGITS)


def gap_words(gap: float) -> str:
    """Return a distance to the best known metric as text; small ones are not rounded to zero."""
    size = abs(gap)
    if not size:
        return "reached"
    mantissa, _, exponent = f"{size:.1e}".partition("e")
    figure = f"{size:.6f}" if size >= _SMALL_GAP else f"{mantissa}e{int(exponent)}"
    return f"{figure} to go" if gap > 0 else f"{figure} beyond it"


def sd_text(sd: float, *, digits: int = 6) -> str:
    """Return a standard deviation as text, like `sd 0.010400`, or "exact" if it is 0."""
    if sd == 0:
        return "exact"
    return f"sd {sd:.{digits}f}"


def sd_words(gain_sd: float, *, digits: int = 1) -> str:
    """Return a gain in standard deviations of one run, like `+1.5 sd`.

    Beyond `MOST_SD` only the bound is shown, because runs have almost no noise there.
    """
    if abs(gain_sd) >= MOST_SD:
        return f"{'over +' if gain_sd > 0 else 'below -'}{MOST_SD:g} sd"
    return f"{round(gain_sd, digits) + 0.0:+.{digits}f} sd"  # no -0.00


def screened_words(gain_sd: float, gain: float, style: Style, *, digits: int = 1) -> str:
    """Return the gain of single runs as text: in sd, or in the metric's unit if runs are exact."""
    if style.is_exact:
        spec = "+.4f" if gain == 0 or abs(gain) >= _SHOWN_GAIN else "+.0e"
        return f"{gain + 0.0:{spec}} (exact)"
    return sd_words(gain_sd, digits=digits)


def mean_text(runs: int, sd: float | None) -> str:
    """Return the note on a mean metric, like `mean of 2 runs, sd 0.007800`.

    `sd` is that of one run, None if there are too few runs.
    """
    text = f"mean of {many(runs, 'run')}"
    if sd is None:
        return text
    return f"{text}, {sd_text(sd) if sd else 'all equal'}"
