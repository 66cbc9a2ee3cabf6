"""Messages of a peer with its own implementation: invalid ones stop here, unknown kinds pass."""

from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from node.home.clock import clock_ms
from node.home.home import Home
from node.network.host import running_host
from node.peering.messages import HELLO, SYNC
from node.store.shares import EARLY_OF_AUTHOR
from node.store.store import Store
from protocol.encoding import Value
from protocol.keys import SigningKey
from protocol.records import MAIN_NET
from protocol.rerun import prove_seeds, rerun_seed
from protocol.topics import family_topic, news_topic, tasks_topic
from tests.interop.javascript import Program, program
from tests.network.arena import anything, meshed, run, settings
from tests.network.cores import running_core
from tests.peering.places import Place, place
from tests.protocol.examples import FAILED_RUN, MANIFEST, RERUN, RESULT

TASK = MANIFEST.id
NEWS = news_topic(MAIN_NET, TASK)
FAMILY = family_topic(MAIN_NET, TASK, "cpu")
TOPICS = frozenset({NEWS, FAMILY, tasks_topic(MAIN_NET)})
SEED = bytes(range(96, 128))
AUTHOR = SigningKey.from_seed(SEED).public
DAY_MS = 86_400_000
PATIENCE_S = 90.0
NUMBERS = count()


