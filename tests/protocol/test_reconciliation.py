"""Reconciliation finds exactly the difference of any two sets, and no peer can prolong it."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import reconciliation
from protocol.errors import Rejected
from protocol.reconciliation import FRAME_LIMIT_BYTES, MAX_RANGES, Initiator, respond
from protocol.record_index import RecordIndex, encode_varint, key_of

START_MS = 1_790_000_000_000
SMALL_FRAME_BYTES = 2048
Peer = Callable[[bytes], bytes]


def key(number: int) -> bytes:
    """Return the key for a number; three numbers in a row share a time."""
    return key_of(START_MS + number // 3 * 3, hashlib.sha256(b"%d" % number).digest())


def keys(numbers: "set[int] | range") -> set[bytes]:
    return {key(number) for number in numbers}


def reconcile(
    ours: set[bytes],
    theirs: set[bytes],
    *,
    frame_limit_bytes: int = FRAME_LIMIT_BYTES,
    opened: Callable[[Initiator], bytes] = Initiator.open,
) -> tuple[set[bytes], set[bytes], int]:
    """Return the keys that only we have, those that only they have, and the number of messages."""
    initiator = Initiator(RecordIndex(sorted(ours)), frame_limit_bytes=frame_limit_bytes)
    other = RecordIndex(sorted(theirs))
    have: list[bytes] = []
    need: list[bytes] = []
    message: bytes | None = opened(initiator)
    messages = 0
    while message is not None:
        answer = respond(other, message, frame_limit_bytes=frame_limit_bytes)
        assert isinstance(answer, bytes)
        assert max(len(message), len(answer)) <= frame_limit_bytes
        messages += 2
        reported = initiator.receive(answer)
        assert not isinstance(reported, Rejected)
        difference, message = reported
        have += difference.have
        need += difference.need
    assert len(have) == len(set(have)), "an id is named once"
    assert len(need) == len(set(need)), "an id is named once"
    return set(have), set(need), messages


def ids(some: set[bytes]) -> set[bytes]:
    return {item[8:] for item in some}


@given(
    st.sets(st.integers(0, 600), max_size=400),
    st.sets(st.integers(0, 600), max_size=400),
    st.sampled_from([SMALL_FRAME_BYTES, FRAME_LIMIT_BYTES]),
)
def test_it_finds_the_difference_of_any_two_sets(
    ours: set[int], theirs: set[int], frame_limit_bytes: int
) -> None:
    left, right = keys(ours), keys(theirs)
    have, need, _ = reconcile(left, right, frame_limit_bytes=frame_limit_bytes)
    assert have == ids(left - right)
    assert need == ids(right - left)


@given(st.sets(st.integers(0, 20_000), max_size=60), st.sets(st.integers(0, 20_000), max_size=60))
def test_it_finds_a_few_in_many(only_ours: set[int], only_theirs: set[int]) -> None:
    common = keys(range(20_001, 24_000))
    left, right = common | keys(only_ours), common | keys(only_theirs)
    have, need, _ = reconcile(left, right)
    assert (have, need) == (ids(left - right), ids(right - left))


def test_equal_sets_cost_one_short_message_each_way() -> None:
    same = keys(range(10_000))
    assert reconcile(same, same)[2] == 2
    index = RecordIndex(sorted(same))
    message = Initiator(index).open()
    assert len(message) < 400
    assert respond(index, message) == b"\x61"


@given(st.sets(st.integers(0, 400)), st.sets(st.integers(0, 400)))
def test_one_fingerprint_for_all_leads_to_the_same(ours: set[int], theirs: set[int]) -> None:
    whole = reconcile(keys(ours), keys(theirs), opened=Initiator.open_whole)
    assert whole[:2] == reconcile(keys(ours), keys(theirs))[:2]


def test_one_fingerprint_is_enough_for_equal_sets() -> None:
    index = RecordIndex(sorted(keys(range(10_000))))
    initiator = Initiator(index)
    message = initiator.open_whole()
    answer = respond(index, message)
    assert isinstance(answer, bytes)
    assert (len(message), len(answer)) == (20, 1)
    reported = initiator.receive(answer)
    assert not isinstance(reported, Rejected)
    assert reported[1] is None


def test_the_newest_are_found_in_a_few_messages() -> None:
    have, need, messages = reconcile(keys(range(10_000)), keys(range(10_100)))
    assert not have
    assert len(need) == 100
    assert messages <= 6


def test_a_first_message_is_what_negentropy_writes() -> None:
    # Two ids, one millisecond apart: all ids are listed, up to no bound.
    first, second = key_of(5, b"\1" * 32), key_of(6, b"\2" * 32)
    message = Initiator(RecordIndex([first, second])).open()
    assert message.hex() == "61" + "0000" + "02" + "02" + "01" * 32 + "02" * 32
    # The other set has one more id between them, so it answers with its own ids.
    third = key_of(5, b"\3" * 32)
    answer = respond(RecordIndex([first, third, second]), message)
    assert isinstance(answer, bytes)
    assert answer.hex() == "61" + "0000" + "02" + "03" + "01" * 32 + "03" * 32 + "02" * 32


def test_another_version_is_answered_with_ours() -> None:
    assert respond(RecordIndex(), b"\x62whatever") == b"\x61"


BOUND = bytes([5, 0])
BROKEN = {
    "nothing": b"",
    "no version": b"\x00",
    "a bound without a mode": b"\x61" + BOUND,
    "an unknown mode": b"\x61" + BOUND + b"\x03",
    "a fingerprint of 15 bytes": b"\x61" + BOUND + b"\x01" + bytes(15),
    "more ids than bytes": b"\x61" + BOUND + b"\x02\x02" + bytes(63),
    "more ids than can be": b"\x61" + BOUND + b"\x02" + encode_varint(2**64 - 1),
    "an id prefix of 33 bytes": b"\x61\x05\x21" + bytes(33) + b"\x00",
    "a time beyond 64 bits": b"\x61" + b"\x81" + b"\xff" * 8 + b"\x7f" + b"\x00\x00" + BOUND,
    "a bound that falls": b"\x61\x05\x01\x09\x00" + b"\x01\x01\x08\x00",
    "something after the end": b"\x61\x00\x00\x00" + b"\x00\x00\x00",
    "a number without an end": b"\x61\x80",
    "a message over the limit": b"\x61" + bytes(FRAME_LIMIT_BYTES),
}


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
def test_a_broken_message_is_rejected_on_both_sides(message: bytes) -> None:
    index = RecordIndex(sorted(keys(range(100))))
    assert isinstance(respond(index, message), Rejected)
    initiator = Initiator(index)
    initiator.open()
    assert isinstance(initiator.receive(message), Rejected)


@given(st.binary(max_size=300))
def test_no_bytes_are_worse_than_rejected(junk: bytes) -> None:
    index = RecordIndex(sorted(keys(range(100))))
    answer = respond(index, b"\x61" + junk)
    assert isinstance(answer, Rejected) or len(answer) <= FRAME_LIMIT_BYTES


def test_a_message_of_the_smallest_ranges_is_answered_within_the_frame() -> None:
    index = RecordIndex(sorted(keys(range(5_000))))
    asks_for_all = b"\x61" + b"".join(b"\x02\x00\x02\x00" for _ in range(16_000))
    answer = respond(index, asks_for_all)
    assert isinstance(answer, bytes)
    assert len(answer) <= FRAME_LIMIT_BYTES


def drive(index: RecordIndex, peer: Peer, **limits: int) -> tuple[int, int, Rejected | None]:
    """Return the number of rounds, the number of ids named, and the rejection, if any."""
    initiator = Initiator(index, **limits)
    message: bytes | None = initiator.open()
    rounds = named = 0
    while message is not None:
        rounds += 1
        reported = initiator.receive(peer(message))
        if isinstance(reported, Rejected):
            return rounds, named, reported
        difference, message = reported
        named += len(difference.have) + len(difference.need)
    return rounds, named, None


@given(st.sets(st.integers(0, 2_000), max_size=900), st.sets(st.integers(0, 2_000), max_size=900))
def test_of_many_ranges_the_rest_comes_in_the_next_message(
    ours: set[int], theirs: set[int]
) -> None:
    left, right = keys(ours), keys(theirs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reconciliation, "MAX_RANGES", 20)
        have, need, _ = reconcile(left, right)
    assert have == ids(left - right)
    assert need == ids(right - left)


def test_of_a_message_of_nothings_no_more_is_looked_at_than_of_one_that_is_honest() -> None:
    index = RecordIndex(sorted(keys(range(100))))
    nothing, everything = b"\x01\x00\x00", b"\x00\x00\x02\x00"
    named = respond(index, b"\x61" + nothing * (MAX_RANGES - 1) + everything)
    assert isinstance(named, bytes)
    assert len(named) > 100 * 32, "all ids, as that range asks for"
    for more in (MAX_RANGES, 43_000):
        answer = respond(index, b"\x61" + nothing * more + everything)
        fingerprint = b"\x00\x00\x01" + index.fingerprint(0, 100)
        assert isinstance(answer, bytes)
        assert answer.endswith(fingerprint), "go on from there"
        assert len(answer) < 64


def test_a_peer_that_always_differs_is_left() -> None:
    everything_differs = b"\x61\x00\x00\x01" + bytes(16)
    rounds, named, end = drive(
        RecordIndex(sorted(keys(range(1000)))), lambda _: everything_differs, max_rounds=20
    )
    assert end == Rejected("the peer exceeded the number of rounds")
    assert (rounds, named) == (21, 0)


def test_a_peer_that_names_ids_without_end_is_left() -> None:
    count = 2000
    numbers = iter(range(10**9))

    def ever_new(_: bytes) -> bytes:
        named = b"".join(hashlib.sha256(b"%d" % next(numbers)).digest() for _ in range(count))
        part = b"\x05\x00\x02" + encode_varint(count) + named
        return b"\x61" + part + b"\x00\x00\x01" + bytes(16)

    _, named, end = drive(RecordIndex(sorted(keys(range(1000)))), ever_new, max_ids=10_000)
    assert end == Rejected("the peer sent more differences than one reconciliation allows")
    assert named <= 10_000


def test_a_peer_that_denies_everything_costs_no_more_than_the_limit() -> None:
    nothing = b"\x61\x00\x00\x02\x00"
    index = RecordIndex(sorted(keys(range(1000))))
    assert drive(index, lambda _: nothing)[1:] == (1000, None)
    assert isinstance(drive(index, lambda _: nothing, max_ids=999)[2], Rejected)
