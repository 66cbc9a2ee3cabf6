"""A candidate's files as bytes: they round-trip, and paths outside are rejected."""

from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.program.harness.files import File, pack_files, unpack_files, write_files

names = st.from_regex(r"[a-z][a-z0-9._-]{0,10}(/[a-z][a-z0-9._-]{0,10}){0,2}", fullmatch=True)
files = st.lists(
    st.builds(File, path=names, data=st.binary(max_size=50), is_executable=st.booleans()),
    max_size=4,
)


@given(files)
def test_files_come_back(packed: list[File]) -> None:
    assert unpack_files(pack_files(packed)) == packed


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "/",
        "/etc/passwd",
        "..",
        "../solve.py",
        "a/../../solve.py",
        "a/..",
        "a\0b",
        "a\nb",
        "\u202esolve.py",
        "\ud800",
        "a" * 257,
    ],
)
def test_a_path_outside_or_that_nobody_can_read_is_refused(path: str) -> None:
    packed = msgpack.packb([[path, b"", False]], unicode_errors="surrogatepass")
    with pytest.raises(ValueError, match=r"not a list of files|a file is malformed"):
        unpack_files(packed)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {},
        [None],
        [[]],
        [["a", b""]],
        [["a", "text", False]],
        [["a", b"", 1]],
        [[b"a", b"", False]],
        [["a", b"", False, 1]],
        [{"a": 1}],
        [msgpack.ExtType(5, b"x")],
    ],
)
def test_what_is_no_list_of_files_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a list of files|a file is malformed"):
        unpack_files(msgpack.packb(value))


@given(st.binary(max_size=60))
def test_any_bytes_are_files_or_refused(data: bytes) -> None:
    try:
        found = unpack_files(data)
    except ValueError:
        return
    assert all(isinstance(one, File) for one in found)


def test_files_are_written_below_a_folder(tmp_path: Path) -> None:
    inside = tmp_path / "job"
    written = [
        File(path="solve.py", data=b"x = 1\n"),
        File(path="deep/er/tool", data=b"#!", is_executable=True),
    ]
    write_files(written, inside)
    assert (inside / "solve.py").read_bytes() == b"x = 1\n"
    assert not (inside / "solve.py").stat().st_mode & 0o111
    assert (inside / "deep/er/tool").stat().st_mode & 0o100
    assert [path.name for path in tmp_path.iterdir()] == ["job"]
