"""Sections are left out of a prompt by rank."""

from hypothesis import given
from hypothesis import strategies as st

from agent.model.quoting import QuoteFence
from agent.model.sections import GAP, Section, fitting

FENCE = QuoteFence(nonce="0123456789abcdef")


def section(name: str, rank: int, *rows: str, may_end_early: bool = False) -> Section:
    return Section(name=name, rank=rank, rows=rows, fence=FENCE, may_end_early=may_end_early)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 80)), max_size=12), st.integers(0, 300))
def test_what_is_left_out_would_not_fit_with_what_ranks_before_it(
    drawn: list[tuple[int, int]], limit: int
) -> None:
    sections = [section(f"{at}", rank, "x" * chars) for at, (rank, chars) in enumerate(drawn)]
    shown = fitting(sections, limit)
    assert sum(len(text) + len(GAP) for text in shown.values()) <= limit
    assert list(shown) == [one.name for one in sections if one.name in shown]
    for one in sections:
        before = [other for other in sections if other.rank <= one.rank and other.name in shown]
        taken = sum(len(other.text) + len(GAP) for other in before)
        assert one.name in shown or taken + len(one.text) + len(GAP) >= limit


def test_one_that_may_end_early_shows_its_first_rows_and_any_other_all_or_nothing() -> None:
    rows = ("first row", "second row", "third row")
    long = section("long", 0, *rows, may_end_early=True)
    assert long.within(21) == "first row\nsecond row"
    assert long.within(5) == ""
    assert section("whole", 0, *rows).within(21) == ""


def test_one_without_rows_is_no_section() -> None:
    assert fitting([section("empty", 0)], 100) == {}
