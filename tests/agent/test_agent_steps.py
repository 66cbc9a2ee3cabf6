"""Output of coding agents is read as steps; anything else is shown as text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.reported_usage import reported_usage
from agent.visit.agent_steps import agent_steps

USAGE = {"input_tokens": 4, "cache_read_input_tokens": 900, "output_tokens": 30}


def lines(*events: object) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def message(kind: str, *blocks: object, number: str = "m1") -> dict[str, object]:
    """Return an event of `claude --output-format stream-json`."""
    said = {"id": number, "role": kind, "content": list(blocks), "usage": USAGE}
    return {"type": kind, "message": said, "session_id": "s"}


CLAUDE = lines(
    {"type": "system", "subtype": "init", "model": "claude-x", "tools": ["Read"]},
    message("assistant", {"type": "thinking", "thinking": "The rate is low.", "signature": "x"}),
    message("assistant", {"type": "text", "text": "I raise it."}),
    message(
        "assistant",
        {"type": "tool_use", "id": "t", "name": "Edit", "input": {"file_path": "train.py"}},
        number="m2",
    ),
    {
        "type": "user",
        "message": {
            "role": "user",
            "content": [{"type": "tool_result", "content": [{"type": "text", "text": "done"}]}],
        },
    },
    {"type": "result", "result": "Raised.", "total_cost_usd": 0.02, "usage": USAGE},
)
CODEX = lines(
    {"type": "thread.started", "thread_id": "x"},
    {"type": "item.completed", "item": {"id": "0", "type": "reasoning", "text": "Hm."}},
    {
        "type": "item.completed",
        "item": {"id": "1", "type": "file_change", "changes": [{"path": "train.py"}]},
    },
    {"type": "item.completed", "item": {"id": "2", "type": "agent_message", "text": "Raised."}},
    {"type": "turn.completed", "usage": {"input_tokens": 50, "output_tokens": 6}},
)


def test_claude_s_events_are_steps_and_count_each_message_once() -> None:
    steps = agent_steps(CLAUDE, "claude")
    assert [(step.kind, step.who) for step in steps] == [
        ("thought", "claude"),
        ("answer", "claude"),
        ("tool", "Edit"),
        ("output", "tool"),
    ]
    assert [step.tokens_in for step in steps] == [904, None, 904, None]
    assert steps[2].text == "file_path: train.py"
    assert steps[3].text == "done"


def test_the_usage_of_a_stream_is_that_of_its_last_line() -> None:
    usage = reported_usage(CLAUDE, "claude")
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.usd_nano) == (904, 30, 20_000_000)


def test_one_object_alone_is_its_answer() -> None:
    (step,) = agent_steps(lines({"type": "result", "result": "Raised."}), "claude")
    assert (step.kind, step.text) == ("answer", "Raised.")


def test_codex_s_events_are_steps() -> None:
    steps = agent_steps(CODEX, "codex")
    assert [(step.kind, step.who) for step in steps] == [
        ("thought", "codex"),
        ("tool", "file_change"),
        ("answer", "codex"),
        ("output", "turn"),
    ]
    assert "train.py" in steps[1].text
    assert (steps[3].tokens_in, steps[3].tokens_out) == (50, 6)


def test_other_output_is_one_step_of_text_and_none_is_none() -> None:
    (step,) = agent_steps("Tokens: 1k sent\nApplied edit to train.py\n", "aider")
    assert (step.kind, step.text) == ("output", "Tokens: 1k sent\nApplied edit to train.py")
    (step,) = agent_steps("no JSON here", "claude")
    assert step.text == "no JSON here"
    assert agent_steps(" \n", "claude") == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "message", "content", "item", "text", "input", "usage", "id"]),
            inner | st.sampled_from(["assistant", "user", "tool_use", "item.completed", "text"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=5), st.sampled_from(["claude", "codex", "aider"]))
def test_odd_events_are_read_without_a_fault(events: list[object], form: str) -> None:
    for step in agent_steps(lines(*events), form):  # type: ignore[arg-type]
        assert isinstance(step.text, str)
        assert step.tokens_in is None or step.tokens_in >= 0
