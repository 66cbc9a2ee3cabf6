"""A model is asked through a real worker, of a scripted server, and charged to the token."""

import asyncio
import gzip
import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.completion import (
    PROMPT_BYTES,
    ChatMessage,
    Complete,
    CompletionFault,
    CompletionRequest,
    FaultKind,
    ModelCompletion,
)
from agent.worker.messages import Failure, ModelFacts
from agent.worker.messages import Reply as Said
from agent.worker.prices import FREE, Price
from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home
from node.processes import child
from node.proposing import worker as node_worker
from node.proposing.budget import ModelCostBudget, most_of, open_cost_database
from node.proposing.choice import ModelChoice
from node.proposing.keys import ApiKeys
from node.proposing.model import (
    UNKNOWN_CONTEXT_TOKENS,
    ModelLimits,
    budgeted,
    limits_for,
    price_for,
    prompt_chars_for,
    settings_for,
)
from node.proposing.retrying import Ladder, persistent
from node.store.database import Database
from node.store.model_calls import ModelCostLimits
from protocol.errors import ArnodeError, ConfigurationError
from tests.llm_server import (
    TOKENS_IN,
    TOKENS_OUT,
    LlmServer,
    Reply,
    completion,
    hangs_up,
    page,
    points_to,
    refuses,
    says,
    sends,
    stalls,
    waits_for,
)
from tests.peering.networks import is_alive, until
from tests.workers import (
    KEY,
    LIGHT,
    LIMIT_S,
    Shared,
    asking,
    own_worker,
    question,
    shared_worker,
    worker_programs,
)

ROOT = Path(__file__).parents[2]
IN_NANO, OUT_NANO = 150, 600
ASKED = question()
MOST = most_of(ASKED)
SHORT = question(timeout_s=1.0)
# A reply, the fault that it is, and what is counted: tokens in, out, and how it stands.
ZERO, ALL = (0, 0, "settled"), (MOST.tokens_in, MOST.tokens_out, "unknown")
SAID = (TOKENS_IN, TOKENS_OUT, "settled")
HI = {"type": "text", "text": "hi"}
PRESSED = gzip.compress(json.dumps(completion("hi")).encode())
BOMB = gzip.compress(bytes(64 << 20))
REPLIES: dict[str, tuple[Reply, FaultKind | None, tuple[int, int, str]]] = {
    "says": (says("hi", usage=(11, 7)), None, (11, 7, "settled")),
    "is cut": (says("hi", usage=(11, 100), finish="length"), None, (11, 100, "settled")),
    # No more tokens went than the prompt has bytes, and no more came than it may have.
    "says more": (says("hi", usage=(9**9, 7)), None, (MOST.tokens_in, 7, "settled")),
    "says 900 million": (
        says("hi", usage=(11, 900_000_000)),
        None,
        (11, MOST.tokens_out, "settled"),
    ),
    "says it in parts": (says([{"type": "reasoning", "text": "hm"}, HI]), None, SAID),
    "says it compressed": (sends(PRESSED, content_encoding="gzip"), None, SAID),
    "compressed in part": (sends(PRESSED[:-20], content_encoding="gzip"), "garbage", ALL),
    "compressed bomb": (sends(BOMB, content_encoding="gzip"), "garbage", ZERO),
    "brotli": (sends(b"\x0b", content_encoding="br"), "garbage", ALL),
    "portal": (sends(b"Please log in", kind="text/html"), "garbage", ZERO),
    "proxy": (sends(b"no route", kind="text/plain"), "garbage", ZERO),
    "no answer": (sends({"choices": [{"message": {"content": 7}}]}), "garbage", ALL),
    "says no usage": (says("hi", usage=None), None, ALL),
    "says nothing": (says(None, usage=(11, 7)), "empty", (11, 7, "settled")),
    "thinks only": (says("", usage=(11, 100), finish="length"), "empty", (11, 100, "settled")),
    "no choices": (sends({**completion("x"), "choices": []}), "empty", (11, 7, "settled")),
    "401": (refuses(401, f"Incorrect API key provided: {KEY}"), "unauthorized", ZERO),
    "404": (refuses(404, "model `small` not found"), "unknown_model", ZERO),
    "429": (refuses(429, "slow down", retry_after="7"), "rate_limited", ZERO),
    "500": (refuses(500), "server", ZERO),
    "gateway": (page(502), "server", ZERO),
    "overflow": (refuses(400, "maximum context length is 9 tokens"), "overflow", ZERO),
    "redirect": (points_to("http://192.0.2.1/"), "garbage", ZERO),
    "gateway timeout": (page(504), "timeout", ALL),
    "page": (page(), "garbage", ZERO),
    "garbage": (sends(b'{"choices": ['), "garbage", ALL),
    "no object": (sends([1, 2]), "garbage", ALL),
    "bomb": (sends({**completion("x"), "choices": [{}] * 100_000}), "garbage", ZERO),
    "too long": (sends(b"[" + b" " * (9 << 20) + b"]"), "garbage", ZERO),
    "hangs up": (hangs_up(), "server", ALL),
    "breaks off": (hangs_up(after_bytes=90), "server", ALL),
    "stalls": (stalls(), "timeout", ALL),
    "stalls in its head": (stalls(after_bytes=0), "timeout", ALL),
    "stalls in the middle": (stalls(after_bytes=90), "timeout", ALL),
}


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    async def within_limit() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(within_limit())


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with shared_worker("some/org:7b", KEY) as shared:
        yield shared


