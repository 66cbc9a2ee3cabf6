"""Lines end at LF only, and an unchanged line keeps its identity in a new version."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.source import ancestry, split_lines

TEXTS = st.lists(st.sampled_from([b"a", b"b", b"\r", b"\f", b"\n", b""]), max_size=12).map(b"".join)


def test_only_a_newline_ends_a_line() -> None:
    assert split_lines(b"a\rb\x0cc\nd") == [b"a\rb\x0cc\n", b"d"]
    assert split_lines(b"") == []
    assert split_lines(b"a\n") == [b"a\n"]


def test_added_lines_have_no_ancestor() -> None:
    old, new = [b"a\n", b"b\n", b"c\n"], [b"x\n", b"a\n", b"c\n", b"d\n"]
    assert ancestry(old, new) == [None, 0, 2, None]


@given(TEXTS, TEXTS)
def test_ancestors_are_equal_and_in_order(before: bytes, after: bytes) -> None:
    old, new = split_lines(before), split_lines(after)
    assert b"".join(old) == before
    origins = ancestry(old, new)
    found = [origin for origin in origins if origin is not None]
    assert found == sorted(set(found))
    assert all(
        origin is None or old[origin] == line for line, origin in zip(new, origins, strict=True)
    )
