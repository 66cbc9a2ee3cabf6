"""The models that a task's programs may ask while a command measures: those that settings name."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node.home.config import Config
from node.home.home import Home
from node.proposing.asked import asks_of_nodes, lent_models
from node.proposing.choice import choose, lender
from node.proposing.opening import take_means
from node.terminal.progress import Progress
from protocol.manifest import TaskManifest
from trainer.measuring.models import KeptModels


@asynccontextmanager
async def models_here(
    home: Home,
    config: Config,
    manifest: TaskManifest,
    progress: Progress,
    *,
    runs_strangers: bool = False,
) -> AsyncIterator[KeptModels | None]:
    """Yield what programs of a task may ask; None where they ask nothing of nodes.

    `runs_strangers`: a peer's program is among them. Raises ArnodeError as `lent_models` does. API
    keys are taken out of the environment before anything starts that would inherit them.
    """
    if not asks_of_nodes(manifest):
        yield None
        return
    means = take_means(os.environ, config)
    choice = lender(choose(config, means.keys, means.environment).arms)
    async with lent_models(
        home, config, manifest, choice, means.keys, has_company=runs_strangers, progress=progress
    ) as models:
        yield models
