"""One table of commands, for a node's socket and for the API."""

import asyncio
from typing import Any

import msgspec
import pytest

from node.home.home import Home
from node.running.answers import answers_of
from node.store.store import Store
from node.web.commands import COMMANDS, Command, PauseFor, Stop, Try, VerifyRecord, on_socket
from protocol.errors import UsageError
from tests.node.line_writers import with_baseline
from tests.node.test_publishing import node_of


def command(name: str) -> Command:
    (found,) = (one for one in COMMANDS if one.name == name)
    return found


def test_each_command_and_each_route_is_there_once() -> None:
    names = [one.name for one in COMMANDS]
    routes = [one.route for one in COMMANDS if one.route]
    assert len(set(names)) == len(names)
    assert len(set(routes)) == len(routes)
    assert all(route.split()[0] in ("GET", "POST") for route in routes)


def test_a_node_answers_every_command_but_that_for_its_page(home: Home, store: Store) -> None:
    with_baseline(home, store)
    assert set(answers_of(node_of(home, store))) == {one.name for one in COMMANDS} - {"page"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("pause", {"for_s": 0.0}),
        ("pause", {"for_s": float("inf")}),
        ("pause", {"for_s": "1h"}),
        ("pause", {"at_end": 1}),
        ("submit", {"files": {"train.py": "text"}, "title": "x"}),
        ("submit", {"title": "x"}),
        ("verify", {"claim": b"a"}),
        ("carry", {"what": "head", "to": "a"}),
        ("is_decided", {}),
        ("fetch_report", {"id": None}),
        ("register", {"title": ""}),
        ("complete", {"id": "no hex"}),
    ],
)
def test_nonsense_over_the_socket_is_refused_before_anybody_acts(
    name: str, arguments: dict[str, Any]
) -> None:
    asked: list[object] = []

    async def act(given: object) -> None:
        asked.append(given)

    handler = on_socket({name: act})[name]
    with pytest.raises(UsageError, match=f"{name} does not accept this"):
        asyncio.run(handler(arguments))
    assert asked == []


def test_stop_is_taken_from_a_version_that_says_more() -> None:
    assert command("stop").read({"after_promotion_trial": True, "gently": 1}) == Stop(
        after_promotion_trial=True
    )
    assert command("pause").read({"for_s": 60}) == PauseFor(for_s=60.0)


@pytest.mark.parametrize(
    "body",
    [
        {"claim": "/etc/passwd"},
        {"claim": "a" * 8, "publish": False},
        {"claim": "a" * 8, "pairs": 1},
    ],
)
def test_who_asks_over_the_api_names_no_file_and_hides_nothing(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, VerifyRecord)
    meant = VerifyRecord(claim="abcd1234", pairs=4).meant()
    assert (meant.claim, meant.pairs, meant.publish) == ("abcd1234", 4, True)


def test_a_source_that_is_handed_in_over_the_api_is_that_of_its_text() -> None:
    meant = Try(files={"train.py": "LR = 1  # é\n"}, title="x", why="y").meant()
    assert meant.files == {"train.py": "LR = 1  # é\n".encode()}
