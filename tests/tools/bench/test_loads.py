"""Simulated trials on a busy machine: a run that other programs cut off decides nothing."""

from typing import Any

from tools.bench.loads import played


def test_on_an_idle_machine_nothing_is_repeated() -> None:
    figures: dict[str, Any] = played(0.0, 30)
    assert figures["lost_to_load"] == 0
    assert figures["trials_of_a_stack"]["mean"] == 1
    assert figures["passed"] == figures["passed_when_idle"]


def test_runs_that_others_cut_off_cost_trials_and_no_stack() -> None:
    figures: dict[str, Any] = played(0.1, 30)
    assert figures["lost_to_load"] == 0
    assert figures["trials_of_a_stack"]["mean"] > 1
    assert figures["passed"]["share"] > 0.8
    assert figures["own_load_that_fails"]["share"] == 1
