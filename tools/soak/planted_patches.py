"""Patches of `tiny` whose gain is measured before a node sees them.

Good ones gain at least four standard deviations. Null ones only change the random noise. Bad ones
lose, or look good for some seeds only. Each consists of moves of the task and then exact
replacements.
"""

from dataclasses import dataclass
from typing import Final

from agent.source.edits import reapply
from node.source_review.inspection import inspect
from protocol.errors import ArnodeError
from protocol.source import Source
from trainer.task_folder.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A patch of the baseline. `kind` is what it was chosen to be, whatever was measured."""

    name: str
    kind: str
    moves: tuple[str, ...] = ()
    edits: tuple[tuple[str, str], ...] = ()

    def source(self, task: Task, base: Source | None = None) -> Source:
        """Return `base` or the baseline with this patch. Raises ArnodeError if it does not fit."""
        base = base or task.source
        source = base
        moves = {move.name: move for move in task.moves}
        for name in self.moves:
            made = reapply(moves[name].edits, source)
            if made is None:
                raise ArnodeError(f"the move {name} does not fit any more", "choose another")
            source = made
        path, data = source.files[0]
        text = data.decode()
        for old, new in self.edits:
            if text.count(old) != 1:
                raise ArnodeError(f"{self.name}: {old!r} is not there once", "change the patch")
            text = text.replace(old, new)
        # Without comments and docstrings, as a node adopts peers' code, so that trees are equal.
        whole = source.replacing(path, text.encode())
        found = inspect(whole, kind=task.manifest.kind, baseline=task.source, base=base)
        if not isinstance(found.stripped, Source):
            raise ArnodeError(f"{self.name} cannot be stripped of its prose", "change the patch")
        return found.stripped


def _good(name: str, *moves: str, edits: tuple[tuple[str, str], ...] = ()) -> Planted:
    return Planted(name=name, kind="good", moves=moves, edits=edits)


def _null(name: str, *edits: tuple[str, str]) -> Planted:
    return Planted(name=name, kind="null", edits=edits)


def _bad(name: str, *edits: tuple[str, str]) -> Planted:
    return Planted(name=name, kind="bad", edits=edits)


UNREAD: Final = "unread-constant"  # the patch that must change no bit of a run

_INIT = "            nn.init.normal_(parameter, std=MATRIX_INIT)\n"
_MODEL = "model = GPT(tokenizer.get_vocab_size())\n"
_RATE = "LEARNING_RATE = 1e-2\n"

PLANTED = (
    _good("muon", "muon"),
    _good("short-rows", "short-rows"),
    _good("bigram", "bigram"),
    _good("rope", "rope"),
    _good("smear", "smear"),
    _good("muon-embeddings", "muon", edits=(("EMBEDDING_INIT = 0.3", "EMBEDDING_INIT = 0.03"),)),
    _good("shorter-rows", "short-rows", edits=(("SEQUENCE = 64 ", "SEQUENCE = 32 "),)),
    _null(UNREAD, ("BATCH = 4 ", "IDLE = 1\nBATCH = 4 ")),
    _null(
        "positions-first",
        (
            "x = x + self.positions.weight[: tokens.size(1)]",
            "x = self.positions.weight[: tokens.size(1)] + x",
        ),
    ),
    _null("one-draw-more", (_MODEL, f"torch.rand(1)\n{_MODEL}")),
    _null("initialised-twice", (_INIT, _INIT + _INIT)),
    _null(
        "reversed-initialisation",
        (
            "for parameter in self.parameters():",
            "for parameter in reversed(list(self.parameters())):",
        ),
    ),
    _null("larger-epsilon", ("EPSILON = 1e-8", "EPSILON = 2e-8")),
    _null("nudged-rate", (_RATE, "LEARNING_RATE = 1.002e-2\n")),
    _bad("higher-rate", (_RATE, "LEARNING_RATE = 2e-2\n")),
    _bad("large-batch", ("BATCH = 4 ", "BATCH = 8 ")),
    _bad("larger-embeddings", ("EMBEDDING_INIT = 0.3", "EMBEDDING_INIT = 0.6")),
    _bad("short-warmdown", ("WARMDOWN = 0.5 ", "WARMDOWN = 0.2 ")),
    _bad(
        "gambled-rate",
        (
            _MODEL,
            f"LEARNING_RATE *= 2.0 ** torch.randn(()).item()\n{_MODEL}",
        ),
    ),
    _bad(
        "rare-explosion",
        (
            _MODEL,
            f"LEARNING_RATE *= 6.0 if torch.rand(()).item() < 0.1 else 1.0\n{_MODEL}",
        ),
    ),
)
