"""A pytest plugin that sums up skipped tests in one line, instead of pytest's line for each."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.getreports("skipped")
    if skipped:
        terminalreporter.write_line(skip_summary([_reason_of(report) for report in skipped]))


def skip_summary(reasons: list[str]) -> str:
    """Return the number of skips per reason, the most frequent first, and how to run them."""
    counts = Counter(reasons).most_common()
    listed = "; ".join(f"{count} × {reason}" for reason, count in counts)
    return (
        f"Skipped {len(reasons)}: {listed}. On a throw-away Debian machine, `.ci/run` as root "
        "installs what they need and runs them."
    )


def _reason_of(report: pytest.TestReport) -> str:
    assert isinstance(report.longrepr, tuple)
    return report.longrepr[2].removeprefix("Skipped: ")
