"""docs/protocol.md agrees with the requests between nodes: fields, names, limits."""

import re

import pytest

from node.network.circuits import HOP
from node.network.contract import MAX_PORTS, REACH, Reached, ReachQuestion
from node.network.relay import RelayLimits
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
    Part,
    Reconcile,
    Reconciled,
    RecordsPage,
    Want,
    WantedRecords,
)
from node.peering.reaching import AGAIN_S, ASKED_EVERY_S
from protocol.fields import Mapped
from tests.protocol.test_document import TEXT, fields, section


def test_every_field_of_a_hello_is_described() -> None:
    assert fields(section("Hello")) == Hello.NAMES


@pytest.mark.parametrize(
    ("title", "kinds"),
    [
        ("Sync", (Reconcile, Reconciled, Want, WantedRecords, After, RecordsPage)),
        ("Blob", (BlobPart, Part)),
        ("Relays", (ReachQuestion, Reached)),
    ],
)
def test_every_question_and_answer_is_described(
    title: str, kinds: tuple[type[Mapped], ...]
) -> None:
    maps = re.findall(r"\{([^}]*)\}", section(title))
    described = [{entry.split(":")[0].strip() for entry in one.split(",")} for one in maps]
    assert sorted(map(sorted, described)) == sorted(sorted(kind.NAMES) for kind in kinds)


def test_names_and_bounds_are_those_of_the_code() -> None:
    for name in (HELLO, SYNC, BLOB):
        assert f"`{name}`" in TEXT
    hello, sync, blob = section("Hello"), section("Sync"), section("Blob")
    assert f"at most {MAX_ADDRESSES} lines" in hello
    assert f"at most {MAX_TOPICS} of its topics" in hello
    assert sync.count(f"1 … {MAX_WANTED}") == 2
    assert f"{ANSWER_BYTES:,}" in sync
    assert f"{CHUNK_BYTES:,}" in blob


def test_a_relay_s_limits_are_those_of_the_code() -> None:
    relays, limits = section("Relays"), RelayLimits()
    for protocol in (HOP, REACH):
        assert f"`{protocol}`" in relays
    assert f"1 … {MAX_PORTS} port numbers" in relays
    assert f"| {limits.reservations}, of those connected from one" in relays
    near = limits.reservations_per_host
    assert f"IPv4 address {near}, all over IPv6 together {near};" in relays
    assert f"| {limits.circuits}, of one peer {limits.circuits_per_peer}," in relays
    assert f"| {limits.circuit_bytes:,} |" in relays
    assert f"{limits.idle_s:g} seconds without a byte" in relays
    assert f"| {limits.bytes_per_s:,} |" in relays
    assert (limits.reservation_s, limits.circuit_s) == (3600, 3600)
    assert (ASKED_EVERY_S, AGAIN_S) == (600, 90)
