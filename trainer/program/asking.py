"""Answers a task's questions to language models, within its budget of calls and tokens.

A task's budget covers one run. It is divided evenly among the instances of a split, so that they
stay independent: no instance can use up the budget of another, or signal to it by spending. A call
counts when it is admitted, tokens when the answer arrives. An answer that exceeds the budget is not
delivered, and all later questions are refused.
"""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from protocol.errors import ArnodeError, ConfigurationError
from protocol.program import Instances, ModelBudget
from trainer.measuring.host_load import LaneWork
from trainer.measuring.models import KeptModels, ModelAnswer, ModelFault
from trainer.program.chat import ChatRequest, Refusal, completion, read_question
from trainer.program.harness.endpoint import MOST_BYTES
from trainer.program.harness.tags import ASKED, MODELS, QUESTION, REPLIED, REPLY
from trainer.program.manifest import SCRIPTED, ProgramRecipe, most_of_a_split
from trainer.program.scripted import Scripted
from trainer.sandbox.frames import ForgedFrame, Frames, SandboxEnded
from trainer.sandbox.inside.channel import SERVING
from trainer.sandbox.sandbox import Sandbox

_MOST_AT_ONCE: Final = 256
_START_S: Final = 60.0  # limit until the endpoint is ready; no candidate code runs before that


class Asking:
    """The models that a lane's candidates or judge may ask: the node's, or the task's script."""

    def __init__(
        self,
        task: str,
        budget: ModelBudget,
        instances: Instances,
        recipe: ProgramRecipe,
        *,
        models: KeptModels | None,
        work: LaneWork,
    ) -> None:
        """Raise ConfigurationError if a task asks a model and none is configured."""
        self._share = share_of(budget, instances)
        self._script: Scripted | None = None
        self._scripted: KeptModels | None = None
        self._models = models
        if SCRIPTED in budget.models and recipe.script is not None:
            self._script = Scripted(task, recipe.script, work=work)
            self._scripted = KeptModels(self._script)
        if models is None and set(budget.models) != {SCRIPTED}:
            raise ConfigurationError(
                f"task {task}: its programs or its judge ask language models, but none is set",
                "name a model in the setting `agent`, and run the task with `arnode start`",
            )

    def questions(self, seed: int, *, run_seed: int) -> "Questions":
        """Return an object that answers one instance's questions. `seed` is for the model."""
        return Questions(self, self._share, seed=seed, run_seed=run_seed)

    def models_for(self, model: str) -> KeptModels | None:
        """Return the models that answer questions addressed to this model name."""
        return self._scripted if model == SCRIPTED else self._models

    async def close(self) -> None:
        """End the script's sandbox."""
        if self._script is not None:
            await self._script.close()


