"""Readers for the steps that coding agents print, each in the format of its program.

`claude --output-format stream-json` (https://code.claude.com/docs/en/headless) and `codex --json`
(https://developers.openai.com/codex/noninteractive) print one event per line. Everything else is
one step with the text. The output is untrusted, and its beginning may be missing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from agent.reported_usage import Form, printed_objects
from agent.visit.trace import TraceStep

_MOST_ARGUMENTS: Final = 4_000  # characters of a tool's input
_CLAUDE: Final = ("assistant", "user")


def agent_steps(printed: str, form: Form) -> tuple[TraceStep, ...]:
    """Return the steps in a program's output, or one step with its whole text."""
    steps: tuple[TraceStep, ...] = ()
    match form:
        case "claude":
            steps = tuple(_claude(printed))
        case "codex":
            steps = tuple(_codex(printed))
        case "aider":
            pass
    if steps or not printed.strip():
        return steps
    return (TraceStep(kind="output", who="output", text=printed.strip()),)


def _claude(printed: str) -> Iterator[TraceStep]:
    counted: set[str] = set()  # messages whose usage is shown; each block is an event of its own
    said = False
    for event in printed_objects(printed):
        kind, message = event.get("type"), event.get("message")
        if kind == "result" and not said and isinstance(text := event.get("result"), str):
            yield TraceStep(kind="answer", who="claude", text=text)
        if kind not in _CLAUDE or not isinstance(message, dict):
            continue
        blocks, usage = _blocks(message.get("content")), _usage(message, counted)
        for block in blocks:
            step = _claude_step(block)
            if step is None:
                continue
            said = said or step.kind == "answer"
            tokens_in, tokens_out = usage or (None, None)
            yield replace(step, tokens_in=tokens_in, tokens_out=tokens_out)
            usage = None


def _claude_step(block: Mapping[str, Any]) -> TraceStep | None:
    match block:
        case {"type": "text", "text": str() as text}:
            return TraceStep(kind="answer", who="claude", text=text)
        case {"type": "thinking", "thinking": str() as text}:
            return TraceStep(kind="thought", who="claude", text=text)
        case {"type": "tool_use", "name": str() as name}:
            return TraceStep(kind="tool", who=name, text=_arguments(block.get("input")))
        case {"type": "tool_result"}:
            parts = [_text(part) for part in _blocks(block.get("content"))]
            return TraceStep(kind="output", who="tool", text="\n".join(parts))
    return None


def _blocks(content: object) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return []
    return [block for block in content if isinstance(block, dict)]


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else f"({part.get('type')})"


def _usage(message: Mapping[str, Any], counted: set[str]) -> tuple[int, int] | None:
    """Return a message's tokens in and out, once for each message."""
    number, usage = message.get("id"), message.get("usage")
    if not isinstance(number, str) or number in counted or not isinstance(usage, dict):
        return None
    counted.add(number)
    into = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    tokens_in = sum(_count(usage.get(name)) for name in into)
    return tokens_in, _count(usage.get("output_tokens"))


def _count(value: object) -> int:
    return min(value, 1 << 40) if type(value) is int and value > 0 else 0


def _codex(printed: str) -> Iterator[TraceStep]:
    for event in printed_objects(printed):
        match event:
            case {"type": "item.completed", "item": dict() as item}:
                yield from _codex_item(item)
            case {"type": "turn.completed", "usage": dict() as usage}:
                yield TraceStep(
                    kind="output",
                    who="turn",
                    text="The turn ended.",
                    tokens_in=_count(usage.get("input_tokens")),
                    tokens_out=_count(usage.get("output_tokens")),
                )
            case {"type": "turn.failed", "error": {"message": str() as text}}:
                yield TraceStep(kind="output", who="error", text=text)
            case {"type": "error", "message": str() as text}:
                yield TraceStep(kind="output", who="error", text=text)


def _codex_item(item: Mapping[str, Any]) -> Iterator[TraceStep]:
    match item:
        case {"type": "agent_message", "text": str() as text}:
            yield TraceStep(kind="answer", who="codex", text=text)
        case {"type": "reasoning", "text": str() as text}:
            yield TraceStep(kind="thought", who="codex", text=text)
        case {"type": "command_execution", "command": str() as command}:
            yield TraceStep(kind="tool", who="command", text=command)
            if isinstance(output := item.get("aggregated_output"), str) and output:
                yield TraceStep(kind="output", who="command", text=output)
        case {"type": "error", "message": str() as text}:
            yield TraceStep(kind="output", who="error", text=text)
        case {"type": str() as kind}:  # such as file_change, mcp_tool_call, todo_list
            rest = {name: value for name, value in item.items() if name not in {"id", "type"}}
            yield TraceStep(kind="tool", who=kind, text=_arguments(rest))


def _arguments(value: object) -> str:
    """Return a tool's input as text: each field on lines of its own."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)[:_MOST_ARGUMENTS]
    fields = (
        f"{name}: {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}"
        for name, one in value.items()
    )
    return "\n".join(fields)
