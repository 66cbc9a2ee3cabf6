"""Checks that a judge's instances depend only on their seeds, differ, and do not run out.

Public instances must be the same on every node. Secret instances must differ from public ones.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

from trainer.measuring.checks import Remark, fault, fine, note
from trainer.program.bench import Bench
from trainer.program.instances import DrawnInstance

_HINT: Final = (
    "let instance() depend only on its arguments: use no clock, no order of a set, no randomness "
    "but random_of(seed), and store nothing between calls"
)


async def follows(bench: Bench, asked: Sequence[DrawnInstance]) -> bool:
    """Return True if another process, asked in reverse order, makes the same instances."""
    again = await bench.again(bench.other_judge, asked[::-1])
    return [one.data for one in asked[::-1]] == again


def unseeded() -> Remark:
    """Return the remark for instances that do not depend only on their seeds."""
    return fault("instances", "the judge makes different instances from the same seed", _HINT)


async def supplied(bench: Bench, runs: Sequence[Sequence[DrawnInstance]]) -> AsyncIterator[Remark]:
    """Yield remarks on the supply of instances, from the instances of several runs."""
    if bench.spec.instances.fixed:
        for remark in _fixed(bench, runs[0]):
            yield remark
        return
    if bench.spec.module is not None:
        yield _of_evaluator(bench.spec.vary)
        return
    digests = [[hashlib.sha256(one.data).digest() for one in run] for run in runs]
    if all(known == digests[0] for known in digests[1:]):
        yield fault("seeds", "every seed makes the same instances", _FOLLOW)
    if all(_is_shared(run, known) for run, known in zip(runs, digests, strict=True)):
        yield fault("splits", "the secret split has the public split's instances", _FOLLOW)
    yield _kind(bench, [digest for known in digests for digest in known])


_FOLLOW: Final = "draw every random part of an instance from random_of(seed)"


def _is_shared(run: Sequence[DrawnInstance], digests: Sequence[bytes]) -> bool:
    """Return True if half of a run's secret instances are public ones.

    If this is true for every run, it is no coincidence.
    """
    both = list(zip(run, digests, strict=True))
    public = {digest for one, digest in both if not one.is_secret}
    secret = [digest for one, digest in both if one.is_secret]
    return 2 * sum(digest in public for digest in secret) >= len(secret)


def _of_evaluator(vary: str | None) -> Remark:
    """Report if an imported evaluator draws anything that candidates cannot know in advance."""
    if vary is not None:
        return fine("held out", f"judged, held out: {vary} is drawn for each run")
    return note(
        "public instances",
        "judged, public instances: the evaluator gives every candidate the same problem",
        "a candidate can memorise it: let a seed vary something, with `vary` in [judge]",
    )


def _fixed(bench: Bench, asked: Sequence[DrawnInstance]) -> list[Remark]:
    names = bench.spec.instances.fixed
    count = len({one.data for one in asked})
    if count < len(names):
        return [
            fault(
                "seeds",
                f"the {len(names)} names in `fixed` make only {count} different instances",
                "let instance() use its argument `split`, the name of a fixed instance",
            )
        ]
    what = "one instance" if count == 1 else f"{count} instances"
    if bench.task.is_private:
        return [_private()]
    return [fine("finite", f"finite: {what}, known to all; the answer is published as evidence")]


def _kind(bench: Bench, digests: Sequence[bytes]) -> Remark:
    """Report if instances are private, and if some were drawn twice."""
    again = len(digests) - len(Counter(digests))
    if bench.task.is_private and not again:
        return _private()
    if not again:
        return fine(
            "generated",
            f"generated: {len(digests)} instances were drawn, all different",
            instances=float(len(digests)),
        )
    kind = "private, and finite" if bench.task.is_private else "finite"
    return note(
        "finite",
        f"{kind}: {again} of {len(digests)} drawn instances repeat an earlier one",
        "a candidate can memorise them: if possible, draw more of an instance from the seed",
        instances=float(len(digests)),
        again=float(again),
    )


def _private() -> Remark:
    return fine("private", "private: your own data, on no leaderboard")