@pytest.fixture(scope="module")
def light() -> Iterator[Shared]:
    """A worker that starts again in no time."""
    with shared_worker("some/org:7b", KEY, LIGHT) as light:
        yield light


@pytest.fixture
def complete(shared: Shared, home: Home) -> Iterator[Complete]:
    """A completion without limits over the shared worker, with the costs of this test's home."""
    with open_cost_database(home) as cost_database:
        yield budgeted(shared.worker, budget_of(cost_database))


@pytest.fixture
def complete_lightly(light: Shared, home: Home) -> Iterator[Complete]:
    """The same completion over the light worker."""
    with open_cost_database(home) as cost_database:
        yield budgeted(light.worker, budget_of(cost_database))


def budget_of(cost_database: Database, limits: ModelCostLimits | None = None) -> ModelCostBudget:
    return ModelCostBudget(
        cost_database,
        limits=limits or ModelCostLimits(),
        model="small",
        price=Price(usd_nano_in=IN_NANO, usd_nano_out=OUT_NANO),
        clock_ms=clock_ms,
    )


def rows(home: Home) -> list[tuple[int, int, str, int]]:
    with closing(sqlite3.connect(home.store)) as database:
        return database.execute(
            "SELECT tokens_in, tokens_out, state, usd_nano FROM model_call ORDER BY id"
        ).fetchall()


@pytest.mark.parametrize("name", REPLIES)
def test_whatever_a_server_does_is_named_and_counted_to_the_token(
    home: Home, shared: Shared, complete: Complete, name: str
) -> None:
    reply, kind, (tokens_in, tokens_out, state) = REPLIES[name]
    # The second is there to be seen if something asks twice.
    shared.script(reply, says("asked twice"))

    async def test() -> None:
        outcome = await complete(SHORT if name.startswith("stalls") else ASKED)
        found = None if isinstance(outcome, ModelCompletion) else outcome.kind
        assert found == kind, outcome
        usd_nano = tokens_in * IN_NANO + tokens_out * OUT_NANO
        assert rows(home) == [(tokens_in, tokens_out, state, usd_nano)]
        charged = (outcome.cost.tokens_in, outcome.cost.tokens_out, outcome.cost.usd_nano)
        assert charged == (tokens_in, tokens_out, usd_nano)
        assert KEY[:8] not in str(outcome)
        if isinstance(outcome, CompletionFault):
            assert outcome.detail.isprintable()
            assert outcome.retry_s == (7.0 if kind == "rate_limited" else None)
        else:
            assert (outcome.text, outcome.is_cut) == ("hi", name == "is cut")
        assert len(shared.server.requests) == 1

    shared.run(test)


