"""The recorded groups of `tools.soak.together`, and the figures computed from them."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tools.soak.stopping import RECORDED
from tools.soak.swarm_limit import KeptChange, fewest_runs

TASKS: Final = ("tiny-short", "search", "search-fixed")
REPETITIONS: Final = 3
_FOLDERS: Final = Path(__file__).parent / "tasks"  # those that are not built in
_NODES: Final = 8
_RUNS: Final[Mapping[int, int]] = {1: 240, _NODES: 40}  # of each node; a group should be faster
_LIARS: Final = 4  # a third of the nodes
NIGHT_TASKS: Final = ("search-fixed", "search")
_MANY, _NIGHT_RUNS = 35, 14  # four of a node's runs are no experiments
_SHARES: Final = (0.5, 0.8, 0.95)  # of a single node's gain
_LEVEL_RUNS: Final = 8  # after which it should be level

Figures: TypeAlias = Mapping[str, object]
Played: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes of one repetition on a task, with the file of their results.

    `nodes` does not count the liars (`tools.soak.liar`). `runs` are those of each node.
    """

    task: str
    number: int
    nodes: int
    runs: int
    liars: int = 0

    @property
    def name(self) -> str:
        name = f"together-{self.task}-{self.number:02}-{self.nodes}"
        if self.liars:
            name += f"-{self.liars}-lie"
        return name if self.nodes > 1 or self.runs == _RUNS[1] else f"{name}-{self.runs}"

    @property
    def task_place(self) -> str:
        """The task's name, or its folder if it is not built in."""
        folder = _FOLDERS / self.task
        return str(folder) if folder.is_dir() else self.task

    @property
    def path(self) -> Path:
        return RECORDED / f"{self.name}.json"

    def results(self) -> Played | None:
        """Return the recorded results, if there are any."""
        return json.loads(self.path.read_text()) if self.path.exists() else None


def groups() -> Iterator[Group]:
    """Yield all groups, the first repetition of each task first."""
    for number in range(REPETITIONS):
        for task in TASKS:
            yield from _repetition(task, number)
    for number in range(REPETITIONS):
        for task in TASKS:
            yield _lying(task, number)
    for task in NIGHT_TASKS:
        yield from _night(task)


def _repetition(task: str, number: int) -> tuple[Group, Group]:
    alone, together = (Group(task, number, nodes, runs) for nodes, runs in _RUNS.items())
    return alone, together


def _lying(task: str, number: int) -> Group:
    return Group(task, number, _NODES, _RUNS[_NODES], liars=_LIARS)


def _night(task: str) -> tuple[Group, Group]:
    """Return a night of many nodes, and one node that makes as many runs as all of them."""
    return Group(task, 0, _MANY, _NIGHT_RUNS), Group(task, 0, 1, _MANY * _NIGHT_RUNS)


def results_of(task: str) -> dict[str, Any]:
    """Return the figures of a task's recorded groups.

    Runs are per node. A target that the eight nodes never reached has None.
    """
    results: dict[str, Any] = {f"{share:.0%}": [] for share in _SHARES}
    spent, newcomers, shares = [], [], []
    for number in range(REPETITIONS):
        alone, together = (group.results() for group in _repetition(task, number))
        if alone is None or together is None:
            continue
        spent.append(together["spent"])
        kept = [KeptChange(**{**one, "needs": tuple(one["needs"])}) for one in alone["kept"]]
        for share, target in _targets(alone).items():
            one, many = _runs_to(target, alone), _runs_to(target, together)
            assert one is not None
            fewest, tested = (
                fewest_runs(alone["start"], kept, one, nodes=_NODES, all_test=all_test)
                for all_test in (False, True)
            )
            results[share].append(
                {
                    "alone": one,
                    "together": many,
                    "times_as_fast": round(one / many, 2) if many else None,
                    "at_most": round(one / fewest, 2),
                    "if_all_test_one_by_one": round(one / tested, 2),
                }
            )
        newcomers.append(_newcomers_runs(together))
        shares.append(_newcomers_share(together))
    return {
        "repetitions": len(spent),
        **results,
        "newcomer_is_level_after": newcomers,
        f"newcomer_has_after_{_LEVEL_RUNS}_runs": shares,
        "runs_went_to": spent,
    }


def _newcomers_runs(together: Played) -> int | None:
    """Return the runs until a node that joined at the end had the median gain; None if never."""
    level, gains = _last_gain(together), together["gains"]
    runs = (runs for tree, runs in together["newcomer"] if gains.get(tree, -math.inf) >= level)
    return next(runs, None)


def _newcomers_share(together: Played) -> float:
    """Return the newcomer's gain after its first runs as a share of the others' median gain."""
    tree = next(tree for tree, runs in reversed(together["newcomer"]) if runs <= _LEVEL_RUNS)
    gain: float = together["gains"][tree]
    return round(gain / _last_gain(together), 2)


def lying_of(task: str) -> dict[str, Any]:
    """Return the figures of a task's recorded groups with liars next to those without.

    `of_the_speed_up` is None if one of the two groups never reached the target.
    """
    reached: dict[str, Any] = {f"{share:.0%}": [] for share in _SHARES}
    adopted: list[float] = []
    newcomers = []
    for number in range(REPETITIONS):
        alone, honest = (group.results() for group in _repetition(task, number))
        with_liars = _lying(task, number).results()
        if alone is None or honest is None or with_liars is None:
            continue
        for share, target in _targets(alone).items():
            without, runs = _runs_to(target, honest), _runs_to(target, with_liars)
            of_speed_up = round(without / runs, 2) if without and runs else None
            reached[share].append(
                {"without": without, "with_liars": runs, "of_the_speed_up": of_speed_up}
            )
        gains = with_liars["gains"]
        adopted += [gains[new] - gains[old] for old, new in with_liars["adopted"]]
        newcomers.append(_newcomers_runs(with_liars))
    return {
        "repetitions": len(newcomers),
        **reached,
        "newcomer_is_level_after": newcomers,
        "adopted": len(adopted),
        "adopted_in_vain": sum(gain <= 0 for gain in adopted),
    }


def night_of(task: str) -> Figures | None:
    """Return the true progress of many nodes next to one with as many runs, and their costs."""
    many, one = (group.results() for group in _night(task))
    if many is None or one is None:
        return None
    last, alone = many["seen"][-1], _last_gain(one)
    best = max(many["gains"].get(tree, 0.0) for tree, _ in last)
    return {
        "experiments": sum(spent["experiment"] for spent in many["spent"]),
        "runs": sum(runs for _, runs in last),
        "median_next_to_one": round(_last_gain(many) / alone, 2),
        "best_next_to_one": round(best / alone, 2),
        **many["costs"],
    }


def _targets(alone: Played) -> dict[str, float]:
    """Return the gain of each share of a single node's gain after its last run."""
    return {f"{share:.0%}": share * _last_gain(alone) for share in _SHARES}


def _last_gain(results: Played) -> float:
    return _gain_at(results, len(results["seen"]) - 1)


def _gain_at(results: Played, row: int) -> float:
    """Return the median gain of the lines over the baseline."""
    gains: dict[str, float] = results["gains"]
    return statistics.median(gains[tree] for tree, _ in results["seen"][row] if tree in gains)


def _runs_to(target: float, results: Played) -> float | None:
    """Return the mean runs per node when the median gain reached a target, or None."""
    for number, row in enumerate(results["seen"]):
        if _gain_at(results, number) >= target:
            return statistics.fmean(runs for _, runs in row)
    return None
