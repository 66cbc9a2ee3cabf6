"""A patch applied to a newer base: by whole lines, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from node.source_review.patches import merged
from protocol.source import Source

LINES = [f"line {number}\n" for number in range(9)]


def source(lines: list[str], **more: str) -> Source:
    return Source.of(
        {"a.py": "".join(lines).encode(), **{name: text.encode() for name, text in more.items()}}
    )


BASE = source(LINES)
FIRST = source(["first\n", *LINES[1:]])
LAST = source([*LINES[:-1], "last\n"])


def test_steps_in_other_places_are_both_made() -> None:
    assert merged(BASE, FIRST, LAST) == source(["first\n", *LINES[1:-1], "last\n"])


def test_steps_in_one_place_conflict() -> None:
    assert merged(BASE, FIRST, source(["other\n", *LINES[1:]])) is None


def test_a_new_file_comes_along_and_a_deleted_one_goes() -> None:
    more = Source.of({**dict(BASE.files), "b.py": b"new\n"})
    assert merged(BASE, FIRST, more) == Source.of({**dict(FIRST.files), "b.py": b"new\n"})
    assert merged(more, Source.of({**dict(FIRST.files), "b.py": b"new\n"}), BASE) == FIRST
    changed = Source.of({**dict(BASE.files), "b.py": b"changed\n"})
    assert merged(more, changed, BASE) is None


def test_a_last_line_without_its_end_gets_no_successor() -> None:
    base = Source.of({"a.py": b"x\ny\nz"})
    ours = Source.of({"a.py": b"X\ny\nz"})
    theirs = Source.of({"a.py": b"x\ny\nz\nw\n"})
    assert merged(base, ours, theirs) in (None, Source.of({"a.py": b"X\ny\nz\nw\n"}))


texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n"]), max_size=8).map(source)


@given(texts, texts, texts)
def test_what_only_one_side_did_is_the_result(base: Source, ours: Source, theirs: Source) -> None:
    assert merged(base, ours, base) == ours
    assert merged(base, base, theirs) == theirs
    assert merged(base, ours, ours) == ours
    both = merged(base, ours, theirs)
    assert both is None or merged(base, theirs, ours) == both
