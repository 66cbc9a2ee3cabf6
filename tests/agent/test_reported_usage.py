"""The usage that coding agents print, as in their newest versions."""

import json

import pytest

from agent.reported_usage import NO_USAGE, ReportedUsage, last_words, reported_usage

# Claude Code 2.1.330, `--output-format json`; shortened.
CLAUDE = {
    "type": "result", "subtype": "success", "is_error": False, "total_cost_usd": 0.015,
    "usage": {
        "input_tokens": 1_000, "cache_creation_input_tokens": 1_500,
        "cache_read_input_tokens": 500, "output_tokens": 150,
    },
    "modelUsage": {
        "claude-opus-5-5": {
            "inputTokens": 1_000, "outputTokens": 150, "cacheReadInputTokens": 500,
            "cacheCreationInputTokens": 1_500, "costUSD": 0.015,
        }
    },
    "result": "The model is wider now.",
}  # fmt: skip
OVER = CLAUDE | {
    "subtype": "error_max_budget_usd", "is_error": True, "total_cost_usd": 0.005,
    "usage": {"input_tokens": 0, "output_tokens": 0}, "errors": ["Reached maximum budget ($0.003)"],
}  # fmt: skip
REFUSED = CLAUDE | {
    "is_error": True, "total_cost_usd": 0, "usage": {"input_tokens": 0, "output_tokens": 0},
    "modelUsage": {}, "result": "Failed to authenticate. API Error: 401 bad key",
}  # fmt: skip
# Codex 0.169.0, `--json`.
STARTED = {"type": "turn.started"}
WORDS = {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}}
TURN = {
    "type": "turn.completed",
    "usage": {"input_tokens": 2_000, "cached_input_tokens": 900, "output_tokens": 100},
}
TWO_ANSWERS = """\
Tokens: 12k sent, 3k cache write, 1k cache hit, 1.2k received. Cost: $0.05 message, $0.05 session.
Tokens: 2 sent, 3 received. Cost: $0.01 message, $0.06 session.
"""


def failed(message: str) -> dict[str, object]:
    return {"type": "turn.failed", "error": {"message": message}}


def lines(*events: object) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def test_claude_reports_tokens_and_usd() -> None:
    assert reported_usage(lines(CLAUDE), "claude") == ReportedUsage(
        tokens_in=3_000, tokens_out=150, usd_nano=15_000_000
    )


def test_what_is_printed_around_it_does_not_matter() -> None:
    printed = f"a warning\n{lines(CLAUDE)}{{no json\nanother\n"
    assert reported_usage(printed, "claude") == reported_usage(lines(CLAUDE), "claude")


def test_a_claude_that_ran_into_its_limit_reports_what_it_took_and_why_it_ended() -> None:
    reported = reported_usage(lines(OVER), "claude")
    assert reported == ReportedUsage(tokens_in=3_000, tokens_out=150, usd_nano=5_000_000)
    assert last_words(lines(OVER), "claude") == "Reached maximum budget ($0.003)"


def test_a_claude_that_was_refused_took_nothing_and_says_why() -> None:
    assert reported_usage(lines(REFUSED), "claude") == NO_USAGE
    assert last_words(lines(REFUSED), "claude").startswith("Failed to authenticate")


def test_codex_reports_tokens_of_each_turn() -> None:
    printed = lines(STARTED, WORDS, TURN, TURN)
    assert reported_usage(printed, "codex") == ReportedUsage(
        tokens_in=4_000, tokens_out=200, usd_nano=None
    )
    assert last_words(printed, "codex") == "Done."


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((STARTED, failed("unexpected status 401 Unauthorized: bad key")), NO_USAGE),
        ((STARTED, failed("Connection failed: error sending request")), NO_USAGE),
        ((STARTED, WORDS, failed("unexpected status 500")), None),
        ((STARTED, WORDS, failed("budget reached")), None),
        ((STARTED, failed("stream disconnected before completion")), None),
        ((STARTED, failed("unexpected status 408 Request Timeout")), None),
        ((STARTED,), None),
    ],
)
def test_a_codex_that_failed_took_nothing_only_where_no_model_was(
    events: tuple[object, ...], expected: ReportedUsage | None
) -> None:
    assert reported_usage(lines(*events), "codex") == expected


@pytest.mark.parametrize(
    ("printed", "expected"),
    [  # aider 0.86.2; the last digit may have been rounded
        (
            "Tokens: 1.0k sent, 50 received. Cost: $0.0030 message, $0.0030 session.\n",
            ReportedUsage(tokens_in=1_050, tokens_out=50, usd_nano=3_050_000),
        ),
        (
            TWO_ANSWERS,
            ReportedUsage(tokens_in=12_502, tokens_out=1_253, usd_nano=65_000_000),
        ),
        (
            "Tokens: 1.0k sent, 50 received.\n",
            ReportedUsage(tokens_in=1_050, tokens_out=50, usd_nano=None),
        ),
        ("litellm.AuthenticationError: OpenAIException - bad key\n", NO_USAGE),
        ("litellm.Timeout: it took too long\n", None),
        ("hello\n", None),
    ],
)
def test_aider_reports_rounded_figures(printed: str, expected: ReportedUsage | None) -> None:
    assert reported_usage(printed, "aider") == expected


@pytest.mark.parametrize("form", ["claude", "codex", "aider"])
@pytest.mark.parametrize("printed", ["", "{", "[]\n", '{"type": "result"}\n', "\x1b[31mno\n"])
def test_what_says_nothing_is_no_word(form: str, printed: str) -> None:
    assert reported_usage(printed, form) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("usd", [-1, "0.1", True, None, float("nan"), 1e9])
def test_a_cost_that_is_none_is_left_to_the_tokens(usd: object) -> None:
    reported = reported_usage(lines(CLAUDE | {"total_cost_usd": usd}), "claude")
    assert reported == ReportedUsage(tokens_in=3_000, tokens_out=150, usd_nano=None)


def test_what_no_session_of_its_length_can_take_cannot_be() -> None:
    assert ReportedUsage(tokens_in=1_100_000, tokens_out=128_000).can_be(1.0)
    assert not ReportedUsage(tokens_in=1_100_001).can_be(1.0)
    assert not ReportedUsage(tokens_out=900_000_000).can_be(900.0)
    assert not ReportedUsage(usd_nano=500 * 10**9).can_be(10.0)
    huge = reported_usage(
        lines(TURN | {"usage": {"input_tokens": 10**30, "output_tokens": -5}}), "codex"
    )
    assert huge is not None
    assert huge.tokens_out == 0
    assert not huge.can_be(900.0)
