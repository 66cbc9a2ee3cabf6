"""The tests that take minutes each and are no part of `make test`, and those of drawn examples,
with eight times as many: how long each took."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tools.paths import ROOT


def run_marked(home: Path) -> dict[str, object]:
    """Run them, two files at a time."""
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
    cases = ET.parse(report).iter("testcase")  # noqa: S314 (pytest has just written it)
    seconds = {case.attrib["name"]: round(float(case.attrib["time"]), 1) for case in cases}
    return {"seconds": seconds, "holds": done.returncode == 0}
