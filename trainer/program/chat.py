"""Parses questions and builds replies in the format of OpenAI's chat completions, without I/O.

Questions are a candidate's, so they are parsed with limits. Only text is supported: pictures, tools
and several answers at once are refused with a message. Source: OpenAI's API reference, "Create chat
completion" and "Error codes".
"""

import json
from dataclasses import dataclass
from typing import Final

from protocol.program import ModelBudget
from trainer.measuring.models import ModelAnswer, ModelMessage, ModelQuestion

ANY: Final = "any"  # in a task's file: any model that the node has
MOST_MESSAGES: Final = 1000
_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_IGNORED: Final = ("model", "messages", "stream", "stream_options", "user", "store", "metadata")
_LENGTHS: Final = ("max_tokens", "max_completion_tokens")
_REFUSED: Final = ("tools", "functions", "audio", "modalities")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A question, and the form in which its answer is sent."""

    question: ModelQuestion
    is_streamed: bool
    tells_usage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why a question is not answered: HTTP status, OpenAI's error type, a sentence."""

    status: int
    kind: str
    detail: str

    @property
    def body(self) -> bytes:
        """The refusal in OpenAI's format."""
        fields = {"message": self.detail, "type": self.kind, "param": None, "code": self.kind}
        return json.dumps({"error": fields}).encode()


def read_question(body: bytes, budget: ModelBudget, seed: int) -> ChatRequest | Refusal:
    """Return a candidate's question. `budget` limits the models and tokens of one instance."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return _bad("the request is not JSON")
    if not isinstance(fields, dict):
        return _bad("the request must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 80 or not model.isprintable():
        return _bad("`model` must be a name of 1 to 80 printable characters")
    if model not in budget.models and ANY not in budget.models:
        there = ", ".join(budget.models)
        return Refusal(
            status=404, kind="model_not_found", detail=f"unknown model {model}; available: {there}"
        )
    messages = _messages(fields.get("messages"))
    if isinstance(messages, Refusal):
        return messages
    if refused := [name for name in _REFUSED if fields.get(name)]:
        return _bad(f"`{refused[0]}` is not supported: chats are text only")
    if fields.get("n") not in (None, 1):
        return _bad("`n` must be 1: one answer at a time")
    most = next((fields[name] for name in _LENGTHS if fields.get(name) is not None), budget.tokens)
    if type(most) is not int or most < 1:
        return _bad("`max_tokens` must be a whole number above 0")
    others = {
        name: fields[name] for name in fields if name not in (*_IGNORED, *_LENGTHS, *_REFUSED)
    }
    options = fields.get("stream_options")
    return ChatRequest(
        question=ModelQuestion(
            model=model,
            messages=messages,
            parameters=json.dumps(others, sort_keys=True),
            most_tokens=min(most, budget.tokens),
            seed=seed,
        ),
        is_streamed=fields.get("stream") is True,
        tells_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def completion(asked: ChatRequest, answer: ModelAnswer, number: int) -> bytes:
    """Return a reply's body, as one object or a stream of one chunk. Its id contains `number`."""
    usage = {
        "prompt_tokens": answer.tokens_in,
        "completion_tokens": answer.tokens_out,
        "total_tokens": answer.tokens,
    }
    kind = "chat.completion.chunk" if asked.is_streamed else "chat.completion"
    head = {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": 0,  # fixed, so that a repeated run gets the same bytes
        "model": asked.question.model,
    }
    said = {"role": "assistant", "content": answer.text}
    ended = {"index": 0, "finish_reason": "length" if answer.is_cut else "stop", "logprobs": None}
    if not asked.is_streamed:
        return json.dumps(head | {"choices": [ended | {"message": said}], "usage": usage}).encode()
    pieces = [head | {"choices": [ended | {"delta": said}]}]
    if asked.tells_usage:
        pieces.append(head | {"choices": [], "usage": usage})
    lines = [*(json.dumps(piece) for piece in pieces), "[DONE]"]
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def _messages(fields: object) -> tuple[ModelMessage, ...] | Refusal:
    if not isinstance(fields, list) or not 0 < len(fields) <= MOST_MESSAGES:
        return _bad(f"`messages` must be a list of 1 to {MOST_MESSAGES} messages")
    messages = []
    for one in fields:
        match one:
            case {"role": str() as role, "content": content} if role in _ROLES:
                text = _text(content)
            case _:
                return _bad(f"invalid message: its role must be one of {', '.join(_ROLES)}")
        if text is None:
            return _bad("invalid message: its content must be text")
        messages.append(ModelMessage(role=_ROLES[role], content=text))
    return tuple(messages)


def _text(content: object) -> str | None:
    """Return a content's text, which may be split into parts; None if it is not text."""
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        parts = [
            part["text"]
            for part in content
            if isinstance(part, dict)
            and part.get("type") == "text"
            and isinstance(part.get("text"), str)
        ]
        if len(parts) != len(content):
            return None
        text = "".join(parts)
    else:
        return None
    return text.encode("utf-8", "replace").decode()  # JSON may hold lone surrogates


def _bad(detail: str) -> Refusal:
    return Refusal(status=400, kind="invalid_request_error", detail=detail)
