"""The hello: which peers count as present, and which are not asked again."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.addresses import PeerId
from node.network.errors import NetworkError
from node.peering import greeting
from node.peering.messages import HELLO, MAX_TOPICS, Hello, read, write
from protocol.errors import Rejected
from protocol.framing import Message
from protocol.records import VERSION
from tests.peering.members import Clock, Member, greet, library, member, until
from tests.peering.wires import Wires

OWN = Hello(
    v=VERSION,
    software="arnode 0.1.0",
    net="main",
    author=bytes(32),
    addresses=("/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW",),
    digests={"/arnode/main/tasks": (3, bytes(32))},
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def pair() -> Iterator[tuple[Wires, Clock, Member, Member]]:
    wires, clock = Wires(), Clock()
    with ExitStack() as stack:
        one, other = (stack.enter_context(member(wires, name, clock)) for name in ("one", "other"))
        yield wires, clock, one, other


def test_a_hello_reads_as_it_was_written_and_unknown_fields_are_ignored() -> None:
    message = write(OWN)
    assert read(Hello, message) == OWN
    assert isinstance(message, dict)
    assert read(Hello, {**message, "colour": 1.5}) == OWN


@given(st.sampled_from(sorted(Hello.NAMES)), ANYTHING)
def test_whatever_stands_in_a_field_is_read_or_rejected(name: str, value: Any) -> None:
    message = write(OWN)
    assert isinstance(message, dict)
    assert isinstance(read(Hello, {**message, name: value}), (Hello, Rejected))


@pytest.mark.parametrize(
    "fields",
    [
        {"v": VERSION + 1},
        {"v": True},
        {"software": "x" * 65},
        {"software": "two\nlines"},
        {"net": "Main!"},
        {"author": bytes(31)},
        {"addresses": ["/ip4/192.0.2.1"] * 9},
        {"addresses": ["x" * 257]},
        {"digests": {f"/arnode/main/{n}": [1, bytes(32)] for n in range(MAX_TOPICS + 1)}},
        {"digests": {"/arnode/main/tasks": [-1, bytes(32)]}},
        {"digests": {"/arnode/main/tasks": [1.0, bytes(32)]}},
        {"digests": {"/arnode/main/tasks": [1, bytes(31)]}},
        {"digests": {"elsewhere": [1, bytes(32)]}},
        {"digests": {1: [1, bytes(32)]}},
        {"digests": []},
    ],
)
def test_what_breaks_a_bound_is_rejected(fields: dict[str, Any]) -> None:
    message = write(OWN)
    assert isinstance(message, dict)
    assert isinstance(read(Hello, {**message, **fields}), Rejected)


def test_both_sides_learn_of_each_other_from_one_question(
    pair: tuple[Wires, Clock, Member, Member],
) -> None:
    wires, clock, one, other = pair
    one.take(library(10))

    async def slowly(_protocol: str, _question: Message, answer: Message) -> Message:
        clock.now_s += 0.25
        return answer

    other.carrier.tamper = slowly
    asyncio.run(greet(wires, one, other))
    theirs = one.peering.peers[other.carrier.peer_id]
    ours = other.peering.peers[one.carrier.peer_id]
    assert theirs.hello is not None
    assert ours.hello is not None
    assert theirs.latency_s == 0.25
    assert theirs.hello.author != ours.hello.author
    assert theirs.hello.addresses == other.carrier.addresses
    assert sum(count for count, _ in ours.hello.digests.values()) > 0
    assert sum(count for count, _ in theirs.hello.digests.values()) == 0


def test_a_peer_is_greeted_when_it_comes_and_not_only_at_the_next_look(
    pair: tuple[Wires, Clock, Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    wires, _, one, other = pair
    monkeypatch.setattr(greeting, "_LOOKED_S", 3600.0)

    async def meet() -> None:
        greeter = one.peering.greeter
        running = asyncio.create_task(greeter.run())
        await asyncio.sleep(0)  # it looks, and no peer is there
        wires.connect(one.carrier, other.carrier)
        greeter.on_connect(other.carrier.peer_id, dialled=True)
        async with asyncio.timeout(10):
            while not greeter.is_greeted(other.carrier.peer_id):  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(meet())


def test_the_dialler_asks_every_ten_seconds_and_the_other_only_after_a_pause(
    pair: tuple[Wires, Clock, Member, Member],
) -> None:
    wires, clock, one, other = pair
    asyncio.run(greet(wires, one, other))
    assert (one.peering.greeter.due(), other.peering.greeter.due()) == ([], [])
    clock.now_s += 10
    assert one.peering.greeter.due() == [other.carrier.peer_id]
    assert other.peering.greeter.due() == []
    asyncio.run(one.peering.greeter.greet(other.carrier.peer_id))
    clock.now_s += 29
    assert other.peering.greeter.due() == []
    clock.now_s += 1
    assert other.peering.greeter.due() == [one.carrier.peer_id]


def test_a_peer_of_another_network_is_informed_and_not_asked_again(
    pair: tuple[Wires, Clock, Member, Member],
) -> None:
    wires, clock, one, _ = pair
    with member(wires, "outsider", clock, net="private") as outsider:
        asyncio.run(greet(wires, one, outsider))
        peer = outsider.carrier.peer_id
        assert one.carrier.dropped == {peer: "it is in the network private, this node in main"}
        assert not one.peering.greeter.is_greeted(peer)
        assert not outsider.peering.greeter.is_greeted(one.carrier.peer_id)
        clock.now_s += 100
        assert one.peering.greeter.due() == []


def test_a_peer_of_another_network_that_dials_is_informed_and_disconnected_at_once(
    pair: tuple[Wires, Clock, Member, Member],
) -> None:
    wires, _, one, _ = pair
    outsider = wires.carrier("outsider")

    async def talk() -> None:
        wires.connect(outsider, one.carrier)
        one.peering.greeter.on_connect(outsider.peer_id, dialled=False)
        answer = await outsider.ask(one.carrier.peer_id, HELLO, write(replace(OWN, net="private")))
        received = read(Hello, answer)
        assert isinstance(received, Hello)
        assert received.net == "main"
        await until(lambda: outsider.peer_id not in one.carrier.peers)
        assert outsider.peer_id not in one.peering.peers

    asyncio.run(talk())
    why = "it is in the network private, this node in main"
    assert one.carrier.dropped == {outsider.peer_id: why}


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
@pytest.mark.parametrize("dialled", [True, False], ids=["dialled", "dials"])
def test_a_peer_of_another_network_version_is_informed_and_disconnected(
    pair: tuple[Wires, Clock, Member, Member], version: int, dialled: bool
) -> None:
    """The rest of its hello is not read, only the number."""
    wires, _, one, _ = pair
    outsider = wires.carrier("outsider")
    received: list[Message] = []

    async def answer(_peer: PeerId, question: Message) -> Message:
        received.append(question)
        return {"v": version, "words": "of then"}

    async def talk() -> None:
        outsider.serve(HELLO, answer)
        wires.connect(outsider, one.carrier)
        one.peering.greeter.on_connect(outsider.peer_id, dialled=dialled)
        if dialled:
            await one.peering.greeter.greet(outsider.peer_id)
        else:
            hello = {"v": version, "words": "of then"}
            received.append(await outsider.ask(one.carrier.peer_id, HELLO, hello))
        await until(lambda: outsider.peer_id not in one.carrier.peers)

    asyncio.run(talk())
    (said,) = received
    assert isinstance(said, dict)
    assert said["v"] == VERSION
    why = f"it speaks network version {version}, this node {VERSION}"
    assert one.carrier.dropped == {outsider.peer_id: why}
    assert outsider.peer_id not in one.peering.peers


def test_a_peer_that_is_silent_twice_is_disconnected(
    pair: tuple[Wires, Clock, Member, Member],
) -> None:
    wires, _, one, other = pair
    peer = other.carrier.peer_id
    asyncio.run(greet(wires, one, other))
    other.carrier.is_silent = True
    asyncio.run(one.peering.greeter.greet(peer))
    other.carrier.is_silent = False
    asyncio.run(one.peering.greeter.greet(peer))  # one failure is forgiven
    other.carrier.is_silent = True
    asyncio.run(one.peering.greeter.greet(peer))
    assert one.carrier.disconnected == []
    asyncio.run(one.peering.greeter.greet(peer))
    assert one.carrier.disconnected == [peer]
    assert one.carrier.dropped == {}  # it may connect again
    assert peer not in one.peering.peers


@pytest.mark.parametrize(
    "message", [None, 1, "hello", [], {}, {"v": VERSION}, {"v": VERSION, "net": "main"}]
)
def test_a_hello_that_is_none_ends_the_question_and_in_time_the_connection(
    pair: tuple[Wires, Clock, Member, Member], message: Message
) -> None:
    wires, _, one, _ = pair
    liar = wires.carrier("liar")
    wires.connect(liar, one.carrier)

    async def lying(_peer: PeerId, _question: Message) -> Message:
        return message

    async def talk() -> None:
        liar.serve(HELLO, lying)
        with pytest.raises(NetworkError):
            await liar.ask(one.carrier.peer_id, HELLO, message)
        one.peering.greeter.on_connect(liar.peer_id, dialled=True)
        for _ in range(2):
            await one.peering.greeter.greet(liar.peer_id)

    asyncio.run(talk())
    assert one.carrier.disconnected == [liar.peer_id]
    assert liar.peers == ()
