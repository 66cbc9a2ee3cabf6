"""The network process, run as a task: what the core sees of peers, and what it is spared."""

import secrets

import pytest
import trio

from node.home.addresses import PeerId
from node.network import core_link
from node.network import host as host_module
from node.network.contract import QUESTIONS_PER_PEER
from node.network.errors import FrameError
from node.network.frames import FrameStream
from node.network.host import NetworkHost, running_host
from node.network.messages import FRAME_LIMIT_BYTES
from protocol.keys import SigningKey
from protocol.records import Record
from tests.network.arena import ECHO, TOPIC, anything, meshed, run, until
from tests.network.arena import settings as host_settings
from tests.network.cores import Core, ended, running_core, served, settings
from tests.protocol.worlds import KEYS, TREES, World, adopt

PATIENCE_S = 60.0
HOST = "127.0.0.1"


def records(count: int, key: SigningKey = KEYS[0]) -> list[Record]:
    world = World()
    return [world.say(key, adopt(TREES[number % 4], unverified=True)) for number in range(count)]


async def joined(host: NetworkHost, core: Core) -> None:
    """Connect a host to a core's, and wait until its gossip goes there."""
    await host.subscribe(TOPIC, anything)
    await host.connect(core.address)
    await meshed(host, core.peer_id)


async def ask(host: NetworkHost, core: Core, question: object = "?") -> object:
    async with await host.open(core.peer_id, ECHO) as frames:
        await frames.send(question)
        return await frames.receive()


async def answering(core: Core) -> None:
    """Answer every question with itself."""
    while True:
        _, number, _, _, question = await core.next("question")
        await core.frames.send(["answer", number, question])


def test_a_peers_questions_are_answered_by_the_core_one_after_the_other() -> None:
    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            await host.connect(core.address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, core)
                async with await host.open(core.peer_id, ECHO) as frames:
                    for question in (1, {"a": [b"b"]}, None):
                        await frames.send(question)
                        assert await frames.receive() == question
                nursery.cancel_scope.cancel()
            # Who asks is known before what is asked.
            assert core.seen[1] == ["connected", host.peer_id, None, False, HOST]
            assert core.seen[2][2:] == [host.peer_id, ECHO, 1]

    run(test, PATIENCE_S)


def test_the_core_asks_peers_and_is_shown_why_there_is_no_answer() -> None:
    async def reverse(_: PeerId, frames: FrameStream) -> None:
        await frames.send((await frames.receive())[::-1])

    async def mute(_: PeerId, frames: FrameStream) -> None:
        await frames.receive()
        await trio.sleep_forever()

    async def rude(_: PeerId, frames: FrameStream) -> None:
        await frames.receive()
        await frames._stream.write(b"\0\0\0\1\xc1")

    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            for protocol, answer in (("/reverse", reverse), ("/mute", mute), ("/rude", rude)):
                host.serve(protocol, answer)
            assert await core.call("dial", host.addresses[0]) == ["done", 7, host.peer_id]
            assert ["connected", host.peer_id, host.addresses[0], False, HOST] in core.seen
            peer = host.peer_id
            assert await core.call("ask", peer, "/reverse", 9.0, b"abc") == ["done", 7, b"cba"]
            for protocol, why in (
                ("/mute", "within 0.3 s"),
                ("/rude", "not a message"),
                ("/no", ""),
            ):
                failed = await core.call("ask", peer, protocol, 0.3, b"abc")
                assert failed[:2] == ["failed", 7]
                assert why in failed[2]
            assert await core.call("ask", "nobody", "/mute", 1.0, 1) == [
                "failed", 7, "nobody is not connected", "connect to it first",
            ]  # fmt: skip
            assert await core.call("ask", peer, "/reverse", 9.0, b"abc") == ["done", 7, b"cba"]

    run(test, PATIENCE_S)


