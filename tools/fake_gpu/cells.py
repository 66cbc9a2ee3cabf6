"""The runs on cards that do not exist: sizes, attention, changes, other projects' scripts.

A cell is one script on one card, in one role, compiled or not.
"""

import base64
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.hyperparameters.changes import Change, edits_of
from agent.source.edits import reapply
from agent.source.literals import find_hyperparameters
from protocol.ideas import Edit
from protocol.source import Source
from tests.trainer.pinned import load_pinned
from tools.fake_gpu.environment import ARCHITECTURES, FakeCard
from tools.paths import ROOT
from trainer.card_selftest.sizing import sizes_of
from trainer.task_folder.findings import load_catalogue
from trainer.task_folder.task import Task

# Cards that were made, in GB: the smallest and the largest of an architecture, without slices.
MADE: Final = {
    75: (4, 48), 80: (24, 80), 86: (4, 48), 89: (6, 48), 90: (80, 144), 100: (180, 192),
    120: (8, 96),
}  # fmt: skip
_SMALLEST_GIB: Final = 4.0  # where the table says 0
# As the card's self-test reports them: flex attention is unusable without compiling.
_ATTENTIONS: Final = (("flex", True), ("masked", False), ("masked", True))
_FORKS: Final = ROOT / "tests" / "tasks" / "forks"
_CONTEXT: Final = 2048  # tokens, in autoresearch's script and ours
_TOY_CONTEXT: Final = 128  # in the tests' task for forks
_OTHER_SCRIPTS: Final = {
    "autoresearch": (ROOT / "tools" / "gpu" / "autoresearch" / "train.py", _CONTEXT),
    "karpathy's structure": (_FORKS / "karpathy.py", _TOY_CONTEXT),
    "at-home's structure": (_FORKS / "at_home.py", _TOY_CONTEXT),
    "win-rtx's structure": (_FORKS / "win_rtx.py", _TOY_CONTEXT),
}
_OTHER_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One script on one card. `attention` is the kind that it must use, empty if it may choose."""

    part: str
    name: str
    script: bytes
    card: FakeCard
    compiles: bool
    attention: str = ""
    is_scored: bool = True
    context: int = _CONTEXT
    budget_tokens: int = 1
    budget_seconds: float = 0.0

    @property
    def key(self) -> str:
        """A unique name."""
        how = "compiled" if self.compiles else "eager"
        return f"{self.part}/{self.name}/sm{self.card.sm}/{self.card.memory_gib:g}/{how}"

    def request(self, role: str, weights: Path) -> dict[str, object]:
        """Return the request to the process inside (`tools.fake_gpu.inside.play.Request`)."""
        return {
            "files": {"train.py": base64.b64encode(self.script).decode()},
            "role": role,
            "weights": str(weights),
            "compiles": self.compiles and role == "train",  # scoring is never compiled
            "attention": self.attention,
            "context": self.context,
            "budget_tokens": self.budget_tokens,
            "budget_seconds": self.budget_seconds,
        }


def table_of_sizes(script: bytes) -> tuple[float, ...]:
    """Return the least memory of each size of a script, in GiB."""
    return tuple(size.least_gib or _SMALLEST_GIB for size in sizes_of(script))


def sizes(task: Task, architectures: Sequence[int] = ARCHITECTURES) -> Iterator[Cell]:
    """Yield every size on every architecture, with the least memory that the size is used for."""
    script = task.source["train.py"]
    for least in table_of_sizes(script):
        for sm in architectures:
            for compiles in (False, True):
                card = FakeCard.of(sm, least)
                yield Cell(
                    part="sizes", name="baseline", script=script, card=card, compiles=compiles
                )


def attentions(task: Task) -> Iterator[Cell]:
    """Yield every size with each kind of attention that it can fall back to."""
    script = task.source["train.py"]
    for least in table_of_sizes(script):
        sm = next(sm for sm in (90, 80, 86) if MADE[sm][0] - 4 <= least < MADE[sm][1])
        for kind, compiles in _ATTENTIONS:
            yield Cell(
                part="attention", name=kind, script=script, card=FakeCard.of(sm, least),
                compiles=compiles, attention=kind,
            )  # fmt: skip


def changes(task: Task) -> Iterator[Cell]:
    """Yield every move, published finding, and hyperparameter at its limits, at one size."""
    card, seen = FakeCard.of(86, 24), set[bytes]()
    for name, edits in _changes(task):
        source = reapply(edits, task.source)
        if source is None:
            raise ValueError(f"{name} does not fit the baseline")
        script = source["train.py"]
        if script not in seen:  # a finding may set a hyperparameter to its limit
            seen.add(script)
            yield Cell(
                part="changes", name=name, script=script, card=card, compiles=False,
                is_scored=False,
            )  # fmt: skip


def other_scripts(_task: Task) -> Iterator[Cell]:
    """Yield scripts with the structure of autoresearch and its forks, on three kinds of card."""
    for name, (path, context) in _OTHER_SCRIPTS.items():
        for card in (FakeCard.of(90, 80), FakeCard.of(86, 24), FakeCard.of(75, 16)):
            for compiles in (False, True):
                yield Cell(
                    part="scripts", name=name, script=path.read_bytes(), card=card,
                    compiles=compiles, context=context, budget_tokens=0,
                    budget_seconds=_OTHER_SECONDS,
                )  # fmt: skip


PARTS: Final = {
    "sizes": sizes,
    "attention": attentions,
    "changes": changes,
    "scripts": other_scripts,
}


def cells(parts: Sequence[str]) -> list[Cell]:
    """Return the cells of these parts."""
    with tempfile.TemporaryDirectory() as folder:
        task = load_pinned("nanochat", Path(folder))
    return [cell for part in parts for cell in PARTS[part](task)]


def _changes(task: Task) -> Iterator[tuple[str, Sequence[Edit]]]:
    known = set()
    for move in task.moves:
        known.add(move.edits)
        yield f"move {move.name}", move.edits
    if task.catalogue is not None:
        for finding in load_catalogue(task.catalogue, task):
            if finding.edits not in known:
                yield f"finding {finding.name}", finding.edits
    yield from _range_ends(task.source, task)


def _range_ends(source: Source, task: Task) -> Iterator[tuple[str, Sequence[Edit]]]:
    for hyperparameter in find_hyperparameters(source, task.editable, task.hyperparameters):
        if hyperparameter.spec is None:
            continue
        ends = [
            end for end in (hyperparameter.spec.low, hyperparameter.spec.high) if end is not None
        ]
        for value in hyperparameter.choices or ends:
            change = Change(hyperparameter, value)
            if not change.does_nothing:
                yield f"{hyperparameter.name} = {change.literal}", edits_of(source, [change])
