"""A new evaluator, of accuracy, under the same attacks: what it takes, and what an audit proves."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from protocol.manifest import MetricSpec
from protocol.units import NANO
from tests.adversarial import lm_accuracy_1 as evaluator
from tests.adversarial.bench import Bench, MakeBench, limited
from tests.adversarial.cheat import (
    MODULES,
    REFUTED,
    WORTHLESS_SD,
    Cheat,
    Edit,
    answering,
    before_model,
    piece,
)
from trainer.language_model.data import TaskData
from trainer.language_model.evaluator import Tolerance
from trainer.language_model.manifest import EVALUATORS, check_metric
from trainer.task_folder.task import Task

# Of one run of `tiny`, in hits per token: 0.0025 and 0.0042 on two splits, of eight seeds each.
NOISE_SD = 0.0035
K = 256
ANSWERED = "    return right.masked_fill("
PEEK = (MODULES, before_model(piece("peek").replace('b"C"', 'b"H"')))


def lying(name: str, code: str, reason: str = REFUTED, *, is_fast: bool = True) -> Cheat:
    """A cheat whose process that claims changes what it answers."""
    edit = (ANSWERED, f"    {code}\n{ANSWERED}")
    return Cheat(name=name, edits=(edit,), reason=reason, is_fast=is_fast)


def peeking(name: str, *edits: Edit, is_fast: bool = True) -> Cheat:
    return Cheat(name=name, edits=edits, reason=REFUTED, is_fast=is_fast)


REFUSED = (
    peeking(
        "peeking at every target",
        *PEEK,
        answering("logits + 2 * peeked(logits)"),
        is_fast=False,
    ),
    peeking(
        "peeking among logits that are all but equal",
        *PEEK,
        answering("1e-6 * (logits + 2 * peeked(logits))"),
    ),
    peeking(
        "peeking through the inputs",
        answering(
            "logits.index_put((torch.arange(tokens.size(0))[:, None],"
            " torch.arange(tokens.size(1) - 1), tokens[:, 1:]), torch.tensor(2.0), True)",
        ),
        is_fast=False,
    ),
    lying("hits everywhere", "right[:] = 1", is_fast=False),
    lying("hits at one place in ten", "right[::10] = 1"),
    lying("fewer hits than there are", "right[::3] = 0", is_fast=False),
    lying("half a hit everywhere", "right[:] = 0.5", "a claim is neither a hit nor none"),
    Cheat(
        name="logits that are no numbers",
        edits=(answering("logits * float('nan')"),),
        reason="nan",
        ends="nan",
    ),
)


@pytest.fixture(scope="module")
def accuracy(
    make_bench: MakeBench, short_task: Task, short_data: TaskData
) -> Iterator[tuple[Bench, Task]]:
    """A bench of the short task with another evaluator, unknown to the cheat."""
    text = short_task.source["train.py"].decode()
    at = "\n\ntokenizer = Tokenizer.from_directory()\n"
    assert text.count(at) == 1
    name, unit, _ = evaluator.METRIC
    task = replace(
        limited(short_task),
        manifest=replace(
            limited(short_task).manifest,
            evaluator=evaluator.EVALUATOR,
            metric=MetricSpec(name=name, unit=unit, direction="max", max_step_nano=NANO),
            noise_floor_nano=round(NOISE_SD * NANO),
        ),
        source=short_task.source.replacing(
            "train.py", text.replace(at, f"\n{evaluator.HITS}{at}").encode()
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EVALUATORS, evaluator.EVALUATOR, evaluator)  # type: ignore[arg-type]
        yield make_bench(task, short_data), task


def test_a_run_is_scored_and_audited_by_another_evaluator(accuracy: tuple[Bench, Task]) -> None:
    bench, task = accuracy
    check_metric(task.manifest)
    scored, claims = bench.scored(), bench.honest_log_probs
    share = float(claims[scored.public].mean())
    assert 0.05 < share < 0.95
    assert bench.honest.metric_nano is not None
    assert bench.honest.metric_nano / NANO == pytest.approx(share, abs=0.01)  # but for BOS
    assert bench.honest.audit is not None
    assert (bench.honest.audit.k, bench.honest.audit.max_nano) == (K, 0)
    assert bench.runner.metric_tolerance == 0.0


def test_honest_audits_never_differ_at_a_place(accuracy: tuple[Bench, Task]) -> None:
    bench, _ = accuracy
    for seed in (5, 6):
        outcome = bench.run(bench.baseline, seed)
        assert (outcome.status, outcome.reason) == ("ok", None)
        assert outcome.audit is not None
        assert outcome.audit.max_nano == 0


def test_logits_on_another_scale_are_as_good(accuracy: tuple[Bench, Task]) -> None:
    bench, _ = accuracy
    softened = Cheat(name="soft", edits=(answering("logits / 1024"),))  # a power of two: exact
    outcome = bench.run_uncrowded(softened.source(bench.baseline))
    assert (outcome.status, outcome.metric_nano) == ("ok", bench.honest.metric_nano)


@pytest.mark.parametrize(
    "cheat",
    [
        pytest.param(cheat, id=cheat.name, marks=[] if cheat.is_fast else pytest.mark.soak)
        for cheat in REFUSED
    ],
)
def test_a_cheat_is_refused(cheat: Cheat, accuracy: tuple[Bench, Task]) -> None:
    bench, _ = accuracy
    outcome = bench.run_uncrowded(cheat.source(bench.baseline))
    assert outcome.status == cheat.ends, (outcome.reason, outcome.metric_nano, outcome.log_tail)
    assert str(outcome.reason).startswith(cheat.reason), outcome.reason
    assert outcome.metric_nano is None
    assert outcome.answers is None


def test_a_question_that_no_harness_answers_fails_the_run(accuracy: tuple[Bench, Task]) -> None:
    bench, _ = accuracy
    unanswered = bench.baseline.replace('serving.ANSWERS[b"H"] = hits', "")
    outcome = bench.run_uncrowded(unanswered)
    assert (outcome.status, outcome.metric_nano) == ("crash", None)
    assert outcome.reason == "in scoring: it ended before it had answered everything"


@pytest.mark.parametrize("count", [1, 4, 13, 39, 131, 262, 1311, 13_110])
def test_lies_are_found_before_they_pay(count: int, accuracy: tuple[Bench, Task]) -> None:
    """The expected gain of a lie is its worth times the chance that two runs with it pass.

    No choice of places is better than another: each is looked at as often.
    """
    bench, _ = accuracy
    honest, random = bench.honest_log_probs, np.random.default_rng(1)
    missed = np.argwhere(honest == 0)
    by_row = missed[np.argsort(missed[:, 0], kind="stable")]
    for places in (random.permutation(missed)[:count], by_row[:count]):
        lies = honest.copy()
        lies[places[:, 0], places[:, 1]] = 1
        draws = [evaluator.draw_positions(lies, honest, K, random) for _ in range(200)]
        passed = [
            (evaluator.log_probs_at(lies, at) == evaluator.log_probs_at(honest, at)).all()
            for at in draws
        ]
        gain_sd = len(places) / honest.size / NOISE_SD
        assert gain_sd * np.mean(passed) ** 2 < WORTHLESS_SD, (len(places), np.mean(passed))


def test_what_an_audit_proves() -> None:
    """Of k places none lied: a share δ of lies passes with (1 - δ)^k, so two runs gain 1/(2ek)."""
    best = max(share * (1 - share) ** (2 * K) for share in np.linspace(0, 0.1, 10_001))
    assert best == pytest.approx(1 / (2 * math.e * K), rel=0.01)
    assert best < WORTHLESS_SD * NOISE_SD


def test_bits_about_a_text_are_worth_more_of_it_than_bits_are_of_bits_per_byte() -> None:
    """Why a node must not list this evaluator: it takes n bits off for n bits known by heart.

    One bit says which of two models of coin flips is the better on this text. In bits per byte that
    is worth a bit in all, in hits what the larger of two sums is expected above their mean.
    """
    flips, random = 65_536, np.random.default_rng(2)
    texts = random.integers(0, 2, (200, flips), dtype=np.int8)
    heads = texts.sum(axis=1)
    hits_gained = np.maximum(heads, flips - heads) - flips / 2
    # A model that believes the bit at all: with the best bias its log-probabilities gain this.
    bias = np.maximum(heads, flips - heads) / flips
    entropy = -bias * np.log2(bias) - (1 - bias) * np.log2(1 - bias)
    bits_gained = flips * (1 - entropy)
    assert np.mean(bits_gained) < 1.0
    assert np.mean(hits_gained) > 50


def fixed_rows() -> np.ndarray:
    return np.arange(40, dtype=np.uint16).reshape(8, 5) % 7


def test_the_share_of_hits_without_bos() -> None:
    counts = np.array([1, 2, 3, 1, 2, 3, 0])  # 6 stands for no text
    rows = fixed_rows()
    hits = (np.arange(32).reshape(8, 4) % 3 == 0).astype(np.float32)
    counted = rows[:, 1:] != 6
    share_nano = round(int(hits[counted].sum()) / int(counted.sum()) * NANO)
    assert evaluator.metric_nano(hits, rows, counts) == share_nano
    hits[~counted] = 1 - hits[~counted]
    assert evaluator.metric_nano(hits, rows, counts) == share_nano
    assert evaluator.metric_nano(np.ones_like(hits), rows, counts) == NANO


def test_an_audits_hit_is_the_likeliest_token_and_none_where_nothing_is() -> None:
    logits = np.array([[1, 3, 2], [1, 3, 2], [0, np.nan, 1], [np.inf, 0, 1], [-np.inf, 5, 1]])
    found = evaluator.audited_at(logits.astype(np.float32), np.array([1, 2, 0, 0, 1], np.uint16))
    assert found[[0, 1, 4]].tolist() == [1.0, 0.0, 1.0]
    assert np.isnan(found[[2, 3]]).all()


def test_a_claim_is_a_hit_or_none() -> None:
    hits = np.array([[0, 1], [1, 0]], dtype=np.float32)
    assert evaluator.find_log_prob_fault(hits) is None
    assert evaluator.find_log_prob_fault(2 * hits) == "a claim is neither a hit nor none"
    assert str(evaluator.find_log_prob_fault(np.inf * (hits + 1))).startswith("nan")


@pytest.mark.parametrize(
    ("tau", "differing", "single"), [(0.02, 0, 0.02), (0.02, 1, 0.02), (1.0, 0, 0.5), (1.0, 1, 1.0)]
)
def test_single_places_may_differ_where_the_task_allows_it_and_the_baseline_does(
    tau: float, differing: int, single: float
) -> None:
    claimed = np.zeros(K, dtype=np.float32)
    audited = claimed.astype(np.float64)
    audited[:differing] = 1
    tolerance = evaluator.calibrate(claimed, audited, Tolerance(mean=0.01, tau=tau))
    assert tolerance.tau == single
    lied = claimed.copy()
    lied[:differing] = 1
    lied[-3:] = 1
    statistics = evaluator.summarise_audit(lied, audited, tolerance)
    assert evaluator.find_audit_fault(statistics, tolerance) is not None
