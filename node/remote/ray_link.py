"""The connection to lanes through Ray, held by a separate process (`node.remote.ray_driver`).

    async with RayLink(cluster, lanes=None, say=…) as link:
        lanes = RemoteLanes(task, opening, link, count=link.cpus, …)
        async with opened_lanes(lanes, link, progress):
            …

The process first reports whether it reached a cluster. If the process dies later, it is restarted,
and all lanes are reopened.
"""

import asyncio
from typing import Final, NoReturn, Self

from node.processes.channel import ProcessChannel
from node.processes.child import ChildProgram
from node.processes.supervisor import Supervisor
from node.remote.contract import FRAMING
from node.remote.lanes import RemoteLanes
from node.remote.ray_setup import Cluster
from protocol.errors import ArnodeError
from protocol.framing import ChannelError, Message

_REACHED_WITHIN_S: Final = 90.0
_PROGRAM: Final = ChildProgram(
    name="the process that speaks with Ray",
    module="node.remote.ray_driver",
    framing=FRAMING,
    hidden=None,  # a sandbox would hide Ray's sockets; all its machines are the owner's
    is_cached=True,
)


class RayLink:
    """A link to a cluster's lanes. Use it as a context manager.

    `lanes`: the number of lanes if this node starts the cluster itself. `gpus_each`: the number of
    cards for each lane.
    """

    def __init__(self, cluster: Cluster, *, lanes: int | None) -> None:
        self._cluster = cluster
        self._count = lanes
        self._wanted: list[Message] | None = None  # the message that starts the lanes
        self._lanes: RemoteLanes | None = None
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._first: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._supervisor = Supervisor(_PROGRAM, self._live, on_death=self._note_death)
        self.cpus = self.gpus = 0  # of the cluster when it was first reached
        self.gpus_each = 0

    async def __aenter__(self) -> Self:
        """Connect to the cluster. Raises ArnodeError if it cannot be reached."""
        self._supervisor.start()
        try:
            async with asyncio.timeout(_REACHED_WITHIN_S):
                self.cpus, self.gpus = await asyncio.shield(self._first)
        except TimeoutError as fault:
            await self._supervisor.stop()
            raise ArnodeError(
                f"Ray did not answer within {_REACHED_WITHIN_S:g} s",
                "use the same token and the same version of Ray on both machines",
            ) from fault
        except BaseException:
            await self._supervisor.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop()

    async def run(self, lanes: RemoteLanes) -> NoReturn:
        """Start the lanes and pass their messages to `lanes`. Never returns."""
        self._lanes = lanes
        self._wanted = ["lanes", len(lanes.runners), self.gpus_each]
        self._outbox.put_nowait(self._wanted)
        await asyncio.Event().wait()
        raise AssertionError  # nothing sets the event

    def send(self, lane: int, message: Message) -> None:
        """Send a message to a lane; drop it if the lane is disconnected."""
        self._outbox.put_nowait(["to", lane, FRAMING.encode(message)])

    def restart(self, lane: int) -> None:
        """End a lane's program, and restart it after a while."""
        self._outbox.put_nowait(["again", lane])

    async def _live(self, channel: ProcessChannel[Message]) -> NoReturn:
        self._outbox = asyncio.Queue()
        cluster = self._cluster
        begin: Message = {
            "address": cluster.address,
            "token": str(cluster.token),
            "home": str(cluster.home),
            "lanes": self._count,
        }
        await channel.send(["begin", begin])
        match await channel.receive():
            case ["up", int(cpus), int(gpus)]:
                if not self._first.done():
                    self._first.set_result((cpus, gpus))
            case ["down", str(message), str(hint)]:
                raise ArnodeError(message, hint)
            case _:
                raise ChannelError("it sent an unexpected message")
        if self._wanted is not None:
            self._outbox.put_nowait(self._wanted)
        sending = asyncio.create_task(channel.pass_on(self._outbox))
        try:
            while True:
                self._handle(await channel.receive())
        finally:
            sending.cancel()

    def _handle(self, message: Message) -> None:
        assert self._lanes is not None  # noqa: S101 -- lanes speak only after they were requested
        match message:
            case ["from", int(lane), bytes(data)]:
                self._lanes.on_message(lane, FRAMING.read(data))
            case ["lost", int(lane), str(why)]:
                self._lanes.on_lost(lane, why)
            case _:
                raise ChannelError("it sent an unexpected message")

    def _note_death(self, why: ArnodeError, _wait_s: float) -> bool:
        if not self._first.done():
            self._first.set_exception(why)
            return False
        if self._lanes is not None:
            for runner in self._lanes.runners:
                self._lanes.on_lost(runner.number, why.message)
        return True
