"""A model with the limit of its prompts, and the secret that delimits untrusted text in them."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from agent.completion import Complete
from agent.model.asking import QuestionLimits
from node.home.config import Config
from node.home.home import Home
from node.home.keyfile import load_secret
from node.proposing.budget import open_cost_database
from node.proposing.choice import ModelChoice
from node.proposing.keys import ApiKeys
from node.proposing.model import open_model, prompt_chars_for
from node.terminal.progress import Progress
from trainer.task_folder.task import Task

_FENCE: Final = b"arnode/prompt-fence/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptedModel:
    """A model, the limits of one question, and the secret for the delimiters of untrusted text.

    `name` is the user's name for the model.
    """

    name: str
    complete: Complete
    limits: QuestionLimits
    secret: bytes = field(repr=False)


@asynccontextmanager
async def open_prompted(
    home: Home,
    config: Config,
    task: Task,
    choice: ModelChoice,
    keys: ApiKeys,
    *,
    booked_as: str,
    progress: Progress,
) -> AsyncIterator[PromptedModel]:
    """Yield a model whose questions are recorded under a name. Raises what `open_model` raises."""
    with open_cost_database(home) as cost_database:
        opening = open_model(
            home, config, choice, keys, cost_database, progress=progress, booked_as=booked_as
        )
        async with opening as model:
            limits = model.limits
            source_chars = sum(len(data) for _, data in task.source.files)
            yield PromptedModel(
                name=choice.name,
                complete=model.complete,
                limits=QuestionLimits(
                    prompt_chars=prompt_chars_for(
                        config, limits, model.price, source_chars=source_chars
                    ),
                    answer_tokens=limits.answer_tokens,
                    timeout_s=config.llm_timeout_s,
                ),
                secret=fence_secret(home),
            )


def fence_secret(home: Home) -> bytes:
    """Return this node's secret for the delimiters of untrusted text, used for nothing else."""
    return hmac.digest(load_secret(home), _FENCE, hashlib.sha256)
