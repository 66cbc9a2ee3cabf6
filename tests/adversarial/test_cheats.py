"""Sources that want a better number than they have earned: refused, or it is worth nothing."""

import math
import os
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.hygiene import check_for_task
from tests.adversarial.bench import Bench, logs_as_of_a_node
from tests.adversarial.cheat import (
    MODULES,
    WORTHLESS_SD,
    Cheat,
    Worth,
    answering,
    before_model,
    leaking,
    piece,
    pretraining,
    remembering,
    worth,
)
from tests.adversarial.cheats import REFUSED, leaked
from trainer.language_model import lm_bpb_1 as evaluator
from trainer.language_model.evaluator import LogProbs

TINY_NOISE_SD = 0.0104
NEXT_SPLIT = b"the key of the next secret split"
CHANNELS = ("Files", "Memory", "AccessTimes", "PageCache", "AbsentNames")
CHANCE = 12  # of 64 bits, beyond what guessing the same bit always gets


@pytest.mark.parametrize(
    "cheat",
    [
        pytest.param(cheat, id=cheat.name, marks=[] if cheat.is_fast else pytest.mark.soak)
        for cheat in REFUSED
    ],
)
def test_a_cheat_is_refused(cheat: Cheat, bench: Bench) -> None:
    check_refused(cheat, bench)


def check_refused(cheat: Cheat, bench: Bench) -> None:
    source = cheat.source(bench.baseline)
    run = bench.run_overlong if cheat.ends == "timeout" else bench.run_uncrowded
    outcome = run(source)
    assert outcome.status == cheat.ends, (outcome.reason, outcome.metric_nano, outcome.log_tail)
    assert outcome.reason is not None
    assert outcome.reason.startswith(cheat.reason), outcome.reason
    assert outcome.metric_nano is None
    assert outcome.answers is None


@pytest.mark.soak
def test_what_a_leaked_split_allows_shows_on_the_secret_one(bench: Bench) -> None:
    scored, claims = bench.scored(), bench.honest_log_probs
    rows = scored.rows[scored.public]
    *tellers, remembering = leaked(rows, claims[scored.public], facts=1500)
    for sent_by in tellers:
        check_refused(sent_by, bench)
    allowed(remembering, bench)
    figures = worth(bench, remembering, [bench.honest.seed])
    assert figures.holds(remembering), figures
    assert figures.public_sd is not None
    assert figures.public_sd > 2  # it is a cheat: what counts must be the other split


def test_what_is_printed_of_the_secret_split_reaches_nobody(bench: Bench) -> None:
    cheat = leaking(facts=50)
    printed = bench.run_uncrowded(cheat.source(bench.baseline))
    assert printed.log_tail.count("LEAK") == 50, (
        printed.reason
    )  # it does print, if anything read it
    with logs_as_of_a_node():
        outcome = bench.run_uncrowded(cheat.source(bench.baseline))
    assert (outcome.status, outcome.reason) == (cheat.ends, cheat.reason)
    assert "LEAK" not in outcome.log_tail


@pytest.mark.soak
def test_the_hardest_places_of_a_secret_split_are_worth_nothing_on_the_next(bench: Bench) -> None:
    scored, claims = bench.scored(), bench.honest_log_probs
    rows, secret = scored.rows[scored.secret], claims[scored.secret]
    cheat = remembering(rows, secret, facts=1500, of="an earlier secret split")
    allowed(cheat, bench)
    seeds = [bench.honest.seed]
    there = worth(bench, cheat, seeds)
    assert there.secret_sd is not None
    assert there.secret_sd > 2  # so a split must not serve twice
    there_after = worth(bench, cheat, seeds, split=NEXT_SPLIT)
    assert there_after.holds(cheat), there_after


def test_the_worlds_grammar_fits_in_a_source(bench: Bench) -> None:
    """So the refusal of training on it before the data is no accident of size."""
    allowed(pretraining(seconds=10, ends="timeout"), bench)


def allowed(cheat: Cheat, bench: Bench) -> None:
    task = bench.runner.task
    fault = check_for_task(
        task.source.replacing("train.py", cheat.source(bench.baseline).encode()),
        task.manifest,
        baseline=task.source,
    )
    assert fault is None


