"""Tasks with an editable region of a file, and proposers that respect it."""

from pathlib import Path

import pytest

from agent.hyperparameters.proposer import BuiltInSearch
from agent.proposal import Context
from protocol.errors import ConfigurationError
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.regions import Region
from tests.trainer.program.tasks import CALLED, Bench, figures, read, write_task
from trainer.program.manifest import spec_of
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of

MARKED = """\
LIMIT = 8


# EVOLVE-BLOCK-START
STEP = 3


def solve(instance):
    return sum(instance["numbers"]) + STEP
# EVOLVE-BLOCK-END


ROUNDS = 5
"""
REGION = CALLED.replace('"solve.py"', '"solve.py#EVOLVE-BLOCK"', 1)
MOVE = """\
[[move]]
name = "exact"
title = "No step"
why = "It only adds."
[[move.edit]]
search = "{search}"
replace = "{replace}"
"""


def marked(folder: Path, *, moves: str = "", how: str = REGION, text: str = MARKED) -> Task:
    files = {"solve.py": text, "moves.toml": moves}
    how += 'moves = "moves.toml"\n' if moves else ""
    return read(write_task(folder, how=how, files=files))


def test_a_region_is_in_the_manifest_and_in_the_id(tmp_path: Path) -> None:
    task, whole = marked(tmp_path / "a"), marked(tmp_path / "b", how=CALLED)
    assert spec_of(task.manifest).regions == (Region(path="solve.py", name="EVOLVE-BLOCK"),)
    assert spec_of(whole.manifest).regions is None
    assert task.editable == whole.editable == ("solve.py",)
    assert task.id != whole.id
    assert task.source == whole.source
    assert TaskManifest.from_value(task.manifest.to_value()) == task.manifest
    reported = kind_of(task.manifest).words(task.manifest).measured
    assert "between the line with EVOLVE-BLOCK-START and the line with EVOLVE-BLOCK-END" in reported
    assert "EVOLVE" not in kind_of(whole.manifest).words(whole.manifest).measured
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == (3_000_000_000, 3_000_000_000)


def test_what_changes_outside_is_no_source_of_the_task(tmp_path: Path) -> None:
    task = marked(tmp_path)

    def fault(old: str, new: str) -> str | None:
        source = task.source.replacing("solve.py", MARKED.replace(old, new).encode())
        refused = check_for_task(source, task.manifest, baseline=task.source)
        return refused.reason if refused else None

    assert fault("STEP = 3", "STEP = 0") is None
    assert fault("LIMIT = 8", "LIMIT = 9") == (
        "solve.py: line 1 is outside of the region EVOLVE-BLOCK and differs from the task's file"
    )
    assert "line 13" in (fault("ROUNDS = 5", "def solve(instance):\n    return 1") or "")


@pytest.mark.parametrize(
    ("how", "text", "why"),
    [
        (REGION, "def solve(x): return x\n", "no EVOLVE-BLOCK-START in the file"),
        (REGION, MARKED.replace("# EVOLVE-BLOCK-END\n", ""), "no EVOLVE-BLOCK-END after line 4"),
        (REGION.replace("EVOLVE-BLOCK", "A B"), MARKED, "names the region 'A B'"),
        (REGION.replace("EVOLVE-BLOCK", ""), MARKED, "names the region ''"),
    ],
)
def test_a_region_that_is_not_there_is_refused(
    tmp_path: Path, how: str, text: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match="editable") as fault:
        marked(tmp_path, how=how, text=text)
    assert why in fault.value.message


def test_a_move_outside_is_refused(tmp_path: Path) -> None:
    inside = MOVE.format(search="STEP = 3", replace="STEP = 0")
    assert [move.name for move in marked(tmp_path / "in", moves=inside).moves] == ["exact"]
    outside = MOVE.format(search="LIMIT = 8", replace="LIMIT = 9")
    with pytest.raises(ConfigurationError, match="line 1 is outside"):
        marked(tmp_path / "out", moves=outside)


def test_constants_outside_are_no_hyperparameters(tmp_path: Path) -> None:
    task = marked(tmp_path)

    def proposed(seed: int, regions: tuple[Region, ...]) -> str:
        context = Context(
            source=task.source,
            editable=task.editable,
            hyperparameters=(),
            moves=(),
            history=(),
            tried=lambda _: False,
            seed=seed,
            regions=regions,
        )
        proposal = BuiltInSearch().propose(context)
        assert proposal is not None
        return proposal.key.split(":")[1]

    regions = spec_of(task.manifest).regions or ()
    assert {proposed(seed, regions) for seed in range(20)} == {"STEP"}
    assert {proposed(seed, ()) for seed in range(20)} == {"STEP", "LIMIT", "ROUNDS"}


def test_other_kinds_of_task_have_no_regions(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('extends = "tiny"\nname = "a"\neditable = ["train.py#X"]\n')
    with pytest.raises(ConfigurationError, match="names a region"):
        read(tmp_path)


def test_words_that_a_task_forbids_are_in_its_manifest_and_reported(tmp_path: Path) -> None:
    more = '[source]\nforbid = ["numpy", "ctypes"]\n'
    task = read(write_task(tmp_path / "a", more=more))
    assert spec_of(task.manifest).forbid == ("ctypes", "numpy")
    assert "`ctypes`, `numpy`" in kind_of(task.manifest).words(task.manifest).measured
    fault = check_for_task(
        task.source.replacing("solve.py", b"import numpy\n"), task.manifest, baseline=task.source
    )
    assert fault is not None
    assert fault.reason == "solve.py: line 1 contains 'numpy', which the task forbids"
    with pytest.raises(ConfigurationError, match="refuses the baseline"):
        read(write_task(tmp_path / "b", more='[source]\nforbid = ["sum"]\n'))
    move = MOVE.format(search="STEP = 3", replace="import ctypes")
    how = CALLED + 'moves = "moves.toml"\n'
    (tmp_path / "c").mkdir()
    (tmp_path / "c/moves.toml").write_text(move)
    with pytest.raises(ConfigurationError, match="exact: "):
        read(write_task(tmp_path / "c", how=how, more=more))
