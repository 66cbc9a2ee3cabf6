"""Sentences on the source's metric and resource use, the keep rule, and the remaining budget.

They contain only this node's figures and words, so nothing here is quoted.
"""

from collections.abc import Sequence
from typing import Final

from agent.proposal import BaseFigures, Brief, Left
from protocol.rule import Policy

CURVE_POINTS: Final = 8


def measured_line(brief: Brief) -> str:
    """Return a sentence on the metric of the present source, to append to a line."""
    base = brief.base
    if base is None:
        return ""
    interval = f" ± {base.error:.2g} (95 % interval)" if base.error > 0 else ""
    runs = "1 run" if base.runs == 1 else f"{base.runs} runs"
    whose = {None: "", 0: " It is the task's first source."}.get(
        base.number, f" It is that of experiment {base.number}."
    )
    return f" The present source measures {base.metric:.6g}{interval}, the mean of {runs}.{whose}"


def usage_line(brief: Brief) -> str:
    """Return a sentence on the present source's time and memory, to append to a line."""
    base = brief.base
    if base is None or base.seconds is None:
        return ""
    parts = [f"{base.seconds:.3g} s"]
    if base.cpu_seconds is not None:
        parts.append(f"{base.cpu_seconds:.3g} s of processor time")
    if base.memory_bytes is not None:
        parts.append(f"{base.memory_bytes / 1e9:.2g} GB of memory")
    return f" The present source took {', '.join(parts)}."


def curve_line(base: BaseFigures) -> str:
    """Return a line with losses that the present source printed in training, at most eight."""
    points = ", ".join(f"{step}: {loss:.4g}" for step, loss in _thinned(base.curve))
    return f"The loss that it prints in training, by step: {points}."


def keep_rule(policy: Policy, *, base: str) -> str:
    """Return the condition for keeping a change; `base` names the source that it must beat."""
    rechecks_sd = policy.rechecks_sd
    if not rechecks_sd:
        return f"its one run is better than {base}, because repeated runs score the same here"
    screen = f"one run is at least {policy.screen_sd:g} sd better than {base}"
    if len(rechecks_sd) == 1:
        return f"{screen} and a second run with a fresh seed at least {rechecks_sd[0]:g} sd"
    *before, last = (f"{needed_sd:g}" for needed_sd in rechecks_sd)
    return (
        f"{screen} and, after each of up to {len(rechecks_sd)} runs with fresh seeds, their "
        f"average so far is at least {', '.join(before)} and {last} sd better, in this order; "
        f"{_enough(policy)}"
    )


def _enough(policy: Policy) -> str:
    if not policy.enough_sd:
        return f"two of these in a row suffice if each is {policy.plain_sd:g} sd better"
    first, *others, last = (f"{needed_sd:g}" for needed_sd in policy.enough_sd)
    return (
        f"the first of these suffices if it and the run before are {first} sd better, the next "
        f"ones if the average is then {', '.join(others)} and {last} sd better"
    )


def left_line(left: Left) -> list[str]:
    """Return a section on the session's remaining time and runs and the day's remaining money.

    Without limits it is empty.
    """
    parts = []
    if left.seconds is not None:
        hours = left.seconds / 3600
        parts.append(
            f"{hours:.1f} hours" if hours >= 1 else f"{max(0.0, left.seconds) / 60:.0f} minutes"
        )
    if left.experiments is not None:
        parts.append("1 experiment" if left.experiments == 1 else f"{left.experiments} experiments")
    if left.usd is not None:
        parts.append(f"{left.usd:.2f} USD for asking models today")
    return [f"# What is left\n{', '.join(parts)}."] if parts else []


def _thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most eight points, including the first and the last."""
    if len(curve) <= CURVE_POINTS:
        return [*curve]
    last = len(curve) - 1
    return [curve[round(place * last / (CURVE_POINTS - 1))] for place in range(CURVE_POINTS)]
