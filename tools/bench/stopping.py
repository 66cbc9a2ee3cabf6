"""The benefit of stopping hopeless screens early over a week, by curves of recorded sessions.

The forecast errors are drawn from recorded runs, all looks of one run together. The gains of
proposals come from the common model. Looks stop runs as in `node.line.loss_forecast`, with the
precision of forecasts from many runs.
"""

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist, fmean, stdev
from typing import Final

from node.line.loss_forecast import MISSED, SHARES, LossForecast
from node.store.jobs import PlannedRun
from protocol.rule import DEFAULT
from protocol.runs import Role
from protocol.units import NANO
from tools.bench.shares import ratio_of, share_of
from tools.bench.streams import SD, Node
from tools.bench.worlds import RUNS_A_NIGHT, Machine
from tools.soak.stopping import RECORDED, Session, kept_session, shown

_SEEDS: Final = 40
_NIGHTS: Final = 7
_MUCH_SD: Final = 8.0
_RUNS: Final = {"runs of 5 min": RUNS_A_NIGHT, "runs of 30 s": 10 * RUNS_A_NIGHT}  # a night has

Off = tuple[float, ...]  # a run's forecast error at each of SHARES, in sd


@dataclass
class Stopping(Node):
    """A node that stops hopeless screens, with the forecast errors of recorded runs."""

    offs: Sequence[Off] = ()
    reaches: Off = ()
    is_screening: bool = False
    saved: float = 0.0  # runs
    screens: int = 0
    looked: random.Random = field(default_factory=lambda: random.Random(0))
    keeps: int = 0  # screens that would have passed, of patches that gain at least 1 sd
    lost: int = 0  # of these, stopped

    def _experiment(self) -> None:
        self.is_screening = True
        super()._experiment()
        self.is_screening = False

    def _run(self, role: Role, worth: float, seed: int) -> PlannedRun:
        run = super()._run(role, worth, seed)
        if not (self.is_screening and role == "candidate" and seed == 0) or not self.offs:
            return run
        self.screens += 1
        ended_sd = (self._measured(run) - self._level_nano()) / (SD * NANO)
        needed_sd, off = -DEFAULT.screen_sd, self.looked.choice(self.offs)
        is_keep = worth - self._worth >= 1 and ended_sd < needed_sd
        self.keeps += is_keep
        for share, forecast_error, reach in zip(SHARES, off, self.reaches, strict=True):
            if ended_sd - forecast_error - reach > needed_sd:
                self.saved += 1 - share
                self.runs += 1 - share
                self.lost += is_keep
                return self._failing(run) if ended_sd < needed_sd else run
        return run

    def _failing(self, run: PlannedRun) -> PlannedRun:
        """Return a run with a failing score in place of a stopped one."""
        assert run.outcome is not None
        nano = self._level_nano() + round(SD * NANO)
        shifted = replace(run.outcome.run, metric_nano=nano, secret_nano=nano)
        return replace(run, outcome=replace(run.outcome, run=shifted))


def run_stopping(_kept: Path) -> dict[str, object]:
    """Return the gain of a node that stops early, relative to the same node that does not."""
    sessions = [kept_session(path) for path in sorted(RECORDED.glob("tiny-long-*.json.xz"))]
    offs = [off for session in sessions for off in offs_of(session)]
    jobs = list(range(_SEEDS))
    figures: dict[str, object] = {
        "recorded runs": len(offs),
        "off by, in sd": {
            str(share): round(sd, 2) for share, sd in zip(SHARES, _sds(offs), strict=True)
        },
    }
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for name, runs in _RUNS.items():
            pairs = pool.map(partial(_pair, runs, offs), jobs, chunksize=1)
            figures[name] = {
                "times": ratio_of(
                    [one.progress.gain for one, _ in pairs], [two for _, two in pairs]
                ),
                "saved_of_runs": round(fmean(one.saved / one.machine.runs for one, _ in pairs), 3),
                "keeps_lost": share_of(
                    sum(one.lost for one, _ in pairs), sum(one.keeps for one, _ in pairs)
                ),
            }
    return figures


def offs_of(session: Session) -> list[Off]:
    """Return the errors of forecasts of a session's runs of patches, from the other runs' losses.

    Runs that ended much worse are omitted, as they are when forecasts are fitted.
    """
    offs = []
    for run in session.runs:
        others = [one for one in session.runs if one.tree != run.tree]
        loss_forecast = LossForecast(
            others, run.base, session.sd, missed=0.5
        )  # the median forecast
        forecasts = [loss_forecast.least(shown(run, share), run.steps) for share in SHARES]
        off = tuple((run.metric - one[0]) / session.sd for one in forecasts if one is not None)
        if run.tree != run.base and len(off) == len(SHARES) and max(off) < _MUCH_SD:
            offs.append(off)
    return offs


def _sds(offs: Sequence[Off]) -> list[float]:
    return [stdev(off[number] for off in offs) for number in range(len(SHARES))]


def _pair(runs: int, offs: Sequence[Off], seed: int) -> tuple[Stopping, float]:
    print(f"  a week, {runs} runs a night, seed {seed}", file=sys.stderr, flush=True)
    z = NormalDist().inv_cdf(1 - MISSED)
    reaches = tuple(z * sd for sd in _sds(offs))
    with_it = Stopping(
        Machine(random.Random(seed), runs_a_session=runs),
        offs=offs,
        reaches=reaches,
        looked=random.Random(seed),
    )
    with_it.work(_NIGHTS * runs)
    without = Node(Machine(random.Random(seed), runs_a_session=runs))
    return with_it, without.work(_NIGHTS * runs).gain
