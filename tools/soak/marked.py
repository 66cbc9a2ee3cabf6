"""The slow tests that `make test` skips, and the property tests with eight times the examples.

The figures say how long each test took.
"""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tools.paths import ROOT


def run_marked(home: Path) -> dict[str, object]:
    """Run the tests, two files at a time."""
    report = home / "report.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-m", "soak or hypothesis"),
            *("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder"),
            *("--hypothesis-profile", "soak", f"--junitxml={report}"),
        ],
        cwd=ROOT,
        check=False,
    )
    cases = ET.parse(report).iter("testcase")  # noqa: S314 (written by pytest just now)
    seconds = {case.attrib["name"]: round(float(case.attrib["time"]), 1) for case in cases}
    return {"seconds": seconds, "holds": done.returncode == 0}
