"""Contexts for proposers: the tiny task, with a history and with peers."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.proposal import BaseFigures, Brief, Context, Crash, Outcome, PeerPatch, PeerReport
from agent.source.allow_lists import TRAINING
from agent.source.edits import reapply
from protocol.ideas import Edit
from protocol.patches import unified_diff
from protocol.source import Source

_TINY = Path(__file__).parents[2] / "trainer" / "tasks" / "tiny"
SECRET = b"a secret of this node's own"
TINY = Source.of({"train.py": (_TINY / "train.py").read_bytes()})
MOVES: dict[str, tuple[Edit, ...]] = {
    move["name"]: tuple(Edit(path="train.py", **edit) for edit in move["edit"])
    for move in tomllib.loads((_TINY / "moves.toml").read_text())["move"]
}
BRIEF = Brief(
    task="tiny",
    program="# tiny\n\nTry {braces}, `ticks` and\n<tags> as they are.\n",
    metric="val_bpb",
    unit="bits per byte",
    is_minimised=True,
    budget="153,600 tokens",
    hardware_class="cpu-x86_64",
    limits="120 s, 2 GB of memory, weights of 4 MB.",
    measured="""\
- Your version is trained in a sandbox: no network, no files, no other processes, nothing installed.
- Afterwards an evaluator outside asks the trained model about text that it never saw. What the \
script prints or computes about itself counts for nothing: never read, print or aim at a metric, \
and leave the calls of the harness and their order as they are.""",
    noise_sd=0.0104,
    base=BaseFigures(metric=1.2345, error=0.0144, runs=2, number=0),
    imports=TRAINING.imports,
)


def edit(search: str, replacement: str) -> Edit:
    return Edit(path="train.py", search=search, replace=replacement)


def context(**changes: Any) -> Context:
    """Return a context of the tiny task without history or peers, with these changes."""
    plain = Context(
        source=TINY,
        editable=("train.py",),
        hyperparameters=(),
        moves=(),
        history=(),
        tried=lambda _: False,
        seed=1,
        brief=BRIEF,
    )
    return replace(plain, **changes)


def outcome(decision: Any = "screened_out", **changes: Any) -> Outcome:
    plain = Outcome(
        key="llm:deeper",
        decision=decision,
        gain_sd=None if decision in {"failed", "rejected"} else -0.4,
        title="Deeper",
        proposer="llm",
        edits=(edit("LAYERS = 2\n", "LAYERS = 3\n"),),
    )
    return replace(plain, **changes)


def peer(name: str = "qk-norm", **changes: Any) -> PeerPatch:
    """Return a peer's patch that makes one of the task's moves."""
    edits = MOVES[name]
    made = reapply(edits, TINY)
    assert made is not None
    number = list(MOVES).index(name)
    plain = PeerPatch(
        patch=bytes([number]) * 32,
        author="somebody",
        level="claimed",
        hardware_class="cpu-x86_64",
        is_near=True,
        gain_sd=1.5,
        title=f"What {name} is for",
        why="It helped there.",
        diff=unified_diff(TINY, made),
        edits=edits,
    )
    return replace(plain, **changes)


def peer_report(**changes: Any) -> PeerReport:
    """Return a peer's published report on a night."""
    plain = PeerReport(
        author="somebody",
        hardware_class="cpu-x86_64",
        is_near=True,
        hours=8.2,
        figures=(("trials", 3), ("experiments", 48), ("kept", 5), ("passed", 2)),
        gain_sd=2.5,
        title="A night on two cores",
    )
    return replace(plain, **changes)


def crash(source: Source, **changes: Any) -> Crash:
    plain = Crash(
        source=source,
        key="llm:deeper",
        title="Deeper",
        status="crash",
        reason="exit code 1",
        log_tail="Traceback (most recent call last):\nNameError: name 'LAYRES' is not defined\n",
        attempt=1,
    )
    return replace(plain, **changes)
