"""The true gains of a node's adoptions, measured after the fact."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.source import Source
from tools.soak.cached import SEED_POOL, itself
from tools.soak.measuring import measure, open_runner, worth_of
from trainer.task_folder.task import Task

_SEEDS = SEED_POOL[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of the verified head."""

    old: Source
    new: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The patches that a move added, by name, and its true gain with the standard error."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    gain_sd: float
    error_sd: float
    total_sd: float

    def figures(self) -> Mapping[str, object]:
        """Return the move as JSON figures."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "gain_sd": round(self.gain_sd, 1),
            "error_sd": round(self.error_sd, 1),
            "over_baseline_sd": round(self.total_sd, 1),
        }


async def judged_moves(
    moves: Sequence[Move],
    contents: Mapping[bytes, tuple[str, ...]],
    task: Task,
    kept: Path,
    noise_sd: float,
    *,
    program_of: Callable[[Source], Source] = itself,
) -> list[Judged]:
    """Measure every head with the same seeds. `contents` names the patches in a tree.

    `program_of` maps the heads' sources to those that are run, as in `CachedRunner`.
    """
    heads = {source.tree: program_of(source) for move in moves for source in (move.old, move.new)}
    async with open_runner(task, kept) as runner:
        named = {f"head {tree.hex()[:12]}": source for tree, source in heads.items()}
        await measure(runner, named, seeds=_SEEDS)
        judged: list[Judged] = []
        for move in moves:
            before, after = contents[move.old.tree], contents[move.new.tree]
            worth = worth_of(runner.kept, heads[move.old.tree], heads[move.new.tree], seeds=_SEEDS)
            total = worth_of(runner.kept, task.source, heads[move.new.tree], seeds=_SEEDS)
            judged.append(
                Judged(
                    added=tuple(name for name in after if name not in before),
                    removed=tuple(name for name in before if name not in after),
                    gain_sd=worth.gain / noise_sd,
                    error_sd=worth.error / noise_sd,
                    total_sd=total.gain / noise_sd,
                )
            )
    return judged
