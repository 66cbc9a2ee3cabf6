"""The time to reach a target on the upper rung, with and without the rung below.

Each repetition has two nodes with separate homes and one lane each. One works on the upper rung
alone. The other shares its time with the rung below. Each works until its kept patches on the upper
rung reach the target by its own few runs. As many nodes run at once as there are cores. All of a
node's time counts, also starts and the baselines of each turn. A node that misses the target counts
as if it had reached it when it was stopped. The result is then measured again, in fresh pairs with
the baseline.

Each call runs the missing nodes, and starts none after some time. An interrupted node resumes, and
the time between does not count. Results stay in tools/soak/recorded/. The runs of a node that
worked alone are also a session for `stopping`.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.home.home import Home
from node.ladder.transfer_history import slopes_known, transfer_histories
from node.store.experiments import Experiment
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.units import NANO
from tools.dying import dying
from tools.soak.stopping import RECORDED, keep_session, next_session, read_session
from trainer.task_kinds import load_task

_REPETITIONS: Final = 5
_UPPER: Final = "tiny-long"
_GAIN: Final = 0.12  # bits per byte below the baseline
_ON_THE_WAY: Final = (0.06, 0.09)  # smaller gains for which the times are reported, too
_LONGEST_S: Final = 3000.0  # per node
_BEGUN_S: Final = 1800.0  # no node is started after this
_LOOKED_S: Final = 5.0
_LEAST_RATIO: Final = 2.0
_PAIRS: Final = 3
_PAUSED: Final = "paused-ms"
_ARMS: Final[Mapping[str, Sequence[str]]] = {"alone": (), "ladder": ("--ladder", "1")}

Figures = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The result of one node: the seconds to the target (`reached`) or to its end, and its gains.

    `gain` and its interval are from fresh pairs with the baseline. `alone` is the sum of its kept
    changes' own gains. `carried` lists transfers with their gains below and above. `slope` is the
    part of a gain below that shows above. `climb` lists the seconds and the gain at each kept
    change, by the node's own few runs.
    """

    seconds: float
    reached: bool
    gain: float
    lower: float | None
    upper: float | None
    tried: int
    kept: int
    alone: float
    carried: list[dict[str, object]]
    slope: tuple[float, float, float] | None
    climb: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Node:
    """One node of one repetition, with the file of its figures."""

    number: int
    name: str

    @property
    def path(self) -> Path:
        return RECORDED / f"ladder-{self.number:02}-{self.name}.json"


def run_ladder(
    home: Path, *, gain: float = _GAIN, longest_s: float = _LONGEST_S, begun_s: float = _BEGUN_S
) -> Figures:
    """Run the repetitions that are not recorded yet, and return the figures of all."""
    ends_s = time.monotonic() + begun_s
    RECORDED.mkdir(exist_ok=True)
    due = [_Node(number, name) for number in range(_REPETITIONS) for name in _ARMS]
    due = [node for node in due if not node.path.exists()]
    running: dict[_Node, subprocess.Popen[bytes]] = {}
    while running or (due and time.monotonic() < ends_s):
        while due and len(running) < (os.cpu_count() or 1) and time.monotonic() < ends_s:
            node = due.pop(0)
            running[node] = _started(home / node.path.stem, _ARMS[node.name])
        time.sleep(_LOOKED_S)
        for node, process in [*running.items()]:
            place = home / node.path.stem
            if process.poll() is not None or _is_over(place, gain, longest_s):
                process.terminate()
                process.wait()
                node.path.write_text(json.dumps(asdict(_arm(place, gain))))
                if node.name == "alone":
                    keep_session(read_session(place), next_session(_UPPER))
                del running[node]
    return ladder_of(_REPETITIONS, gain)


def ladder_of(repetitions: int, gain: float) -> Figures:
    """Return the figures of the recorded repetitions."""
    results: list[dict[str, Any]] = []
    for number in range(repetitions):
        nodes = {name: _Node(number, name).path for name in _ARMS}
        if all(path.exists() for path in nodes.values()):
            results.append({name: json.loads(path.read_text()) for name, path in nodes.items()})
    ratios = [one["alone"]["seconds"] / one["ladder"]["seconds"] for one in results]
    median = statistics.median(ratios) if ratios else 0.0
    return {
        "holds": len(ratios) >= _REPETITIONS and median >= _LEAST_RATIO,
        "upper": _UPPER,
        "target": f"{gain} below the baseline",
        "times_as_fast": [round(ratio, 2) for ratio in ratios],
        "median": round(median, 2),
        "times_as_fast_on_the_way": {
            str(there): [_ratio_to(there, one) for one in results] for there in _ON_THE_WAY
        },
        **{name: [one[name] for one in results] for name in _ARMS},
    }


def _ratio_to(gain: float, results: Mapping[str, Any]) -> float | None:
    """Return the speed-up by the ladder in reaching a gain; None unless both nodes reached it."""
    took_s = {
        name: next((seconds for seconds, kept in one["climb"] if kept >= gain), None)
        for name, one in results.items()
    }
    alone_s, ladder_s = took_s["alone"], took_s["ladder"]
    return round(alone_s / ladder_s, 2) if alone_s and ladder_s else None


