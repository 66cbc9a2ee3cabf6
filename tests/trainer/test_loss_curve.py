"""The losses read from a script's output, and how many of them are kept."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.measuring.loss_curve import MAX_POINTS, LossCurve, as_pairs

# As the scripts print them.
READ = {
    b"step 120 loss 3.21": (120, 3.21),
    b"step 50: loss 3.2104, 9,123 tokens/s": (50, 3.2104),
    b"step 00120 (3.1%) | loss: 3.210400 | lrm: 1.00 | dt: 310ms": (120, 3.2104),
    b"step 00120/21400 (0.56%) | loss: 3.210400 | grad norm: 0.51": (120, 3.2104),
    b"step:100/1750 train_loss:4.7512 train_time:18000ms": (100, 4.7512),
    b"iter 250: loss 2.8113, time 55.20ms, mfu 31.02%": (250, 2.8113),
    b"  Step 7, Loss: 1e-3": (7, 0.001),
    b"step 1 loss -12.5": (1, -12.5),
}
UNREAD = [
    b"step 1 loss nan",
    b"step 1 loss inf",
    b"step 1 loss -inf",
    b"step 1 loss 1e99",
    b"step 1 loss 12345678",
    b"step 1 loss 3.2x",
    b"step 1000000000 loss 3.2",
    b"step -1 loss 3.2",
    b"step one loss 3.2",
    b"the step 1 loss 3.2",
    b"step 1 of many, and now the loss 3.2",
    b"val_bpb: 1.234",
    b"loss 3.2",
    b"step 1 loss " + b"3" * 500,
    b"step 1 loss 3.2 " + b"x" * 500,
    b"\xff\xfe step 1 loss 3.2",
]


def curve_of(*chunks: bytes) -> LossCurve:
    curve = LossCurve()
    for chunk in chunks:
        curve.feed(chunk)
    return curve


def of_steps(count: int) -> LossCurve:
    return curve_of(*(b"step %d loss %d.5\n" % (step, step) for step in range(count)))


@pytest.mark.parametrize("line", READ)
def test_lines_of_known_scripts_are_read(line: bytes) -> None:
    assert as_pairs(curve_of(line + b"\n").points) == [READ[line]]


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        (b"step 5/20 loss 3.21", 20),
        (b"step 00120 (3.0%) | loss: 3.210400", 4000),
        (b"step 00120/21400 (0.56%) | loss: 3.210400", 21400),
        (b"step 30/20 loss 3.21", 30),
        (b"step 30 (999%) | loss: 3.21", 30),
        (b"step 30/0 loss 3.21", None),
        (b"step 30 (0.0%) loss 3.21", None),
        (b"step 30 loss 3.21", None),
    ],
)
def test_a_curve_reports_how_long_the_training_is_where_the_script_says_so(
    line: bytes, steps: int | None
) -> None:
    assert LossCurve().steps is None
    assert curve_of(b"step 1/4 loss 4.0\n", line + b"\n").steps == steps


@pytest.mark.parametrize("line", UNREAD)
def test_what_is_no_such_line_is_not(line: bytes) -> None:
    assert curve_of(line + b"\n").points == ()


def test_a_line_counts_once_it_has_ended_by_whichever_of_the_two() -> None:
    curve = curve_of(b"step 1 lo", b"ss 3.", b"25")
    assert curve.points == ()
    curve.feed(b"\rstep 2 loss 3.0    ")
    assert as_pairs(curve.points) == [(1, 3.25)]
    curve.feed(b"\r\n")
    assert as_pairs(curve.points) == [(1, 3.25), (2, 3.0)]


def test_a_line_that_is_too_long_in_pieces_ends_nothing_after_it() -> None:
    curve = curve_of(b"step 1 loss 3.2 ", *([b"x" * 300] * 4), b"\nstep 2 loss 3.1\n")
    assert as_pairs(curve.points) == [(2, 3.1)]


def test_steps_only_rise() -> None:
    curve = curve_of(b"step 5 loss 3\nstep 5 loss 2\nstep 4 loss 1\nstep 6 loss 2.5\n")
    assert as_pairs(curve.points) == [(5, 3.0), (6, 2.5)]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 66, 128, 129, 1000, 20_000])
def test_points_are_means_of_equally_many_lines_up_to_their_step(count: int) -> None:
    points = of_steps(count).points
    assert min(count, MAX_POINTS // 2) <= len(points) <= min(count, MAX_POINTS)
    assert count > MAX_POINTS or len(points) == count
    assert points[-1].step == count - 1
    strides = [after.step - before.step for before, after in pairwise(points)]
    assert len(set(strides[:-1])) <= 1  # the last distance may be smaller
    first = 0
    for point in points:
        assert point.loss == (first + point.step) / 2 + 0.5
        first = point.step + 1


def test_more_than_is_looked_at_is_not_looked_at() -> None:
    curve = LossCurve()
    for _ in range(70):
        curve.feed(b"." * (1 << 16) + b"\n")
    curve.feed(b"step 1 loss 3.2\n")
    assert curve.points == ()


@given(st.lists(st.binary(max_size=200) | st.sampled_from([*READ, b"\r", b"\n"]), max_size=40))
def test_whatever_comes_is_borne(chunks: list[bytes]) -> None:
    points = curve_of(*chunks).points
    assert len(points) <= MAX_POINTS
    assert [point.step for point in points] == sorted({point.step for point in points})


def test_how_it_is_cut_into_pieces_makes_no_difference() -> None:
    printed = b"".join(b"step %d: loss 2.5, fast\r" % step for step in range(300))
    pieces = (printed[at : at + 7] for at in range(0, len(printed), 7))
    assert curve_of(*pieces).points == curve_of(printed).points
