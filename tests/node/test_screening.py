"""Screens are compared with a level, or with the base's own run of the same seed."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.home.home import Home
from node.line.experiment import screen_level
from node.line.line_writer import LineWriter
from node.line.trial import MetricReading, next_of_trial
from node.store.jobs import PlannedRun, StoredOutcome
from node.store.store import Store
from protocol.rule import DEFAULT, screening_policy
from protocol.statistics import NoiseEstimate
from protocol.styles import StyleName
from tests.node.line_writers import SUBJECT, line_writer_of
from tests.node.scripted import OUTCOME
from tests.tasks.sums import TASK, write_sums
from trainer.task_kinds import load_task

REFERENCE_RUNS = (5_000_000_000, 7_000_000_000)


def program_line_writer(home: Home, store: Store, folder: Path, style: StyleName) -> LineWriter:
    """Return the books of a small program whose pairs are read so."""
    text = TASK
    if style == "exact":
        text = text.replace("public = 2\nsecret = 2", 'fixed = ["one"]')
    write_sums(folder, task=text)
    task = load_task(folder, data_dir=folder)
    line_writer = line_writer_of(home, store)
    line_writer.subject = replace(SUBJECT, manifest=task.manifest, source=task.source)
    return LineWriter(
        store=store,
        blobs=line_writer.blobs,
        identity=line_writer.record_writer.identity,
        subject=line_writer.subject,
        clock_ms=lambda: 1,
        random_seed=lambda: 7,
    )


def planned(nano: int, ordinal: int = 0) -> PlannedRun:
    run = replace(OUTCOME, metric_nano=nano, secret_nano=nano).to_run("candidate")
    outcome = StoredOutcome(run=run, log_tail="")
    return PlannedRun(
        job_id=1, ordinal=ordinal, role="candidate", tree=bytes(32), seed=1, outcome=outcome
    )


def test_a_program_meets_the_instances_of_its_base_s_own_runs(
    home: Home, store: Store, tmp_path: Path
) -> None:
    line_writer = program_line_writer(home, store, tmp_path / "sums", "differences")
    one, other = (line_writer.screening_seed(bytes([tree]) * 32, 0) for tree in (1, 2))
    assert one == line_writer.screening_seed(bytes([1]) * 32, 0)
    assert len({one, other, line_writer.screening_seed(bytes([1]) * 32, 1)}) == 3
    assert screen_level(line_writer, bytes(32), REFERENCE_RUNS, 1.0) == REFERENCE_RUNS[0]


def test_a_difference_is_rechecked_until_the_mean_of_its_fresh_runs_says_enough(
    home: Home, store: Store, tmp_path: Path
) -> None:
    line_writer = program_line_writer(home, store, tmp_path / "sums", "differences")
    reading = MetricReading(
        sign=1,
        noise=NoiseEstimate.from_class(1.0),
        policy=screening_policy(line_writer.style, DEFAULT),
        style=line_writer.style,
    )
    reference_nano = (
        5_000_000_000,
        7_000_000_000,
        6_000_000_000,
        8_000_000_000,
        6_000_000_000,
        5_000_000_000,
    )

    def move(*gains: float) -> str:
        nanos = [
            level - round(gain * 1e9) for level, gain in zip(reference_nano, gains, strict=False)
        ]
        runs = [planned(nano, ordinal) for ordinal, nano in enumerate(nanos)]
        return next_of_trial(runs, reference_nano, reading, is_current=True)

    assert [move(0.7), move(0.8)] == ["discard", "run"]
    assert [move(0.8, 0.2), move(0.8, 0.3)] == ["discard", "run"]
    assert [move(0.8, 0.3, 0.6), move(0.8, 0.3, 0.8)] == ["discard", "run"]
    assert [move(9.0, 0.3, 0.8, 1.8), move(0.8, 0.3, 0.8, 2.0)] == ["discard", "run"]
    assert [move(9.0, 0.3, 0.8, 2.0, 1.8), move(9.0, 0.3, 0.8, 2.0, 2.0)] == ["discard", "run"]
    more = (0.8, 0.3, 0.8, 2.0, 2.0)
    assert [move(*more, 2.3), move(*more, 2.5)] == ["discard", "keep"]
    assert [move(99, 7.9), move(99, 99), move(0.8, 99)] == ["run", "keep", "run"]
    assert [move(0.8, 0.3, 9.6), move(0.8, 0.3, 9.8)] == ["run", "keep"]


def test_of_what_is_exact_a_tie_is_never_kept(home: Home, store: Store, tmp_path: Path) -> None:
    line_writer = program_line_writer(home, store, tmp_path / "sums", "exact")
    level = screen_level(line_writer, bytes(32), REFERENCE_RUNS[:1], 1.0)
    assert level == REFERENCE_RUNS[0], "what was tried before moves no exact level"
    reading = MetricReading(
        sign=1,
        noise=NoiseEstimate.from_class(line_writer.style.floor_nano / 1e9),
        policy=screening_policy(line_writer.style, DEFAULT),
        style=line_writer.style,
    )
    moves = [
        next_of_trial([planned(REFERENCE_RUNS[0] + off)], [level], reading, is_current=True)
        for off in (1, 0, -2)
    ]
    assert moves == ["discard", "discard", "keep"]


@pytest.mark.parametrize("style", ["exact", "differences"])
def test_seeds_of_programs_are_not_drawn(
    home: Home, store: Store, tmp_path: Path, style: StyleName
) -> None:
    line_writer = program_line_writer(home, store, tmp_path / "sums", style)
    assert line_writer.style.name == style
    assert line_writer.screening_seed(bytes(32), 0) != 7
    assert line_writer_of(home, store).screening_seed(bytes(32), 0) >= 100
