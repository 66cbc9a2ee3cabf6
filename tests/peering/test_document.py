"""docs/protocol.md says what nodes ask each other: fields, names, bounds."""

import re

import pytest

from node.peering.messages import (
    ANSWER_BYTES,
    BLOB,
    CHUNK_BYTES,
    HELLO,
    MAX_ADDRESSES,
    MAX_TOPICS,
    MAX_WANTED,
    SYNC,
    After,
    BlobPart,
    Hello,
    Page,
    Part,
    Reconcile,
    Reconciled,
    Records,
    Want,
)
from protocol.fields import Mapped
from tests.protocol.test_document import TEXT, fields, section


def test_every_field_of_a_hello_is_described() -> None:
    assert fields(section("Hello")) == Hello.TABLE.names


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("Sync", (Reconcile, Reconciled, Want, Records, After, Page)),
        ("Blob", (BlobPart, Part)),
    ],
)
def test_every_question_and_answer_is_described(
    title: str, kinds: tuple[type[Mapped], ...]
) -> None:
    maps = re.findall(r"\{([^}]*)\}", section(title))
    described = [{entry.split(":")[0].strip() for entry in one.split(",")} for one in maps]
    assert sorted(map(sorted, described)) == sorted(sorted(kind.TABLE.names) for kind in kinds)


def test_names_and_bounds_are_those_of_the_code() -> None:
    for name in (HELLO, SYNC, BLOB):
        assert f"`{name}`" in TEXT
    hello, sync, blob = section("Hello"), section("Sync"), section("Blob")
    assert f"at most {MAX_ADDRESSES} lines" in hello
    assert f"at most {MAX_TOPICS} of its topics" in hello
    assert sync.count(f"1 … {MAX_WANTED}") == 2
    assert f"{ANSWER_BYTES:,}" in sync
    assert f"{CHUNK_BYTES:,}" in blob
