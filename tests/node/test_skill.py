"""The skill text of a coding agent, made from the task."""

import re
from dataclasses import replace

from node.commands.agents import instructions
from node.commands.table import COMMANDS
from trainer.task_folder.task import Task


def test_it_names_the_tasks_own_files_metric_and_noise(short_task: Task) -> None:
    manifest = replace(
        short_task.manifest,
        metric=replace(short_task.manifest.metric, name="val_loss", unit="nats", direction="max"),
    )
    said = instructions(replace(short_task, manifest=manifest), "")
    assert '"^val_loss:' in said
    assert "val_bpb" not in said.partition("## The task's own program")[0]
    assert "higher (nats)" in said
    assert "about 0.025 nats" in said
    assert "arnode head --working > train.py" in said
    assert short_task.program.strip() in said


def test_a_task_that_is_not_the_default_is_in_every_command(short_task: Task) -> None:
    said = instructions(short_task, " --task here")
    assert "arnode try --task here -m" in said
    assert "arnode head --working --task short > train.py" in said


def test_every_command_that_it_names_exists(short_task: Task) -> None:
    said = instructions(short_task, "")
    named = set(re.findall(r"`arnode ([a-z]+)", said))
    assert {"try", "head", "log", "show", "diff", "task"} <= named <= set(COMMANDS)
    assert "$" not in said.partition("## The task's own program")[0]
