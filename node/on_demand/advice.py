"""One proposal for reading: requested from the configured proposer, but never run.

If a node runs, it answers over its socket. Otherwise this process opens the store itself. Only the
cost of a model is recorded. With `is_dry` no model is called at all.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from node.home.control_socket import Message, call, document, is_running
from node.home.home import Home
from node.home.keyfile import keep_to_oneself
from node.home.networks import defined_network
from node.line.noise import RunNoise
from node.loop.peer_patches import MOST_SHOWN
from node.on_demand.session import CommandSession, find_command_session
from node.proposing.advice import advice, prompt_document
from node.proposing.choice import choose
from node.proposing.opening import Means, fast_proposer, first_slow, open_slow, take_means
from node.proposing.roles import open_role, reviewer_of
from node.running.line_resources import LineResources, open_line
from node.running.loop_assembly import LoopAssembly, open_peers
from node.terminal.progress import reporting
from protocol.codecs import plain
from protocol.errors import ArnodeError

PATIENCE_S: Final = 3600.0  # a coding agent may take long


def ask_for_advice(*, task: str | None, text: Path | None, is_dry: bool) -> Mapping[str, Message]:
    """Return one proposal as a document, or the prompt that would be sent.

    Raises ArnodeError.
    """
    home = Home.here()
    if is_running(home.socket) and not (task or text):
        return document(call(home.socket, "propose", {"dry": is_dry}, timeout_s=PATIENCE_S))
    keep_to_oneself()
    command = find_command_session(task, text)
    means = take_means(os.environ, command.config)
    with open_line(
        home, command.config, command.task.manifest, command.task.source
    ) as line_resources:
        return asyncio.run(_alone(command, line_resources, means, is_dry=is_dry))


async def _alone(
    command: CommandSession, line_resources: LineResources, means: Means, *, is_dry: bool
) -> Mapping[str, Message]:
    """Return one proposal, or the prompt, while no node runs."""
    home, config, line_writer = command.home, command.config, line_resources.line_writer
    arms = choose(config, means.keys, means.environment).arms
    arm, proposer, noise = first_slow(arms), fast_proposer(arms), RunNoise(line_writer)
    defined = defined_network(home, config.net)
    network = defined.network if defined else None
    loop_assembly = LoopAssembly.of(
        home,
        config,
        line_writer,
        command.task,
        noise=noise,
        peers=open_peers(home, config, line_writer, noise, network=network),
        proposer=proposer,
        say=_say,
        most_fresh=MOST_SHOWN,
    )
    context = loop_assembly.ideas.context(text=arm.text)
    async with AsyncExitStack() as stack:
        progress = stack.enter_context(reporting())
        reviewer = None
        try:
            if not is_dry:
                reviewing = open_role(
                    "reviewer", home, config, command.task, [arm], means.keys, progress
                )
                reviewer = reviewer_of(await stack.enter_async_context(reviewing))
            opening = open_slow(home, config, command.task, arm, means, progress, reviewer=reviewer)
            slow = await stack.enter_async_context(opening)
        except ArnodeError as fault:
            if not is_dry:
                raise
            # A prompt can be printed even without a model's key.
            return await prompt_document(home, context, arm.name, None, fault=fault.message)
        if is_dry:
            return await prompt_document(home, context, arm.name, slow)
        progress(f"asking {slow.name if slow else arm.name}", 0.0)
        return await advice(context, proposer, slow)


def _say(text: str) -> None:
    print(plain(text), file=sys.stderr)
