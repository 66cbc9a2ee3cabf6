"""A card's usual load and the load beyond it, for any reports of the driver."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trainer.cards.load import (
    GROUP,
    HELD_BYTES,
    NOTICEABLE,
    USUAL_AT_MOST,
    RestingCard,
    Sample,
    Separation,
    State,
    Usual,
    is_contended,
)
from trainer.cards.nvml import Reading

READING = Reading(
    total_bytes=None, used_bytes=None, held=None, shares=None, busy=None, is_slowed=None,
    sm_mhz=None,
)  # fmt: skip
SIZES = st.integers(0, 80 << 30)
SHARES = st.floats(0, 1)


@st.composite
def samples(draw: st.DrawFn, state: State = "quiet") -> Sample:
    return Sample(
        reading=READING,
        state=state,
        others_share=draw(st.none() | SHARES),
        others_bytes=draw(st.none() | SIZES),
        hidden_bytes=draw(st.none() | SIZES),
        own_bytes=0,
    )


@given(st.lists(samples(), min_size=1, max_size=3 * GROUP))
def test_what_rests_is_not_beyond_itself(found: list[Sample]) -> None:
    resting = [
        replace(one, others_share=one.others_share and min(one.others_share, USUAL_AT_MOST))
        for one in found
    ]
    assert not is_contended(resting, Usual.of(resting))


@given(st.lists(samples(), min_size=1, max_size=20), samples(), SHARES)
def test_more_load_is_never_less_contended(
    found: list[Sample], resting: Sample, more: float
) -> None:
    usual = Usual.of([resting])
    busier = [
        replace(one, others_share=None if one.others_share is None else one.others_share + more)
        for one in found
    ]
    assert is_contended(busier, usual) >= is_contended(found, usual)


@given(st.lists(samples(), max_size=40), st.lists(samples(), min_size=1, max_size=20))
def test_a_card_that_others_keep_busy_is_contended_whatever_was_seen_before(
    before: list[Sample], found: list[Sample]
) -> None:
    rest = RestingCard()
    for one in before:
        rest.take(one)
    busy = USUAL_AT_MOST + 2 * NOTICEABLE
    assert is_contended([replace(one, others_share=busy) for one in found], rest.usual)


@given(st.lists(samples("ours") | samples("leaving"), max_size=40))
def test_nothing_is_learnt_while_we_are_on_the_card(found: list[Sample]) -> None:
    rest = RestingCard()
    for one in found:
        rest.take(one)
    assert (rest.is_known, rest.usual) == (False, Usual())


@given(st.lists(samples(), min_size=GROUP, max_size=60))
def test_what_is_usual_does_not_hang_on_the_order(found: list[Sample]) -> None:
    turned = [*reversed(found)]
    one, other = Usual.of(found), Usual.of(turned)
    assert (one.others_bytes, one.hidden_bytes) == (other.others_bytes, other.hidden_bytes)
    assert abs(one.share - other.share) < 1e-9


@given(
    st.dictionaries(st.integers(1, 30), st.integers(0, HELD_BYTES), max_size=12),
    st.sets(st.integers(1, 30), max_size=4),
    st.integers(0, HELD_BYTES),
)
def test_all_memory_is_somebodys(held: dict[int, int], ours: set[int], nobodys: int) -> None:
    used = sum(held.values()) + nobodys
    reading = replace(READING, held=held, used_bytes=used)
    sample = Separation().sample(reading, [ours], "ours")
    if sample.own_bytes is not None:
        assert sample.others_bytes == used - sample.own_bytes
        assert sample.hidden_bytes == nobodys
    if ours & held.keys():
        assert sample.own_bytes == sum(held[pid] for pid in ours & held.keys())
