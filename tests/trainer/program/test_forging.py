"""`task check` attacks an imported evaluator with values that no honest program returns."""

import asyncio
from pathlib import Path

import pytest

from tests.trainer.program.evaluators import evaluated
from trainer.measuring.checks import Remark
from trainer.program import checking
from trainer.program.checking import examine
from trainer.sandbox.tier import probe_tier

pytestmark = pytest.mark.skipif(probe_tier().name != "full", reason="takes sandbox tier full")

CLAIMS = "def solve(values):\n    return {'score': 1.0, 'items': [1.0, 2.0]}\n"
BELIEVING = """\
    told = imported(path).solve([1, 2])
    return {"score": float(told["score"])}"""
WARY = """\
    told = imported(path).solve([1, 2])
    items = told["items"]
    if len(items) != 2 or not all(type(one) is float and 0 <= one <= 2 for one in items):
        raise Wrong("two numbers from 0 to 2")
    if len(set(items)) < 2:
        raise Wrong("one twice")
    return {"score": items[0] + 2 * items[1]}"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use two seeds, which show the same as eight."""
    monkeypatch.setattr(checking, "_MOST_SEEDS", 2)


def remarks(folder: Path, body: str) -> list[Remark]:
    async def examined() -> list[Remark]:
        task = evaluated(folder, body, solve=CLAIMS)
        found = examine(task, progress=lambda _what, _share: None, seconds=60.0)
        return [one async for one in found]

    return asyncio.run(examined())


def test_an_evaluator_that_believes_what_it_reads_is_reported(tmp_path: Path) -> None:
    faults = [one for one in remarks(tmp_path, BELIEVING) if one.level == "fault"]
    assert any(one.about == "claim" and "better than" in one.what for one in faults)


def test_an_evaluator_that_recomputes_the_score_has_no_fault(tmp_path: Path) -> None:
    found = remarks(tmp_path, WARY)
    assert [one.what for one in found if one.level == "fault"] == []
    reported = {one.about: one.what for one in found}
    assert reported["public instances"].startswith("judged, public instances: ")
    assert "evaluations had dishonest values" in reported["attacks"]


def test_a_value_that_cannot_cross_is_named(tmp_path: Path) -> None:
    body = "    return {'score': imported(path).solve(len)}"
    (fault,) = [one for one in remarks(tmp_path, body) if one.level == "fault"]
    assert fault.about == "baseline"
    assert "argument 0 of solve() is a builtin_function_or_method" in fault.what
    assert "--self-scored" in fault.what
