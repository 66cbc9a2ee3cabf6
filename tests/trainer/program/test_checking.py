"""`task check` of programs: it finds each planted fault by name, and none in a sound judge.

A planted fault gets only the attack that finds it; sound and odd judges get all attacks.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.trainer.program.planted import (
    CLEAN,
    LINES,
    METRIC,
    ODD,
    PLANTED,
    REPAIRED,
    SPOKEN,
    Planted,
    write_planted,
)
from tests.trainer.program.tasks import read, write_task
from trainer.measuring.checks import Remark
from trainer.program import attacking, checking
from trainer.program.attacks import ATTACKS
from trainer.program.checking import examine
from trainer.program.scatter import aa_remark, is_unbiased

FOUND_BY = {"stumbles": "missing", "slow": "large"}  # others by the attack with their name


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use two seeds, which show the same as eight."""
    monkeypatch.setattr(checking, "_MOST_SEEDS", 2)


def examined(folder: Path, planted: Planted, *, seconds: float = 60.0) -> Sequence[Remark]:
    """Return all remarks on a task."""
    task = read(write_planted(folder, planted))

    async def work() -> list[Remark]:
        found = examine(task, progress=lambda _what, _share: None, seconds=seconds)
        return [remark async for remark in found]

    return asyncio.run(work())


def remarks_by_subject(remarks: Sequence[Remark], level: str) -> dict[str, str]:
    """Return the remarks of a level, joined by subject."""
    said: dict[str, str] = {}
    for remark in remarks:
        if remark.level == level:
            said[remark.about] = f"{said.get(remark.about, '')}{remark.what}\n"
    return said


def attack_once(patch: pytest.MonkeyPatch, about: str) -> None:
    """Attack judges only with the attack that finds one kind of fault."""
    name = FOUND_BY.get(about, about)
    patch.setattr(attacking, "ATTACKS", [attack for attack in ATTACKS if attack.name == name])
    if about == "slow":  # on a busy machine, a sound judge takes a third of a second, too
        patch.setattr(attacking, "_SLOW_S", 0.3)
    if about != "tolerance":
        patch.setattr(attacking, "float_groups", lambda _value, _figure: ())
    if about != "claim":
        patch.setattr(attacking, "single_numbers", lambda _value: ())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.soak] * (number % 3 > 0))
        for number, name in enumerate(PLANTED)
    ],
)
def test_a_planted_fault_is_found_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = PLANTED[name]
    attack_once(monkeypatch, planted.about)
    remarks = examined(tmp_path, planted)
    assert planted.says in remarks_by_subject(remarks, planted.level).get(planted.about, ""), (
        remarks
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    "sound",
    [Planted(judge=CLEAN), REPAIRED, LINES, SPOKEN],
    ids=["values", "repaired", "lines", "spoken"],
)
def test_a_judge_without_a_fault_has_none(sound: Planted, tmp_path: Path) -> None:
    remarks = examined(tmp_path, sound)
    assert remarks_by_subject(remarks, "fault") == {}
    fine = remarks_by_subject(remarks, "ok")
    assert {"baseline", "check", "itself", "attacks"} <= set(fine)
    assert fine["generated"].startswith("generated: ")


@pytest.mark.soak
def test_of_seconds_the_baseline_is_held_against_itself(tmp_path: Path) -> None:
    timed = Planted(
        judge=CLEAN,
        metric=METRIC.replace('"left"', '"cpu_s"').replace('"units"', '"of the baseline"'),
    )
    remarks = {remark.about: remark for remark in examined(tmp_path, timed, seconds=4.0)}
    assert remarks["A/A"].figures["pairs"] >= 8
    assert remarks["gain"].what.startswith("a trial of 20 pairs detects a gain of ")


def test_a_mean_beyond_two_standard_errors_is_not_silent() -> None:
    assert is_unbiased([0.01, -0.02, 0.015, 0.0, -0.01, 0.01, 0.0, -0.005])
    leaning = [-0.037, -0.03, -0.045, -0.04, -0.035, -0.03, -0.04, -0.05]
    assert not is_unbiased(leaning)
    said = aa_remark(leaning, unbiased=False)
    assert (said.level, said.about) == ("fault", "A/A")
    assert said.what.startswith("the baseline against itself: ln(time ratio) -0.038 ± 0.002")


def test_what_is_self_scored_is_not_attacked(tmp_path: Path) -> None:
    own = Planted(judge=CLEAN, more='scoring = "self"\n')
    remarks = examined(tmp_path, own)
    assert remarks_by_subject(remarks, "note")["attacks"].startswith("self-scored: ")


def test_a_baseline_that_fails_ends_it(tmp_path: Path) -> None:
    wrong = Planted(judge=CLEAN, solve="def solve(instance):\n    return {}\n")
    (remark,) = examined(tmp_path / "wrong", wrong)
    assert (remark.level, remark.about) == ("fault", "baseline")
    assert "answers of the baseline are wrong: not a table with values alone" in remark.what
    crash = Planted(judge=CLEAN, solve="def solve(instance):\n    return 1 / 0\n")
    (remark,) = examined(tmp_path / "crash", crash)
    assert remark.what.startswith("crash: ")


def test_a_judge_that_cannot_be_loaded_ends_it(tmp_path: Path) -> None:
    (remark,) = examined(tmp_path, Planted(judge="def check(:\n"))
    assert (remark.level, remark.about) == ("fault", "instances")
    assert "its judge cannot be loaded" in remark.what


@pytest.mark.soak
def test_odd_answers_are_listed(tmp_path: Path) -> None:
    notes = remarks_by_subject(examined(tmp_path, ODD), "note")
    assert notes["rearranged"] == (
        "the judge rates an answer in reverse order better than the honest answer\n"
    )


@pytest.mark.soak
def test_who_reads_text_may_convert_it(tmp_path: Path) -> None:
    """Rows of text have no numbers that a judge could check by type."""
    judge = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    return str(random_of(seed).random()).encode()


def check(instance, answer):
    try:
        _, cell = answer.decode().split(",")
        number = float(cell)
    except ValueError as fault:
        raise Wrong("no row of two") from fault
    if not 0 <= number <= 1:
        raise Wrong("not between 0 and 1")
    return {"left": abs(number - float(instance))}
"""
    solve = {"solve.py": "import sys\nsys.stdin.read()\nprint('value,0.5')\n"}
    how = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n'
    folder = write_task(tmp_path, how=how, metric=METRIC, judge=judge, files=solve)

    async def work() -> list[Remark]:
        found = examine(read(folder), progress=lambda _what, _share: None, seconds=6.0)
        return [remark async for remark in found]

    remarks = asyncio.run(work())
    assert "numbers as text" not in remarks_by_subject(remarks, "fault").get("types", "")
    assert "attacks" in remarks_by_subject(remarks, "ok")
