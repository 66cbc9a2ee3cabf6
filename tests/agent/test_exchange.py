"""The kind of fault depends on the response to a request; its text is harmless."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.completion import FaultKind
from agent.worker.exchange import (
    MAX_PARTS,
    ModelExchange,
    Trouble,
    document_of,
    given_up,
    is_bounded,
    judge,
    states_fault,
    with_texts,
    without_key,
)
from agent.worker.messages import MAX_DETAIL
from protocol.encoding import encode

KEY = "sk-proj-0123456789abcdefXYZ"
NOW_S = 1_800_000_000.0
PAGE = b"<!DOCTYPE html><html>Welcome</html>"


def met(status: int, body: object = b"", **headers: str) -> ModelExchange:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ModelExchange(
        place="http://host:1",
        is_sent=True,
        status=status,
        headers=named,
        body=data,
        document=document_of(data),
    )


def error(message: str, code: str | int | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


CASES: tuple[tuple[ModelExchange, FaultKind, bool], ...] = (
    (met(401, error("Incorrect API key provided")), "unauthorized", False),
    (met(403, error("not for you")), "unauthorized", False),
    (met(402, error("Insufficient credits")), "unauthorized", False),
    (met(401, PAGE), "unauthorized", False),
    (met(429, error("You exceeded your current quota")), "unauthorized", False),
    (met(429, error("No", "insufficient_quota")), "unauthorized", False),
    (met(400, [error("API key not valid. Please pass a valid key.")]), "unauthorized", False),
    (met(404, error("The model `gpt-9` does not exist")), "unknown_model", False),
    (met(400, error("No", "model_not_found")), "unknown_model", False),
    (met(404, {"error": "model 'qwen' not found, try pulling it first"}), "unknown_model", False),
    (met(400, error("foo/bar is not a valid model ID")), "unknown_model", False),
    (met(404, {"detail": "Not Found"}), "garbage", False),
    (met(404, PAGE), "garbage", False),
    (met(405, b""), "garbage", False),
    (met(429, error("Rate limit reached")), "rate_limited", False),
    (met(429, PAGE), "rate_limited", False),
    (met(400, error("This model's maximum context length is 4096 tokens")), "overflow", False),
    (met(400, error("prompt is too long: 210000 tokens > 200000 maximum")), "overflow", False),
    (met(400, error("the request exceeds the available context size")), "overflow", False),
    (met(500, error("context window exceeded")), "overflow", False),
    (met(413, b""), "overflow", False),
    (met(500, error("oops")), "server", False),
    (met(502, PAGE), "server", False),
    (met(529, error("Overloaded")), "server", False),
    (met(504, PAGE), "timeout", True),
    (met(408, b""), "timeout", True),
    (met(400, error("temperature is wrong")), "garbage", False),
    (met(307, b"", location="http://elsewhere/"), "garbage", False),
    # From a captive portal, or from a proxy in front of a server: not from a model.
    (met(200, PAGE), "garbage", False),
    (met(200, b"log in", content_type="text/html; charset=utf-8"), "garbage", False),
    (met(200, b"no route"), "garbage", False),
    (met(200, b"{garbage"), "garbage", True),
    (met(200, [1, 2]), "garbage", True),
    (met(200, {"error": {"message": "upstream is busy", "code": 429}}), "rate_limited", True),
    (met(200, {"error": "it broke"}), "server", True),
)  # fmt: skip


@pytest.mark.parametrize(("exchange", "kind", "may_have_cost"), CASES)
def test_status_and_body_decide(
    exchange: ModelExchange, kind: FaultKind, may_have_cost: bool
) -> None:
    verdict = judge(exchange, said="litellm.InternalServerError: whatever", now_s=NOW_S)
    assert (verdict.kind, verdict.may_have_cost) == (kind, may_have_cost)
    assert "http://host:1" in verdict.detail or "litellm" in verdict.detail


@pytest.mark.parametrize(
    ("trouble", "kind", "may_have_cost"),
    [
        ("no_connection", "unreachable", False),
        ("broken", "server", True),
        ("too_much", "garbage", False),
        ("encoded", "garbage", True),
    ],
)
def test_trouble_on_the_way_comes_before_everything(
    trouble: Trouble, kind: FaultKind, may_have_cost: bool
) -> None:
    exchange = replace(met(200, b"{}"), trouble=trouble, words="refused")
    verdict = judge(exchange, said="", now_s=NOW_S)
    assert (verdict.kind, verdict.may_have_cost) == (kind, may_have_cost)


@pytest.mark.parametrize(
    ("said", "kind", "may_have_cost"),
    [
        ("The api_key client option must be set either by", "unauthorized", False),
        ("LLM Provider NOT provided. Pass in the LLM provider", "unknown_model", False),
        ("something of a provider's own program", "garbage", True),
    ],
)
def test_what_was_never_sent_is_reported_by_litellms_words(
    said: str, kind: FaultKind, may_have_cost: bool
) -> None:
    verdict = judge(ModelExchange(), said=said, now_s=NOW_S)
    assert (verdict.kind, verdict.may_have_cost) == (kind, may_have_cost)


def test_a_question_that_was_given_up_may_have_cost() -> None:
    verdict = given_up(replace(met(200), status=None), limit_s=3)
    assert (verdict.kind, verdict.may_have_cost) == ("timeout", True)
    assert "within 3 s" in verdict.detail


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("1e9", 86_400.0),
        ("inf", 86_400.0),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(stated: str, seconds: float | None) -> None:
    exchange = met(429, error("slow"), retry_after=stated)
    assert judge(exchange, said="", now_s=NOW_S).retry_s == seconds


def test_a_fault_next_to_an_answer_is_none() -> None:
    answer = {"choices": [{"message": {"content": "hi"}}], "error": None}
    assert not states_fault(met(200, answer))
    assert not states_fault(met(200, {**answer, "error": {"message": "also"}}))
    assert states_fault(met(200, {"choices": [], "error": {"message": "busy", "code": 503}}))


PARTS = [
    {"type": "reasoning", "text": "hm"}, "a", {"type": "text", "text": "b"}, {"text": "c"}, 7,
    {"type": "output_text", "text": "d"}, {"type": "text", "text": 1},
]  # fmt: skip


@pytest.mark.parametrize(("content", "text"), [(PARTS, "abcd"), ([], ""), ("plain", "plain")])
def test_a_content_in_parts_is_its_texts(content: object, text: str) -> None:
    document = {"choices": [{"message": {"content": content, "role": "x"}}], "usage": {"a": 1}}
    plain = with_texts(document)
    message = {"content": text, "role": "x"}
    assert plain == {"choices": [{"message": message}], "usage": {"a": 1}}


@pytest.mark.parametrize("document", [None, [], {}, {"choices": []}, {"choices": [{}, 7, None]}])
def test_what_has_no_parts_stays_what_it_is(document: object) -> None:
    assert with_texts(document) is document


def test_a_traceback_is_no_reason() -> None:
    said = "litellm.APIError: Invalid response\n\nTraceback (most recent call last):\n  File x"
    detail = judge(met(200, {"choices": [{}]}), said=said, now_s=NOW_S).detail
    assert detail.endswith("unexpected JSON: litellm.APIError: Invalid response")


def test_documents_of_too_many_parts_are_distinguished_from_long_ones() -> None:
    assert is_bounded({"choices": [{"message": {"content": "{[" * 100_000}}]})
    assert is_bounded(None)
    assert not is_bounded([{}] * (MAX_PARTS + 1))
    assert not is_bounded({"choices": [[[]] * MAX_PARTS]})


def test_what_python_cannot_read_is_no_document() -> None:
    assert document_of(b"[" * 100_000) is None
    assert document_of(b'{"n": ' + b"9" * 10_000 + b"}") is None
    assert document_of(b"\xff") is None


def test_words_have_no_controls_no_marks_and_no_key() -> None:
    said = f"bad\x1b[2J\u202e {KEY}\n{KEY[3:20]} \u200bend" + "x" * 1000
    shown = without_key(said, key=KEY)
    assert shown.startswith("bad [2J ***")
    assert shown.isprintable()
    assert len(shown) == MAX_DETAIL
    assert KEY[:8] not in shown
    assert KEY[3:11] not in shown


@given(
    st.text(max_size=40),
    st.integers(0, len(KEY)),
    st.integers(0, len(KEY)),
    st.text(max_size=400),
)
def test_no_eight_characters_of_a_key_ever_get_out(
    before: str, start: int, end: int, after: str
) -> None:
    shown = without_key(before + KEY[start:end] + after, key=KEY)
    assert all(KEY[at : at + 8] not in shown for at in range(len(KEY) - 7))
    assert encode(shown)
    assert len(shown) <= MAX_DETAIL


def test_a_short_key_is_taken_out_as_a_whole() -> None:
    assert without_key("key abc here", key="abc") == "key *** here"
    assert without_key("key abc here", key=None) == "key abc here"