def test_gossip_is_passed_on_if_it_is_exactly_one_valid_record() -> None:
    async def test() -> None:
        valid, *others = (record.wire for record in records(2))
        invalid = [b"garbage", valid + b"\0", valid[:-1] + bytes([valid[-1] ^ 1])]
        async with running_core() as core, running_host(host_settings()) as host:
            await joined(host, core)
            for data in (*invalid, valid, *others):
                await host.publish(TOPIC, data)
            gossip = [(await core.next("gossip"))[1:] for _ in range(2)]
            assert gossip == [[TOPIC, host.peer_id, data] for data in (valid, *others)]

    run(test, PATIENCE_S)


def test_a_peer_that_goes_on_sending_invalid_records_is_dropped() -> None:
    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            await joined(host, core)
            for number in range(8):
                await host.publish(TOPIC, b"garbage %d" % number)
            assert await core.next("disconnected") == ["disconnected", host.peer_id]

    run(test, PATIENCE_S)


def test_the_core_publishes_and_drops_and_disconnects() -> None:
    async def test() -> None:
        (record,) = records(1)
        async with running_core() as core, running_host(host_settings()) as host:
            await host.subscribe(TOPIC, anything)
            await core.call("dial", host.addresses[0])
            await meshed(host, core.peer_id)
            assert await core.call("publish", TOPIC, record.wire) == ["done", 7, None]
            assert (await host.messages.receive()).data == record.wire
            assert (await core.call("publish", "/elsewhere", b""))[0] == "failed"
            await core.call("disconnect", host.peer_id)
            await until(lambda: core.peer_id not in host.peers)
            await core.call("dial", host.addresses[0])
            await core.call("drop", host.peer_id, "it lied")
            assert "breaking the rules" in (await core.call("dial", host.addresses[0]))[2]

    run(test, PATIENCE_S)


def test_a_peer_gets_the_answer_after_which_it_is_dropped() -> None:
    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            await host.connect(core.address)

            async def part() -> None:
                _, number, *_ = await core.next("question")
                await core.frames.send(["answer", number, bytes(5_000)])
                await core.call("drop", host.peer_id, "of another network")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(part)
                assert await ask(host, core) == bytes(5_000)
            await until(lambda: not host.peers)

    run(test, PATIENCE_S)


def test_one_peers_many_questions_keep_nobody_else_waiting() -> None:
    async def test() -> None:
        async with (
            running_core() as core,
            running_host(host_settings()) as greedy,
            running_host(host_settings()) as honest,
            trio.open_nursery() as nursery,
        ):
            await greedy.connect(core.address)
            await honest.connect(core.address)
            for _ in range(20):
                nursery.start_soon(ask, greedy, core)
            for _ in range(QUESTIONS_PER_PEER):
                assert (await core.next("question"))[2] == greedy.peer_id
            nursery.start_soon(ask, honest, core)
            assert (await core.next("question"))[2] == honest.peer_id
            nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)


def test_questions_over_the_bound_for_all_peers_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_link, "QUESTIONS", 2)

    async def test() -> None:
        async with (
            running_core() as core,
            running_host(host_settings()) as host,
            trio.open_nursery() as nursery,
        ):
            await host.connect(core.address)
            for _ in range(2):
                nursery.start_soon(ask, host, core)
                await core.next("question")
            with pytest.raises(FrameError):
                await ask(host, core)
            nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)


def test_one_question_of_each_peer_is_passed_on_however_many_the_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_link, "QUESTIONS", 2)

    async def test() -> None:
        async with (
            running_core() as core,
            running_host(host_settings()) as greedy,
            running_host(host_settings()) as honest,
            trio.open_nursery() as nursery,
        ):
            await greedy.connect(core.address)
            await honest.connect(core.address)
            for _ in range(2):
                nursery.start_soon(ask, greedy, core)
                await core.next("question")
            nursery.start_soon(ask, honest, core)
            assert (await core.next("question"))[2] == honest.peer_id
            with pytest.raises(FrameError):
                await ask(honest, core)
            nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)


