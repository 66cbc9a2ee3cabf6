"""Model workers for tests: their processes, and a model behind a scripted server."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from agent.completion import ChatMessage, CompletionRequest
from agent.worker.messages import ModelSettings
from agent.worker.messages import Reply as Said
from agent.worker.prices import FREE
from node.home.clock import clock_ms as time_of_day_ms
from node.home.config import Config
from node.home.home import Home
from node.proposing import worker
from node.proposing.budget import (
    ModelCostBudget,
    limits_of,
    open_cost_database,
    temporary_cost_database,
)
from node.proposing.choice import ModelChoice, arms_of
from node.proposing.keys import ApiKeys
from node.proposing.model import Model, open_model
from node.proposing.retrying import Ladder
from node.proposing.worker import PROGRAM, ModelWorker
from tests.llm_server import LlmServer, Reply, says
from tests.peering.networks import ancestors

KEY = "sk-proj-0123456789abcdefXYZ"
KEYS = ApiKeys({"MODEL_KEY": KEY})
LIGHT = "tests.light_worker"
ONCE = Ladder(again={})
LIMIT_S = 240  # importing litellm takes five seconds on a processor that may be busy


def question(
    text: str = "?", *, max_tokens: int = 100, timeout_s: float = 60.0
) -> CompletionRequest:
    """Return a question of one message."""
    message = ChatMessage(role="user", content=text)
    return CompletionRequest(messages=(message,), max_tokens=max_tokens, timeout_s=timeout_s)


@dataclass(frozen=True, slots=True)
class Shared:
    """A worker for several tests, its event loop, and the server that it asks."""

    runner: asyncio.Runner
    worker: ModelWorker
    server: LlmServer

    def run(self, test: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run a test's coroutine in the worker's loop."""

        async def within_limit() -> None:
            async with asyncio.timeout(LIMIT_S):
                await test()

        self.runner.run(within_limit())

    def script(self, *replies: Reply) -> None:
        """Begin a new script of replies, and forget the requests recorded so far."""
        self.server.begin(*replies)


@contextmanager
def shared_worker(model: str, key: str, program: str = PROGRAM) -> Iterator[Shared]:
    """Yield a running worker of this program, connected to a scripted server."""
    with LlmServer(says("warm")) as server, asyncio.Runner() as runner:
        settings = ModelSettings(model=f"openai/{model}", api_base=server.url, api_key=key)

        async def enter() -> ModelWorker:
            with mock.patch.object(worker, "PROGRAM", program):
                entered = ModelWorker(settings, hidden=())
            await entered.__aenter__()
            await entered.facts()
            # The first request loads what a provider needs.
            assert isinstance(await entered.ask(question()), Said)
            return entered

        entered = runner.run(enter())
        try:
            yield Shared(runner, entered, server)
        finally:
            runner.run(entered.__aexit__(None, None, None))


def configured(url: str, **settings: Any) -> Config:
    """Return settings that use a model `small` of this server."""
    return Config(**{"agent": ("small",), "llm_url": url, "llm_key": "MODEL_KEY", **settings})


@asynccontextmanager
async def asking(
    home: Home,
    config: Config,
    *,
    keys: ApiKeys = KEYS,
    clock_ms: Callable[[], int] = time_of_day_ms,
    ladder: Ladder = ONCE,
) -> AsyncIterator[Model]:
    """Yield the model that the settings name, with the model costs of the home."""
    choice = arms_of(config)[0].choice
    assert isinstance(choice, ModelChoice)
    with open_cost_database(home) as cost_database:
        async with open_model(
            home, config, choice, keys, cost_database, clock_ms=clock_ms, ladder=ladder
        ) as model:
            yield model


def worker_programs(ancestor: int, program: str = PROGRAM) -> list[int]:
    """Return the process ids of workers below a process, without their sandboxes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (folder / "cmdline").read_bytes().split(b"\0")
            is_worker = b"python" in argv[0] and any(program.encode() in one for one in argv)
            if is_worker and ancestor in ancestors(int(folder.name)):
                found.append(int(folder.name))
    return sorted(found)


def own_worker(program: str = PROGRAM) -> int:
    """Return the process id of this test's only worker."""
    (pid,) = worker_programs(os.getpid(), program)
    return pid


@contextmanager
def passing_budget(config: Config | None = None) -> Iterator[ModelCostBudget]:
    """Yield a day's budget with the limits of the settings; it is discarded afterwards."""
    with temporary_cost_database() as cost_database:
        yield ModelCostBudget(
            cost_database,
            limits=limits_of(config or Config()),
            model="agent",
            price=FREE,
            clock_ms=time_of_day_ms,
        )
