"""All remote lanes of a node: they are opened on its task, exchange messages and are reopened.

A `LaneLink` carries their messages. A lane is left out if its device has another hardware class
than the first lane's, or if the last digits of its results may differ. Its metrics could not be
compared with those of the other lanes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, cast

from node.home.keyfile import version
from node.remote.contract import LaneOpening, Opened, as_value
from node.remote.runner import RemoteRunner, device_of
from node.terminal.progress import Progress
from protocol.errors import ArnodeError, ConfigurationError, Rejected
from protocol.framing import ChannelError, Message
from trainer.host.device import Device
from trainer.task_folder.task import Task

# Properties of a device's environment that differ between machines without changing a digit.
_IRRELEVANT: Final = frozenset({"cores"})
_SETTLED_S: Final = 5.0  # if no further lane opens for so long, start; other lanes may open later
_NO_MESSAGE_HINT: Final = (
    "see its output in the log; install the same version of arnode on its machine"
)
_log = logging.getLogger("node")


class _NoMessageError(ArnodeError):
    """A lane's program ended before its first message; a later start may succeed."""


class LaneLink(Protocol):
    """A connection to lanes, over any transport. It restarts lanes that ended."""

    async def run(self, lanes: "RemoteLanes") -> None:
        """Pass each lane's messages to `lanes`, and report lost lanes to it. Never returns.

        Raises ArnodeError if no lanes can be started.
        """

    def send(self, lane: int, message: Message) -> None:
        """Send a message to a lane; drop it if the lane is disconnected."""

    def restart(self, lane: int) -> None:
        """End a lane's program, and restart it after a while."""


@dataclass(slots=True, kw_only=True)
class LaneState:
    """A lane's state as users see it. `fault`: the reason it does not serve, if any."""

    stage: str = "starting"
    fault: str = ""
    is_known: bool = False  # it has reported at least once
    times_lost: int = 0


class RemoteLanes:
    """The remote lanes for a task. `say` shows users a message; `states` are shown to users."""

    def __init__(
        self,
        task: Task,
        opening: LaneOpening,
        link: LaneLink,
        *,
        count: int,
        say: Callable[[str], None],
    ) -> None:
        self._opening = opening
        self._link = link
        self._say = say
        self.device: Device | None = None  # the device that all lanes' devices must equal
        self.runners = tuple(
            RemoteRunner(task, number, self._sending(number)) for number in range(count)
        )
        self.states = tuple(LaneState() for _ in self.runners)
        self.changed = asyncio.Event()
        self.refused: ArnodeError | None = None

    def _sending(self, number: int) -> Callable[[Message], None]:
        return lambda message: self._link.send(number, message)

    @property
    def there(self) -> list[RemoteRunner]:
        """The lanes that are open."""
        return [runner for runner in self.runners if runner.is_there]

    def state_rows(self) -> list[Message]:
        """Return each lane's state for scripts."""
        return [
            {
                "lane": runner.number,
                "machine": runner.machine,
                "stage": state.stage,
                "fault": state.fault or None,
                "times_lost": state.times_lost,
            }
            for runner, state in zip(self.runners, self.states, strict=True)
        ]

    def on_message(self, number: int, message: Message) -> None:
        """Handle a lane's message.

        A lane that cannot run, or breaks the protocol, is left out until it has been restarted.
        """
        try:
            self._handle(number, message)
        except ChannelError as fault:
            self._cut_off(number, fault)

    def _handle(self, number: int, message: Message) -> None:
        match message:
            case ["here", str(their_version)]:
                if self.states[number].is_known:
                    self.on_lost(number, "it was restarted")
                self._greet(number, their_version)
            case ["opens", str(what), int(thousandths)]:
                self.states[number].stage = f"{what} … {thousandths / 10:.0f}%"
                self.changed.set()
            case ["refused", str(fault), str(hint)]:
                self._leave_out(number, ArnodeError(fault, hint))
            case ["failed", int(), str(fault), str(hint)]:
                self._cut_off(number, ArnodeError(fault, hint))
            case ["open", dict(value)]:
                opened = Opened.from_value(as_value(value))
                if isinstance(opened, Rejected):
                    raise ChannelError(f"it sent an invalid device: {opened.reason}")
                self._take(number, opened)
            case _:
                self.runners[number].on_message(message)

    def on_lost(self, number: int, why: str) -> None:
        """Handle the loss of a lane. A lane that never reported at all is left out."""
        runner, state = self.runners[number], self.states[number]
        if not state.is_known:
            fault = _NoMessageError(
                f"its program ended before its first message ({why})", _NO_MESSAGE_HINT
            )
            self._leave_out(number, fault)
            return
        if runner.is_there:
            state.times_lost += 1
            self._say(f"lane {number} ({runner.machine}) was lost ({why}); its runs are repeated")
        state.stage = "away"
        runner.on_lost()
        self.changed.set()

    def _greet(self, number: int, their_version: str) -> None:
        self.states[number].is_known = True
        if their_version != version():
            fault = f"it has arnode {their_version}, not {version()}"
            self._leave_out(number, ArnodeError(fault, "install the same version on both"))
            return
        self.states[number].stage = "opening the task"
        self._link.send(number, ["open", cast("Message", self._opening.to_value())])

    def _take(self, number: int, opened: Opened) -> None:
        device, state = device_of(opened), self.states[number]
        self.runners[number].machine = opened.machine
        if self.device is None:
            self.device = device
            for runner in self.runners:
                runner.expect(device)
        elif difference := _differences(self.device, device):
            self._leave_out(number, ArnodeError(f"{difference}, so metrics could differ"))
            return
        state.stage, state.fault = "open", ""
        self.runners[number].on_open()
        self.changed.set()

    def _cut_off(self, number: int, fault: ArnodeError) -> None:
        self._leave_out(number, fault)
        self.runners[number].on_lost()
        self._link.restart(number)

    def _leave_out(self, number: int, fault: ArnodeError) -> None:
        state, machine = self.states[number], self.runners[number].machine
        where = f" ({machine})" if machine else ""
        hint = f" ({fault.hint})" if fault.hint else ""
        if state.fault != fault.message:  # else it was shown before
            self._say(f"lane {number}{where} is left out: {fault.message}{hint}")
        state.stage, state.fault, self.refused = "left out", fault.message, fault
        self.changed.set()


