"""Diffs round-trip and apply exactly or not at all, and decompressed data has a limit."""

import hashlib
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import ArnodeError, Rejected
from protocol.hygiene import compress
from protocol.patches import (
    apply_diff,
    decompress_bounded,
    file_changes,
    unified_diff,
)
from protocol.record_kinds import FileChange
from protocol.source import Source

# Lines that look like parts of a diff, repeated so that contexts are ambiguous.
lines = st.sampled_from(
    ["", "x = 1", "y = 2", "--- a/a.py", "+++ b/a.py", "@@ -1,1 +1,1 @@", "-", "+", " ", "\\ No"]
) | st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=6)
contents = st.builds(
    lambda parts, end: ("\n".join(parts) + end).encode(),
    st.lists(lines, max_size=24),
    st.sampled_from(["", "\n"]),
) | st.binary(max_size=40)
sources = st.dictionaries(
    st.sampled_from(["a.py", "b/c.py", "train.py"]), contents, max_size=3
).map(Source.of)

TEN = Source.of({"a.py": b"".join(b"line %d\n" % i for i in range(1, 11))})
CHANGED = TEN.replacing("a.py", TEN["a.py"].replace(b"line 5\n", b"five\n"))
DIFF = """\
--- a/a.py
+++ b/a.py
@@ -2,7 +2,7 @@
 line 2
 line 3
 line 4
-line 5
+five
 line 6
 line 7
 line 8
"""


def test_a_diff_reads_like_everybody_elses() -> None:
    assert unified_diff(TEN, CHANGED) == DIFF
    assert apply_diff(TEN, DIFF) == CHANGED


@given(sources, sources)
def test_applying_the_diff_of_any_two_sources_gives_the_second(old: Source, new: Source) -> None:
    assert apply_diff(old, unified_diff(old, new)) == new


@given(sources, sources, st.data())
def test_any_altered_context_or_removed_line_is_rejected(
    old: Source, new: Source, data: st.DataObject
) -> None:
    diff = unified_diff(old, new)
    at = data.draw(st.integers(0, max(0, len(diff) - 1)))
    pieces = diff.split("\n")
    numbers, in_hunk = [], False
    remaining = [0, 0]
    for number, piece in enumerate(pieces):
        if in_hunk and piece[:1] in {" ", "-", "+"} and any(remaining):
            remaining[0] -= piece[:1] != "+"
            remaining[1] -= piece[:1] != "-"
            if piece[:1] != "+":
                numbers.append(number)
        elif piece.startswith("@@"):
            ranges = [part.split(",")[1] for part in piece.split()[1:3]]
            remaining, in_hunk = [int(count) for count in ranges], True
    assume(numbers)
    number = numbers[at % len(numbers)]
    pieces[number] += "!"
    assert isinstance(apply_diff(old, "\n".join(pieces)), Rejected)


@given(sources, st.text(max_size=200))
def test_arbitrary_text_is_rejected_or_empty(base: Source, text: str) -> None:
    result = apply_diff(base, text)
    assert isinstance(result, Rejected) or (text == "" and result == base)


def test_an_equal_pair_has_an_empty_diff_that_changes_nothing() -> None:
    assert unified_diff(TEN, TEN) == ""
    assert apply_diff(TEN, "") == TEN


def test_a_missing_newline_at_the_end_is_kept_both_ways() -> None:
    with_end, without = Source.of({"a.py": b"x\ny\n"}), Source.of({"a.py": b"x\ny"})
    diff = unified_diff(with_end, without)
    assert diff.endswith("-y\n+y\n\\ No newline at end of file\n")
    assert apply_diff(with_end, diff) == without
    assert apply_diff(without, unified_diff(without, with_end)) == with_end
    assert isinstance(apply_diff(without, diff), Rejected)


def test_new_and_deleted_files_and_empty_ones_are_included() -> None:
    one = Source.of({"a.py": b"x\n", "gone.py": b"y\n", "empty.py": b""})
    two = Source.of({"a.py": b"x\n", "b.py": b"z\n", "void.py": b""})
    diff = unified_diff(one, two)
    assert "--- /dev/null\n+++ b/b.py\n" in diff
    assert "--- a/gone.py\n+++ /dev/null\n" in diff
    assert apply_diff(one, diff) == two
    assert isinstance(apply_diff(two, diff), Rejected)