def test_the_light_worker_says_what_litellm_s_does(shared: Shared, light: Shared) -> None:
    def said(worker: Shared, reply: Reply) -> str:
        async def ask() -> None:
            outcomes.append(replace(await worker.worker.ask(ASKED), id=1))

        outcomes: list[Said | Failure] = []
        worker.script(reply)
        worker.run(ask)
        return str(outcomes).replace(worker.server.url.removesuffix("/v1"), "its server")

    for name in ("says", "is cut", "says no usage", "401", "404", "429", "500", "redirect", "page"):
        assert said(light, REPLIES[name][0]) == said(shared, REPLIES[name][0]), name
    assert light.server.requests[0].body == shared.server.requests[0].body


def test_a_question_is_sent_as_it_is_with_the_key_and_nothing_else(
    shared: Shared, complete: Complete
) -> None:
    talk = (
        ChatMessage(role="system", content="You are e\u0301xact.\0"),
        ChatMessage(role="user", content="x" * 300_000),
        ChatMessage(role="assistant", content="a \U0001f600"),
    )
    shared.script(says("fine, " + KEY))

    async def test() -> None:
        outcome = await complete(CompletionRequest(messages=talk, max_tokens=33, timeout_s=60.0))
        (request,) = shared.server.requests
        assert request.body == {
            "model": "some/org:7b",
            "messages": [{"role": one.role, "content": one.content} for one in talk],
            "max_tokens": 33,
        }
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert isinstance(outcome, ModelCompletion)
        assert outcome.text == "fine, " + "*" * len(KEY)

    shared.run(test)


def test_questions_at_once_pass_no_limit(home: Home, shared: Shared) -> None:
    is_let_go = threading.Event()
    shared.script(waits_for(is_let_go, says("hi", usage=(11, 7))))
    tokens = MOST.tokens_in + MOST.tokens_out

    async def test() -> None:
        with open_cost_database(home) as cost_database:
            budget = budget_of(cost_database, ModelCostLimits(tokens=3 * tokens + tokens - 1))
            complete = budgeted(shared.worker, budget)
            asking_all = asyncio.gather(*(complete(ASKED) for _ in range(12)))
            await until(lambda: len(shared.server.questions) == 3)
            assert [state for _, _, state, _ in rows(home)] == ["reserved"] * 3
            is_let_go.set()
            outcomes = await asking_all
            answers = [one for one in outcomes if isinstance(one, ModelCompletion)]
            assert len(answers) == len(shared.server.questions) == 3
            refusals = [one.kind for one in outcomes if isinstance(one, CompletionFault)]
            assert refusals == ["over_budget"] * 9
            assert budget.spent().tokens == 3 * 18
            assert isinstance(await complete(ASKED), ModelCompletion)

    shared.run(test)


def test_what_passes_is_asked_again_and_each_try_is_a_call(home: Home, shared: Shared) -> None:
    shared.script(refuses(429, retry_after="0"), refuses(500), says("hi", usage=(11, 7)))

    async def test() -> None:
        with open_cost_database(home) as cost_database:
            complete = persistent(
                budgeted(shared.worker, budget_of(cost_database, ModelCostLimits(calls=3))),
                sleep=asyncio.sleep,
                chance=random.Random(1),
                ladder=Ladder(first_s=0.01),
            )
            outcome = await complete(ASKED)
            assert isinstance(outcome, ModelCompletion)
            assert (outcome.cost.tokens_in, outcome.cost.tokens_out) == (11, 7)
            assert [row[:3] for row in rows(home)] == [ZERO, ZERO, (11, 7, "settled")]
            refusal = await complete(ASKED)
            assert isinstance(refusal, CompletionFault)
            assert "`calls_per_day`" in refusal.detail

    shared.run(test)


