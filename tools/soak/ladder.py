"""How much time a target on the upper rung takes, with the rung below and without.

Each repetition is two nodes on homes of their own, side by side with a lane each, until what one
has kept on the upper rung reaches the target by its own few runs: one works on that rung alone, the
other shares its time with the rung below. All that a node does counts, its starts and baselines of
each turn as well; one that does not reach the target counts as if it had when it was stopped. What
was reached is then measured anew, on fresh seeds beside the baseline.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.home.home import Home
from node.ladder.climbed import climbed, slopes_known
from node.store.experiments import Experiment
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.units import NANO
from tools.dying import dying
from trainer.task_kinds import load_task

_REPETITIONS: Final = 5
_UPPER: Final = "tiny-long"
_GAIN: Final = 0.12  # bits per byte below the baseline
_LONGEST_S: Final = 3000.0
_LOOKED_S: Final = 10.0
_LEAST_RATIO: Final = 2.0
_PAIRS: Final = 6
_ARMS: Final[Mapping[str, Sequence[str]]] = {"alone": (), "ladder": ("--ladder", "1")}

Figures = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """How one node fared: seconds to the target (`reached`) or to its end, and what it had then.

    `gain` and its interval are of fresh pairs with the baseline; of what was `carried` so many
    `held`, and by `slope` did gains below show above.
    """

    seconds: float
    reached: bool
    gain: float
    lower: float | None
    upper: float | None
    tried: int
    kept: int
    carried: int
    held: int
    slope: float | None


def run_ladder(
    home: Path,
    *,
    upper: str = _UPPER,
    gain: float = _GAIN,
    repetitions: int = _REPETITIONS,
    longest_s: float = _LONGEST_S,
) -> Figures:
    """Play what is not recorded yet of the repetitions, and tell all of them."""
    told: list[dict[str, Any]] = []
    for number in range(repetitions):
        places = {name: home / f"{number}-{name}" for name in _ARMS}
        due = [name for name in _ARMS if not (places[name] / "arm.json").exists()]
        nodes = {name: _started(places[name], upper, _ARMS[name]) for name in due}
        while nodes:
            time.sleep(_LOOKED_S)
            for name, node in [*nodes.items()]:
                if node.poll() is not None or _is_over(places[name], upper, gain, longest_s):
                    node.terminate()
                    node.wait()
                    del nodes[name]
        for name in due:
            arm = _arm(places[name], upper, gain)
            (places[name] / "arm.json").write_text(json.dumps(asdict(arm)))
        told.append({name: json.loads((places[name] / "arm.json").read_text()) for name in _ARMS})
    ratios = [one["alone"]["seconds"] / one["ladder"]["seconds"] for one in told]
    return {
        "holds": len(ratios) >= _REPETITIONS and statistics.median(ratios) >= _LEAST_RATIO,
        "upper": upper,
        "target": f"{gain} below the baseline",
        "times_as_fast": [round(ratio, 2) for ratio in ratios],
        "median": round(statistics.median(ratios), 2),
        **{name: [one[name] for one in told] for name in _ARMS},
    }


def _started(place: Path, upper: str, flags: Sequence[str]) -> "subprocess.Popen[bytes]":
    Home(place).prepare()
    command = [sys.executable, "-m", "node", "start", "--task", upper, "--network", "none"]
    return subprocess.Popen(
        dying([*command, "--lanes", "1", *flags]),
        env=_environment(place),
        stdin=subprocess.DEVNULL,
    )


def _is_over(place: Path, upper: str, gain: float, longest_s: float) -> bool:
    try:
        with Store.open_read_only(Home(place)) as store:
            entries, began_ms = _entries(store, place, upper)
    except ArnodeError:  # it is being made
        return False
    is_late = began_ms is not None and time.time() * 1000 - began_ms > 1000 * longest_s
    return is_late or _reached(entries, gain) is not None


def _entries(store: Store, place: Path, upper: str) -> tuple[list[Experiment], int | None]:
    """Return what was tried on the upper rung, and when the node began."""
    task = load_task(upper, data_dir=Home(place).data)
    first = store.records.own()[:1]
    return store.experiments.listed(task=task.id), first[0].ts_ms if first else None


def _reached(entries: Sequence[Experiment], gain: float) -> Experiment | None:
    """Return the first change that was kept at the target, by its own runs."""
    baselines = [entry.metric_nano for entry in entries if entry.stage == "baseline"]
    if not baselines or baselines[0] is None:
        return None
    target_nano = baselines[0] - round(gain * NANO)
    return next(
        (
            entry
            for entry in entries
            if entry.decision == "kept"
            and entry.metric_nano is not None
            and entry.metric_nano <= target_nano
        ),
        None,
    )


def _arm(place: Path, upper: str, gain: float) -> Arm:
    with Store.open_read_only(Home(place)) as store:
        entries, began_ms = _entries(store, place, upper)
        changes = climbed(store)
        slopes = [slope.mean for slope in slopes_known(changes).values()]
    reached = _reached(entries, gain)
    ended_ms = reached.ts_ms if reached else entries[-1].ts_ms
    here = [change for change in changes if change.places]
    told = _compared(place, upper)
    tried = [entry for entry in entries if entry.stage in ("screen", "keep")]
    return Arm(
        seconds=round((ended_ms - (began_ms or ended_ms)) / 1000, 1),
        reached=reached is not None,
        gain=told["gain"],
        lower=told["lower"],
        upper=told["upper"],
        tried=len(tried),
        kept=sum(entry.decision == "kept" for entry in tried),
        carried=len(here),
        held=sum(change.holds_on > 0 for change in here),
        slope=round(slopes[0], 3) if slopes else None,
    )


def _compared(place: Path, upper: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "node", "compare", "--task", upper, "--pairs", str(_PAIRS)]
    told = subprocess.run(
        dying([*command, "baseline", "working", "--json"]),
        env=_environment(place),
        stdout=subprocess.PIPE,
        check=False,
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def _environment(place: Path) -> dict[str, str]:
    # Each of the two nodes is the other's load: neither waits for a quiet minute.
    own = {"ARNODE_HOME": str(place), "ARNODE_WEB": "none", "ARNODE_QUIET_MINUTES": "0"}
    return {**os.environ, **own}
