"""`arnode verify` on every kind of claim: its verdict, its exit code and its cost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.source.edits import reapply
from protocol.errors import ArnodeError
from tests.conftest import SHORT_TASK
from tests.integration.claims import changed, write_claim
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

_MOVES = {"muon", "small-embeddings"}  # together they gain 5 to 7 sd
_NOTHING = "\n# nothing\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A claim about a source, and the expected result."""

    name: str
    text: str
    claimed_sd: float
    code: int
    verdict: str | None
    word: str | None = None
    is_torn: bool = False
    is_marked: bool = False


def run_verify(folder: Path) -> dict[str, object]:
    """Verify each claim and return the results. `holds` sums them up."""
    folder.mkdir(parents=True, exist_ok=True)
    task = load_task(SHORT_TASK, data_dir=folder / "data")
    figures: dict[str, Mapping[str, object]] = {}
    for case in _cases(task):
        path = folder / f"{case.name}.bundle"
        write_claim(path, task, changed(task, case.text), case.claimed_sd)
        if case.is_torn:
            data = bytearray(path.read_bytes())
            data[-200] ^= 1
            path.write_bytes(data)
        figures[case.name] = _verified(folder, path, case)
        print(f"  {case.name}: {figures[case.name]}", file=sys.stderr, flush=True)
    return {"claims": figures, "holds": all(one["as_expected"] for one in figures.values())}


def _cases(task: Task) -> Iterator[Case]:
    text = task.source["train.py"].decode()
    better = _better(task)
    yield Case(name="true", text=better, claimed_sd=5, code=0, verdict="confirmed", word="holds")
    yield Case(name="null", text=text + _NOTHING, claimed_sd=1, code=5, verdict="unconfirmed")
    yield Case(name="forged", text=text + _NOTHING, claimed_sd=4, code=4, verdict="refuted")
    yield Case(
        name="inflated",
        text=better + _NOTHING,
        claimed_sd=16,
        code=8,
        verdict="smaller",
        word="smaller",
    )
    crash = text.replace("batches = make_dataloader(", "raise ValueError\nbatches = (")
    yield Case(name="unrunnable", text=crash, claimed_sd=5, code=1, verdict="unrunnable")
    yield Case(
        name="marked",
        text=f"import os\n{better}",
        claimed_sd=5,
        code=0,
        verdict="confirmed",
        is_marked=True,
    )
    yield Case(name="torn", text=better, claimed_sd=5, code=7, verdict=None, is_torn=True)


def _better(task: Task) -> str:
    source = task.source
    for move in task.moves:
        if move.name in _MOVES:
            made = reapply(move.edits, source)
            if made is None:
                raise ArnodeError(f"the move {move.name} does not fit any more", "choose another")
            source = made
    return source["train.py"].decode()


def _verified(folder: Path, path: Path, case: Case) -> Mapping[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "node", "verify", str(path), "--json"],
        env={
            **os.environ,
            "ARNODE_HOME": str(folder / "home"),
            "ARNODE_TASK": str(SHORT_TASK),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout) if done.stdout else {}
    as_expected = (
        done.returncode == case.code
        and said.get("verdict") == case.verdict
        and (case.word is None or said.get("claim") == case.word)
        and bool(said.get("marks")) == case.is_marked
        and "Traceback" not in done.stderr
    )
    return {
        "claimed_sd": case.claimed_sd,
        "code": done.returncode,
        "verdict": said.get("verdict"),
        "claim": said.get("claim"),
        "gain": said.get("gain"),
        "runs": said.get("runs"),
        "as_expected": as_expected,
    }