# Each is the good diff with one fault.
FAULTS = {
    "shifted by one line": DIFF.replace("-2,7 +2,7", "-3,7 +3,7"),
    "lands elsewhere": DIFF.replace("+2,7", "+3,7"),
    "counts too few": DIFF.replace("-2,7 +2,7", "-2,6 +2,6"),
    "counts too many": DIFF.replace("-2,7 +2,7", "-2,8 +2,8"),
    "beyond the end": DIFF.replace("-2,7 +2,7", "-2000,7 +2000,7"),
    "altered context": DIFF.replace(" line 4", " line 4 "),
    "no header": DIFF.split("\n", 2)[2],
    "git's header": "diff --git a/a.py b/a.py\n" + DIFF,
    "a rename": DIFF.replace("+++ b/a.py", "+++ b/b.py"),
    "another file": DIFF.replace("a.py", "b.py"),
    "an escaping path": DIFF.replace("a.py", "../a.py"),
    "an absolute path": DIFF.replace("a.py", "/a.py"),
    "a hidden path": DIFF.replace("a.py", ".git/config"),
    "no prefix": DIFF.replace("a/a.py", "a.py").replace("b/a.py", "a.py"),
    "no file at all": DIFF.replace("a/a.py", "/dev/null").replace("b/a.py", "/dev/null"),
    "a file that is there": DIFF.replace("--- a/a.py", "--- /dev/null"),
    "a deletion that leaves lines": DIFF.replace("+++ b/a.py", "+++ /dev/null"),
    "twice": DIFF + DIFF,
    "the same hunk twice": DIFF + DIFF.split("\n", 2)[2],
    "cut off": DIFF.removesuffix(" line 8\n"),
    "no last newline": DIFF.removesuffix("\n"),
    "trailing text": DIFF + "hello\n",
    "only headers": "--- a/a.py\n+++ b/a.py\n",
    "a line without end inside": DIFF.replace("+five\n", "+five\n\\ No newline at end of file\n"),
    "an executable": "old mode 100644\nnew mode 100755\n" + DIFF,
    "an executable between": DIFF.replace("+++ b/a.py", "new mode 100755\n+++ b/a.py"),
    "a symlink": (
        "--- /dev/null\n+++ b/b.py\nnew file mode 120000\n@@ -0,0 +1,1 @@\n+/etc/passwd\n"
    ),
    "binary": "GIT binary patch\nliteral 4\nLc${NkU|;|M00aO5\n\n",
    "lone surrogates": "\ud800",
}


@pytest.mark.parametrize("diff", FAULTS.values(), ids=FAULTS.keys())
def test_a_diff_with_a_fault_is_rejected(diff: str) -> None:
    assert diff != DIFF
    assert isinstance(apply_diff(TEN, diff), Rejected)


def test_a_carriage_return_is_part_of_its_line() -> None:
    old, new = Source.of({"a.py": b"x\r\ny\rz\n"}), Source.of({"a.py": b"x\r\ny\rw\n"})
    assert apply_diff(old, unified_diff(old, new)) == new
    assert isinstance(
        apply_diff(Source.of({"a.py": b"x\ny\rz\n"}), unified_diff(old, new)), Rejected
    )


def test_file_changes_list_changed_and_new_files_only() -> None:
    new = Source.of({"a.py": CHANGED["a.py"], "b.py": b"new\n"})
    assert file_changes(TEN, new) == (
        FileChange(
            path="a.py",
            old=hashlib.sha256(TEN["a.py"]).digest(),
            new=hashlib.sha256(CHANGED["a.py"]).digest(),
            size_bytes=len(CHANGED["a.py"]),
        ),
        FileChange(path="b.py", old=None, new=hashlib.sha256(b"new\n").digest(), size_bytes=4),
    )
    assert file_changes(TEN, TEN) == ()


def test_file_changes_refuse_a_deletion() -> None:
    with pytest.raises(ArnodeError, match="cannot delete"):
        file_changes(TEN, Source.of({}))


@given(st.binary(max_size=2000))
def test_compressed_data_comes_back_within_its_exact_size_and_not_below(data: bytes) -> None:
    assert decompress_bounded(compress(data), len(data)) == data
    if data:
        assert isinstance(decompress_bounded(compress(data), len(data) - 1), Rejected)


def test_a_bomb_is_rejected() -> None:
    bomb = compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    assert isinstance(decompress_bounded(bomb, 256 * 1024), Rejected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        compress(b"x" * 100)[:-1],
        compress(b"x") + b"tail",
        zlib.compress(b"x")[:3],
    ],
    ids=["empty", "nonsense", "truncated", "tail", "head"],
)
def test_broken_compressed_data_is_rejected(data: bytes) -> None:
    assert isinstance(decompress_bounded(data, 1000), Rejected)
