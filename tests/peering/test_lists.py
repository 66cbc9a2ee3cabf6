"""Published lists: when they are read, their order, and the stored copy."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from node.home.addresses import Address
from node.home.home import Home
from node.home.network_definition import Network
from node.home.signed_list import iso_time
from node.peering.address_list import AddressList, sign_list
from node.peering.list_reader import ListReader
from node.peering.lists import ALONE_S, SETTLED_S, KnownList, Lists
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.keys import SigningKey
from tests.node.peer_addresses import address, key
from tests.peering.networks import until
from tests.peering.published import Web, names, page, web

SIGNER, OTHER = SigningKey.from_seed(key(7)), SigningKey.from_seed(key(8))
NOW_S = 1_795_672_800
HOUR_S = 3_600


def listed(*numbers: int, ago_s: int = 0, net: str = "lab", by: SigningKey = SIGNER) -> AddressList:
    return sign_list(net, map(address, numbers), key=by, written_s=NOW_S - ago_s)


class Reading:
    """The lists of a network, read at two places of a server, with a stopped clock."""

    def __init__(self, there: Web, store: Store) -> None:
        self.now_s = float(NOW_S)
        self.peers = 0
        self.said: list[Sequence[Address]] = []
        self.there = there
        self.places = (there.url("/a"), there.url("/b"))
        self._store = store
        self.lists = self.new_lists()

    def new_lists(self, *, by: SigningKey = SIGNER, reader: ListReader | None = None) -> Lists:
        """Return the lists as after a start, from what was stored."""
        self.lists = Lists(
            Network(name="lab", lists=self.places, lists_key=by.public),
            by.public,
            reader=reader or ListReader(ssl=self.there.client, https_s=2.0),
            peers=lambda: self.peers,
            found=self.said.append,
            clock=lambda: self.now_s,
            recall=self._store.meta,
            keep=self._store.set_meta,
        )
        return self.lists

    async def look(self, a: bytes | None, b: bytes | None = b"") -> tuple[KnownList, KnownList]:
        """Read what is published there now; return what is known of both places."""
        for path, body in (("/a", a), ("/b", b)):
            self.there.pages[path] = None if body is None else page(body)
        await self.lists._look()
        first, second = self.lists.last
        return first, second


Test = Callable[[Reading], Awaitable[None]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Home(tmp_path / "home")) as store:
        yield store


@pytest.fixture
def reading(tmp_path: Path, store: Store) -> Callable[[Test], None]:
    """Return a function that runs a test with a server."""

    def run(test: Test) -> None:
        async def within() -> None:
            async with web(tmp_path) as there:
                await test(Reading(there, store))

        asyncio.run(within())

    return run


Run = Callable[[Test], None]


def test_what_lists_say_is_reported_at_once_the_newest_first(reading: Run) -> None:
    async def test(node: Reading) -> None:
        old, new = listed(1, 2, ago_s=HOUR_S), listed(2, 3)
        first, second = await node.look(old.text(), new.text())
        assert (first.text, first.fault) == (old, None)
        assert (second.text, second.fault) == (new, None)
        assert node.said == [[*new.addresses, address(1)]]

    reading(test)


def test_the_first_look_is_due_at_once_and_the_next_when_it_is_worth_it(reading: Run) -> None:
    async def test(node: Reading) -> None:
        assert node.lists.next_s <= NOW_S
        await node.look(listed(1).text())
        assert node.lists.next_s == NOW_S + ALONE_S
        node.peers = 1
        assert node.lists.next_s == NOW_S + SETTLED_S

    reading(test)


def test_each_look_says_all_again_since_the_book_forgets_the_silent(reading: Run) -> None:
    async def test(node: Reading) -> None:
        await node.look(listed(1).text())
        await node.look(listed(1).text())
        assert node.said == [[address(1)], [address(1)]]

    reading(test)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "it is incomplete"),
        (listed(9, by=OTHER).text(), "not that of `lists_key`"),
        (listed(9, net="main").text(), "'network main', not 'network lab'"),
        (listed(9, ago_s=-2 * 86_400).text(), "more than a day in the future"),
        (
            listed(9, ago_s=1).text(),
            f"it was written at {iso_time(NOW_S - 1)}, but one written at",
        ),
    ],
)
def test_a_fault_leaves_what_was_read_before_and_the_other_list(
    reading: Run, answer: bytes, fault: str
) -> None:
    async def test(node: Reading) -> None:
        await node.look(listed(1).text(), listed(2).text())
        first, second = await node.look(answer, listed(2, 3, ago_s=-1).text())
        assert first.text == listed(1)
        assert first.fault is not None
        assert fault in first.fault
        assert (second.text, second.fault) == (listed(2, 3, ago_s=-1), None)
        assert set(node.said[-1]) == {address(1), address(2), address(3)}
        for known in (first, second):  # the same after a start
            assert known.text in [one.text for one in node.new_lists().last]

    reading(test)


def test_a_silent_server_holds_up_no_other(reading: Run) -> None:
    async def test(node: Reading) -> None:
        first, second = await node.look(None, listed(2).text())
        assert first.fault == "it did not answer within 2 s"
        assert second.text == listed(2)

    reading(test)


def test_a_fault_is_logged_once_until_it_is_another(
    reading: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def warnings() -> list[str]:
        found = [one.getMessage() for one in caplog.records if "/a:" in one.getMessage()]
        caplog.clear()
        return found

    async def test(node: Reading) -> None:
        forged, good = listed(1, by=OTHER).text(), listed(1).text()
        await node.look(forged, good)
        (line,) = warnings()
        assert line == f"the list {node.places[0]}: its signature is not that of `lists_key`"
        await node.look(forged, good)
        assert warnings() == []
        await node.look(b"", good)
        assert len(warnings()) == 1
        await node.look(good, good)
        assert warnings() == []
        await node.look(b"", good)
        assert len(warnings()) == 1

    reading(test)


def test_what_was_read_is_there_at_a_start_before_anything_answers(reading: Run) -> None:
    async def test(node: Reading) -> None:
        await node.look(listed(1, 2).text())
        node.there.pages |= {"/a": None, "/b": None}
        lists = node.new_lists()
        node.said.clear()
        running = asyncio.create_task(lists.run())
        async with asyncio.timeout(10):
            await until(lambda: node.there.asked["/a"] == 2)
        assert node.said == [list(listed(1, 2).addresses)]
        running.cancel()

    reading(test)


def test_a_start_looks_at_once_and_goes_on_looking(reading: Run) -> None:
    async def test(node: Reading) -> None:
        node.there.pages |= {"/a": page(listed(1).text()), "/b": page(listed(2).text())}
        running = asyncio.create_task(node.lists.run())
        async with asyncio.timeout(10):
            await until(lambda: len(node.said) == 2)
            node.now_s += ALONE_S
            await until(lambda: len(node.said) == 3)
        assert node.said == [[], [address(1), address(2)], [address(1), address(2)]]
        running.cancel()

    reading(test)


def test_a_clock_that_was_set_back_does_not_put_off_the_next_look(reading: Run) -> None:
    async def test(node: Reading) -> None:
        await node.look(listed(1, ago_s=10 * HOUR_S).text())
        node.now_s -= 8 * HOUR_S
        running = asyncio.create_task(node.lists.run())
        async with asyncio.timeout(10):
            await until(lambda: node.there.asked["/a"] == 2)
        running.cancel()

    reading(test)


def test_what_a_key_of_before_signed_is_no_list_after_a_start(reading: Run) -> None:
    async def test(node: Reading) -> None:
        await node.look(listed(1).text())
        node.new_lists(by=OTHER)
        assert [one.text for one in node.lists.last] == [None, None]
        older = listed(2, ago_s=HOUR_S, by=OTHER)
        first, _ = await node.look(older.text())
        assert first.text == older

    reading(test)


def test_a_disk_that_refuses_costs_no_more_than_the_next_start(
    reading: Run, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_key: str, _value: bytes) -> None:
        raise ArnodeError("the disk is full", "free some space")

    monkeypatch.setattr(store, "set_meta", refuse)

    async def test(node: Reading) -> None:
        first, _ = await node.look(listed(1).text())
        assert first.text == listed(1)
        assert "was not saved: the disk is full (free some space)" in caplog.text
        assert node.new_lists().last[0].text is None

    reading(test)


def test_a_list_in_the_dns_is_read_alongside_one_on_the_web(reading: Run) -> None:
    async def test(node: Reading) -> None:
        async with names(lambda _: listed(1, 2).records()) as resolver:
            node.places = (node.there.url("/a"), "/dnsaddr/example.org")
            node.new_lists(reader=ListReader(ssl=node.there.client, resolver=resolver))
            first, second = await node.look(listed(3, ago_s=HOUR_S).text())
        assert first.text == listed(3, ago_s=HOUR_S)
        assert second.text == listed(1, 2)
        assert node.said == [[*listed(1, 2).addresses, address(3)]]

    reading(test)
