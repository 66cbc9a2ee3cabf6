"""A task's manifest decides how its pairs are evaluated."""

from dataclasses import replace

import pytest

from protocol.manifest import TaskManifest
from protocol.program import Instances, ModelBudget
from protocol.styles import LEAST_INSTANCES, MOST_PAIRS, RUNS, Style
from tests.protocol.examples import MANIFEST, PROGRAM_MANIFEST

DRAWN = Instances(public=8, secret=16, fixed=())
FIXED = Instances(public=0, secret=0, fixed=("n=26",))


def program(
    instances: Instances, *, metric: str = "excess", llm: ModelBudget | None = None
) -> TaskManifest:
    """Return the manifest of a program task with these instances."""
    spec = PROGRAM_MANIFEST.program
    assert spec is not None
    return replace(
        PROGRAM_MANIFEST,
        metric=replace(PROGRAM_MANIFEST.metric, name=metric),
        program=replace(spec, instances=instances, llm=llm),
        noise_floor_nano=7,
    )


def test_runs_of_a_language_model_scatter_by_themselves() -> None:
    assert Style.of(MANIFEST) == replace(RUNS, floor_nano=MANIFEST.noise_floor_nano)
    assert Style.of(replace(MANIFEST, kind="prophecy")).name == "runs"


def test_where_instances_are_drawn_pairs_are_differences_and_where_they_are_fixed_exact() -> None:
    drawn = Style.of(program(DRAWN))
    assert replace(drawn, public_scatter=1) == Style(
        name="differences", least_pairs=4, floor_nano=7
    )
    assert Style.of(program(FIXED)) == Style(name="exact", floor_nano=7)


def test_the_fewer_public_instances_there_are_the_more_a_screen_scatters() -> None:
    fewer = replace(DRAWN, public=4, secret=16)
    assert Style.of(program(fewer)).public_scatter == 2
    assert Style.of(program(replace(fewer, public=16))).public_scatter == 1


@pytest.mark.parametrize("name", ["wall_s", "cpu_s", "instructions", "peak_mb"])
def test_what_a_clock_says_is_never_exact(name: str) -> None:
    assert Style.of(program(FIXED, metric=name)).name == "differences"
    for instances in (FIXED, DRAWN):
        assert Style.of(program(instances, metric=name)).is_measured
        assert not Style.of(program(instances)).is_measured


def test_what_a_language_model_says_is_never_exact() -> None:
    budget = ModelBudget(models=("any",), calls=1, tokens=1)
    assert Style.of(program(FIXED, llm=budget)).name == "differences"


@pytest.mark.parametrize(
    ("instances", "pairs"), [(1, MOST_PAIRS), (3, 22), (4, 16), (16, 4), (LEAST_INSTANCES, 1)]
)
def test_the_fewer_instances_a_run_has_the_more_pairs_it_takes(instances: int, pairs: int) -> None:
    assert Style.drawing(instances).least_pairs == pairs


def test_only_what_is_exact_needs_one_pair_next_to_the_baseline() -> None:
    assert [Style(name=name).anchor_pairs(4) for name in ("runs", "differences", "exact")] == [
        4,
        4,
        1,
    ]
    assert Style(name="exact").anchor_pairs(0) == 0
