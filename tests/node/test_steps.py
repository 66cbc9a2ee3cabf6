"""The state of a job survives the store's encoding, and damage is a clear error."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.faults import DamagedStoreError
from node.line.experiment import ExperimentStep
from node.line.idea import Idea, SubmissionStep
from node.line.promotion_trial import PromotionTrial
from node.store.store import Store
from protocol.encoding import decode, encode
from protocol.ideas import Edit
from tests.node.examples import LINE
from tests.node.steps import FreeStep

IDEA = Idea(
    base=b"b" * 32,
    tree=b"t" * 32,
    fingerprint=b"f" * 32,
    key="hyperparameter:LEARNING_RATE:up",
    title="LEARNING_RATE 0.1 → 0.2",
    why="a local step",
    proposer="search",
    edits=(Edit(path="train.py", search="LEARNING_RATE = 0.1\n", replace="LEARNING_RATE = 0.2\n"),),
)
EXPERIMENT = ExperimentStep(idea=IDEA, reference_nano=(2_174_000_000, 2_175_000_000))
PROMOTION_TRIAL = PromotionTrial(base=b"b" * 32, tree=b"t" * 32, stack=(b"p" * 32,))
SUBMISSION = SubmissionStep(
    tree=b"t" * 32, fingerprint=b"f" * 32, title="slower", why="to see\nwhat happens"
)


@given(
    reference=st.lists(st.integers(-(2**53) + 1, 2**53 - 1), max_size=8).map(tuple),
    gain=st.none() | st.integers(-(10**9), 10**9),
    parents=st.lists(st.binary(min_size=32, max_size=32), max_size=8, unique=True).map(tuple),
)
def test_an_experiment_reads_back_as_it_was(
    reference: tuple[int, ...], gain: int | None, parents: tuple[bytes, ...]
) -> None:
    step = replace(
        EXPERIMENT,
        idea=replace(IDEA, parents=parents),
        reference_nano=reference,
        gain_milli=gain,
        decision="rechecked_out",
    )
    assert ExperimentStep.from_value(decode(encode(step.to_value()))) == step


@given(
    stack=st.lists(st.binary(min_size=32, max_size=32), max_size=20, unique=True).map(tuple),
    passed=st.booleans(),
)
def test_a_promotion_trial_reads_back_as_it_was(stack: tuple[bytes, ...], passed: bool) -> None:
    step = replace(PROMOTION_TRIAL, stack=stack, passed=passed)
    assert PromotionTrial.from_value(decode(encode(step.to_value()))) == step


@pytest.mark.parametrize("parents", [(), (b"p" * 32,)])
def test_a_submission_reads_back_as_it_was(parents: tuple[bytes, ...]) -> None:
    step = replace(SUBMISSION, parents=parents)
    assert SubmissionStep.from_value(decode(encode(step.to_value()))) == step


@pytest.mark.parametrize("step", [EXPERIMENT, PROMOTION_TRIAL, SUBMISSION])
def test_a_step_that_does_not_read_is_damage_with_a_fix(
    step: ExperimentStep | PromotionTrial | SubmissionStep, store: Store
) -> None:
    value = step.to_value()
    assert isinstance(value, dict)

    class Broken(FreeStep):
        KIND = step.KIND

    for name in value:
        broken = Broken({key: entry for key, entry in value.items() if key != name})
        job = store.jobs.open_job(LINE, broken, created_ms=0)
        with pytest.raises(DamagedStoreError) as caught:
            store.jobs.get(job.id, type(step))
        assert "arnode home fsck" in caught.value.hint
