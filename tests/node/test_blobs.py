"""A blob is what its name says, or an error."""

import hashlib
from pathlib import Path

import pytest

from node.store.blobs import BLOB_LIMIT_BYTES, Blobs
from protocol.errors import ArnodeError
from protocol.source import Source


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def test_what_was_put_is_got(blobs: Blobs) -> None:
    digest = blobs.put(b"data")
    assert digest == hashlib.sha256(b"data").digest()
    assert blobs.put(b"data") == digest
    assert blobs.get(digest) == b"data"
    assert blobs.has(digest)
    assert blobs.damaged() == []


def test_a_missing_blob_is_an_error_with_its_fix(blobs: Blobs) -> None:
    with pytest.raises(ArnodeError, match="missing") as caught:
        blobs.get(bytes(32))
    assert "fsck" in caught.value.hint


def test_a_damaged_blob_is_noticed_and_fixed_by_putting_it_again(blobs: Blobs) -> None:
    digest = blobs.put(b"data")
    blobs.path(digest).write_bytes(b"dat")
    assert blobs.damaged() == [digest]
    with pytest.raises(ArnodeError, match="damaged"):
        blobs.get(digest)
    blobs.put(b"data")
    assert blobs.get(digest) == b"data"


def test_a_blob_over_the_limit_is_refused(blobs: Blobs) -> None:
    blobs.put(bytes(BLOB_LIMIT_BYTES))
    with pytest.raises(ArnodeError, match="over the limit"):
        blobs.put(bytes(BLOB_LIMIT_BYTES + 1))


def test_a_source_is_got_by_its_tree(blobs: Blobs) -> None:
    source = Source.of({"train.py": b"x = 1\n", "lib/model.py": b""})
    assert blobs.put_source(source) == source.tree
    assert blobs.get_source(source.tree) == source


@pytest.mark.parametrize("content", [b"x = 1\n", b"\x91\x92\xa1a\xc4\x01b", b"\xc0"])
def test_a_blob_that_is_no_source_is_distinguished_from_one(blobs: Blobs, content: bytes) -> None:
    with pytest.raises(ArnodeError, match=r"not a source|missing"):
        blobs.get_source(blobs.put(content))


def test_half_written_files_are_removed(blobs: Blobs) -> None:
    path = blobs.path(blobs.put(b"data"))
    leftover = path.with_name(".arnode-tmp-0123")
    leftover.write_bytes(b"da")
    assert blobs.damaged() == []
    blobs.remove_leftovers()
    assert not leftover.exists()
    assert path.exists()
