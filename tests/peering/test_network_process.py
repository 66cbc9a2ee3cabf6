"""Network processes as the core starts them: real children, real sockets, real deaths."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from node.home.addresses import PeerId
from node.network.contract import FRAMING
from node.network.errors import NetworkError
from node.network.peer_budgets import ALLOWANCES, CostKind
from node.peering import network_link
from node.peering import network_process as process
from node.peering.carrier import Carrier, Connected, Disconnected, GossipMessage, Message
from node.peering.network_process import NetworkProcess
from node.processes import child, supervisor
from node.processes.child import ChildProgram, LineBudget, printable
from node.processes.supervisor import Backoff
from protocol.errors import ArnodeError, ConfigurationError, SafetyError
from protocol.framing import ChannelError
from protocol.records import sign_record
from tests.peering.networks import (
    ECHO,
    PATIENCE_S,
    TOPIC,
    in_time,
    is_alive,
    network,
    own_program,
    programs,
    run,
    settings,
    until,
    until_event,
)
from tests.protocol.examples import INSIGHT, START_MS
from tests.protocol.worlds import KEYS, TREES, World, adopt
from trainer.sandbox.tier import probe_tier

RECORD = World().say(KEYS[0], adopt(TREES[1], unverified=True))
SEED = bytes(range(7, 39))
HOST = "127.0.0.1"
SOON = partial(Backoff, first_s=0.1, longest_s=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two networks for several tests, in one event loop; only the first is ever killed."""

    runner: asyncio.Runner
    one: NetworkProcess
    other: NetworkProcess
    other_pid: int
    hidden: Path  # from the first

    @property
    def pid(self) -> int:
        return own_program(besides=[self.other_pid])

    def run(self, test: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run one test in their loop, and disconnect them."""
        self.runner.run(in_time(test))
        self.runner.run(in_time(self._part))

    async def _part(self) -> None:
        for peer in self.one.peers:
            await self.one.disconnect(peer)
        await until(lambda: not self.other.peers)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    hidden = tmp_path_factory.mktemp("home")
    (hidden / "key").write_text("secret")
    stack = AsyncExitStack()

    async def enter() -> Pair:
        other = await stack.enter_async_context(network())
        other_pid = own_program()
        one = await stack.enter_async_context(network(hidden=(hidden,)))
        return Pair(runner=runner, one=one, other=other, other_pid=other_pid, hidden=hidden)

    with (
        asyncio.Runner() as runner,
        mock.patch.object(network_link, "PING_EVERY_S", 0.1),
        mock.patch.object(supervisor, "Backoff", SOON),
    ):
        try:
            yield runner.run(enter())
        finally:
            runner.run(stack.aclose())


def program(hidden: tuple[Path, ...] | None = None) -> ChildProgram[Message]:
    name = "the network process"
    return ChildProgram(name=name, module=process.PROGRAM, framing=FRAMING, hidden=hidden)


def test_a_network_process_is_a_carrier() -> None:
    carrier: Carrier = NetworkProcess(settings(), hidden=())
    assert carrier.peers == ()


def test_two_networks_dial_and_ask_each_other(pair: Pair) -> None:
    one, other = pair.one, pair.other

    async def test() -> None:
        events = other.events()
        assert await one.dial(other.addresses[0]) == other.peer_id
        assert one.peers == (other.peer_id,)
        arrival = await until_event(events, Connected)
        assert arrival == Connected(peer=one.peer_id, address=None, host=HOST)
        assert await one.ask(other.peer_id, ECHO, {"a": b"b"}) == [one.peer_id, {"a": b"b"}]
        assert await other.ask(one.peer_id, ECHO, None) == [other.peer_id, None]
        assert await anext(one.events()) == Connected(
            peer=other.peer_id, address=other.addresses[0], host=HOST
        )
        await one.disconnect(other.peer_id)
        assert await until_event(events, Disconnected) == Disconnected(peer=one.peer_id)

    pair.run(test)


def test_more_questions_at_once_than_a_peer_allows_are_all_answered(pair: Pair) -> None:
    one, other = pair.one, pair.other
    count = int(ALLOWANCES[CostKind.STREAMS].burst) + 20

    async def test() -> None:
        await one.dial(other.addresses[0])
        answers = await asyncio.gather(
            *(
                one.ask(other.peer_id, ECHO, [number, bytes(1_000)], timeout_s=PATIENCE_S)
                for number in range(count)
            )
        )
        assert [answer[1][0] for answer in answers] == list(range(count))

    pair.run(test)


def test_a_valid_record_is_accepted_and_what_is_none_is_not(pair: Pair) -> None:
    one, other = pair.one, pair.other

    async def test() -> None:
        events = other.events()
        await one.dial(other.addresses[0])
        await until_event(events, Connected)

        # Until both know that the other subscribes to the topic, published messages reach nobody.
        publishing = asyncio.create_task(publish_again_and_again(one))
        await other.receive_gossip(1)
        publishing.cancel()
        await one.publish(TOPIC, b"garbage")
        await one.publish(TOPIC, RECORD.wire)
        while (gossip := (await other.receive_gossip(1))[0]).data != RECORD.wire:
            assert gossip.data != b"garbage"
        assert gossip == GossipMessage(topic=TOPIC, forwarder=one.peer_id, data=RECORD.wire)

    pair.run(test)


async def publish_again_and_again(network: NetworkProcess) -> None:
    world = World()
    while True:
        await network.publish(TOPIC, world.say(KEYS[1], adopt(TREES[2], unverified=True)).wire)
        await asyncio.sleep(0.2)


def test_what_goes_wrong_is_a_network_error(pair: Pair) -> None:
    one, other = pair.one, pair.other

    async def refuse(_: PeerId, __: Message) -> Message:
        raise ArnodeError("not today")

    async def fail(_: PeerId, __: Message) -> Message:
        raise KeyError("a bug")

    async def exceed(_: PeerId, __: Message) -> Message:
        return bytes(1 << 20)

    async def idle(_: PeerId, __: Message) -> Message:
        await asyncio.sleep(3600)
        return None

    async def test() -> None:
        for protocol, answer in (("/r", refuse), ("/f", fail), ("/e", exceed), ("/i", idle)):
            other.serve(protocol, answer)
        with pytest.raises(NetworkError, match="not connected"):
            await one.ask(other.peer_id, ECHO, 1)
        with pytest.raises(NetworkError, match="not reached"):
            await one.dial("/ip4/127.0.0.1/tcp/1/p2p/" + other.peer_id)
        await one.dial(other.addresses[0])
        for protocol in ("/r", "/f", "/e", "/unknown"):
            with pytest.raises(NetworkError):
                await one.ask(other.peer_id, protocol, 1)
        with pytest.raises(NetworkError, match="within 1 s"):
            await one.ask(other.peer_id, "/i", 1, timeout_s=1)
        with pytest.raises(NetworkError, match="more than 147456"):
            await one.ask(other.peer_id, ECHO, bytes(1 << 20))
        with pytest.raises(NetworkError, match="not a topic"):
            await one.publish("/elsewhere", RECORD.wire)
        with pytest.raises(NetworkError, match="more than gossip's"):
            await one.publish(TOPIC, bytes(20_000))
        assert await one.ask(other.peer_id, ECHO, 2) == [one.peer_id, 2]

    pair.run(test)


def test_one_that_was_killed_comes_back_under_its_name_and_serves_again(pair: Pair) -> None:
    one, other = pair.other, pair.one

    async def test() -> None:
        name = other.peer_id

        async def never(_: PeerId, __: Message) -> Message:
            await asyncio.sleep(3600)
            return None

        one.serve("/never", never)
        events = other.events()
        await other.dial(one.addresses[0])
        await until_event(events, Connected)
        asking = asyncio.create_task(other.ask(one.peer_id, "/never", 1))
        await other.ask(one.peer_id, ECHO, 1)
        os.kill(pair.pid, signal.SIGKILL)
        with pytest.raises(NetworkError, match="down"):
            await asking
        assert await until_event(events, Disconnected) == Disconnected(peer=one.peer_id)
        await until(lambda: other.peer_id is None)
        assert (other.addresses, other.peers) == ((), ())
        with pytest.raises(NetworkError, match="down"):
            await other.ask(one.peer_id, ECHO, 1)
        with pytest.raises(NetworkError, match="down"):
            await other.dial(one.addresses[0])
        await other.publish(TOPIC, RECORD.wire)  # lost, as the interface documents
        await other.wait_up()
        assert other.peer_id == name
        await one.dial(other.addresses[0])
        assert await one.ask(name, ECHO, 3) == [one.peer_id, 3]
        assert await until_event(events, Connected) == Connected(
            peer=one.peer_id, address=None, host=HOST
        )

    pair.run(test)


def test_who_waits_for_a_network_that_just_went_down_waits_for_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pair.one
    finish = network_link.NetworkLink._finish

    async def slowly(self: network_link.NetworkLink) -> None:
        await asyncio.sleep(0.3)
        await finish(self)

    async def test() -> None:
        os.kill(pair.pid, signal.SIGKILL)
        await until(lambda: one.peer_id is None)
        await one.wait_up()
        assert one.peer_id is not None
        monkeypatch.undo()

    monkeypatch.setattr(network_link.NetworkLink, "_finish", slowly)
    pair.run(test)


def test_a_dropped_peer_stays_out_over_a_restart(pair: Pair) -> None:
    one = pair.one

    async def test() -> None:
        pid = pair.pid
        async with network() as other:
            await one.dial(other.addresses[0])
            await one.drop(other.peer_id, "it lied")
            os.kill(pid, signal.SIGKILL)
            await until(lambda: one.peer_id is None)
            await one.wait_up()
            with pytest.raises(NetworkError, match="breaking the rules"):
                await one.dial(other.addresses[0])

    pair.run(test)


@pytest.mark.parametrize("state", [signal.SIGCONT, signal.SIGSTOP])
def test_leaving_ends_the_child_whatever_its_state(state: signal.Signals) -> None:
    others = programs(os.getpid())

    async def test() -> None:
        async with network():
            pid = own_program(besides=others)
            os.kill(pid, state)
        await until(lambda: not is_alive(pid))

    run(test)


def test_a_child_that_runs_and_does_nothing_is_replaced(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_link, "PONG_S", 3)
    monkeypatch.setattr(child, "PARTING_S", 0.1)
    one = pair.one

    async def test() -> None:
        pid = pair.pid
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: one.peer_id is None)
        await one.wait_up()
        assert pair.pid != pid

    pair.run(test)


def test_how_much_gossip_was_ignored_is_reported_with_the_pings(pair: Pair) -> None:
    one, other = pair.one, pair.other

    def other_record(seq: int) -> bytes:
        return sign_record(
            KEYS[0], net="other", seq=seq, prev=None, ts_ms=START_MS, body=INSIGHT
        ).wire

    async def test() -> None:
        await one.dial(other.addresses[0])
        for seq in range(100):  # some before it knows that the other subscribes to the topic
            if other.ignored_messages:
                break
            await one.publish(TOPIC, other_record(seq))
            await asyncio.sleep(0.2)
        assert other.ignored_messages.keys() == {"of another network"}
        assert other.peers == (one.peer_id,), "a few are held against nobody"

    pair.run(test)


def test_leaving_ends_a_child_that_has_hardly_begun() -> None:
    others = programs(os.getpid())

    async def test() -> None:
        async with NetworkProcess(settings(), hidden=()):
            await until(lambda: programs(os.getpid()) != others)
            pid = own_program(besides=others)
        await until(lambda: not is_alive(pid))

    run(test)


CORE = """
import asyncio, signal
from node.processes import child
from protocol.errors import SafetyError
from tests.peering.networks import network

def refuse(command, *, hidden, is_networked):
    raise SafetyError("no sandbox")

async def main():
    async with network() as one:
        print("up", flush=True)
        await asyncio.sleep(3600)

if {is_unfenced}:
    child.with_masked_home = refuse
asyncio.run(main())
"""


@pytest.mark.parametrize("is_unfenced", [False, True], ids=["with_masked_home", "unfenced"])
def test_the_child_of_a_core_that_was_killed_ends_by_itself(is_unfenced: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CORE.format(is_unfenced=is_unfenced)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as core:
        assert core.stdout is not None
        assert core.stdout.readline() == b"up\n"
        (pid,) = programs(core.pid)
        core.kill()
        core.wait()
        run(lambda: until(lambda: not is_alive(pid)))


@pytest.mark.skipif(probe_tier().name != "full", reason="the profile is made by bubblewrap")
def test_the_child_does_not_see_the_home(pair: Pair) -> None:
    root = Path(f"/proc/{pair.pid}/root")
    assert (pair.hidden / "key").exists()
    assert list((root / pair.hidden.relative_to("/")).iterdir()) == []
    assert (root / str(Path(__file__).relative_to("/"))).exists()


def process_info(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


def test_the_transport_key_is_in_no_argument_and_no_environment() -> None:
    others = programs(os.getpid())

    async def test() -> None:
        async with network(transport_seed=SEED, secret=SEED):
            said = process_info(own_program(besides=others))
            assert SEED not in said
            assert SEED.hex().encode() not in said

    run(test)


def test_without_a_sandbox_the_network_runs_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> list[str]:
        raise SafetyError("no sandbox", "install one")

    monkeypatch.setattr(child, "with_masked_home", refuse)
    one = program(hidden=(Path("/home"),))
    commands = [one.command() for _ in range(2)]
    assert commands[0][0] == sys.executable
    assert [one.message for one in caplog.records] == [
        "the network process can read the node's home: no sandbox (install one)"
    ]


def test_a_network_that_cannot_listen_says_why_and_goes_on_trying(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "Backoff", SOON)
    caplog.set_level(logging.WARNING)

    async def test() -> None:
        where = settings(listen=("/ip4/192.0.2.1/tcp/4001",))
        async with NetworkProcess(where, hidden=()) as one:
            await until(lambda: caplog.text.count("next try in") >= 2)
            assert one.fault is not None
            assert "cannot listen on" in one.fault.message
            assert "--listen" in one.fault.hint
            assert one.fault.hint in caplog.text
            assert one.peer_id is None

    run(test)


def test_a_child_that_says_nonsense_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ChildProgram.command
    nonsense = "import os; os.write(0, b'\\0\\0\\0\\1\\xc1'); os.read(0, 1 << 20)"
    liars = [[sys.executable, "-c", nonsense], [sys.executable, "-c", "import sys; sys.exit(3)"]]
    monkeypatch.setattr(supervisor, "Backoff", SOON)
    monkeypatch.setattr(
        ChildProgram, "command", lambda program: liars.pop() if liars else command(program)
    )

    async def test() -> None:
        async with network() as one:
            assert one.peer_id is not None
            assert liars == []

    run(test)


def test_what_a_child_writes_to_stderr_is_logged_in_part(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = (
        "import sys\nfor n in range(5000): print('line', n, chr(27), 'x' * 999, file=sys.stderr)"
    )

    monkeypatch.setattr(ChildProgram, "command", lambda _: [sys.executable, "-c", noisy])

    async def test() -> None:
        async with program().running() as channel:
            with pytest.raises(ChannelError, match="closed the connection"):
                await channel.receive()

    run(test)
    assert 1 <= len(caplog.records) <= child.LINES_PER_MINUTE + 1
    assert caplog.records[0].message.startswith("line 0   x")
    assert all(len(one.message) <= child.LINE_LIMIT for one in caplog.records)


def test_lines_are_let_through_again_in_the_next_minute() -> None:
    budget = LineBudget(per_minute=2)
    assert [budget.allows(now) for now in (0, 1, 2, 59, 60, 61, 62)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert printable("a\x1b[31mb\n") == "a [31mb "


def test_settings_that_cannot_be_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes, not 3"):
        settings(transport_seed=b"abc")
    with pytest.raises(ConfigurationError, match="max_peers is 1, less than 2"):
        settings(max_peers=1)
    shown = repr(settings(transport_seed=b"s" * 32, secret=b"t" * 32))
    assert "sss" not in shown
    assert "ttt" not in shown


LOOK = """
import sys, node.peering.network_process
print({"libp2p", "trio", "torch", "numpy", "sqlite3"} & sys.modules.keys())
"""


def test_the_cores_side_loads_neither_libp2p_nor_trio_nor_torch() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LOOK],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "set()\n"
