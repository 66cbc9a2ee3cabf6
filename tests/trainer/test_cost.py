"""The largest cost that a candidate may have."""

import math
from dataclasses import astuple, replace

import pytest

from trainer.measuring.cost import StageCosts

BASELINE = StageCosts(train_s=4.0, first_score_s=0.1, score_s=1.0, first_audit_s=0.1, audit_s=0.3)


def test_ceilings_are_multiples_of_the_baselines_cost() -> None:
    ceiling = BASELINE.ceiling(has_token_budget=True)
    assert astuple(ceiling) == pytest.approx((6.25, 0.25, 2.05, 0.35, 0.65))
    assert BASELINE.ceiling(has_token_budget=False) == replace(ceiling, train_s=math.inf)


def test_the_larger_of_two_stage_by_stage() -> None:
    slower = replace(BASELINE, train_s=5.0, score_s=0.9)
    assert BASELINE.at_least(slower) == replace(BASELINE, train_s=5.0)