def test_a_prompt_that_no_frame_holds_is_not_sent(shared: Shared, complete: Complete) -> None:
    shared.script(says("never"))

    async def test() -> None:
        outcome = await complete(question("x" * (PROMPT_BYTES + 1)))
        assert isinstance(outcome, CompletionFault)
        assert (outcome.kind, outcome.cost.tokens_in) == ("overflow", 0)
        assert shared.server.requests == []

    shared.run(test)


def test_a_question_that_nobody_waits_for_any_more_ends_and_counts_in_full(
    home: Home, shared: Shared, complete: Complete
) -> None:
    shared.script(stalls(), says("next"))

    async def test() -> None:
        pending = asyncio.create_task(complete(ASKED))
        await until(lambda: bool(shared.server.questions))
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        assert [row[:3] for row in rows(home)] == [ALL]
        assert isinstance(await complete(ASKED), ModelCompletion)

    shared.run(test)


def test_a_worker_that_is_killed_is_replaced_and_its_question_counts_in_full(
    home: Home, light: Shared, complete_lightly: Complete
) -> None:
    light.script(stalls(), says("again"))

    async def test() -> None:
        pending = asyncio.create_task(complete_lightly(ASKED))
        await until(lambda: bool(light.server.questions))
        os.kill(own_worker(LIGHT), signal.SIGKILL)
        outcome = await pending
        assert isinstance(outcome, CompletionFault)
        assert (outcome.kind, outcome.cost.tokens_in) == ("worker", MOST.tokens_in)
        assert [row[:3] for row in rows(home)] == [ALL]
        assert isinstance(await complete_lightly(ASKED), ModelCompletion)

    light.run(test)


def test_a_worker_that_hangs_is_replaced(
    home: Home, light: Shared, complete_lightly: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_worker, "GRACE_S", 0.5)
    monkeypatch.setattr(child, "PARTING_S", 0.1)
    light.script(stalls(), says("again"))

    async def test() -> None:
        pending = asyncio.create_task(complete_lightly(SHORT))
        await until(lambda: bool(light.server.questions))
        hung = own_worker(LIGHT)
        os.kill(hung, signal.SIGSTOP)
        outcome = await pending
        assert isinstance(outcome, CompletionFault)
        assert outcome.kind == "timeout"
        assert [row[2] for row in rows(home)] == ["unknown"]
        assert isinstance(await complete_lightly(ASKED), ModelCompletion)
        assert own_worker(LIGHT) != hung

    light.run(test)


def test_a_model_is_opened_as_the_settings_say_and_ended_with_its_block(
    home: Home, light_worker: None
) -> None:
    config = Config(
        agent=("small",),
        llm_url="http://127.0.0.1:1/v1",  # nothing listens at port 1
        llm_usd_in=IN_NANO / 1000,
        llm_usd_out=OUT_NANO / 1000,
        calls_per_day=1,
    )

    others = worker_programs(os.getpid(), LIGHT)

    async def test() -> None:
        async with asking(home, config) as model:
            assert model.name == "small"
            assert model.price == Price(usd_nano_in=IN_NANO, usd_nano_out=OUT_NANO)
            assert len(worker_programs(os.getpid(), LIGHT)) == len(others) + 1
            outcome = await model.complete(ASKED)
            assert isinstance(outcome, CompletionFault)
            assert (outcome.kind, outcome.cost.tokens_in) == ("unreachable", 0)
            assert "http://127.0.0.1:1 cannot be reached" in outcome.detail
            assert [row[:3] for row in rows(home)] == [ZERO]
            refusal = await model.complete(ASKED)
            assert isinstance(refusal, CompletionFault)
            assert refusal.kind == "over_budget"
        await until(lambda: worker_programs(os.getpid(), LIGHT) == others)

    run(test)


CORE = """
import asyncio, sys
from pathlib import Path
from node.home.config import Config
from node.home.home import Home
from node.proposing import worker
from tests.workers import LIGHT, asking, question

worker.PROGRAM = LIGHT

async def main():
    config = Config(agent=("small",), llm_url=sys.argv[2])
    async with asking(Home(Path(sys.argv[1])), config) as model:
        await model.complete(question())

asyncio.run(main())
"""