class Questions:
    """Answers the questions of one candidate, or of the judge, about one instance."""

    def __init__(self, asking: Asking, budget: ModelBudget, *, seed: int, run_seed: int) -> None:
        self.calls = 0
        self.tokens = 0
        self.fault: ArnodeError | None = None  # a model's failure that the asker did not cause
        self._asking = asking
        self._budget = budget
        self._seed = seed
        self._run_seed = run_seed
        self._turns: Counter[bytes] = Counter()

    @contextlib.asynccontextmanager
    async def answered(self, sandbox: Sandbox) -> AsyncIterator[None]:
        """Answer the questions from a sandbox while the block lasts.

        Raises ArnodeError at its end if a model failed and the candidate did not cause this. The
        candidate's result is then invalid.
        """
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                names = json.dumps(self._budget.models).encode()
                await sandbox.send(MODELS, names, theirs.fileno())
            await _until_serving(sandbox)
            answering = asyncio.create_task(self._answer_all(Frames(ours)))
            try:
                yield
            finally:
                answering.cancel()
                (ended,) = await asyncio.gather(answering, return_exceptions=True)
                fault = self.fault or (ended if isinstance(ended, Exception) else None)
                if fault is not None:
                    raise fault

    async def _answer_all(self, frames: Frames) -> None:
        """Answer questions concurrently until the sandbox has ended."""
        async with asyncio.TaskGroup() as group:
            with contextlib.suppress(SandboxEnded, ForgedFrame):
                at_once = asyncio.Semaphore(_MOST_AT_ONCE)
                while await at_once.acquire():
                    number, body = await _next(frames)
                    # Admit in order of arrival, so that the count does not depend on timing.
                    admitted = self._admitted(body)
                    task = group.create_task(self._answer(frames, number, admitted))
                    task.add_done_callback(lambda _task: at_once.release())

    def _admitted(self, body: bytes) -> tuple[ChatRequest, int] | Refusal:
        """Admit a question; return it and how often it was asked before. Or return a refusal."""
        asked = read_question(body, self._budget, self._seed)
        if isinstance(asked, Refusal):
            return asked
        if self.calls >= self._budget.calls:
            return _spent(f"all {self._budget.calls} calls of this instance are made")
        if self.tokens >= self._budget.tokens:
            return _spent(f"all {self._budget.tokens} tokens of this instance are used")
        self.calls += 1
        at = asked.question.digest
        self._turns[at] += 1
        return asked, self._turns[at] - 1

    async def answer(self, body: bytes) -> bytes:
        """Return the body of the reply to a question, which may be a refusal."""
        _, _, reply = await self._replied(self.calls, self._admitted(body))
        return reply

    async def _answer(
        self, frames: Frames, number: int, admitted: tuple[ChatRequest, int] | Refusal
    ) -> None:
        status, is_streamed, body = await self._replied(number, admitted)
        with contextlib.suppress(SandboxEnded):
            await frames.send(REPLY, REPLIED.pack(number, status, is_streamed) + body)

    async def _replied(
        self, number: int, admitted: tuple[ChatRequest, int] | Refusal
    ) -> tuple[int, bool, bytes]:
        """Return an HTTP status, True if the body is a stream, and the body."""
        if isinstance(admitted, Refusal):
            return admitted.status, False, admitted.body
        asked, turn = admitted
        answer = await self._outcome(asked, turn)
        if isinstance(answer, Refusal):
            return answer.status, False, answer.body
        return 200, asked.is_streamed, completion(asked, answer, number)

    async def _outcome(self, asked: ChatRequest, turn: int) -> ModelAnswer | Refusal:
        models = self._asking.models_for(asked.question.model)
        assert models is not None  # noqa: S101 -- `Asking` has checked
        try:
            outcome = await models.ask(asked.question, run_seed=self._run_seed, turn=turn)
        except ArnodeError as error:
            self.fault = error
            return _away(error.message)
        if isinstance(outcome, ModelFault):
            if not outcome.is_askers:
                self.fault = ArnodeError(
                    f"a task's language model did not answer: {outcome.detail}",
                    "check the model with `arnode doctor`; the run is repeated",
                )
            return _away(outcome.detail)
        if self.tokens + outcome.tokens > self._budget.tokens:
            left, self.tokens = self._budget.tokens - self.tokens, self._budget.tokens
            return _spent(f"the answer takes {outcome.tokens} tokens, and {left} are left")
        self.tokens += outcome.tokens
        return outcome


def share_of(budget: ModelBudget, instances: Instances) -> ModelBudget:
    """Return one instance's share of a run's budget. The remainder is not used."""
    count = most_of_a_split(instances)
    return replace(budget, calls=budget.calls // count, tokens=budget.tokens // count)


async def _until_serving(sandbox: Sandbox) -> None:
    try:
        async with asyncio.timeout(_START_S):
            await sandbox.receive(SERVING)
    except TimeoutError as error:
        raise SandboxEnded from error


async def _next(frames: Frames) -> tuple[int, bytes]:
    _, payload = await frames.receive_one({QUESTION: ASKED.size + MOST_BYTES})
    if len(payload) < ASKED.size:
        raise ForgedFrame("a question frame without its question's number")
    return ASKED.unpack(payload[: ASKED.size])[0], payload[ASKED.size :]


def _spent(detail: str) -> Refusal:
    return Refusal(status=429, kind="insufficient_quota", detail=f"the budget is spent: {detail}")


def _away(detail: str) -> Refusal:
    return Refusal(status=503, kind="server_error", detail=detail)
