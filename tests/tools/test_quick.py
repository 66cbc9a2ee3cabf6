"""`make quick` runs the tests that a change reaches, the nearest first."""

import ast

import pytest

from tools.paths import ROOT
from tools.quick import BUDGET_S, Code, nearest


@pytest.fixture(scope="module")
def code() -> Code:
    return Code()


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ("protocol/ip_addresses.py", "tests/protocol/test_ip_addresses.py"),  # by its name
        ("protocol/ip_addresses.py", "tests/peering/test_dialling.py"),  # by what it imports
        ("trainer/runner.py", "tests/adversarial/test_hostile.py"),  # by a fixture
        ("tests/conftest.py", "tests/trainer/test_runner.py"),
        ("trainer/tasks/ab-test/judge.py", "tests/tasks/test_ab_test.py"),  # by commits before
        ("tests/node/line_writers.py", "tests/node/test_leaderboard.py"),
    ],
)
def test_a_change_reaches_what_uses_it(code: Code, changed: str, wanted: str) -> None:
    assert wanted in code.ranked([changed])


def test_the_test_named_after_a_module_comes_first(code: Code) -> None:
    ranks = code.ranked(["protocol/ip_addresses.py"])
    assert nearest(ranks, {})[0] == "tests/protocol/test_ip_addresses.py"


def test_a_changed_test_is_run_and_what_nothing_uses_reaches_nothing(code: Code) -> None:
    assert "tests/test_house.py" in code.ranked(["tests/test_house.py"])
    assert code.ranked(["no/such/file.txt"]) == {}


def test_no_more_is_chosen_than_the_time_allows() -> None:
    ranks = {"slow": (False, 0, 0), "near": (True, 0, 1), "far": (True, 0, 2)}
    durations = {"slow": 2 * BUDGET_S, "near": BUDGET_S - 1, "far": 2.0}
    assert nearest(ranks, durations) == ["near"]
    assert nearest(ranks, {**durations, "slow": 1.0}) == ["slow", "near"]


def test_whatever_looks_at_all_of_the_code_is_always_run(code: Code) -> None:
    assert "tests/test_house.py::test_the_picture_is_what_the_code_says" in code.always
    for test in code.always:
        path, _, name = test.partition("::")
        functions = ast.parse((ROOT / path).read_text()).body
        assert name in {one.name for one in functions if isinstance(one, ast.FunctionDef)}
