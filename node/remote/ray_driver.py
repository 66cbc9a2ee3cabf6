"""The process that uses Ray's client. It starts an actor for each lane and forwards messages.

    node → here                                   here → node
    ["begin", {address, token, home, lanes}]      ["up", cpus, gpus]  or  ["down", message, hint]
    ["lanes", count, gpus of each]                ["from", lane, message]
    ["to", lane, message]                         ["lost", lane, why]
    ["again", lane]

Ray's client is heavy, has many threads and deserializes data that a cluster sends it. So it runs in
a process of its own, without the node's key. If an actor cannot be reached, the result of a call is
unknown. Then the lane counts as lost, and its program is restarted before it gets another message.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.home.fleet import AUTO, LOCAL
from node.processes.channel import ProcessChannel, first_of
from node.processes.supervisor import Backoff
from node.remote.contract import FRAMING
from node.remote.ray_setup import environment, local_options
from protocol.errors import describe_fault
from protocol.framing import ChannelError, Message

_CALLS: Final = 8  # concurrent calls of one actor
_NAMESPACE: Final = "arnode"
_REACHED_WITHIN_S: Final = 5.0


def main() -> None:
    """Serve the node on standard input until it disconnects."""
    asyncio.run(_serve(socket.socket(fileno=os.dup(sys.stdin.fileno()))))


async def _serve(end: socket.socket) -> None:
    channel = await ProcessChannel.over(end, FRAMING)
    try:
        match await channel.receive():
            case [
                "begin",
                {"address": str(address), "token": str(token), "home": str(home), "lanes": lanes},
            ]:
                os.environ.update(environment(Path(token)))  # before Ray is imported
                if address == LOCAL:  # inherited by the processes that it starts
                    os.environ |= {"ARNODE_HOME": home, "HOME": str(Path.home())}
                answer = _connect(address, lanes)  # in the main thread, as Ray requires
                await channel.send(answer)
                if answer[0] == "up":
                    await _Lanes(channel).run()
    except ChannelError:
        pass  # the node disconnected
    finally:
        _part()


def _connect(address: str, lanes: Message) -> list[Message]:
    hint = "start one with `arnode worker ray-head`; its token must be the same as on this machine"
    try:
        if address not in (AUTO, LOCAL):  # Ray itself takes minutes to give up
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _REACHED_WITHIN_S).close()
    except OSError as fault:
        return ["down", f"no answer from {address}: {describe_fault(fault)}", hint]
    import ray

    more: Mapping[str, Any] = {"address": address}
    if address == LOCAL:
        more = local_options(lanes if isinstance(lanes, int) else None)
    try:
        ray.init(
            **more,
            namespace=_NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            ignore_reinit_error=False,
        )
        resources = ray.cluster_resources()
    except Exception as fault:  # noqa: BLE001 (any fault of Ray is reported to the node)
        where = "on this machine" if address in (AUTO, LOCAL) else f"at {address}"
        return ["down", f"Ray is not available {where}: {describe_fault(fault)}", hint]
    return ["up", int(resources.get("CPU", 0)), int(resources.get("GPU", 0))]


def _part() -> None:
    if "ray" in sys.modules:
        import ray

        ray.shutdown()


class _Lanes:
    """The lanes of one node."""

    def __init__(self, channel: ProcessChannel[Message]) -> None:
        self._channel = channel
        self._lanes: list[_Lane] = []
        self._running: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Forward messages until the node disconnects, which raises ChannelError."""
        try:
            while True:
                match await self._channel.receive():
                    case ["lanes", int(count), int(gpus)]:
                        for number in range(count):
                            lane = _Lane(self._channel, number, gpus=gpus)
                            self._lanes.append(lane)
                            self._running.append(asyncio.create_task(lane.run()))
                    case ["to", int(number), bytes(message)]:
                        self._lanes[number].outbox.put_nowait(message)
                    case ["again", int(number)]:
                        self._lanes[number].again.set()
                    case _:
                        raise ChannelError("the node sent an unknown message")
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)


class _Lane:
    """One lane: its actor, which Ray restarts on any machine with free resources."""

    def __init__(self, channel: ProcessChannel[Message], number: int, *, gpus: int) -> None:
        self.outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.again = asyncio.Event()  # set to restart its program
        self._channel = channel
        self._number = number
        self._gpus = gpus
        self._actor: Any = None

    async def run(self) -> None:
        """Keep the lane's program running and forward messages until cancelled."""
        from ray.exceptions import ActorDiedError, RayError

        backoff = Backoff()
        while True:
            born_s = time.monotonic()
            try:
                await self._live()
            except RayError as fault:
                if isinstance(fault, ActorDiedError):  # for good: Ray does not restart it
                    self._actor = None
                why = describe_fault(fault).partition("\n")[0][:200]
                await self._channel.send(["lost", self._number, why])
            await asyncio.sleep(backoff.wait_s(time.monotonic() - born_s))

    async def _live(self) -> None:
        if self._actor is None:
            self._actor = self._started()
        await self._actor.begin.remote()
        self.outbox = asyncio.Queue()  # drop messages for the previous program
        self.again.clear()
        await first_of(self._receive(), self._send(), self.again.wait())

    async def _receive(self) -> None:
        while True:
            for message in await self._actor.receive.remote():
                await self._channel.send(["from", self._number, message])

    async def _send(self) -> None:
        while True:
            await self._actor.send.remote(await self.outbox.get())

    def _started(self) -> Any:
        import ray

        from node.remote.ray_lane import LaneHost

        return (
            ray.remote(LaneHost)
            .options(
                num_cpus=1,
                num_gpus=self._gpus,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=_CALLS,
                scheduling_strategy="SPREAD",
            )
            .remote()
        )
