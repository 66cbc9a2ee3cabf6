"""The actor that Ray starts for each lane. It runs the lane's program and forwards its messages.

The program is a separate process. Ray sees only the bytes of its messages. The program ends with
this actor, and the actor ends with Ray's own process on the machine (the raylet).
"""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Final

import ray

from node.remote.contract import PROGRAM, RAW
from protocol.framing import ChannelError
from trainer.host.interpreter import program_command

_WAITING: Final = 1024  # messages not requested yet
_TAKEN_AT_ONCE: Final = 64
_LOOKED_S: Final = 1.0
_PASSED_ON: Final = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_DATA_HOME", "ARNODE_HOME")


class LaneHost:
    """An actor: `begin` restarts the lane's program, `receive` and `send` carry its messages."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)  # None: it ended
        self._reading: asyncio.Task[None] | None = None
        threading.Thread(target=self._watch_ray, args=(os.getppid(),), daemon=True).start()

    async def begin(self) -> None:
        """Start the program, after ending the previous one."""
        await self._end()
        self._queue = asyncio.Queue(_WAITING)
        gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
        self._process = await asyncio.create_subprocess_exec(
            *program_command(PROGRAM, flags=()),
            *gpus,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            cwd="/",
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(self._process, self._queue))

    async def receive(self) -> list[bytes]:
        """Return the next messages of the program, one or more.

        Raises:
            ChannelError: the program has ended.
        """
        messages = [await self._queue.get()]
        while len(messages) < _TAKEN_AT_ONCE and not self._queue.empty():
            messages.append(self._queue.get_nowait())
        if messages[0] is None:
            raise ChannelError("the lane's program ended")
        if None in messages:
            self._queue.put_nowait(None)
        return [message for message in messages if message is not None]

    async def send(self, message: bytes) -> None:
        """Send the program a message. An ended program ignores it; `receive` then raises."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(RAW.frame(message))

    async def _end(self) -> None:
        process, self._process = self._process, None
        if self._reading is not None:
            self._reading.cancel()
        if process is not None and process.returncode is None:
            process.kill()  # its sandboxes die with it
            await process.wait()

    @staticmethod
    async def _read(
        process: asyncio.subprocess.Process, queue: "asyncio.Queue[bytes | None]"
    ) -> None:
        assert process.stdout is not None  # noqa: S101 -- a pipe was requested
        try:
            while True:
                await queue.put(await RAW.receive(process.stdout.readexactly))
        except ChannelError:
            await queue.put(None)

    def _watch_ray(self, parent: int) -> None:
        """End when the raylet ends. Otherwise the lane would still use its device afterwards."""
        while os.getppid() == parent and not _is_zombie(parent):
            time.sleep(_LOOKED_S)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        os._exit(1)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return True
    return stat.rpartition(") ")[2].startswith("Z")
