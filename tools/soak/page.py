"""The page's performance in a browser: opening, filters, updates, stalls of lists, and cost.

A home with 10,000 experiments is served as a node does, and viewed in Chromium on the same
machine. Then one experiment a second arrives for five minutes, as many as some nodes make in an
hour. Memory is measured after garbage collection. It holds if no figure exceeds its limit.
"""

import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from node.home.home import Home
from node.store.store import Store
from tests.web.page.boards import pretend_board
from tests.web.page.browser import chromium
from tests.web.page.full_store import Full, add_one, fill
from tests.web.page.served import ServedHome, at_work
from tests.web.page.visitor import Visitor

_LOADS: Final = 5
_LOOKS: Final = 10
_IDLE_S: Final = 60.0
_BUSY_S: Final = 300.0
_WISHES: Final = {
    "first_paint_ms": 300,
    "opening_task_ms": 200,
    "live_ms": 1000,
    "stall_ms": 100,
    "filter_ms": 100,
    "filter_stall_ms": 200,
    "idle_share": 0.01,
}
# Filters and orders of the list: a control and the value that it is given, or a heading to click.
_FILTERS: Final = (
    ("decision", "discarded"),
    ("stage", "screen"),
    ("origin", "search"),
    ("since", "30d"),
    ("sort", "LEARNING_RATE"),
    ("sort", "title"),
    ("decision", ""),
    ("order", "asc"),
    ("sort", "DEPTH"),
)
_FILTERED_MS: Final = """([name, value]) => new Promise((done) => {
  const control = document.querySelector(`select[name=${name}]`);
  const since = performance.now();
  control.value = value;
  control.dispatchEvent(new Event("change", { bubbles: true }));
  const look = () => {
    if (document.querySelector(".list[aria-busy], .coming")) requestAnimationFrame(look);
    else done(performance.now() - since);
  };
  requestAnimationFrame(look);
})"""
_LONG_TASKS: Final = """() => {
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longTasks.push(duration);
  }).observe({ type: "longtask" });
}"""


def run_page(home: Path) -> Mapping[str, object]:
    """Serve a full home, view it in the browser and return the figures."""
    place = Home(home / "home")
    with Store.open(place) as store:
        full = fill(place, store, count=10_000)
    with chromium() as browser, ServedHome(place) as served, _visiting(browser, served) as visitor:
        figures: dict[str, float] = {
            **_opening(visitor),
            "live_ms": max(_live_ms(visitor, served)),
            "stall_ms": max(_stalls_ms(visitor, full)),
            **_filtering(visitor),
            "idle_share": _idle_share(visitor),
            **_memory(visitor, served),
        }
    missed = [name for name, most in _WISHES.items() if figures[name] > most]
    return {"holds": not missed, "missed": missed, **figures}


@contextmanager
def _visiting(browser: Any, served: ServedHome) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    with Visitor(context, served.link()) as visitor:
        yield visitor
    context.close()


def _opening(visitor: Visitor) -> dict[str, float]:
    """Return the median times of the first paint and of the complete overview.

    Also return the longest task of the browser while the overview opens.
    """
    visitor.page.add_init_script(f"({_LONG_TASKS})()")
    paints: list[float] = []
    tasks: list[float] = []
    whole: list[float] = []
    for _ in range(_LOADS):
        visitor.page.reload()
        visitor.settle()
        whole.append(visitor.page.evaluate("() => performance.now()"))
        tasks += visitor.page.evaluate("() => window.longTasks")
        paints.append(
            visitor.page.evaluate(
                "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
        )
    return {
        "first_paint_ms": round(statistics.median(paints)),
        "whole_ms": round(statistics.median(whole)),
        "opening_task_ms": round(max(tasks, default=0.0)),
    }


def _live_ms(visitor: Visitor, served: ServedHome) -> Iterator[float]:
    """Yield the delays from the store (experiments) and the node (runs) to the page."""
    visitor.go("overview")
    visitor.page.wait_for_selector("#standing.live")
    for number in range(_LOOKS):
        with Store.open(served.home) as store:
            add_one(store, f"WARMUP → {number}")
        yield _shown_after_ms(lambda: _wait(visitor, f".latest >> text=WARMUP → {number}"))  # noqa: B023
        served.now = {"now": at_work(f"DECAY → {number}")}
        yield _shown_after_ms(lambda: _wait(visitor, f".what >> text=DECAY → {number}"))  # noqa: B023


def _wait(visitor: Visitor, selector: str) -> None:
    visitor.page.wait_for_selector(selector)


def _shown_after_ms(wait: Callable[[], None]) -> float:
    since_s = time.monotonic()
    wait()
    return round(1000 * (time.monotonic() - since_s))


def _stalls_ms(visitor: Visitor, full: Full) -> Iterator[float]:
    """Yield the longest stall while scrolling through each list."""
    for width in (1440, 390):
        visitor.go("experiments")
        visitor.look(width, "light")
        yield _longest_stall_ms(visitor)
    visitor.look(1440, "light")
    pretend_board(visitor.page)
    visitor.go(f"boards/{full.task}/cpu-x86_64?network=main")
    yield _longest_stall_ms(visitor)


def _longest_stall_ms(visitor: Visitor) -> float:
    page = visitor.page
    page.locator(".scroller").hover()
    page.evaluate(_LONG_TASKS)
    for direction in (1, -1, 1):
        for _ in range(40):
            page.mouse.wheel(0, direction * 1500)
        visitor.settle()
    return max(page.evaluate("() => window.longTasks"), default=0.0)


def _filtering(visitor: Visitor) -> dict[str, float]:
    """Return the time of the slowest filter or order of the list, and the longest stall meanwhile.

    A filter's time is its median over a few rounds.
    """
    visitor.go("experiments")
    visitor.page.evaluate(_LONG_TASKS)
    rounds = [[visitor.page.evaluate(_FILTERED_MS, one) for one in _FILTERS] for _ in range(_LOADS)]
    slowest = max(statistics.median(times) for times in zip(*rounds, strict=True))
    stalls = visitor.page.evaluate("() => window.longTasks")
    return {"filter_ms": round(slowest), "filter_stall_ms": max(stalls, default=0.0)}


def _idle_share(visitor: Visitor) -> float:
    """Return the server's use of a core while a page is open and nothing happens."""
    visitor.go("overview")
    visitor.page.wait_for_selector("#standing.live")
    before_s = _cpu_s()
    visitor.page.wait_for_timeout(1000 * _IDLE_S)
    return round((_cpu_s() - before_s) / _IDLE_S, 4)


def _memory(visitor: Visitor, served: ServedHome) -> dict[str, float]:
    """Return the memory of the page and the server before and after many experiments arrive."""
    before = _heap_mb(visitor), _own_mb()
    ends_s, number = time.monotonic() + _BUSY_S, 0
    while time.monotonic() < ends_s:
        number += 1
        with Store.open(served.home) as store:
            add_one(store, f"BUSY → {number}")
        served.now = {"now": at_work(f"BUSY → {number + 1}")}
        visitor.page.wait_for_timeout(1000)
    return {
        "came": number,
        "page_mb": before[0],
        "page_after_mb": _heap_mb(visitor),
        "server_mb": before[1],
        "server_after_mb": _own_mb(),
    }


def _heap_mb(visitor: Visitor) -> float:
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("HeapProfiler.collectGarbage")
    used: int = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return round(used / 2**20, 1)


def _own_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


def _cpu_s() -> float:
    return time.process_time()