def _started(place: Path, flags: Sequence[str]) -> "subprocess.Popen[bytes]":
    Home(place).prepare()
    _note_pause(place)
    command = [sys.executable, "-m", "node", "start", "--task", _UPPER, "--network", "none"]
    return subprocess.Popen(
        dying([*command, "--lanes", "1", *flags]),
        env=_environment(place),
        stdin=subprocess.DEVNULL,
    )


def _note_pause(place: Path) -> None:
    """Record the pause of a resumed node, since its last record."""
    with contextlib.suppress(ArnodeError), Store.open_read_only(Home(place)) as store:
        if latest := store.records.own()[-1:]:
            pause = latest[0].ts_ms, round(time.time() * 1000)
            (place / _PAUSED).write_text(json.dumps([*_pauses(place), pause]))


def _pauses(place: Path) -> list[tuple[int, int]]:
    file = place / _PAUSED
    return json.loads(file.read_text()) if file.exists() else []


def _worked_s(place: Path, began_ms: int, ended_ms: int) -> float:
    """Return a node's working seconds between two times, without pauses."""
    paused_ms = sum(until - since for since, until in _pauses(place) if until <= ended_ms)
    return (ended_ms - began_ms - paused_ms) / 1000


def _is_over(place: Path, gain: float, longest_s: float) -> bool:
    try:
        with Store.open_read_only(Home(place)) as store:
            entries, began_ms = _entries(store, place)
    except ArnodeError:  # the store is being created
        return False
    if began_ms is None:
        return False
    is_late = _worked_s(place, began_ms, round(time.time() * 1000)) > longest_s
    return is_late or _reached(entries, gain) is not None


def _entries(store: Store, place: Path) -> tuple[list[Experiment], int | None]:
    """Return the experiments on the upper rung, and the node's start time."""
    task = load_task(_UPPER, data_dir=Home(place).data)
    first = store.records.own()[:1]
    return store.experiments.listed(task=task.id), first[0].ts_ms if first else None


def _reached(entries: Sequence[Experiment], gain: float) -> Experiment | None:
    """Return the first kept experiment that reached the target, by its own runs."""
    wanted_nano = round(gain * NANO)
    return next((entry for entry, nano in _kept(entries) if nano >= wanted_nano), None)


def _kept(entries: Sequence[Experiment]) -> Iterator[tuple[Experiment, int]]:
    """Yield each kept experiment with the difference of its own runs to the first baseline."""
    baselines = [entry.metric_nano for entry in entries if entry.stage == "baseline"]
    base_nano = baselines[0] if baselines else None
    for entry in entries:
        if base_nano is not None and entry.decision == "kept" and entry.metric_nano is not None:
            yield entry, base_nano - entry.metric_nano


def _arm(place: Path, gain: float) -> Arm:
    with Store.open_read_only(Home(place)) as store:
        entries, began_ms = _entries(store, place)
        changes = transfer_histories(store)
        slopes = [*slopes_known(changes).values()]
    reached = _reached(entries, gain)
    ended_ms = reached.ts_ms if reached else entries[-1].ts_ms
    began_ms = began_ms or ended_ms
    results = _compared(place)
    tried = [entry for entry in entries if entry.stage in ("screen", "keep")]
    kept = [entry for entry in tried if entry.decision == "kept"]
    return Arm(
        seconds=round(_worked_s(place, began_ms, ended_ms), 1),
        reached=reached is not None,
        gain=results["gain"],
        lower=results["lower"],
        upper=results["upper"],
        tried=len(tried),
        kept=len(kept),
        alone=round(sum(entry.gain_nano or 0 for entry in kept) / NANO, 4),
        carried=[
            {
                "title": change.title,
                "changes": len(change.patches),
                "there": change.there and change.there.gain,
                "here": place.gain,
                "came": place.outcome,
            }
            for change in changes
            for place in change.places
        ],
        slope=(slopes[0].mean, *slopes[0].interval) if slopes else None,
        climb=[
            (round(_worked_s(place, began_ms, entry.ts_ms), 1), round(nano / NANO, 4))
            for entry, nano in _kept(entries)
        ],
    )


def _compared(place: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "node", "compare", "--task", _UPPER, "--pairs", str(_PAIRS)]
    results = subprocess.run(
        dying([*command, "baseline", "working", "--json"]),
        env=_environment(place),
        stdout=subprocess.PIPE,
        check=False,
    )
    found: dict[str, Any] = json.loads(results.stdout)
    return found


def _environment(place: Path) -> dict[str, str]:
    # The nodes are each other's load, so none waits for a quiet minute.
    own = {"ARNODE_HOME": str(place), "ARNODE_WEB": "none", "ARNODE_QUIET_MINUTES": "0"}
    return {**os.environ, **own}
