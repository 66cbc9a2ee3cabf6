"""Commands reach the running node over its socket, and fail there as they would here."""

import asyncio
import socket
import stat
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from node.home import control_socket
from node.home.control_socket import FRAME_LIMIT_BYTES, ControlServer, Message, call, is_running
from protocol.errors import ArnodeError, ConfigurationError, NotRunningError, UsageError


async def echo(arguments: Mapping[str, Message]) -> Message:
    return dict(arguments)


async def refuse(_: Mapping[str, Message]) -> Message:
    raise UsageError("no such tree", "see `arnode log`")


async def break_down(_: Mapping[str, Message]) -> Message:
    raise ZeroDivisionError


async def flood(_: Mapping[str, Message]) -> Message:
    return bytes(FRAME_LIMIT_BYTES)


async def hang(_: Mapping[str, Message]) -> Message:
    return await asyncio.Event().wait()


HANDLERS = {"echo": echo, "refuse": refuse, "break": break_down, "flood": flood, "hang": hang}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.sock"


def ask(
    path: Path,
    command: str,
    arguments: dict[str, Message] | None = None,
    *,
    timeout_s: float = 30.0,
) -> Message:
    """Run a server for one call."""

    async def talk() -> Message:
        async with ControlServer(path, HANDLERS):
            return await asyncio.to_thread(call, path, command, arguments, timeout_s=timeout_s)

    return asyncio.run(talk())


def test_a_reply_comes_back_whole(path: Path) -> None:
    arguments: dict[str, Message] = {"n": 1, "x": 0.5, "text": "é", "data": b"\0", "list": [None]}
    assert ask(path, "echo", arguments) == arguments
    assert ask(path, "echo") == {}


def test_a_fault_keeps_its_kind_message_and_hint(path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        ask(path, "refuse")
    assert (caught.value.message, caught.value.hint) == ("no such tree", "see `arnode log`")


@pytest.mark.parametrize("command", ["break", "flood"])
def test_a_broken_command_is_an_error_and_not_the_end(path: Path, command: str) -> None:
    with pytest.raises(ArnodeError) as caught:
        ask(path, command)
    assert caught.value.exit_code == 1


def test_a_node_of_another_version_takes_no_command_but_stop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that it makes may lack what this version's commands print."""

    def version() -> str:  # `ask` calls from another thread than the server's
        return "0.1" if threading.current_thread() is threading.main_thread() else "0.2"

    monkeypatch.setattr(control_socket, "_version", version)
    monkeypatch.setitem(HANDLERS, "stop", echo)
    with pytest.raises(UsageError, match=r"the running node is arnode 0\.1, this command is 0\.2"):
        ask(path, "echo")
    with pytest.raises(UsageError, match=r"arnode 0\.1, this command is older"):
        control_socket._checked_request({"command": "echo", "arguments": {}})
    assert control_socket._checked_request({"command": "stop", "arguments": {}}) == ("stop", {})
    assert ask(path, "stop") == {}


def test_an_unknown_command_is_a_usage_error(path: Path) -> None:
    with pytest.raises(UsageError, match="does not know"):
        ask(path, "dance")


def test_a_node_that_does_not_answer_is_not_waited_for(path: Path) -> None:
    with pytest.raises(ArnodeError, match="did not answer"):
        ask(path, "hang", timeout_s=0.2)


def test_nothing_listens(path: Path) -> None:
    assert not is_running(path)
    with pytest.raises(NotRunningError) as caught:
        call(path, "status")
    assert caught.value.exit_code == 3


def test_the_socket_is_private_and_goes_with_the_server(path: Path) -> None:
    async def look() -> int:
        async with ControlServer(path, HANDLERS):
            status = await asyncio.to_thread(path.stat)
            return stat.S_IMODE(status.st_mode)

    assert asyncio.run(look()) == 0o600
    assert not path.exists()


def test_a_socket_left_by_a_killed_node_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    assert not is_running(path)
    assert ask(path, "echo", {"n": 1}) == {"n": 1}


def test_a_second_node_on_the_socket_is_refused(path: Path) -> None:
    async def start_two() -> None:
        async with ControlServer(path, HANDLERS):
            with pytest.raises(ConfigurationError, match="another node"):
                await ControlServer(path, HANDLERS).__aenter__()
            assert await asyncio.to_thread(call, path, "echo") == {}

    asyncio.run(start_two())


def test_a_deep_home_still_has_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    assert ask(folder / "node.sock", "echo", {"n": 1}) == {"n": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        struct.pack(">I", FRAME_LIMIT_BYTES + 1),
        struct.pack(">I", 5) + b"\xc1",
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 3) + b"\x93\x01\x02",
        struct.pack(">I", 2) + b"\x91\x90",
    ],
)
def test_rubbish_does_not_stop_the_node(path: Path, data: bytes) -> None:
    async def disturb() -> Message:
        async with ControlServer(path, HANDLERS):
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.write(data)
            writer.close()
            return await asyncio.to_thread(call, path, "echo", {"n": 1})

    assert asyncio.run(disturb()) == {"n": 1}


def test_many_callers_are_answered_at_once(path: Path) -> None:
    async def ask_all() -> list[Message]:
        async with ControlServer(path, HANDLERS):
            calls = [asyncio.to_thread(call, path, "echo", {"n": n}) for n in range(20)]
            return list(await asyncio.gather(*calls))

    assert asyncio.run(ask_all()) == [{"n": n} for n in range(20)]
