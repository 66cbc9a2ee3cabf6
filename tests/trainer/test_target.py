"""Time to a target: the training time is the metric, and a run that misses the target fails."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError, Rejected
from protocol.manifest import MetricSpec, TaskManifest
from protocol.source import Source
from protocol.units import NANO
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT, runner_of
from trainer.language_model.data import TaskData
from trainer.language_model.kind import LanguageModel
from trainer.language_model.manifest import TIME_TO_TARGET, check_metric, may_run_alongside
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

NAME, UNIT, _ = TIME_TO_TARGET
METRIC = MetricSpec(name=NAME, unit=UNIT, direction="min", max_step_nano=NANO)
STEPS = "steps = TOKEN_BUDGET // (BATCH * SEQUENCE)"


def with_target(task: Task, target: float) -> Task:
    target_nano = round(target * NANO)
    return replace(task, manifest=replace(task.manifest, metric=METRIC, target_nano=target_nano))


def changed(task: Task, old: str, new: str) -> Source:
    text = task.source["train.py"].decode()
    assert text.count(old) == 1
    return task.source.replacing("train.py", text.replace(old, new).encode())


@pytest.mark.soak
def test_who_comes_there_in_fewer_steps_takes_a_smaller_share_and_who_does_not_fails(
    short_task: Task, short_data: TaskData
) -> None:
    task = with_target(short_task, 3.0)  # for a baseline that reaches about 2.2
    half, none = changed(task, STEPS, f"{STEPS} // 2"), changed(task, STEPS, "steps = 1")

    async def measured() -> list[RunOutcome]:
        runner = runner_of(task, short_data)
        try:
            await runner.calibrate(4, split=SPLIT)
            sources = (task.source, half, none)
            measure = partial(runner.run, seed=5, split=SPLIT, needs_audit=audited(False))
            return [await measure(source) for source in sources]
        finally:
            await runner.close()

    whole, half_way, missed = asyncio.run(measured())
    for outcome in (whole, half_way):
        assert outcome.status == "ok", outcome.reason
        assert outcome.metric_nano == outcome.secret_nano
    assert whole.metric_nano is not None
    assert half_way.metric_nano is not None
    assert half_way.metric_nano < whole.metric_nano
    assert (missed.status, missed.metric_nano) == ("timeout", None)
    assert missed.reason is not None
    assert missed.reason.endswith("not the target of 3")


def test_a_task_whose_metric_is_a_time_has_one_lane(short_task: Task) -> None:
    assert may_run_alongside(short_task.manifest)
    assert not may_run_alongside(with_target(short_task, 3.0).manifest)


def test_proposers_are_shown_the_target(short_task: Task) -> None:
    words = LanguageModel().words(with_target(short_task, 0.85).manifest)
    assert "the evaluator scores worse than 0.85 fails" in words.measured
    assert "is worse than" not in LanguageModel().words(short_task.manifest).measured


WRITTEN = """\
extends = "tiny"
name = "sprint"
title = "tiny's level in less time"
noise_floor = 0.02

[metric]
name = "train_s"
unit = "of the baseline"
direction = "min"
max_step = 0.9
target = 1.2
"""


def sprint(folder: Path, text: str = WRITTEN) -> Task:
    """Return the task of this file."""
    (folder / "task.toml").write_text(text)
    return load_task(folder, data_dir=folder)


def test_a_file_says_the_target_which_is_part_of_the_tasks_id(tmp_path: Path) -> None:
    manifest = sprint(tmp_path).manifest
    assert (manifest.target_nano, manifest.metric.name) == (1_200_000_000, "train_s")
    check_metric(manifest)
    assert TaskManifest.from_value(manifest.to_value()) == manifest
    later = sprint(tmp_path, WRITTEN.replace("1.2", "1.1"))
    assert later.id != manifest.id


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target = 1.2\n", "", "metric.name is 'train_s', but lm-bpb/1 measures 'val_bpb'"),
        ("train_s", "val_bpb", "metric.name is 'val_bpb', but a task with a target measures"),
        ("target = 1.2", 'target = "1.2"', "metric.target is '1.2'"),
        ("target = 1.2", "target = 0", "metric.target is 0"),
    ],
)
def test_a_metric_that_is_none_says_why(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sprint(tmp_path, WRITTEN.replace(old, new))
    assert said in caught.value.message
    assert caught.value.hint


def test_a_program_has_no_target() -> None:
    sql = load_task("sql", data_dir=Path("unused")).manifest
    refused = TaskManifest.from_value(replace(sql, target_nano=NANO).to_value())
    assert refused == Rejected("a program task has no target")
