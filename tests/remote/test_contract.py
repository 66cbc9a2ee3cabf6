"""Messages between lanes and nodes round-trip, and other values are rejected."""

from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.remote.contract import LaneOpening, LaneOutcome, Opened, Wanted, packed, unpacked
from protocol.encoding import MAX_INT, encode
from protocol.errors import ArnodeError, Rejected
from protocol.framing import ChannelError
from protocol.runs import Audit
from tests.node.scripted import CRASHED, OUTCOME
from trainer.measuring.loss_curve import LossPoint
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.timeline import Stage

NATURAL = st.integers(0, MAX_INT)
POINTS = st.lists(
    st.builds(LossPoint, step=NATURAL, loss_nano=st.integers(-MAX_INT, MAX_INT)), max_size=8
).map(tuple)
STAGES = st.lists(
    st.builds(
        Stage,
        part=st.sampled_from(["train", "score", "audit"]),
        name=st.sampled_from(["spawn", "train", "score"]),
        start_ms=NATURAL,
        end_ms=NATURAL,
    ),
    max_size=5,
).map(tuple)


def through(value: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(value))


@given(
    metric=st.integers(-MAX_INT, MAX_INT),
    points=POINTS,
    stages=STAGES,
    steps=st.none() | NATURAL,
    log=st.text(max_size=40),
    evidence=st.none() | st.binary(max_size=20),
    audit=st.none() | st.builds(Audit, k=st.integers(1, 99), mean_nano=NATURAL, se_nano=NATURAL,
                                max_nano=NATURAL),
)  # fmt: skip
def test_an_outcome_comes_out_as_it_went_in(
    metric: int,
    points: tuple[LossPoint, ...],
    stages: tuple[Stage, ...],
    steps: int | None,
    log: str,
    evidence: bytes | None,
    audit: Audit | None,
) -> None:
    outcome = replace(
        OUTCOME,
        metric_nano=metric,
        secret_nano=-metric,
        curve=points,
        stages=stages,
        steps=steps,
        log_tail=log.encode("utf-8", "backslashreplace").decode(),
        evidence=evidence,
        audit=audit,
    )
    decoded = LaneOutcome.from_value(through(LaneOutcome.of(outcome, b"weights").to_value()))
    assert isinstance(decoded, LaneOutcome)
    assert decoded.product == b"weights"
    back = decoded.outcome()
    assert {name: getattr(back, name) for name in RunOutcome.__dataclass_fields__} == {
        name: getattr(outcome, name) for name in RunOutcome.__dataclass_fields__
    }


@pytest.mark.parametrize("stored", [b"", b"no outcome", encode({"log": b"", "run": {}})])
def test_an_outcome_that_does_not_read_is_refused(stored: bytes) -> None:
    decoded = LaneOutcome.from_value({**LaneOutcome.of(OUTCOME).to_value(), "stored": stored})  # type: ignore[dict-item]
    assert isinstance(decoded, LaneOutcome)
    with pytest.raises(ChannelError, match="invalid outcome"):
        decoded.outcome()


def test_what_failed_and_why_comes_out_as_it_went_in() -> None:
    outcome = replace(CRASHED, fault=ArnodeError("the card went away", "look at it"))
    decoded = LaneOutcome.from_value(through(LaneOutcome.of(outcome).to_value()))
    assert isinstance(decoded, LaneOutcome)
    back = decoded.outcome()
    assert (back.status, back.reason, back.unquoted) == ("crash", "it fell over", "it ended")
    assert back.fault is not None
    assert (back.fault.message, back.fault.hint) == ("the card went away", "look at it")


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_answers_come_out_as_they_went_in(numbers: list[float]) -> None:
    answers = np.array(numbers, dtype=np.float32)
    back = unpacked(packed(answers))
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.float32
    assert back.tobytes() == answers.tobytes()


def test_answers_that_would_run_code_are_refused() -> None:
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ChannelError, match="invalid answers"):
        unpacked(stream.getvalue())


@pytest.mark.parametrize("kind", [LaneOpening, Opened, Wanted, LaneOutcome])
def test_what_is_no_map_of_it_is_refused(kind: Any) -> None:
    assert isinstance(kind.from_value({}), Rejected)
    assert isinstance(kind.from_value([]), Rejected)


def test_no_secret_is_in_what_a_log_would_show() -> None:
    wanted = Wanted(
        files=(("train.py", b"pass"),),
        seed=1,
        split=b"s" * 32,
        incumbent=None,
        left_ms=None,
        is_fresh=False,
        wants_product=False,
    )
    assert "sss" not in repr(wanted)
    assert wanted.source["train.py"] == b"pass"
