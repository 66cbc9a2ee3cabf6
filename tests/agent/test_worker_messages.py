"""Frames between core and worker round-trip, and anything else is rejected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.completion import ChatMessage
from agent.worker.messages import (
    FRAME_BYTES,
    FRAMING,
    MAX_DETAIL,
    MAX_MESSAGES,
    TEXT_BYTES,
    Cancel,
    Down,
    Failure,
    FromCore,
    FromWorker,
    ModelFacts,
    ModelSettings,
    Reply,
    WorkerRequest,
)
from agent.worker.prices import FREE, Price, Usage
from protocol.encoding import encode
from protocol.errors import Rejected

PRICE = Price(usd_nano_in=1, usd_nano_out=2, dear_above=3, dear_nano_in=4, dear_nano_out=5)
USAGE = Usage(tokens_in=1, tokens_out=2)
TALK = (ChatMessage(role="system", content="e\u0301\0\x1b"), ChatMessage(role="user", content=""))
MESSAGES: tuple[FromCore | FromWorker, ...] = (
    ModelSettings(model="openai/small", api_base="http://127.0.0.1:1/v1", api_key="sk-1"),
    ModelSettings(model="gpt-5"),
    WorkerRequest(id=1, messages=TALK, max_tokens=16, timeout_ms=1000),
    Cancel(id=7),
    ModelFacts(provider="openai", price=PRICE, context_tokens=10, answer_tokens=5),
    ModelFacts(provider=None, price=None, context_tokens=None, answer_tokens=None),
    Down(reason="not_installed", detail="no module"),
    Reply(id=1, text="e\u0301 said", is_cut=True, usage=USAGE),
    Reply(id=1, text="", is_cut=False, usage=None),
    Failure(id=1, fault="timeout", detail="late", retry_ms=1, usage=USAGE, may_have_cost=True),
    Failure(id=1, fault="server", detail="", retry_ms=None, usage=None, may_have_cost=False),
)


def payload(message: FromCore | FromWorker) -> bytes:
    return FRAMING.encode(message)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_what_is_written_is_read_again(message: FromCore | FromWorker) -> None:
    assert FRAMING.decode(payload(message)) == message


def test_the_longest_answer_fits_into_a_frame() -> None:
    longest = Reply(id=1, text="x" * TEXT_BYTES, is_cut=True, usage=USAGE)
    assert len(payload(longest)) <= FRAME_BYTES
    assert FRAMING.decode(payload(longest)) == longest
    assert isinstance(
        FRAMING.decode(payload(Reply(id=1, text="x" * (TEXT_BYTES + 1), is_cut=True, usage=None))),
        Rejected,
    )


HELLO = {"role": "user", "content": b""}
ASK = {"id": 1, "messages": [HELLO], "max_tokens": 1, "timeout_ms": 1}
FAILURE = {
    "id": 1, "fault": "server", "detail": "", "retry_ms": None, "usage": None,
    "may_have_cost": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["reply"],
        ["reply", {}],
        ["unheard", {}],
        [1, {}],
        ["cancel", {"id": 0}],
        ["cancel", {"id": True}],
        ["ask", {**ASK, "messages": []}],
        ["ask", {**ASK, "messages": [{"role": "tool", "content": b""}]}],
        ["ask", {**ASK, "messages": [{"role": "user", "content": b"\xff"}]}],
        ["ask", {**ASK, "messages": [HELLO] * (MAX_MESSAGES + 1)}],
        ["ask", {**ASK, "timeout_ms": 0}],
        ["settings", {"model": "", "api_base": None, "api_key": None}],
        ["settings", {"model": "m", "api_base": None, "api_key": "a\nb"}],
        ["failure", {**FAILURE, "fault": "bored"}],
        ["failure", {**FAILURE, "detail": "x" * (MAX_DETAIL + 1)}],
        ["failure", {**FAILURE, "detail": "\x1b"}],
    ],
)
def test_what_is_no_message_is_refused(value: object) -> None:
    assert isinstance(FRAMING.decode(encode(value)), Rejected)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    FRAMING.decode(data)


@given(st.sampled_from(MESSAGES), st.integers(0, 60), st.integers(0, 255))
def test_a_changed_byte_is_another_message_or_none(
    message: FromCore | FromWorker, place: int, byte: int
) -> None:
    data = bytearray(payload(message))
    data[place % len(data)] = byte
    found = FRAMING.decode(bytes(data))
    assert isinstance(found, Rejected) or payload(found) == bytes(data)


def test_settings_do_not_show_the_key() -> None:
    assert "sk-1" not in repr(MESSAGES[0])
    assert FREE.cost_nano(USAGE) == 0
