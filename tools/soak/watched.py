"""What it costs a node that somebody looks at its page, on the machine that it works on.

A node works on tiny runs; a page of its own is open in Chromium in every other block, in an
order that evens out a drift. It holds when the runs an hour with a page are less than 1 % fewer
and the error of that is smaller. What is proposed changes nothing, so that all runs take the same.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

from node.home.home import Home
from node.line.job_kinds import KINDS
from node.store.store import Store
from tests.integration.nodes import RunningNode, arnode, running_node
from tests.web.page.browser import chromium
from tests.web.page.visitor import Visitor

_MOST_LOST: Final = 0.01
_BLOCKS: Final = "-++-+--+"  # with a page (+) and without
_BLOCK_S: Final = 60.0
_SETTLES_S: Final = 5.0  # after a page was opened or closed
_BEGIN_S: Final = 20.0


# A constant that means nothing for so few steps, another one each time.
_PROPOSE: Final = """\
import re, time
from pathlib import Path

path = Path("train.py")
text = path.read_text()
path.write_text(re.sub(r"EPSILON = .*", f"EPSILON = 1.{time.time_ns()}e-8", text, count=1))
"""


def run_watched(home: Path) -> Mapping[str, object]:
    """Let a node work with and without a page that is open."""
    place = home / "home"
    Home(place).prepare()
    script = home / "propose.py"
    script.write_text(_PROPOSE)
    command = json.dumps([sys.executable, str(script)])
    (place / "config.toml").write_text(f'agent = "command"\nagent_command = {command}\n')
    rates: dict[str, list[float]] = {"+": [], "-": []}
    shares: dict[str, list[float]] = {"+": [], "-": []}
    with (
        running_node(place) as node,
        chromium() as browser,
    ):
        node.wait_until(lambda: len(_ends_ms(place)) > 1)
        time.sleep(_BEGIN_S)
        for block in _BLOCKS:
            if block == "+":
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                link = arnode(place, "view", "--no-browser").stdout.strip()
                with Visitor(context, link) as visitor:
                    visitor.page.wait_for_selector("#standing.live")
                    rate, share = _measured(place, node, visitor.page.wait_for_timeout)
                context.close()
            else:
                rate, share = _measured(place, node, lambda ms: time.sleep(ms / 1000))
            rates[block].append(rate)
            shares[block].append(share)
    lost = 1 - fmean(rates["+"]) / fmean(rates["-"])
    error = sum(stdev(one) ** 2 / len(one) for one in rates.values()) ** 0.5 / fmean(rates["-"])
    return {
        "holds": max(lost, error) < _MOST_LOST,
        "lost": round(lost, 4),
        "standard_error": round(error, 4),
        "runs_an_hour": {name: round(fmean(one), 1) for name, one in rates.items()},
        "cpu_of_the_node": {name: round(fmean(one), 4) for name, one in shares.items()},
    }


def _measured(
    home: Path, node: RunningNode, wait_ms: Callable[[float], object]
) -> tuple[float, float]:
    """Return the runs an hour of a block, and the cores that the node's own process took."""
    wait_ms(1000 * _SETTLES_S)
    began_ms, began_s = time.time_ns() // 1_000_000, _cpu_s(node.process.pid)
    wait_ms(1000 * _BLOCK_S)
    ends_ms = sorted(end_ms for end_ms in _ends_ms(home) if end_ms >= began_ms)
    hours = (ends_ms[-1] - ends_ms[0]) / 3_600_000
    return (len(ends_ms) - 1) / hours, (_cpu_s(node.process.pid) - began_s) / _BLOCK_S


def _ends_ms(home: Path) -> list[int]:
    """Return when each run of the node ended, in milliseconds since 1970."""
    if not Home(home).store.exists():
        return []
    with Store.open_read_only(Home(home)) as store:
        jobs = [
            job
            for line in store.jobs.lines()
            for job in (
                *store.jobs.closed_jobs(line.key, *KINDS),
                *store.jobs.open_jobs(line.key, *KINDS),
            )
        ]
        outcomes = [run.outcome for job in jobs for run in store.jobs.runs_of(job.id)]
        return [one.stages[-1].end_ms for one in outcomes if one and one.stages]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
