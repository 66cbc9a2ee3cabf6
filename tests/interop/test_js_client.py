"""A client written from docs/protocol.md alone agrees with the golden files."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.javascript import FOLDER, node_program

PROGRAM = FOLDER / "client" / "vectors.mjs"
VECTORS = Path(__file__).parents[1] / "vectors"
PATIENCE_S = 120


def judged(vectors: Path) -> subprocess.CompletedProcess[str]:
    """Let the client judge the vectors of a folder."""
    command = [node_program(), str(PROGRAM), str(vectors)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_client_makes_and_judges_all_that_the_golden_files_hold() -> None:
    golden: Any = json.loads((VECTORS / "records.json").read_text("utf-8"))
    counts = {name: len(golden[name]) for name in ("records", "variants", "rejects")}
    counts["signatures"] = len(json.loads((VECTORS / "signatures.json").read_text("utf-8")))
    counts["evidence"] = len(json.loads((VECTORS / "evidence.json").read_text("utf-8"))["cases"])
    counts |= {name: len(golden[name]) for name in ("trees", "tasks")}
    said = judged(VECTORS)
    lines = [f"{name}: {count} of {count}" for name, count in counts.items()]
    assert said.stdout.splitlines() == lines, said.stderr
    assert said.returncode == 0


def test_the_client_names_a_record_that_it_finds_wrong(tmp_path: Path) -> None:
    golden: Any = json.loads((VECTORS / "records.json").read_text("utf-8"))
    golden["records"][0]["id"] = "00" * 32
    golden["rejects"].append(
        {"fault": "nothing", "reason": "", "wire": golden["records"][1]["wire"]}
    )
    (tmp_path / "records.json").write_text(json.dumps(golden), "utf-8")
    (tmp_path / "signatures.json").write_text("[]", "utf-8")
    (tmp_path / "evidence.json").write_text('{"cases": []}', "utf-8")
    said = judged(tmp_path)
    assert said.returncode == 1
    assert "records: profile: id: " in said.stdout
    assert "rejects: nothing: accepted" in said.stdout
