"""The node's own language model for a task's programs, if the task lets them ask a model.

Programs use the same worker and the same daily limits as a proposer. A peer may have written the
program. So on a network only a model on this machine may be called: it costs nothing, and no
question leaves the machine.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

from agent.completion import ChatMessage, CompletionFault, CompletionRequest, FaultKind, Role
from node.home.config import Config
from node.home.home import Home
from node.proposing.budget import open_cost_database
from node.proposing.choice import Choice, ModelChoice
from node.proposing.keys import ApiKeys, is_loopback
from node.proposing.model import Model, open_model
from node.terminal.progress import Progress, silent
from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from trainer.measuring.models import (
    KeptModels,
    ModelAnswer,
    ModelFault,
    ModelOutcome,
    ModelQuestion,
)

_NO_NODES: Final = ("any", "scripted")  # entries of a task's `models` that are not model names
_ASKERS: Final[tuple[FaultKind, ...]] = ("overflow", "empty")


class NodeModel:
    """The node's one language model, with the interface of `trainer.measuring.models.Models`.

    `named` are the models that the task names. If a question asks for one of them, and the node's
    model is another one, the question fails.
    """

    def __init__(self, model: Model, *, named: frozenset[str], timeout_s: float) -> None:
        self._model = model
        self._named = named
        self._timeout_s = timeout_s

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        """Return the model's answer, limited in length. Other options are the server's defaults."""
        if question.model in self._named and question.model != self._model.name:
            detail = f"{question.model} is asked for, but the node has {self._model.name}"
            return ModelFault(detail=detail, is_askers=False)
        outcome = await self._model.complete(
            CompletionRequest(
                messages=tuple(
                    ChatMessage(role=cast("Role", one.role), content=one.content)
                    for one in question.messages
                ),
                max_tokens=min(question.most_tokens, self._model.limits.answer_tokens),
                timeout_s=self._timeout_s,
            )
        )
        if isinstance(outcome, CompletionFault):
            return ModelFault(detail=outcome.detail, is_askers=outcome.kind in _ASKERS)
        return ModelAnswer(
            text=outcome.text,
            tokens_in=outcome.cost.tokens_in,
            tokens_out=outcome.cost.tokens_out,
            is_cut=outcome.is_cut,
        )


@asynccontextmanager
async def lent_models(
    home: Home,
    config: Config,
    manifest: TaskManifest,
    choice: Choice,
    keys: ApiKeys,
    *,
    has_company: bool,
    progress: Progress = silent,
) -> AsyncIterator[KeptModels | None]:
    """Yield the model that a task's programs may call; None if they need no model of the node.

    `has_company`: peers may have written some of the programs. Raises ConfigurationError if the
    programs need a model, and the settings name no model or one that peers' programs must not use.
    Raises ArnodeError if the model does not start.
    """
    if not asks_of_nodes(manifest):
        yield None
        return
    if not isinstance(choice, ModelChoice):
        raise ConfigurationError(
            f"programs of task {manifest.name} or its judge ask a language model, but none is set",
            "name one with the setting `agent`",
        )
    if has_company and not (choice.url and is_loopback(choice.url)):
        raise ConfigurationError(
            f"peers' programs for task {manifest.name} could send questions to {choice.name}",
            "choose a model on this machine (`llm_url`), or work alone (`--network none`)",
        )
    with open_cost_database(home) as cost_database:
        async with open_model(
            home, config, choice, keys, cost_database, progress=progress
        ) as model:
            yield KeptModels(
                NodeModel(
                    model,
                    named=_named(manifest).difference(_NO_NODES),
                    timeout_s=config.llm_timeout_s,
                )
            )


def asks_of_nodes(manifest: TaskManifest) -> bool:
    """Return True if a task's programs or its judge call a model that the node provides."""
    return not _named(manifest) <= {"scripted"}


def _named(manifest: TaskManifest) -> frozenset[str]:
    program = manifest.program
    budgets = () if program is None else program.model_budgets
    return frozenset(model for one in budgets for model in one.models)
