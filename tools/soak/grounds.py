"""The true gains of planted patches on a node's current tree, the ground that a crowd works on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ArnodeError
from protocol.source import Source
from tools.soak.cached import SEED_POOL, KeptRuns
from tools.soak.measuring import measure, noise_of, open_runner, worth_of
from tools.soak.planted_patches import PLANTED, UNREAD, Planted
from trainer.task_folder.task import Task

_SEEDS = SEED_POOL[:4]  # on each tree, one for each pair of a claim
_GAIN_SD = 2.0  # nearly three standard errors
# Enough gains for a few heads, cheap enough for every run to finish.
_OFFERED = ("short-rows", "shorter-rows", "rope", "smear")
_IDLE = re.compile(rb"^IDLE_\d+ = \d+\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A planted patch on a tree and its gain there, which is known only for good patches.

    Gains are in standard deviations of the baseline's runs.
    """

    name: str
    source: Source
    gain_sd: float

    @property
    def is_gain(self) -> bool:
        """True if the patch has a gain."""
        return self.gain_sd >= _GAIN_SD


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A tree that gains `gain_sd` over the baseline, and the patches that apply to it.

    `gains` are patches with a measured gain. `bad` ones lose on the baseline.
    """

    head: Source
    gain_sd: float
    noise_sd: float
    gains: Sequence[Found]
    bad: Sequence[Found]

    @property
    def null(self) -> Found:
        """The tree itself, which with one more unread constant is a patch that does nothing."""
        return Found(name="nothing", source=self.head, gain_sd=0.0)


async def noise_of_baseline(task: Task, kept: Path) -> tuple[float, bool]:
    """Return the noise of the baseline, and True if unread constants change no bit of a run.

    If so, other tests run sources without such constants.
    """
    with_one = next(patch for patch in PLANTED if patch.name == UNREAD).source(task)
    async with open_runner(task, kept) as runner:
        await measure(runner, {"baseline": task.source, UNREAD: with_one})
        worth = worth_of(runner.kept, task.source, with_one)
        return noise_of(runner.kept, task.source), (worth.gain, worth.error) == (0.0, 0.0)


async def survey(task: Task, kept: Path, head: Source, noise_sd: float) -> Ground:
    """Measure the gains of the planted patches on a tree, unless they are known already."""
    offered = [patch for patch in PLANTED if patch.name in _OFFERED or patch.kind == "bad"]
    fitting = {patch: made for patch in offered if (made := _made(patch, task, head))}
    async with open_runner(task, kept) as runner:
        program = without_idle(head)
        tried = {
            patch.name: without_idle(made)
            for patch, made in fitting.items()
            if patch.kind == "good"
        }
        # A patch that fails once (for example too slow on this tree) is not measured further.
        await measure(runner, tried, seeds=_SEEDS[:1])
        runnable = {
            name: source
            for name, source in tried.items()
            if _all_succeeded(runner.kept, source, _SEEDS[:1])
        }
        await measure(runner, {"a head": program, **runnable}, seeds=_SEEDS)
        gains_sd = {
            name: worth_of(runner.kept, program, source, seeds=_SEEDS).gain / noise_sd
            for name, source in runnable.items()
            if _all_succeeded(runner.kept, source, _SEEDS)
        }
        over_baseline = worth_of(runner.kept, task.source, program, seeds=_SEEDS)
    found = {
        patch: Found(name=patch.name, source=made, gain_sd=gains_sd.get(patch.name, 0.0))
        for patch, made in fitting.items()
    }
    return Ground(
        head=head,
        gain_sd=over_baseline.gain / noise_sd,
        noise_sd=noise_sd,
        gains=[one for one in found.values() if one.is_gain],
        bad=[one for patch, one in found.items() if patch.kind == "bad"],
    )


def without_idle(source: Source) -> Source:
    """Return the source without unread constants."""
    path, data = source.files[0]
    return source.replacing(path, _IDLE.sub(b"", data))


def _made(patch: Planted, task: Task, head: Source) -> Source | None:
    try:
        return patch.source(task, head)
    except ArnodeError:  # the head contains it already, or changed the same lines
        return None


def _all_succeeded(kept: KeptRuns, source: Source, seeds: Sequence[int]) -> bool:
    outcomes = [kept.get(source.tree, seed) for seed in seeds]
    return all(outcome and outcome.secret_nano is not None for outcome in outcomes)
