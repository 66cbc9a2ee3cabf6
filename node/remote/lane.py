"""The program of one lane. It opens the task that its node names, and makes the requested runs.

It communicates over standard input and output (`node.remote.contract`). When these close, the
program and its sandboxes end. The node may be on another machine. The program has a home of its
own, from which it uses only the prepared data.
"""

import asyncio
import logging
import os
import platform
import sys
from collections.abc import Sequence
from functools import partial
from typing import cast

from node.home.config import Config
from node.home.home import Home
from node.home.keyfile import version
from node.home.sandboxing import require_peer_sandbox, require_sandbox
from node.line.open_task import Session, open_session
from node.processes.channel import ProcessChannel
from node.remote.contract import FRAMING, LaneOpening, Opened, as_value, fault_lines
from node.remote.serving import Serving
from node.terminal.progress import Progress, in_thread
from protocol.codecs import fit_line
from protocol.errors import ArnodeError, UsageError
from protocol.framing import ChannelError, Message
from protocol.runs import Env
from trainer.cards.cards import probe_devices
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task, settled_task


def main() -> None:
    """Run the program as Ray starts it. The arguments are the cards to use; none means all."""
    serve_standard(gpus=sys.argv[1:])


def serve_standard(*, gpus: Sequence[str]) -> None:
    """Serve the node at the other end of standard input and output until it disconnects.

    `gpus` are the cards to use, as in the setting of the same name; empty means all.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    output_fd = os.dup(1)
    os.dup2(2, 1)  # text that a library prints must not mix with messages
    asyncio.run(_serve_over(0, output_fd, gpus=gpus))


async def _serve_over(input_fd: int, output_fd: int, *, gpus: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(input_fd, "rb", 0))
    transport, flow = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(output_fd, "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, flow, None, loop)
    await serve(ProcessChannel(reader, writer, FRAMING), Home.here(), gpus=gpus)


async def serve(channel: ProcessChannel[Message], home: Home, *, gpus: Sequence[str] = ()) -> None:
    """Open the task that the node names, and answer the node until the channel ends."""
    try:
        await channel.send(["here", version()])
        opening = _read_opening(await channel.receive())
        following = asyncio.create_task(channel.receive())  # the next message, or the disconnection
        try:
            session = await _opened(opening, home, gpus, channel, following)
        except ChannelError:
            raise
        except ArnodeError as fault:
            following.cancel()
            await channel.send(["refused", *fault_lines(fault)])
            return
        try:
            await channel.send(["open", cast("Message", _opened_message(session).to_value())])
            await Serving(channel, session.runner).run(following)
        finally:
            await session.close()
    except ChannelError:
        pass  # the node disconnected
    finally:
        channel.close()


def _read_opening(message: Message) -> LaneOpening:
    match message:
        case ["open", dict() as value] if isinstance(
            opening := LaneOpening.from_value(as_value(value)), LaneOpening
        ):
            return opening
    raise ChannelError("the first message does not open a task", "update arnode on both machines")


async def _opened(
    opening: LaneOpening,
    home: Home,
    gpus: Sequence[str],
    channel: ProcessChannel[Message],
    following: "asyncio.Task[Message]",
) -> Session:
    """Open the task. Raises ChannelError if the node disconnects meanwhile."""
    loop = asyncio.get_running_loop()

    def progress(what: str, share: float) -> None:
        message: Message = ["opens", fit_line(what, 200), round(1000 * share)]
        asyncio.run_coroutine_threadsafe(channel.send(message), loop)

    work = asyncio.create_task(in_thread(partial(_open, opening, home, gpus), progress))
    await asyncio.wait({work, following}, return_when="FIRST_COMPLETED")
    if following.done() and following.exception() is not None:
        work.cancel()
        await asyncio.wait({work})
        following.result()
    return await work


def _open(opening: LaneOpening, home: Home, gpus: Sequence[str], progress: Progress) -> Session:
    settings = Config(
        allow_partial_sandbox=opening.allow_partial_sandbox,
        peers_in_container=opening.peers_in_container,
    )
    require_sandbox(settings)
    if opening.runs_untrusted:
        require_peer_sandbox(settings)
    home.prepare()
    task = _task(opening, home, progress)
    session = open_session(
        home,
        task,
        progress,
        devices=probe_devices(task.manifest, gpus)[:1],
        data_url=opening.data_url,
        forks_untrusted=True,  # the node decides it for each run
        patience_s=opening.patience_ms / 1000,
        audit_key=opening.audit_key,
    )
    session.data.load_rest(progress)
    return session


def _task(opening: LaneOpening, home: Home, progress: Progress) -> Task:
    """Return the task, which must have the same id as the node's."""
    task = settled_task(
        partial(load_task, opening.task, data_dir=home.data),
        data_dir=home.data,
        data_url=opening.data_url,
        progress=progress,
    )
    if task.id != opening.id:
        raise UsageError(
            f"task {opening.task} differs between the lane ({task.id.hex()[:12]}) and the node"
            f" ({opening.id.hex()[:12]})",
            "install the same version of arnode, and the same task folder, on both machines",
        )
    return task


def _opened_message(session: Session) -> Opened:
    device = session.runner.device
    return Opened(
        machine=platform.node()[:64] or "?",
        hardware_class=device.slug,
        family=device.hardware_class.family,
        cuda=device.cuda,
        environment=Env.of(device.environment),
    )
