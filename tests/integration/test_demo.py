"""The demo: four real nodes on this machine, one of which lies, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert facts["measured_by_checker"]["finder"] > 0 >= facts["measured_by_checker"]["liar"] - 0.02
    for said in ("refuted", "the checker adopts it", "byte for byte"):
        assert said in done.stderr
    assert "Traceback" not in "".join(log.read_text() for log in kept.glob("*.log"))


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