@asynccontextmanager
async def opened_lanes(
    lanes: RemoteLanes, link: LaneLink, progress: Progress
) -> AsyncIterator[None]:
    """Open the lanes and handle their messages; enter the block once some lanes are open.

    Raises ArnodeError if the link fails, or no lane is usable.
    """
    running = asyncio.create_task(link.run(lanes))
    running.add_done_callback(partial(_say_end, lanes))
    try:
        await _some_open(lanes, running, progress)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _say_end(lanes: RemoteLanes, running: "asyncio.Task[None]") -> None:
    """If the link failed, log the reason and mark all its lanes as lost."""
    if not running.cancelled() and (fault := running.exception()) is not None:
        _log.error("lost the connection to the lanes on other machines", exc_info=fault)
        for runner in lanes.runners:
            lanes.on_lost(runner.number, "the connection failed")


async def _some_open(lanes: RemoteLanes, running: "asyncio.Task[None]", progress: Progress) -> None:
    count = len(lanes.runners)
    while True:
        there, states = len(lanes.there), lanes.states
        left_out = sum(bool(state.fault) for state in states)
        if there and there + left_out == count:
            return
        if left_out == count and lanes.refused is not None:
            kind = ArnodeError if isinstance(lanes.refused, _NoMessageError) else ConfigurationError
            hint = lanes.refused.hint or "run `arnode doctor` on its machine"
            raise kind(f"no lane is usable: {lanes.refused.message}", hint)
        opening = next((state.stage for state in states if state.stage != "open"), "")
        progress(f"{there} of {count} lanes are open; {opening}", there / count)
        lanes.changed.clear()
        changed = asyncio.create_task(lanes.changed.wait())
        patience_s = _SETTLED_S if there else None
        done, _ = await asyncio.wait(
            {changed, running}, timeout=patience_s, return_when="FIRST_COMPLETED"
        )
        changed.cancel()
        if running in done:
            running.result()
            raise ChannelError("the lanes were lost")
        if not done:
            return


def _differences(ours: Device, theirs: Device) -> str:
    """Return a difference of two devices that may change the last digits of results, or ""."""
    if ours.slug != theirs.slug:
        return f"it is {theirs.slug}, not {ours.slug}"
    first, second = _compared(ours.environment), _compared(theirs.environment)
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            return f"its {name} is {second.get(name)}, not {first.get(name)}"
    return ""


def _compared(environment: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in environment.items() if name not in _IRRELEVANT}