def test_a_core_that_is_killed_in_mid_question_leaves_it_counted_in_full(home: Home) -> None:
    async def test() -> None:
        with LlmServer(stalls()) as server:
            core = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CORE, str(home.root), server.url, cwd=ROOT
            )
            await until(lambda: bool(server.questions))
            (worker,) = worker_programs(core.pid, LIGHT)
            core.kill()
            await core.wait()
            assert [row[:3] for row in rows(home)] == [(*ALL[:2], "reserved")]
            await until(lambda: not is_alive(worker))
        tokens = MOST.tokens_in + MOST.tokens_out
        with open_cost_database(home) as cost_database:
            budget = budget_of(cost_database, ModelCostLimits(tokens=2 * tokens - 1))
            assert budget.spent().tokens == tokens
            refusal = budget.reserve(ASKED)
            assert isinstance(refusal, CompletionFault)
            assert refusal.kind == "over_budget"

    run(test)


@pytest.mark.soak
def test_of_a_hosted_model_price_and_context_are_known_without_asking_anybody(
    home: Home,
) -> None:
    async def test() -> None:
        keys = ApiKeys({"ANTHROPIC_API_KEY": KEY})
        async with asking(home, Config(agent=("claude-sonnet-4-5",)), keys=keys) as model:
            assert model.name == "claude-sonnet-4-5"
            assert (model.price.usd_nano_in, model.price.usd_nano_out) == (3_000, 15_000)
            assert model.limits.context_tokens >= 200_000
            assert model.limits.answer_tokens == Config().llm_answer
        assert rows(home) == []

    run(test)


@pytest.mark.soak
def test_a_provider_that_nobody_knows_is_a_clear_error(home: Home) -> None:
    async def test() -> None:
        keys = ApiKeys({"FOO_API_KEY": KEY})
        with pytest.raises(
            ConfigurationError, match="knows no provider for the model foo/bar"
        ) as caught:
            async with asking(home, Config(agent=("foo/bar",)), keys=keys):
                pass
        assert "llm_url" in caught.value.hint

    run(test)


def test_without_litellm_the_fix_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_worker, "PROGRAM", "tests.without_litellm")

    async def test() -> None:
        with pytest.raises(ConfigurationError, match="litellm is not installed") as caught:
            async with asking(home, Config(agent=("small",), llm_url="http://127.0.0.1:1/v1")):
                pass
        assert "arnode[llm]" in caught.value.hint

    run(test)


def test_a_worker_that_never_starts_is_an_error_after_a_few_tries(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_worker, "PROGRAM", "tests.nowhere")

    async def test() -> None:
        with pytest.raises(ArnodeError, match="the worker that asks models died"):
            async with asking(home, Config(agent=("small",), llm_url="http://127.0.0.1:1/v1")):
                pass

    run(test)


HOSTED = ModelChoice(name="gpt-5", model="gpt-5", url=None)
HERE = ModelChoice(name="small", model="openai/small", url="http://127.0.0.1:1/v1")
ELSEWHERE = ModelChoice(name="small", model="openai/small", url="https://example.org/v1")
UNKNOWN = ModelFacts(provider="openai", price=None, context_tokens=None, answer_tokens=None)
LISTED = Price(usd_nano_in=1, usd_nano_out=2)


@pytest.mark.parametrize(
    ("config", "choice", "missing"),
    [
        (Config(), HOSTED, "OPENAI_API_KEY is not set"),
        (Config(llm_key="MINE"), HERE, "MINE is not set"),
        (
            Config(),
            ModelChoice(name="qwen3", model="qwen3", url=None),
            "the provider of qwen3 is unknown",
        ),
    ],
)
def test_a_key_that_is_needed_and_missing_is_named(
    config: Config, choice: ModelChoice, missing: str
) -> None:
    with pytest.raises(ConfigurationError, match=missing) as caught:
        settings_for(config, choice, ApiKeys({"OTHER_API_KEY": KEY}))
    assert "llm_url" in caught.value.hint


