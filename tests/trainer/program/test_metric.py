"""From measurements to a run's score: aggregates, shares, guards, bounds, rounding."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.manifest import TaskManifest
from protocol.program import Guard
from tests.trainer.program.tasks import read, write_task
from trainer.program.metric import (
    AGGREGATES,
    MEASURED,
    MOST,
    SCALE,
    InstanceMeasurement,
    Unfit,
    aggregated,
    coarse,
    guard_fault,
    guarded,
    impossible,
    metric_nano,
)

NANO = 10**9


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> TaskManifest:
    return read(write_task(tmp_path_factory.mktemp("task"))).manifest


def of(
    manifest: TaskManifest, *, metric: dict[str, Any] | None = None, **spec: Any
) -> TaskManifest:
    """Return the manifest with other fields of its metric and of its judge."""
    assert manifest.program is not None
    return replace(
        manifest,
        metric=replace(manifest.metric, **(metric or {})),
        program=replace(manifest.program, **spec),
    )


def one(
    figure: float = 0.0,
    *,
    wall_s: float = 1.0,
    base: InstanceMeasurement | None = None,
    **more: Any,
) -> InstanceMeasurement:
    return InstanceMeasurement(
        wall_s=wall_s,
        cpu_s=more.pop("cpu_s", 0.5),
        peak_bytes=more.pop("peak_bytes", 3_000_000),
        answer_bytes=more.pop("answer_bytes", 7),
        figures={"error": figure, **more},
        base=base,
    )


@pytest.mark.parametrize(
    ("how", "value"), [("mean", 3.5), ("sum", 7.0), ("max", 5.0), ("geomean", math.sqrt(10))]
)
def test_aggregates(manifest: TaskManifest, how: str, value: float) -> None:
    reported = metric_nano(of(manifest, aggregate=how), [one(2.0), one(5.0)], size=0)
    assert reported == round(value * NANO)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), st.sampled_from(AGGREGATES))
def test_an_aggregate_of_equal_figures_is_theirs_whatever_their_order(
    values: list[float], how: str
) -> None:
    assert aggregated(values, how) == pytest.approx(aggregated(values[::-1], how))
    if how != "sum":
        assert aggregated([values[0]] * 3, how) == pytest.approx(values[0])
        assert min(values) * 0.999 <= aggregated(values, how) <= max(values) * 1.001


@pytest.mark.parametrize("figure", [0.0, -1.0])
def test_a_geometric_mean_needs_figures_above_zero(figure: float) -> None:
    with pytest.raises(Unfit, match="above zero"):
        aggregated([1.0, figure], "geomean")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peak_mb", 3.0),
        ("answer_bytes", 7.0),
        ("source_bytes", 99.0),
        ("build_bytes", 99.0),
        ("wall_s", 0.5),
        ("cpu_s", 0.25),
        ("instructions", 0.75),
    ],
)
def test_what_is_measured_is_not_asked_of_the_judge(
    manifest: TaskManifest, name: str, value: float
) -> None:
    """This holds even if the judge has a figure of that name."""
    assert name in MEASURED
    base = replace(one(wall_s=2.0, cpu_s=2.0), instructions=4_000_000)
    other_instance = InstanceMeasurement(
        wall_s=1.0,
        cpu_s=0.5,
        instructions=3_000_000,
        peak_bytes=3_000_000,
        answer_bytes=7,
        figures={name: -5.0},
        base=base,
    )
    reported = metric_nano(of(manifest, metric={"name": name}), [other_instance] * 2, size=99)
    assert reported == round(value * NANO)


def test_seconds_need_a_baseline_next_to_them(manifest: TaskManifest) -> None:
    with pytest.raises(Unfit, match="without the baseline"):
        metric_nano(of(manifest, metric={"name": "wall_s"}), [one()], size=0)


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_is_no_metric(manifest: TaskManifest, figure: float) -> None:
    with pytest.raises(Unfit, match="error is"):
        metric_nano(manifest, [one(1.0), one(figure)], size=0)


@pytest.mark.parametrize("how", ["mean", "sum", "max"])
@pytest.mark.parametrize("figure", [MOST, -MOST, 1e300])
def test_a_figure_beyond_what_records_hold_is_none(
    manifest: TaskManifest, how: str, figure: float
) -> None:
    with pytest.raises(Unfit, match="a larger unit"):
        metric_nano(of(manifest, aggregate=how), [one(figure)], size=0)


def test_a_figure_that_the_judge_does_not_name_is_none(manifest: TaskManifest) -> None:
    with pytest.raises(Unfit, match="did not return 'excess'"):
        metric_nano(of(manifest, metric={"name": "excess"}), [one()], size=0)


def test_zero_is_a_figure_like_any_other(manifest: TaskManifest) -> None:
    assert metric_nano(manifest, [one(0.0), one(-0.0)], size=0) == 0


@pytest.mark.parametrize("nano", [0, 1, -1, 62_499, 62_500, 187_500, -62_501, 10**15, -(10**15)])
def test_a_drawn_metric_is_reported_in_eighths_of_the_noise_floor(
    manifest: TaskManifest, nano: int
) -> None:
    grain = manifest.noise_floor_nano // 8
    reported = coarse(nano, manifest)
    assert reported % grain == 0
    assert abs(reported - nano) <= grain / 2
    assert coarse(reported, manifest) == reported
    assert coarse(nano, replace(manifest, noise_floor_nano=0)) == nano, "of six digits"


def test_a_drawn_metric_of_unknown_noise_is_reported_in_six_digits(manifest: TaskManifest) -> None:
    unknown = replace(manifest, noise_floor_nano=0)
    assert coarse(1_234_567_891, unknown) == 1_234_570_000
    assert coarse(-1_234_567_891, unknown) == -1_234_570_000
    assert coarse(0, unknown) == 0
    near = [coarse(nano, unknown) for nano in range(999_990, 1_000_020)]
    assert near == sorted(near)


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_coarse_keeps_the_order(one: int, other: int) -> None:
    manifest = _Floor()
    low, high = sorted((one, other))
    assert coarse(low, manifest) <= coarse(high, manifest)  # type: ignore[arg-type]  # that is all it asks


class _Floor:
    noise_floor_nano = 1_000_000


def test_better_than_possible_goes_by_the_direction(manifest: TaskManifest) -> None:
    low = of(manifest, impossible=0)
    high = of(manifest, metric={"direction": "max"}, impossible=0)
    assert [impossible(nano, low) for nano in (-1, 0, 1)] == [True, False, False]
    assert [impossible(nano, high) for nano in (-1, 0, 1)] == [False, False, True]
    assert not impossible(-(10**15), manifest)


def guard(**limits: Any) -> Guard:
    return Guard(name="wall_s", scale=SCALE, **limits)


def test_a_guard_is_the_mean_over_instances_as_a_share_of_the_baselines() -> None:
    guards = [guard(times_millionths=1_500_000)]
    found = guarded(guards, [one(wall_s=1.0), one(wall_s=2.0)])
    assert found == {"wall_s": 1.5}
    assert guard_fault(guards, found, {"wall_s": 1.0}) is None
    assert guard_fault(guards, found, {}) is None  # the baseline's own first run
    broken = guard_fault(guards, found, {"wall_s": 0.9})
    assert broken is not None
    assert "wall_s" in broken
    assert "1.5" in broken


def test_a_guard_may_be_a_figure_at_all() -> None:
    guards = [guard(most=2 * NANO)]
    assert guard_fault(guards, {"wall_s": 2.0}, {}) is None
    assert guard_fault(guards, {"wall_s": 2.0001}, {"wall_s": 9.0}) is not None


def test_a_guard_on_what_the_judge_says() -> None:
    guards = [Guard(name="calls", scale=SCALE, most=2 * NANO)]
    assert guarded(guards, [one(calls=1), one(calls=3)]) == {"calls": 2.0}
    with pytest.raises(Unfit, match="did not return 'calls'"):
        guarded(guards, [one()])


def test_a_task_on_a_folder_reads_its_scale(tmp_path: Path) -> None:
    manifest = read(write_task(tmp_path / "task")).manifest
    assert manifest.metric.scale == SCALE