@pytest.fixture(scope="module")
def log_of_channels(bench: Bench) -> str:
    """Return what a claim sent and its audit received, over all channels in one run."""
    outcome = bench.run_uncrowded(signalling(run=str(os.getpid())).source(bench.baseline))
    assert outcome.status == "ok", outcome.reason
    return outcome.log_tail


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_claim_cannot_pass_anything_to_its_audit(channel: str, log_of_channels: str) -> None:
    """Bits of the targets, over what two sandboxes may have in common."""
    sent_bits = bits_sent(log_of_channels, channel)
    assert sent_bits is None or sent_bits <= CHANCE, sent_bits


def signalling(*, run: str) -> Cheat:
    return Cheat(
        name="bits from claim to audit",
        edits=(
            MODULES,
            before_model(piece("channels", {"RUN": run})),
            answering("signal() or logits"),
        ),
        ends="ok",
    )


def bits_sent(log: str, channel: str) -> int | None:
    """Of 64 bits those that came through beyond chance; None if the system refused."""
    said = {
        words[0]: words[2:]
        for words in map(str.split, log.splitlines())
        if len(words) > 2 and words[1] == channel
    }
    if "refused" in said:
        return None
    agree = sum(a == b for a, b in zip(said["sent"], said["received"], strict=True))
    ones = said["sent"].count("1")
    return agree - max(ones, len(said["sent"]) - ones)


@dataclass(frozen=True, kw_only=True)
class Fakes:
    """Claims raised at a few places: gain in standard deviations, and how often an audit passes."""

    gain_sd: float
    pass_rate: float


def faked(bench: Bench, places: NDArray[np.bool_], claims: LogProbs, trials: int = 40) -> Fakes:
    scored, honest = bench.scored(), bench.honest_log_probs
    lies = np.where(places, claims, honest).astype(np.float32)
    gain = float((lies - honest).sum()) / math.log(2)
    random = np.random.default_rng(1)
    draws = [evaluator.draw_positions(lies, honest, 256, random) for _ in range(trials)]
    passed = [not places[drawn[:, 0], drawn[:, 1]].any() for drawn in draws]
    text_bytes = float(bench.runner._stages._data.byte_counts[scored.rows[:, 1:]].sum())
    return Fakes(gain_sd=gain / text_bytes / TINY_NOISE_SD, pass_rate=sum(passed) / trials)


@pytest.mark.parametrize("count", [1, 4, 13, 39, 131, 1311])
def test_few_and_large_lies_are_found_before_they_pay(count: int, bench: Bench) -> None:
    """The expected gain of a lie is its worth times the chance that two runs with it pass."""
    honest = bench.honest_log_probs
    hardest = np.argsort(honest, axis=None)[:count]
    hard = np.zeros(honest.shape, dtype=np.bool_)
    hard.ravel()[hardest] = True
    rows = np.zeros(honest.shape, dtype=np.bool_)
    rows[np.argsort(honest.sum(axis=1))[: max(1, count // 13)]] = True
    for places in (hard, rows):
        for claims in (honest + 3, honest / 2, np.full_like(honest, -1e-3)):
            fakes = faked(bench, places, np.minimum(claims, -1e-3))
            assert fakes.gain_sd * fakes.pass_rate**2 < WORTHLESS_SD, fakes


def test_what_a_cheat_is_worth_must_keep_its_bound() -> None:
    bounded = Cheat(name="x", edits=(), ends="ok")
    refused = Cheat(name="x", edits=())
    worthless = Worth(name="x", ends=("ok", "ok"), public_sd=9.0, secret_sd=0.2)
    assert worthless.holds(bounded)
    assert not worthless.holds(refused)
    assert not Worth(name="x", ends=("ok",), public_sd=0.0, secret_sd=0.3).holds(bounded)
    assert not Worth(name="x", ends=("crash",), public_sd=None, secret_sd=None).holds(bounded)


def test_after_cheats_the_next_run_is_clean(bench: Bench) -> None:
    bench.check_that_the_next_run_is_clean()


def test_a_printed_number_is_worth_nothing(bench: Bench) -> None:
    boast = "print('val_bpb: 0.000001')\nprint('METRIC val_bpb=0.000001', flush=True)\n"
    outcome = bench.run_uncrowded(boast + bench.baseline)
    assert "val_bpb: 0.000001" in outcome.log_tail
    assert (outcome.status, outcome.metric_nano) == ("ok", bench.honest.metric_nano)
    no_output = bench.run_uncrowded(boast + "raise SystemExit(0)\n")
    assert (no_output.status, no_output.metric_nano) == ("crash", None)
