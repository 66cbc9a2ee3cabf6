"""Scripted model answers to a coding agent in each provider's format: tool calls, then an end.

A `Turn` is one answer: a tool's name and arguments, or None for the last word. Each kind of server
picks the turn by how many tools' results the request brings back, so that whatever else the
program asks in addition (a title for the session, a count of tokens) does not disturb the script.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from tests.llm_server import LlmServer, Reply, completion

LAST_WORD: Final = "The model is wider now."
_FOLDER: Final = re.compile(r"Primary working directory: ([^\\\s]+)")
USED: Final = (1_000, 50)  # tokens of a prompt and of an answer, in each answer


@dataclass(frozen=True, slots=True)
class Turn:
    """One tool to use; `{cwd}` in its arguments is the folder that the program works in."""

    tool: str
    arguments: Mapping[str, Any]


def anthropic(*turns: Turn) -> Reply:
    """Answers as Anthropic's Messages API does, streamed."""

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        body = server.requests[-1].body
        if request.path.endswith("/count_tokens"):
            return web.json_response({"input_tokens": USED[0]})
        turn = _turn(turns, str(body["messages"]).count("'tool_result'"))
        if not body.get("tools"):
            turn = None
        message = {
            "id": f"msg_{len(server.requests)}", "type": "message", "role": "assistant",
            "model": body["model"], "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": USED[0], "output_tokens": 1},
        }  # fmt: skip
        if turn is None:
            block: dict[str, Any] = {"type": "text", "text": ""}
            delta: dict[str, Any] = {"type": "text_delta", "text": LAST_WORD}
        else:
            block = {
                "type": "tool_use", "id": f"toolu_{len(server.requests)}",
                "name": turn.tool, "input": {},
            }  # fmt: skip
            folder = _FOLDER.search(json.dumps(body))
            where = folder[1] if folder else ""
            written = json.dumps(turn.arguments).replace("{cwd}", where)
            delta = {"type": "input_json_delta", "partial_json": written}
        if not body.get("stream"):
            content = block | ({"text": LAST_WORD} if turn is None else {"input": turn.arguments})
            whole = {
                "content": [content],
                "stop_reason": "end_turn" if turn is None else "tool_use",
            }
            return web.json_response(message | whole)
        stop = "end_turn" if turn is None else "tool_use"
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": {"output_tokens": USED[1]},
            },
            {"type": "message_stop"},
        ]
        return await _stream(request, events)

    return reply


def responses(*turns: Turn) -> Reply:
    """Answers as OpenAI's Responses API does, streamed."""

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        body, number = server.requests[-1].body, len(server.requests)
        given = [one.get("type") for one in body["input"]]
        turn = _turn(turns, sum(str(kind).endswith("_call_output") for kind in given))
        if turn is None:
            item: dict[str, Any] = {
                "type": "message", "id": f"msg_{number}", "role": "assistant",
                "content": [{"type": "output_text", "text": LAST_WORD}],
            }  # fmt: skip
        elif "input" in turn.arguments:
            item = {
                "type": "custom_tool_call", "id": f"ct_{number}", "call_id": f"call_{number}",
                "name": turn.tool, "input": turn.arguments["input"],
            }  # fmt: skip
        else:
            item = {
                "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                "name": turn.tool, "arguments": json.dumps(turn.arguments),
            }  # fmt: skip
        usage = {
            "input_tokens": USED[0], "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": USED[1], "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(USED),
        }  # fmt: skip
        reported = {"id": f"resp_{number}"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": reported},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {
                "type": "response.completed",
                "response": reported | {"usage": usage, "output": [item]},
            },
        ]
        return await _stream(request, events)

    return reply


def chat(text: str) -> Reply:
    """Answers as OpenAI's chat completions do, in one piece."""

    async def reply(_: LlmServer, __: web.Request) -> web.StreamResponse:
        return web.json_response(completion(text, usage=USED))

    return reply


def _turn(turns: Sequence[Turn], done: int) -> Turn | None:
    return turns[done] if done < len(turns) else None


async def _stream(request: web.Request, events: Sequence[Mapping[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        line = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        await response.write(line.encode())
    await response.write_eof()
    return response
