"""The worker with a provider that litellm does not reach by OpenAI's library."""

import asyncio

from agent.completion import CompletionRequest
from agent.worker.messages import Failure, ModelSettings, Reply
from agent.worker.prices import Usage
from node.proposing.worker import ModelWorker
from tests.llm_server import LlmServer, hangs_up, refuses, sends
from tests.workers import KEY, LIMIT_S, question

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "max_tokens",
    "usage": {"input_tokens": 11, "output_tokens": 7},
}


async def answers(server: LlmServer, *asked: CompletionRequest) -> list[Reply | Failure]:
    settings = ModelSettings(
        model="anthropic/claude-sonnet-4-5",
        api_base=server.url.removesuffix("/v1"),
        api_key=KEY,
    )
    async with asyncio.timeout(LIMIT_S), ModelWorker(settings, hidden=()) as worker:
        return [await worker.ask(one) for one in asked]


def test_a_question_is_one_request_whatever_becomes_of_it() -> None:
    said = f"invalid x-api-key {KEY}"
    with LlmServer(sends(MESSAGE), hangs_up(), refuses(401, said), refuses(529)) as server:
        reply, broken, refused, busy = asyncio.run(answers(server, *[question()] * 4))
    # litellm would retry after a broken connection, which may cost twice.
    assert len(server.requests) == 4
    assert {one.path for one in server.requests} == {"/v1/messages"}
    assert server.requests[0].headers["x-api-key"] == KEY
    assert isinstance(reply, Reply)
    assert (reply.text, reply.is_cut) == ("hi", True)
    assert reply.usage == Usage(tokens_in=11, tokens_out=7)
    assert isinstance(broken, Failure)
    assert (broken.fault, broken.may_have_cost) == ("server", True)
    assert isinstance(refused, Failure)
    assert (refused.fault, refused.may_have_cost) == ("unauthorized", False)
    assert KEY[:8] not in refused.detail
    assert isinstance(busy, Failure)
    assert (busy.fault, busy.may_have_cost) == ("server", False)
