"""`weigh` reads pairs as the task's manifest says."""

from dataclasses import replace

import pytest

from node.line.trial import Confirmation
from node.on_demand.measuring import weigh
from protocol.manifest import TaskManifest
from protocol.program import Instances
from protocol.rule import POWER, Claim
from protocol.runs import Run
from tests.protocol.examples import PROGRAM_MANIFEST
from tests.protocol.worlds import run

BASE, CANDIDATE = b"b" * 32, b"c" * 32


def program(*, secret: int = 0, fixed: tuple[str, ...] = ()) -> TaskManifest:
    """A program task without a noise floor."""
    assert PROGRAM_MANIFEST.program is not None
    instances = Instances(public=secret, secret=secret, fixed=fixed)
    return replace(
        PROGRAM_MANIFEST,
        metric=replace(PROGRAM_MANIFEST.metric, name="excess", direction="max"),
        program=replace(PROGRAM_MANIFEST.program, instances=instances, llm=None),
        noise_floor_nano=0,
    )


def weighed(manifest: TaskManifest, *gains: int, claim: Claim | None = None) -> Confirmation:
    """Return the evidence of a trial with these gains, on seeds of different difficulty."""
    runs: list[tuple[bytes, Run]] = []
    for seed, gain in enumerate(gains):
        level = 10**9 * (seed + 1)
        runs.append((BASE, run(seed, "base", level, secret=level)))
        runs.append((CANDIDATE, run(seed, "candidate", level + gain, secret=level + gain)))
    return weigh(runs, manifest, POWER, tolerance=0.0, memorised=0.0, claim=claim)


@pytest.mark.parametrize(("gain", "move"), [(1, "pass"), (0, "miss"), (-1, "miss")])
def test_one_pair_on_fixed_instances_decides(gain: int, move: str) -> None:
    assert weighed(program(fixed=("n=26",)), gain).move == move


def test_of_an_exact_claim_a_part_is_smaller() -> None:
    claim = Claim(gain=2e-9)
    found = [weighed(program(fixed=("n=26",)), gain, claim=claim).verdict for gain in (2, 1, 0)]
    assert found == ["confirmed", "smaller", "refuted"]


def test_on_drawn_instances_pairs_decide_by_their_differences() -> None:
    gains = [100 + seed % 5 for seed in range(16)]
    assert weighed(program(secret=16), *gains[:9]).move == "pair"
    assert weighed(program(secret=16), *gains).move == "pass"
    assert weighed(program(secret=1), *gains).move == "pair", "too few instances were seen"
    assert weighed(program(secret=16), *[0] * 16).move == "miss"
