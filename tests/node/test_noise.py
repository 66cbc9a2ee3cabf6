"""The assumed noise: measured by others of the class first, then here."""

import itertools
import random
from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.baseline import close_baseline, open_baseline
from node.line.line_writer import LineWriter
from node.line.noise import LEAST_RUNS, class_sd, known_noise
from node.store.blobs import Blobs
from node.store.jobs import StoredOutcome
from node.store.store import Store
from protocol.program import Instances
from protocol.remarks import NoiseBody
from protocol.runs import Env
from protocol.units import NANO
from tests.node.examples import BASELINE, HARDWARE_CLASS, LINE, MANIFEST, TASK, run
from tests.node.line_writers import (
    GAIN_NANO,
    IDENTITY,
    SUBJECT,
    Clock,
    keep,
    outcomes,
    promotion_trial,
    with_baseline,
)
from tests.node.peer_authors import PeerAuthor
from tests.protocol.examples import PROGRAM_MANIFEST, RICH_PROGRAM

FLOOR_NANO = MANIFEST.noise_floor_nano
FLOOR = FLOOR_NANO / NANO


@pytest.fixture
def blobs(home: Home, store: Store) -> Blobs:
    with_baseline(home, store)
    return Blobs(home.blobs)


def says(author: PeerAuthor, sd: float, *, count: int = 12, name: str = HARDWARE_CLASS) -> None:
    """Publish runs with this noise, in noise floors."""
    chance = random.Random(author.key.public)
    level = 1_500_000_000
    runs = tuple(
        replace(
            run(level, seed=seed, role="base"),
            secret_nano=level + round(sd * FLOOR_NANO * chance.gauss(0, 1)),
        )
        for seed in range(count)
    )
    author.publish(
        NoiseBody(task=TASK, hardware_class=name, env=Env(), tree=BASELINE.tree, runs=runs)
    )


def test_without_others_the_manifest_says_where_to_start(store: Store, blobs: Blobs) -> None:
    assert class_sd(store, LINE, FLOOR_NANO) == FLOOR
    for number in (50, 51):
        says(PeerAuthor(store, blobs, number=number), 3.0)
    assert class_sd(store, LINE, FLOOR_NANO) == FLOOR, "two are too few"


def test_the_median_of_the_class_is_where_a_new_node_starts(store: Store, blobs: Blobs) -> None:
    for number in range(50, 61):
        says(PeerAuthor(store, blobs, number=number), 2.0)
        says(PeerAuthor(store, blobs, number=number + 20), 0.3, name="rtx4090-24g")
    assert class_sd(store, LINE, FLOOR_NANO) == pytest.approx(2 * FLOOR, rel=0.35)
    own = known_noise(store, LINE, FLOOR_NANO)
    assert own.nu == 4 + 1, "four degrees of the class's, one of the own baseline's"


@pytest.mark.parametrize("lie", [0.001, 1000.0])
def test_a_lie_moves_it_within_bounds_and_only_if_most_lie(
    store: Store, blobs: Blobs, lie: float
) -> None:
    for number in range(50, 55):
        says(PeerAuthor(store, blobs, number=number), 1.0)
    for number in range(55, 57):
        says(PeerAuthor(store, blobs, number=number), lie)
    assert class_sd(store, LINE, FLOOR_NANO) == pytest.approx(FLOOR, rel=0.6)
    for number in range(57, 65):
        says(PeerAuthor(store, blobs, number=number), lie)
    assert FLOOR / 4 <= class_sd(store, LINE, FLOOR_NANO) <= 4 * FLOOR


def test_a_few_runs_say_nothing(store: Store, blobs: Blobs) -> None:
    for number in range(50, 55):
        says(PeerAuthor(store, blobs, number=number), 3.0, count=LEAST_RUNS - 1)
    assert class_sd(store, LINE, FLOOR_NANO) == FLOOR


def test_a_confirmation_reports_its_base_runs_to_the_class(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.5")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    (body,) = (one.body for one in store.records.own() if isinstance(one.body, NoiseBody))
    assert body.tree == BASELINE.tree
    assert len(body.runs) == LEAST_RUNS
    assert class_sd(store, LINE, FLOOR_NANO) == FLOOR, "own runs are counted elsewhere"


def test_a_program_s_floor_may_be_zero_as_its_figures_are_whole_numbers(store: Store) -> None:
    assert class_sd(store, LINE, 0) == 1 / NANO
    assert known_noise(store, LINE, 0).sd == pytest.approx(1 / NANO)


UNKNOWN = replace(
    PROGRAM_MANIFEST,
    files=MANIFEST.files,
    noise_floor_nano=0,
    program=replace(RICH_PROGRAM, instances=Instances(public=1, secret=1, fixed=()), regions=None),
)


def baseline_runs(home: Home, store: Store, *figures: tuple[float, float]) -> LineWriter:
    """Measure the baseline of a task whose noise nobody knows: public and secret figures."""
    line_writer = LineWriter(
        store=store,
        blobs=Blobs(home.blobs),
        identity=IDENTITY,
        subject=replace(SUBJECT, manifest=UNKNOWN),
        clock_ms=Clock(),
        random_seed=itertools.count(100).__next__,
    )
    line_writer.announce()
    job = open_baseline(line_writer)
    planned = store.jobs.runs_of(job.id)
    assert len({one.seed for one in planned}) == 2, "twice on each of two seeds"
    for one, (public, secret) in zip(planned, figures, strict=True):
        ended = replace(
            run(round(public * NANO), seed=one.seed, role="base"), secret_nano=round(secret * NANO)
        )
        store.jobs.finish_run(one, StoredOutcome(run=ended, log_tail=""))
    close_baseline(line_writer, job, outcomes(store, job), fingerprint(BASELINE))
    return line_writer


@pytest.mark.parametrize(
    ("figures", "sd"),
    [
        ([(5.0, 9.0), (7.0, 7.0), (5.0, 9.0), (7.0, 7.0)], 2**0.5),  # of runs of one seed
        ([(5.0, 9.0), (5.0, 9.0), (7.0, 9.0), (7.0, 9.0)], 1.0),  # of seeds, as nothing else varies
        ([(5.0, 9.0)] * 4, 1 / NANO),
    ],
)
def test_noise_that_nobody_knows_is_what_the_baselines_first_runs_show(
    home: Home, store: Store, figures: list[tuple[float, float]], sd: float
) -> None:
    line_writer = baseline_runs(home, store, *figures)
    assert known_noise(store, line_writer.key, 0).sd == pytest.approx(sd)
    assert known_noise(store, line_writer.key, 3 * NANO).sd == pytest.approx(3.0), (
        "known by its file"
    )