def test_a_question_that_the_core_refuses_or_forgets_ends_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_link, "ANSWER_S", 0.5)

    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            await host.connect(core.address)

            async def refuse() -> None:
                _, number, *_ = await core.next("question")
                await core.frames.send(["refuse", number])

            async def answer_too_late() -> None:
                _, number, *_ = await core.next("question")
                await trio.sleep(1)
                await core.frames.send(["answer", number, "late"])

            async def answer_too_much() -> None:
                _, number, *_ = await core.next("question")
                await core.frames.send(["answer", number, bytes(FRAME_LIMIT_BYTES)])

            for reaction in (refuse, answer_too_late, answer_too_much):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(reaction)
                    with pytest.raises(FrameError):
                        await ask(host, core)
            # None of that is the peer's fault, and the next question is answered.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, core)
                assert await ask(host, core, 5) == 5
                nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)


def test_a_core_that_reads_slowly_loses_gossip_and_is_shown_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_module, "INBOX", 16)
    sent = records(300)

    async def test() -> None:
        async with (
            running_core(buffer_bytes=4096) as core,
            running_host(host_settings()) as host,
        ):
            await joined(host, core)
            for record in sent:
                await host.publish(TOPIC, record.wire)
            await until(lambda: host._to_publish.statistics().current_buffer_used == 0, 30)
            # The calls of a core that wakes up come through, and find what is left of the gossip.
            (_, lost) = await core.next("lost")
            gossip = [frame for frame in core.seen if frame[0] == "gossip"]
            assert lost > 0
            assert len(gossip) < len(sent)
            ping = await core.call("ping")
            assert ping[:2] == ["done", 7]
            streams, ignored = ping[2]
            assert isinstance(streams, int)
            assert ignored == {}

    run(test, PATIENCE_S)


def test_peers_that_come_and_go_are_reported_as_a_difference_to_a_slow_core() -> None:
    async def test() -> None:
        async with running_core(buffer_bytes=4096) as core, running_host(host_settings()) as host:
            for _ in range(5):
                await host.connect(core.address)
                await until(lambda: core.peer_id in host.peers)
                await host.disconnect(core.peer_id)
                await until(lambda: core.peer_id not in host.peers)
            await host.connect(core.address)
            await core.call("ping")
            changes = [one for one in core.seen if one[0] in {"connected", "disconnected"}]
            assert all(one[0] == "connected" for one in changes[::2])
            assert all(one[0] == "disconnected" for one in changes[1::2])
            assert len(changes) % 2 == 1

    run(test, PATIENCE_S)


def test_it_ends_when_the_core_has_gone() -> None:
    async def test() -> None:
        async with running_core() as core, running_host(host_settings()) as host:
            await host.connect(core.address)
            await core.frames.reset()
            await until(lambda: core.ended_well is not None, 10)
            assert core.ended_well
            await until(lambda: not host.peers)

    run(test, PATIENCE_S)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("hello", "got invalid settings"),
        (settings(listen=("localhost",)).to_value(), "is invalid"),
        (settings(listen=("/ip4/192.0.2.1/tcp/4001",)).to_value(), "cannot listen on"),
        (settings(secret=b"short").to_value(), "32 bytes, not 5"),
    ],
)
def test_settings_that_cannot_be_are_explained_before_it_ends(first: object, why: str) -> None:
    async def test() -> None:
        async with served(first) as core:
            (_, message, _) = await core.next("down")
            assert why in message
            assert await ended(core)
            await until(lambda: core.ended_well is False)

    run(test, PATIENCE_S)


def test_peers_that_were_banned_before_stay_out() -> None:
    async def test() -> None:
        async with (
            running_host(host_settings()) as host,
            running_core(banned=(host.peer_id,)) as core,
        ):
            assert "breaking the rules" in (await core.call("dial", host.addresses[0]))[2]

    run(test, PATIENCE_S)


def test_protocols_are_served_from_when_the_core_says_so() -> None:
    async def test() -> None:
        async with (
            running_core(protocols=frozenset()) as core,
            running_host(host_settings(transport_seed=secrets.token_bytes(32))) as host,
            trio.open_nursery() as nursery,
        ):
            await host.connect(core.address)
            await core.call("serve", ECHO)
            nursery.start_soon(answering, core)
            assert await ask(host, core, 5) == 5
            nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)
