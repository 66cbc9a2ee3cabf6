"""A pytest plugin that starts the slowest test files first, so that no worker is left with one.

A worker gets all tests of a file. Otherwise each worker with a part of it would prepare the same
things, such as a calibrated runner or a home. `make durations` writes the seconds per file into
`durations.json`. Files whose tests were all skipped keep their old value. Files without a value go
first. In a single process the order is unchanged.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

DURATIONS: Final = Path(__file__).with_name("durations.json")
_PACKAGE: Final = "tests/adversarial/"  # its files share a runner if they run in a row

_ran_s: Counter[str] = Counter()  # seconds in this session, by file
_skipped: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-durations", action="store_true", help=f"write how long files took to {DURATIONS}"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # a process of xdist
        seconds = json.loads(DURATIONS.read_text())
        for item in items:
            seconds.setdefault(_file_of(item.nodeid), float("inf"))
        package_s = sum(seconds[file] for file in seconds if file.startswith(_PACKAGE))
        seconds |= {file: package_s for file in seconds if file.startswith(_PACKAGE)}
        items.sort(key=lambda item: -seconds[_file_of(item.nodeid)])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.add(_file_of(report.nodeid))
    else:
        _ran_s[_file_of(report.nodeid)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("keep_durations") and not hasattr(session.config, "workerinput"):
        known = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
        kept = {file: known[file] for file in _skipped & known.keys()}
        took = kept | {file: round(ran_s) for file, ran_s in _ran_s.items()}
        DURATIONS.write_text(json.dumps(took, indent=1, sort_keys=True) + "\n")


def _file_of(node_id: str) -> str:
    return node_id.partition("::")[0]
