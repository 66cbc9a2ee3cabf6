"""The child process that estimates importance for the page (`estimates`).

It prints its progress and then the result, one JSON value a line. Next to a running node it uses a
few percent of one core: more would count as a disturbance of the runs that the node measures. Its
imports are a quarter of its work, so this module does them only after it has set the limit.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

_LOWEST_PRIORITY: Final = 19
_SLICE_S: Final = 0.01  # of processor time between two rests


def main() -> None:
    """Estimate the importance for the home, task, hardware class and share of a core given."""
    _, place, task, hardware_class, share = sys.argv
    os.nice(_LOWEST_PRIORITY)
    if float(share) < 1:
        limit_cpu(float(share))
    _estimate(Path(place), task, hardware_class)


def limit_cpu(share: float) -> None:
    """Make this process rest so often that it uses at most `share` of one core."""
    used_s = 0.0

    def rest(*_: object) -> None:
        nonlocal used_s
        before_s, used_s = used_s, time.process_time()
        time.sleep((used_s - before_s) * (1 / share - 1))

    signal.signal(signal.SIGPROF, rest)
    signal.setitimer(signal.ITIMER_PROF, _SLICE_S, _SLICE_S)


def _estimate(place: Path, task: str, hardware_class: str) -> None:
    import msgspec

    from node.home.home import Home
    from node.reporting.importance import importance_of_line
    from node.reporting.open_home import OpenHome
    from node.reporting.queries import OfLine
    from node.store.blobs import Blobs
    from node.store.store import Store

    def report(share: float, document: object = None) -> None:
        sys.stdout.buffer.write(msgspec.json.encode({"share": share, "document": document}) + b"\n")
        sys.stdout.buffer.flush()

    home, query = Home(place), OfLine(task=task, hardware_class=hardware_class)
    with Store.open_read_only(home) as store:
        at = OpenHome(home=home, store=store, blobs=Blobs(home.blobs))
        report(1.0, importance_of_line(at, query, progress=report))
