"""`lm-bpb/1` is frozen: fixed arrays give fixed numbers, and all kinds of lies are found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.language_model import lm_bpb_1 as evaluator
from trainer.language_model.evaluator import Evaluator, Tolerance
from trainer.language_model.manifest import EVALUATORS

VOCABULARY, ROWS, CONTEXT = 50, 40, 16
BOS = VOCABULARY - 1
CAPS = Tolerance(mean=0.001, tau=0.02)


def mixed(*shape: int, seed: int) -> np.ndarray:
    """Return fixed numbers in [0, 1), without a generator that a library could change."""
    count = math.prod(shape)
    values = (np.arange(1, count + 1, dtype=np.uint64) * 2654435761 + seed * 40503) % (1 << 20)
    return (values / (1 << 20)).reshape(shape)


def fixed_rows() -> np.ndarray:
    return (mixed(ROWS, CONTEXT + 1, seed=1) * VOCABULARY).astype(np.uint16)


def fixed_log_probs(seed: int = 2) -> np.ndarray:
    return (-6 * mixed(ROWS, CONTEXT, seed=seed)).astype(np.float32)


def byte_counts() -> np.ndarray:
    counts = np.arange(VOCABULARY, dtype=np.int64) % 7 + 1
    counts[BOS] = 0
    return counts


def test_golden_metric() -> None:
    assert evaluator.EVALUATOR == "lm-bpb/1"
    assert evaluator.metric_nano(fixed_log_probs(), fixed_rows(), byte_counts()) == GOLDEN_METRIC


def test_golden_positions() -> None:
    drawn = evaluator.draw_positions(
        fixed_log_probs(), fixed_log_probs(3), 8, np.random.default_rng(5)
    )
    assert drawn.tolist() == GOLDEN_POSITIONS
    alone = evaluator.draw_positions(fixed_log_probs(), None, 4, np.random.default_rng(6))
    assert alone.tolist() == GOLDEN_POSITIONS_ALONE


def test_golden_audit_inputs() -> None:
    positions = np.array([[0, 3], [7, 15], [39, 0]])
    inputs = evaluator.audit_inputs(fixed_rows(), positions, np.random.default_rng(7))
    assert inputs.tolist() == GOLDEN_INPUTS


def test_golden_audit_statistics() -> None:
    claimed = fixed_log_probs().ravel()[:200]
    audited = claimed.astype(np.float64) - 1e-5 * mixed(200, seed=4)
    audited[17] -= 0.5
    tolerance = evaluator.calibrate(claimed[50:], audited[50:], CAPS)
    found = evaluator.summarise_audit(claimed, audited, tolerance)
    nano = [round(figure * 1e9) for figure in (found.mean, found.standard_error, found.largest)]
    assert [found.k, found.outliers, *nano] == GOLDEN_STATISTICS
    assert [round(figure * 1e9) for figure in (tolerance.mean, tolerance.tau)] == GOLDEN_TOLERANCE


def test_golden_log_softmax() -> None:
    logits = (40 * mixed(6, VOCABULARY, seed=8) - 20).astype(np.float32)
    targets = np.array([0, 7, 21, 33, 48, 49], dtype=np.uint16)
    found = evaluator.audited_at(logits, targets)
    assert [round(value * 1e9) for value in found] == GOLDEN_LOG_SOFTMAX


def test_a_uniform_model_costs_the_logarithm_of_the_vocabulary() -> None:
    rows, counts = fixed_rows() % BOS, np.ones(VOCABULARY, dtype=np.int64)
    log_probs = np.full((ROWS, CONTEXT), -math.log(64), dtype=np.float32)
    assert evaluator.metric_nano(log_probs, rows, counts) == pytest.approx(6e9, abs=500)


def test_what_is_claimed_for_bos_does_not_count() -> None:
    rows, log_probs = fixed_rows(), fixed_log_probs()
    rows[:, 5] = BOS
    before = evaluator.metric_nano(log_probs, rows, byte_counts())
    log_probs[:, 4] = -1000.0  # target 5 of a row is predicted at position 4
    assert evaluator.metric_nano(log_probs, rows, byte_counts()) == before
    log_probs[:, 5] = -1000.0
    assert evaluator.metric_nano(log_probs, rows, byte_counts()) > before


@given(st.permutations(range(ROWS)))
def test_the_order_of_rows_does_not_change_a_bit(order: list[int]) -> None:
    whole = evaluator.metric_nano(fixed_log_probs(), fixed_rows(), byte_counts())
    shuffled = evaluator.metric_nano(fixed_log_probs()[order], fixed_rows()[order], byte_counts())
    assert shuffled == whole


@given(st.integers(0, 1 << 32), st.integers(1, 2 * ROWS))
def test_at_most_one_position_a_row(seed: int, k: int) -> None:
    positions = evaluator.draw_positions(
        fixed_log_probs(), fixed_log_probs(3), k, np.random.default_rng(seed)
    )
    assert positions.shape == (min(k, ROWS), 2)
    assert len(set(positions[:, 0].tolist())) == len(positions)
    assert positions.min() >= 0
    assert positions[:, 0].max() < ROWS
    assert positions[:, 1].max() < CONTEXT


def test_half_the_draw_goes_where_claims_leave_the_incumbents() -> None:
    rows, length, lies = 1000, 128, 20
    incumbent = np.full((rows, length), -2.0, dtype=np.float32)
    log_probs = incumbent.copy()
    where = np.random.default_rng(99).permutation(rows)[:lies]
    log_probs[where, where % length] = -0.1
    found = []
    for seed in range(20):
        positions = evaluator.draw_positions(log_probs, incumbent, 256, np.random.default_rng(seed))
        lying = {(int(row), int(row) % length) for row in where}
        found.append(len(lying & {(int(row), int(time)) for row, time in positions}))
    # A uniformly drawn position of a row shows a lie in 1 of 128 cases; a weighted draw finds it.
    assert min(found) >= lies // 2
    positions = evaluator.draw_positions(log_probs, log_probs, 256, np.random.default_rng(1))
    assert len(positions) == 256  # no difference anywhere: still a full draw


@given(st.integers(0, 1 << 32))
def test_an_audit_shows_the_prefix_and_real_text_but_never_the_target(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Every token contains its row and place, to show the origin of filler.
    rows = np.arange(ROWS * (CONTEXT + 1), dtype=np.uint16).reshape(ROWS, CONTEXT + 1)
    positions = evaluator.draw_positions(fixed_log_probs(), None, 20, random)
    inputs = evaluator.audit_inputs(rows, positions, random)
    assert inputs.shape == (20, CONTEXT)
    for shown, (row, time) in zip(inputs, positions, strict=True):
        assert (shown[: time + 1] == rows[row, : time + 1]).all()
        filler = shown[time + 1 :]
        if len(filler):
            source = filler[0] // (CONTEXT + 1)
            assert (filler == rows[source, time + 1 : CONTEXT]).all()
            # With 40 rows, a row may by chance be its own filler; with a task's 1,024 hardly ever.
            assert source == row or rows[row, time + 1] not in shown


def test_rows_are_not_changed_by_an_audit() -> None:
    rows = fixed_rows()
    evaluator.audit_inputs(rows, np.array([[0, 0], [1, 3]]), np.random.default_rng(0))
    assert (rows == fixed_rows()).all()


def test_the_log_softmax_is_exact_where_float32_is_not() -> None:
    logits = np.array([[3e4, 3e4 - 30, -3e4], [1e-3, 0.0, -1e-3]], dtype=np.float32)
    found = evaluator.audited_at(logits, np.array([1, 2], dtype=np.uint16))
    assert found.dtype == np.float64
    assert found[0] == pytest.approx(-30.0 - math.exp(-30), abs=1e-12)
    exact = -1e-3 - math.log(math.exp(1e-3) + 1 + math.exp(-1e-3))
    assert found[1] == pytest.approx(exact, abs=1e-9)


def test_logits_may_be_shifted_but_probabilities_sum_to_one() -> None:
    logits = (10 * mixed(5, VOCABULARY, seed=9)).astype(np.float32)
    every = np.stack(
        [
            evaluator.audited_at(logits, np.full(5, token, dtype=np.uint16))
            for token in range(VOCABULARY)
        ]
    )
    assert np.exp(every).sum(axis=0) == pytest.approx(np.ones(5), abs=1e-12)
    shifted = evaluator.audited_at(logits + 64, np.zeros(5, dtype=np.uint16))
    assert shifted == pytest.approx(every[0], abs=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_claims_that_are_not_finite_are_nan(value: float) -> None:
    log_probs = fixed_log_probs()
    log_probs[3, 4] = value
    fault = evaluator.find_log_prob_fault(log_probs)
    assert fault is not None
    assert fault.startswith("nan")


def test_a_positive_claim_is_a_fault_and_zero_is_none() -> None:
    log_probs = fixed_log_probs()
    assert evaluator.find_log_prob_fault(log_probs) is None
    log_probs[0, 0] = 0.0
    assert evaluator.find_log_prob_fault(log_probs) is None
    log_probs[0, 0] = 1e-30
    fault = evaluator.find_log_prob_fault(log_probs)
    assert fault is not None
    assert "positive" in fault


@given(st.floats(0, 1), st.floats(0, 10))
def test_calibration_never_exceeds_the_manifests_caps(scatter: float, spike: float) -> None:
    claimed = fixed_log_probs().ravel()
    audited = claimed.astype(np.float64) + scatter * mixed(len(claimed), seed=5)
    audited[0] += spike
    tolerance = evaluator.calibrate(claimed, audited, CAPS)
    assert 1e-6 <= tolerance.mean <= CAPS.mean
    assert 1e-4 <= tolerance.tau <= CAPS.tau


def test_calibration_follows_this_machines_scatter() -> None:
    claimed = fixed_log_probs().ravel()
    exact = evaluator.calibrate(claimed, claimed.astype(np.float64), CAPS)
    assert exact == Tolerance(mean=1e-6, tau=1e-4)
    scattered = evaluator.calibrate(claimed, claimed + 5e-5 * mixed(len(claimed), seed=6), CAPS)
    assert 1e-4 < scattered.mean < 5e-4
    assert 1e-4 < scattered.tau <= 5e-4


def fault_of(difference: np.ndarray) -> str | None:
    tolerance = Tolerance(mean=1e-6, tau=1e-4)
    claimed = fixed_log_probs().ravel()[: len(difference)]
    audited = claimed.astype(np.float64) - difference
    return evaluator.find_audit_fault(
        evaluator.summarise_audit(claimed, audited, tolerance), tolerance
    )


def test_honest_scatter_is_accepted() -> None:
    assert fault_of(np.zeros(256)) is None
    assert fault_of(2e-6 * (mixed(256, seed=7) - 0.5)) is None


def test_a_single_lie_is_refused() -> None:
    difference = np.zeros(256)
    difference[3] = 0.05
    assert "single audited positions" in str(fault_of(difference))


def test_a_constant_gain_is_refused_however_small_next_to_tau() -> None:
    assert fault_of(np.full(256, 5e-6) + 1e-6 * mixed(256, seed=8)) is not None
    assert fault_of(np.full(256, 0.1)) is not None


def test_a_model_that_claims_too_little_is_refused_as_another_model() -> None:
    assert fault_of(np.full(256, -5e-5)) is None  # within tau, and to its own disadvantage
    assert fault_of(np.full(256, -0.1)) is not None


@pytest.mark.parametrize("listed", EVALUATORS.values(), ids=EVALUATORS)
def test_the_harness_answers_what_an_evaluator_asks_and_honest_answers_agree(
    listed: Evaluator,
) -> None:
    import torch

    from trainer.language_model.harness.serving import ANSWERS

    rows = fixed_rows()
    logits = torch.from_numpy((8 * mixed(ROWS, CONTEXT, VOCABULARY, seed=3)).astype(np.float32))
    asked = listed.asked(CONTEXT, VOCABULARY)
    targets = torch.from_numpy(rows[:, 1:].astype(np.int64)).flatten()
    log_probs = ANSWERS[asked.score.tag](logits, targets).numpy().reshape(ROWS, asked.score.width)
    assert listed.find_log_prob_fault(log_probs) is None
    positions = listed.draw_positions(log_probs, None, 32, np.random.default_rng(1))
    times = np.zeros(ROWS, dtype=np.int64)
    times[positions[:, 0]] = positions[:, 1]
    answers = ANSWERS[asked.audit.tag](logits, torch.from_numpy(times)).numpy()
    answers = answers.reshape(ROWS, asked.audit.width)[positions[:, 0]]
    audited = listed.audited_at(answers, rows[positions[:, 0], positions[:, 1] + 1])
    tolerance = listed.calibrate(listed.log_probs_at(log_probs, positions), audited, CAPS)
    statistics = listed.summarise_audit(
        listed.log_probs_at(log_probs, positions), audited, tolerance
    )
    assert listed.find_audit_fault(statistics, tolerance) is None
    assert statistics.largest < 1e-5
    assert (
        0
        <= listed.metric_nano(log_probs, rows, byte_counts())
        < listed.most_nano(rows, byte_counts())
    )


# Exact numbers of version 1. A change of one needs a new number in EVALUATOR.
GOLDEN_METRIC = 1092713055
GOLDEN_POSITIONS = [[30, 8], [18, 5], [6, 6], [24, 14], [26, 13], [31, 6], [39, 11], [27, 12]]
GOLDEN_POSITIONS_ALONE = [[23, 14], [33, 4], [32, 9], [0, 6]]
GOLDEN_INPUTS = [
    [25, 48, 22, 45, 12, 35, 9, 32, 5, 29, 2, 26, 49, 22, 46, 19],
    [5, 28, 1, 25, 48, 21, 45, 18, 42, 15, 38, 12, 35, 8, 32, 5],
    [13, 21, 44, 17, 41, 14, 37, 11, 34, 8, 31, 4, 28, 1, 24, 48],
]
GOLDEN_STATISTICS = [200, 1, 2505041, 2500003, 500005643]
GOLDEN_TOLERANCE = [50934, 100000]
GOLDEN_LOG_SOFTMAX = [
    -9730529500,
    -22846539413,
    -28246005404,
    -29148694939,
    -13999230739,
    -21868870342,
]