def record(topic: str, kind: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a record as the program receives it, with bytes as text."""
    offer = changes.pop("offer", False)
    fields = {"net": MAIN_NET, "kind": kind, "seq": next(NUMBERS), "prev": None, "ts": clock_ms()}
    return {"topic": topic, "offer": offer, "fields": fields | {"body": body} | changes}


def insight(text: str, **more: Any) -> dict[str, Any]:
    return {"task": f"hex:{TASK.hex()}", "class": None, "text": text, "evidence": []} | more


def result(**changes: Any) -> Any:
    """Return a kept result, whose words are a later version's as far as `changes` say so."""
    frozen = replace(FAILED_RUN, role="shadow", status="frozen")
    return (
        as_text(replace(RESULT, stage="keep", status="frozen", runs=(frozen,)).to_value()) | changes
    )


def rerun_body(verdict: str) -> Any:
    """Return a re-run of the program's own with a word of a later version."""
    key, target = SigningKey.from_seed(SEED), RESULT.base
    proof = prove_seeds(key, target=target, base=RESULT.base, tree=RESULT.tree)
    run = replace(FAILED_RUN, seed=rerun_seed(proof, 0))
    body = replace(RERUN, target=target, proof=proof, runs=(run,), verdict=verdict)
    return as_text(body.to_value())


def as_text(value: Value) -> Any:
    """Return a value as the program receives it, with bytes as text."""
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    return value


def intent() -> dict[str, Any]:
    body = {"task": f"hex:{TASK.hex()}", "class": "cpu", "base": f"hex:{bytes(32).hex()}"}
    return body | {"title": "a long time ago", "ttl_s": 3_600}


async def begin(js: Program, address: str, records: list[dict[str, Any]], **more: Any) -> list[str]:
    """Send the program its records and topics; return the ids of what it signed."""
    await js.send(address=address, seed=SEED.hex(), net=MAIN_NET, records=records, **more)
    return [(await js.fact("signed"))["id"] for _ in records]


def test_what_does_not_belong_goes_no_further_and_is_counted(js_folder: Path) -> None:
    now_ms = clock_ms()
    strays = [
        record(NEWS, "insight", insight("of another network"), net="other"),
        record(NEWS, "insight", insight("of next year"), ts=now_ms + 365 * DAY_MS),
        record(FAMILY, "intent", intent(), ts=now_ms - 3 * DAY_MS),
        record(NEWS, "prophecy", {"text": "x" * 15_000}),
        record(FAMILY, "insight", insight("news in a family's topic")),
        record(tasks_topic(MAIN_NET), "insight", insight("news among tasks")),
    ]
    good = [record(NEWS, "insight", insight("news")), record(NEWS, "prophecy", {"text": "short"})]
    good += [record(FAMILY, "intent", intent())]

    async def test() -> None:
        async with (
            running_core(topics=TOPICS) as core,
            running_host(settings(topics=TOPICS)) as other,
            trio.open_nursery() as nursery,
        ):
            received: list[tuple[str, bytes]] = []

            async def receive() -> None:
                async for message in other.messages:
                    received.append((message.topic, message.data))  # noqa: PERF401 (they have no end)

            for topic in TOPICS:
                await other.subscribe(topic, anything)
            nursery.start_soon(receive)
            await other.connect(core.address)
            await meshed(other, core.peer_id, topic=NEWS)
            await meshed(other, core.peer_id, topic=FAMILY)
            async with program(js_folder, "speaker.mjs") as js:
                await begin(js, core.address, [*strays, *good])
                await js.send()
                await js.fact("spoken")
                reported = {(await core.next("gossip"))[3] for _ in good}
                while len(received) < len(good):  # noqa: ASYNC110 (of another host's there is no event)
                    await trio.sleep(0.01)
                done = await core.call("ping")
                assert isinstance(done, list)
                _, ignored = done[2]
                await js.send()
                assert (await js.fact("connected"))["peers"] == [core.peer_id], "it is not punished"
            assert ignored == {
                "of another network": 1,
                "of another topic": 2,
                "early": 1,
                "expired": 1,
                "of an unknown kind, and long": 1,
            }
            assert {data for _, data in received} == reported
            assert len(reported) == len(received) == len(good)
            nursery.cancel_scope.cancel()

    run(test, PATIENCE_S)


def ids_in(home: Path) -> set[str]:
    with Store.open_read_only(Home(home)) as store:
        return {one.id.hex() for one in store.records.listed()}


@pytest.mark.soak
def test_what_nodes_do_not_know_they_keep_and_pass_on_and_punish_nobody(
    js_folder: Path, tmp_path: Path
) -> None:
    """Three nodes in a row: records of the first reach the last, byte for byte."""
    offered = [
        record(NEWS, "prophecy", {"text": "x" * 15_000}, offer=True),
        record(NEWS, "insight", insight("old", mood="calm"), offer=True),
        record(NEWS, "insight", insight("not for you"), crit=["riddle"], offer=True),
        record(NEWS, "result", result(later=1), offer=True),
        record(NEWS, "rerun", rerun_body("dreamt"), offer=True),
    ]
    tomorrow = [
        record(NEWS, "insight", insight(f"of tomorrow {n}"), ts=clock_ms() + DAY_MS, offer=True)
        for n in range(EARLY_OF_AUTHOR.records + 8)
    ]
    spoken = [
        record(NEWS, "prophecy", {"text": "short", "nested": {"deeper": [1, None, True]}}),
        record(NEWS, "insight", insight("new", mood="stormy")),
        record(NEWS, "insight", insight("nor this"), crit=["riddle"], x={"riddle": 1}),
        record(NEWS, "result", result()),
        record(NEWS, "rerun", rerun_body("foreseen")),
    ]

    async def arrive(node: Place, number: int) -> None:
        while node.members() < number:  # noqa: ASYNC110 (of other processes there is no event)
            await trio.sleep(0.05)

    async def test(first: Place) -> None:
        async with program(js_folder, "speaker.mjs") as js:
            said = await begin(
                js, first.address, [*offered, *spoken, *tomorrow], hello=HELLO, sync=SYNC
            )
            reported.update(said[: -len(tomorrow)])
            early.update(said[-len(tomorrow) :])
            assert await js.fact("greeted") == {"net": MAIN_NET}
            await arrive(first, len(offered))
            with (
                place(homes[1], first.address) as middle,
                place(homes[2], middle.address) as last,
            ):
                await arrive(last, len(offered))
                await js.send()
                await js.fact("spoken")
                for home in homes:  # not by their number in topics: some are in two
                    while ids_in(home) != reported:  # noqa: ASYNC110 (other processes)
                        await trio.sleep(0.1)
                assert first.look()["peers"] >= 2
                assert last.look()["peers"] >= 1
                await js.send()
                assert len((await js.fact("connected"))["peers"]) == 1, "it is not punished"

    reported, early = set[str](), set[str]()
    homes = [tmp_path / name for name in ("first", "middle", "last")]
    with place(homes[0]) as first:
        run(partial(test, first), PATIENCE_S)
    kept = []
    for home in homes:
        with Store.open(Home(home)) as store:
            kept.append({one.id.hex(): one.wire for one in store.records.listed()})
    assert kept[0] == kept[1] == kept[2]
    assert set(kept[0]) == reported
    with Store.open(Home(homes[2])) as store:
        assert {one.author for one in store.records.listed()} == {AUTHOR}
    with Store.open(Home(homes[0])) as store:
        waiting = store.intake.settle(now_ms=clock_ms() + 2 * DAY_MS)[1].new
    assert len(waiting) == EARLY_OF_AUTHOR.records, "of an author who signs for tomorrow"
    assert {one.hex() for one in waiting} < early


# Each peer is busy for longer before it reads its messages.
@pytest.mark.soak
@pytest.mark.parametrize("peers", [4, pytest.param(10, marks=pytest.mark.soak)])
def test_a_peer_of_another_network_is_informed_and_disconnected_at_once(
    js_folder: Path, tmp_path: Path, peers: int
) -> None:
    async def test(node: Place) -> None:
        async with program(js_folder, "visitor.mjs", "foreign") as js:
            await js.send(
                address=node.address, hello=HELLO, author=AUTHOR.hex(), net="other", peers=peers
            )
            for _ in range(peers):
                assert await js.fact("answered") == {"net": MAIN_NET}
                assert await js.fact("again") == {"answered": False}
            await js.fact("closed")

    with place(tmp_path / "home") as node:
        run(partial(test, node), PATIENCE_S)


@pytest.mark.soak
def test_who_asks_little_waits_for_hardly_any_of_those_who_ask_much(
    js_folder: Path, tmp_path: Path
) -> None:
    """Eight peers have 32 questions of 129 kB open all the time."""

    async def test(node: Place) -> None:
        async with program(js_folder, "visitor.mjs", "crowd") as js:
            await js.send(
                address=node.address,
                hello=HELLO,
                sync=SYNC,
                topic=NEWS,
                net=MAIN_NET,
                author=AUTHOR.hex(),
                peers=8,
                questions=20,
            )
            between = (await js.fact("answered"))["between"]
            # One was being answered, and others' answers were on their way.
            assert sorted(between)[len(between) // 2] <= 3
            assert sum(between) <= 4 * len(between)

    with place(tmp_path / "home") as node:
        run(partial(test, node), PATIENCE_S)
