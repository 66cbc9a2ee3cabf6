"""The cost of an open page for a node on the same machine.

A node works on `tiny` with a lane for each core. Its page is open in Chromium in half of the
blocks. Their order cancels a trend, since a node computes more the more it has tried. The result is
the additional CPU time of the node's own process with a page, plus that of the browser. On a
machine whose cores are all busy, this time is lost for runs. The runs themselves are too few to
show an effect of one percent.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from node.home.home import Home
from tests.integration.nodes import arnode, running_node
from tests.web.page.browser import chromium
from tests.web.page.visitor import Visitor

_MOST_LOST: Final = 0.01
_BLOCKS: Final = "-++-+--+"  # with a page (+) and without
_BLOCK_S: Final = 90.0
_SETTLES_S: Final = 8.0  # wait after the page is opened or closed
_BEGIN_S: Final = 60.0
_BROWSER: Final = "chrom"


@dataclass(frozen=True, slots=True)
class _Block:
    """The mean number of cores in use during one block."""

    node: float
    browser: float


def run_watched(home: Path) -> Mapping[str, object]:
    """Let a node work with and without an open page."""
    place = home / "home"
    Home(place).prepare()
    blocks: dict[str, list[_Block]] = {"+": [], "-": []}
    with (
        running_node(
            place, task=("--task", "tiny"), env={"ARNODE_LANES": "auto", "ARNODE_WEB": "auto"}
        ) as node,
        chromium() as browser,
    ):
        time.sleep(_BEGIN_S)
        for which in _BLOCKS:
            if which == "-":
                blocks[which].append(_measured(node.process.pid, lambda ms: time.sleep(ms / 1000)))
                continue
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            link = arnode(place, "view", "--no-browser").stdout.strip()
            with Visitor(context, link) as visitor:
                visitor.page.wait_for_selector("#standing.live")
                blocks[which].append(_measured(node.process.pid, visitor.page.wait_for_timeout))
            context.close()
    cores = os.cpu_count() or 1
    more, error = without_trend({name: [one.node for one in each] for name, each in blocks.items()})
    looking = fmean(one.browser for one in blocks["+"])
    lost = (more + looking) / cores
    return {
        "holds": lost + error / cores < _MOST_LOST,
        "lost": round(lost, 4),
        "standard_error": round(error / cores, 4),
        "cores": cores,
        "cores_of_the_node": {
            name: [round(one.node, 4) for one in each] for name, each in blocks.items()
        },
        "cores_of_the_browser": [round(one.browser, 4) for one in blocks["+"]],
    }


def without_trend(blocks: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the excess of the blocks with a page, corrected for a trend, and its standard error.

    It is fitted by least squares with a linear trend in time, in the order of `_BLOCKS`.
    """
    left = {name: iter(each) for name, each in blocks.items()}
    taken = np.array([next(left[which]) for which in _BLOCKS])
    has_page = np.array([which == "+" for which in _BLOCKS], dtype=float)
    design = np.stack([has_page, np.ones(len(_BLOCKS)), np.arange(len(_BLOCKS))], axis=1)
    found = np.linalg.lstsq(design, taken, rcond=None)[0]
    rest = taken - design @ found
    variance = rest @ rest / (len(taken) - design.shape[1])
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    return float(found[0]), float(error)


def _measured(node: int, wait_ms: Callable[[float], object]) -> _Block:
    wait_ms(1000 * _SETTLES_S)
    began = time.monotonic(), _cpu_s(node), _browser_s()
    wait_ms(1000 * _BLOCK_S)
    took_s = time.monotonic() - began[0]
    return _Block(
        node=(_cpu_s(node) - began[1]) / took_s, browser=(_browser_s() - began[2]) / took_s
    )


def _browser_s() -> float:
    """Return the CPU seconds of all browser processes. None of them ends within a block."""
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith(_BROWSER):
                total += _cpu_s(int(process.name))
        except FileNotFoundError:
            continue
    return total


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