def test_a_server_of_the_user_s_needs_no_key() -> None:
    keys = ApiKeys({"OPENAI_API_KEY": KEY})
    for choice in (HERE, ELSEWHERE):
        assert settings_for(Config(), choice, keys).api_key is None
    assert settings_for(Config(), HOSTED, keys).api_key == KEY


def test_prices_are_the_user_s_then_the_list_s_then_nothing_on_this_machine() -> None:
    reported = Config(llm_usd_in=0.5, llm_usd_out=2)
    listed = ModelFacts(provider="openai", price=LISTED, context_tokens=None, answer_tokens=None)
    user_s = Price(usd_nano_in=500, usd_nano_out=2000)
    assert price_for(reported, HOSTED, listed) == user_s
    assert price_for(reported, ELSEWHERE, UNKNOWN) == user_s
    assert price_for(Config(), HOSTED, listed) == LISTED
    assert price_for(Config(llm_usd_out=2), HOSTED, listed) == Price(
        usd_nano_in=1, usd_nano_out=2000
    )
    assert price_for(Config(), HERE, UNKNOWN) == FREE
    assert price_for(Config(llm_usd_in=0, llm_usd_out=0), ELSEWHERE, UNKNOWN) == FREE


@pytest.mark.parametrize("config", [Config(), Config(llm_usd_in=1.0), Config(usd_per_day=0.0)])
def test_where_nobody_knows_a_price_the_settings_are_named(config: Config) -> None:
    with pytest.raises(ConfigurationError, match="the price of small is unknown") as caught:
        price_for(config, ELSEWHERE, UNKNOWN)
    assert "`llm_usd_in` and `llm_usd_out`" in caught.value.hint
    with pytest.raises(ConfigurationError, match=r"more than 0\.001 USD"):
        price_for(Config(llm_usd_in=2000, llm_usd_out=1), ELSEWHERE, UNKNOWN)


def test_limits_are_the_user_s_then_the_list_s_and_leave_room_for_the_prompt() -> None:
    known = ModelFacts(provider="openai", price=None, context_tokens=100_000, answer_tokens=4_000)
    assert limits_for(Config(), known) == ModelLimits(context_tokens=100_000, answer_tokens=4_000)
    assert limits_for(Config(llm_context=5_000), known) == ModelLimits(
        context_tokens=5_000, answer_tokens=2_500
    )
    assert limits_for(Config(llm_answer=100), UNKNOWN) == ModelLimits(
        context_tokens=UNKNOWN_CONTEXT_TOKENS, answer_tokens=100
    )


LONG = ModelLimits(context_tokens=200_000, answer_tokens=8_000)
CHEAP = Price(usd_nano_in=100, usd_nano_out=400)
DEAR = Price(usd_nano_in=15_000, usd_nano_out=75_000)


@pytest.mark.parametrize(
    ("config", "price", "chars"),
    [
        (Config(), FREE, 576_000),  # three characters for each token that is left
        (Config(usd_per_day=100.0), CHEAP, 576_000),
        (Config(usd_per_day=1.0), CHEAP, 20_000 + 150_000),
        (Config(), DEAR, 20_000 + 24_000),
        (Config(tokens_per_day=2_000_000), FREE, 20_000 + 30_000),
        (Config(usd_per_day=1.0, tokens_per_day=2_000_000), CHEAP, 20_000 + 30_000),
    ],
)
def test_a_prompt_is_as_long_as_the_context_holds_and_the_day_pays(
    config: Config, price: Price, chars: int
) -> None:
    assert prompt_chars_for(config, LONG, price, source_chars=10_000) == chars


def test_a_short_context_is_kept_to_whatever_the_price() -> None:
    short = ModelLimits(context_tokens=8_192, answer_tokens=4_096)
    for price in (FREE, CHEAP, DEAR):
        assert prompt_chars_for(Config(), short, price, source_chars=10_000) == 3 * 4_096
