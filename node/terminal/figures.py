"""How a spread is told to people, the same in every command, view and report.

A standard deviation is called `sd`, an interval is told by its two ends. `±` is used for neither:
readers take it for the one or the other.
"""

from node.terminal.vocabulary import many


def told_sd(sd: float, *, digits: int = 6) -> str:
    """Return a standard deviation as people read it, like `sd 0.010400`; whose, is said beside."""
    return f"sd {sd:.{digits}f}"


def told_mean(runs: int, sd: float | None) -> str:
    """Return what a metric is the mean of, like `mean of 2 runs, sd 0.007800`.

    `sd` is that of one run, None where there are too few to tell.
    """
    told = f"mean of {many(runs, 'run')}"
    return told if sd is None else f"{told}, {told_sd(sd)}"
