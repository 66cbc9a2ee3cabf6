"""The demo: four real nodes on this machine, one of which lies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.traps import Traps
from trainer.sandbox.tier import probe_tier

pytestmark = pytest.mark.skipif(
    probe_tier().name != "full", reason="strangers' code runs in the full sandbox only"
)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_gain_is_adopted_a_lie_refuted_and_all_boards_agree(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [sys.executable, "-m", "node", "demo", "--json", "--keep", str(kept)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1100,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["holds"]
    assert facts["verdicts"] == {"finder": "confirmed", "liar": "refuted"}
    assert set(facts["board_digests"]) == {"bootstrap", "finder", "checker"}
    assert len(set(facts["board_digests"].values())) == 1
    measured, claimed = facts["measured_by_checker"], facts["claimed"]
    assert measured["finder"] > 0
    assert measured["liar"] < claimed["liar"] / 2  # chance alone shows a few sd of the 12 claimed
    for said in ("refuted", "the checker adopts it", "byte for byte"):
        assert said in done.stderr
    assert "Traceback" not in "".join(log.read_text() for log in kept.glob("*.log"))


# Whatever is left of the demo becomes its child; it waits until nobody is.
WITNESS = """
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
number = getattr(signal, sys.argv[1])
command = [sys.executable, "-I", "-m", "node", "demo"]
demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
for line in demo.stderr:
    if "four nodes run" in line:
        demo.send_signal(number)
        break
ended, status = 0, None
try:
    while True:
        pid, code = os.wait()
        ended += 1
        status = code if pid == demo.pid else status
except ChildProcessError:
    print(os.waitstatus_to_exitcode(status), ended)
"""


@pytest.mark.soak
# That a kill leaves nothing, tests/node/test_lifeline.py shows of a smaller program.
@pytest.mark.parametrize(
    ("number", "code"),
    [("SIGTERM", 130), ("SIGKILL", -9)],
)
@pytest.mark.timeout(150)
def test_nothing_of_it_outlives_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, number: str, code: int
) -> None:
    traps = Traps(tmp_path_factory.mktemp("here"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITNESS, number],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=traps.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.split()[0] == str(code), done.stderr
    assert traps.imported == ""
    assert list(tmp_path.iterdir()) == []


def test_it_writes_into_no_folder_that_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "node", "demo", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "exists already" in done.stderr
    assert list(tmp_path.iterdir()) == []
