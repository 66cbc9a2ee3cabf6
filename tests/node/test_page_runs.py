"""Runs of a page's server: what another program receives at its port is worthless afterwards."""

import asyncio
import errno
import gc
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from aiohttp import web

from bootstrap.program import _ALTERNATIVE as _BOOTSTRAP_ALTERNATIVE
from node.commands.cli import main
from node.home.config import Config
from node.home.home import Home
from node.running.page import page_place
from node.web import listening as module
from node.web.fleet import Fleet
from node.web.listening import Listener, address_of, listening
from node.web.proof import Challenges, server_proof
from node.web.serving import serving
from node.web.site import Site
from node.web.tokens import Credentials, Tokens, fleet_key, issued, new_fleet_key, proof_header
from protocol.errors import ConfigurationError, NotRunningError
from tests.node.page import Visitor, visiting

NONCE = "0123456789abcdef" * 2


async def _received_by_an_impostor(port: int, send: Callable[[], Any]) -> bytes:
    """Return all that a client sends to a program which took the port."""
    received = bytearray()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(receive, "127.0.0.1", port):
        await send()
    return bytes(received)


async def _replayed(port: int, request: bytes) -> bytes:
    """Return the status line of the answer to bytes that were received before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    with closing(writer):
        return await reader.readline()


def test_a_token_that_an_impostor_received_opens_nothing_after_the_restart(home: Home) -> None:
    async def work() -> None:
        async with asyncio.timeout(30):
            async with visiting(home) as visitor:
                assert (await visitor.get("session")).status == 200
                port = visitor.served.port
                code = visitor.served.link("steer").rpartition("#")[2]
            async with visiting(home) as elsewhere:  # a client of any later run
                program = Visitor(served=visitor.served, http=elsewhere.http, token=visitor.token)
                received = await _received_by_an_impostor(port, lambda: program.get("session"))
            assert visitor.token is not None
            assert visitor.token.encode() in received
            async with visiting(home, port=port) as again:
                assert (await _replayed(port, received)).startswith(b"HTTP/1.1 401 ")
                assert (await again.post("session", {"code": code})).status == 401
                assert (await again.get("session")).status == 200

    asyncio.run(work())


def test_tokens_are_of_one_run_and_their_file_is_the_owners_alone(home: Home) -> None:
    home.prepare()
    with issued(home.web_tokens) as first:
        assert Tokens.current(home.web_tokens) == first
        assert stat.S_IMODE(home.web_tokens.stat().st_mode) == 0o600
        left_by_a_killed_server = home.web_tokens.read_bytes()
    assert not home.web_tokens.exists()
    home.web_tokens.write_bytes(left_by_a_killed_server)
    with pytest.raises(NotRunningError, match="page is not being served"):
        Tokens.current(home.web_tokens)
    with issued(home.web_tokens) as second:
        assert second.rights(first.read) == second.rights(first.steer) == frozenset()
        with issued(home.web_tokens) as later:
            assert Tokens.current(home.web_tokens) == later
    assert len({first.read, first.steer, second.read, second.steer, later.read}) == 5


def test_a_command_prints_no_token_where_no_page_is_served(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    home.prepare()
    with pytest.raises(SystemExit) as ended:
        main(["view", "--token", "steer"])
    assert ended.value.code == NotRunningError.exit_code
    assert "page is not being served" in capsys.readouterr().err
    with issued(home.web_tokens) as tokens:
        with pytest.raises(SystemExit):
            main(["view", "--token", "steer"])
        assert capsys.readouterr().out.strip() == tokens.steer


def test_a_server_proves_that_it_issued_a_token_and_another_run_cannot(home: Home) -> None:
    async def proofs(visitor: Visitor, token: str) -> bool:
        found = await visitor.ask("GET", f"api/v1/proof?nonce={NONCE}", headers={})
        return server_proof(token, NONCE) in found.json["proofs"]

    async def work() -> None:
        async with asyncio.timeout(30):
            async with visiting(home) as first:
                token = first.token
                assert token is not None
                nobody = Visitor(served=first.served, http=first.http, token=None)
                assert await proofs(nobody, token)
                assert not await proofs(nobody, "another")
                assert token not in (await nobody.get(f"proof?nonce={NONCE}")).text
            async with visiting(home) as second:
                assert not await proofs(second, token)

    asyncio.run(work())


def test_nobody_takes_the_port_between_two_turns_and_its_tokens_stay(home: Home) -> None:
    home.prepare()

    async def work() -> None:
        async with asyncio.timeout(30):
            with listening("127.0.0.1", 0) as listener, issued(home.web_tokens) as tokens:
                keys = Credentials(tokens=tokens, fleet_key="k" * 40)
                site = Site(home=home, kind="node", net="main", credentials=keys)
                for _ in range(2):
                    async with serving(site, listener):
                        pass
                    with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
                        socket.create_server(("127.0.0.1", listener.port))  # reuses addresses

    asyncio.run(work())


@pytest.fixture
def impostor(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A program that has the usual port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(module, "DEFAULT_PORT", port)
        yield port


def test_a_node_whose_usual_port_is_taken_says_so(
    home: Home, impostor: int, capsys: pytest.CaptureFixture[str]
) -> None:
    home.prepare()
    with page_place(home, Config(web="auto")) as place:
        assert place is not None
        assert place.listener.port != impostor
        shown = capsys.readouterr().err
        assert f"port {impostor} is in use by another program" in shown
        assert f"the page is at port {place.listener.port}, with new tokens" in shown
        assert "\nhint: " in shown


def test_a_usual_port_that_is_taken_at_the_other_loopback_address_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _at_ipv6() as server:
        monkeypatch.setattr(module, "DEFAULT_PORT", server.getsockname()[1])
        with listening(None, None) as listener:
            assert listener.taken_port == server.getsockname()[1] != listener.port
        with listening("127.0.0.1", server.getsockname()[1]) as listener:
            assert listener.name is None  # a browser might look the name up there


def _at_ipv6() -> socket.socket:
    try:
        return socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")


def test_each_run_has_a_host_name_of_its_own_for_browsers(home: Home) -> None:
    async def work() -> None:
        names = set[str]()
        for _ in range(2):
            async with asyncio.timeout(20), visiting(home) as visitor:
                name = visitor.served.listener.name
                assert name is not None
                assert visitor.served.link("read").startswith(f"http://{name}:")
                port = visitor.served.port
                for host in (f"{name}:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
                    headers = {"Host": host, "Origin": f"http://{host}"}
                    assert (await visitor.get("session", **headers)).status == 200
                for old in names | {"a.localhost", f"a.{name}", f"{name}.example"}:
                    assert (await visitor.get("session", Host=f"{old}:{port}")).status == 421
                names.add(name)
        assert len(names) == 2

    asyncio.run(work())


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_comes_while_the_page_closes_is_closed_too(
    home: Home, turns: int
) -> None:
    async def work() -> socket.socket:
        async with asyncio.timeout(20), visiting(home) as visitor:
            late = socket.create_connection(("127.0.0.1", visitor.served.port))
            for _ in range(turns):  # of the loop: taken, given a protocol, answered
                await asyncio.sleep(0)
        return late

    with asyncio.run(work()) as late:
        gc.collect()  # what was left open is shown here
        late.settimeout(20)
        with suppress(ConnectionResetError):
            assert late.recv(1) == b""


def _absent(*hosts: str) -> Callable[[str, int], socket.socket]:
    bound = module._bound

    def bind(host: str, port: int) -> socket.socket:
        if host in hosts:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return bound(host, port)

    return bind


def test_without_127_0_0_1_the_page_is_at_ipv6_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _at_ipv6().close()
    monkeypatch.setattr(module, "_bound", _absent("127.0.0.1"))
    with listening(*address_of("auto")) as listener:
        assert listener.url == f"http://[::1]:{listener.port}/"
        assert len(listener.sockets) == 1


@pytest.mark.parametrize(
    ("web", "fault", "hint"),
    [
        ("auto", "this machine has no loopback address", 'set `web` to "none"'),
        ("127.0.0.1:7842", "cannot listen on 127.0.0.1:7842: ", '"auto" or to "none"'),
        ("192.0.2.1:7842", "cannot listen on 192.0.2.1:7842: ", "another address of this machine"),
    ],
)
def test_an_address_that_is_absent_is_refused_with_a_hint_that_names_another(
    web: str, fault: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_bound", _absent("127.0.0.1", "::1", "192.0.2.1"))
    with pytest.raises(ConfigurationError, match=fault) as refused, listening(*address_of(web)):
        pass
    assert hint in refused.value.hint
    assert f'"{web}"' not in refused.value.hint


def test_an_address_that_is_taken_is_refused(impostor: int) -> None:
    with pytest.raises(ConfigurationError, match="address already in use") as refused:
        _listen(f"127.0.0.1:{impostor}")
    assert "stop the program that listens there, or set `web` to another" in refused.value.hint


def _listen(web: str) -> Listener:
    with listening(*address_of(web)) as listener:
        return listener


def test_a_challenge_is_answered_within_half_a_minute_of_its_own_run() -> None:
    now_s = [100.0]
    challenges = Challenges(lambda: now_s[0])
    challenge = challenges.issue()
    assert challenges.accepts(challenge)
    assert not Challenges(lambda: now_s[0]).accepts(challenge)
    for odd in ("", ".", "9" * 5000, f"9{challenge}", challenge[:-1], "\udcff", "é.1.2", "nan.a.b"):
        assert not challenges.accepts(odd)
    now_s[0] = 131.0
    assert not challenges.accepts(challenge)


def test_another_node_is_read_without_sending_its_key(home: Home) -> None:
    received: list[str] = []

    async def relay(visitor: Visitor, request: web.Request) -> web.Response:
        received.append(f"{request.path_qs} {dict(request.headers)}")
        headers = {"Authorization": request.headers.get("Authorization", "")}
        found = await visitor.ask("GET", request.path_qs[1:], headers=headers)
        return web.Response(text=found.text, content_type="application/json", status=found.status)

    async def work() -> None:
        async with asyncio.timeout(30), visiting(home) as visitor:
            key = fleet_key(home.fleet_key)
            assert stat.S_IMODE(home.fleet_key.stat().st_mode) == 0o600

            async def handle(request: web.Request) -> web.Response:
                return await relay(visitor, request)

            (status, now) = await _through(handle, key)
            assert (status["fault"], now) == (None, None)
            assert len(received) == 4
            assert key not in "".join(received)
            header = next(one for one in received if "Proof " in one)
            proof = header[header.index("Proof ") :].partition("'")[0]
            for path, expected in (("status", 200), ("now", 401), ("records", 401)):
                assert (await visitor.get(path, Authorization=proof)).status == expected
            assert (await visitor.get("status", Authorization=f"Bearer {key}")).status == 401
        async with asyncio.timeout(30), visiting(home) as visitor:
            assert (await visitor.get("status", Authorization=proof)).status == 401

    asyncio.run(work())


def test_a_program_that_took_another_nodes_port_receives_no_key_and_is_not_believed() -> None:
    key, received = "k" * 43, list[str]()

    async def pretend(request: web.Request) -> web.Response:
        received.append(f"{request.path_qs} {dict(request.headers)}")
        nonce = request.query.get("nonce", "")
        text = json.dumps(
            {"proofs": [server_proof("guess", nonce), 1, "\udcff"], "challenge": "1.2.3"}
        )
        return web.Response(text=text.replace("\\udcff", ""), content_type="application/json")

    async def work() -> None:
        async with asyncio.timeout(20):
            status, _ = await _through(pretend, key)
            assert "another program uses its port" in status["fault"]
            assert len(received) == 1
            assert "Authorization" not in received[0]

    asyncio.run(work())


async def _through(handle: Callable[[web.Request], Any], key: str) -> tuple[Any, Any]:
    """Ask one node of a fleet, in whose place `handle` answers."""
    app = web.Application()
    app.router.add_get("/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        _, port = runner.addresses[0][:2]
        document = await Fleet(nodes={f"http://127.0.0.1:{port}": key}).document()
    finally:
        await runner.cleanup()
    return document["nodes"][0], document["nodes"][0]["now"]


def test_a_fleet_key_stays_over_restarts_and_can_be_replaced(home: Home) -> None:
    home.prepare()
    first = fleet_key(home.fleet_key)
    assert fleet_key(home.fleet_key) == first
    assert new_fleet_key(home.fleet_key) != first
    for text in (b"", b"short", b"\xff" * 40, "é".encode() * 40):
        home.fleet_key.write_bytes(text)
        with pytest.raises(ConfigurationError):
            fleet_key(home.fleet_key)


def test_a_proof_of_one_kind_does_not_pass_for_another(home: Home) -> None:
    keys = Credentials(tokens=Tokens.drawn(), fleet_key="k" * 40)
    challenge = keys.challenges.issue()
    header = proof_header("k" * 40, challenge, "GET /api/v1/status")
    assert keys.rights(header, "GET /api/v1/status") == frozenset({"read"})
    server = server_proof("k" * 40, challenge)
    assert keys.rights(f"Proof {challenge} {server}", "GET /api/v1/status") == frozenset()
    assert keys.rights(header, "GET /api/v1/\udcff") == frozenset()


def test_a_proof_gives_the_rights_of_its_token_for_one_request(home: Home) -> None:
    home.prepare()
    tokens = Tokens.drawn()
    keys = Credentials(tokens=tokens, fleet_key="k" * 40)
    challenge = keys.challenges.issue()
    asked = "POST /api/v1/stop"
    steering = proof_header(tokens.steer, challenge, asked)
    assert keys.rights(steering, asked) == frozenset({"read", "steer"})
    reading = proof_header(tokens.read, challenge, asked)
    assert keys.rights(reading, asked) == frozenset({"read"})
    for other in ("GET /api/v1/stop", "POST /api/v1/pause", "POST /api/v1/stop?x=1"):
        assert keys.rights(steering, other) == frozenset()
    earlier_run = Credentials(tokens=tokens, fleet_key="k" * 40).challenges.issue()
    assert keys.rights(proof_header(tokens.steer, earlier_run, asked), asked) == frozenset()


@pytest.mark.parametrize("alternative", [{}, {"alternative": _BOOTSTRAP_ALTERNATIVE}])
def test_a_taken_port_has_a_hint_with_ways_out_that_are_free(alternative: dict[str, str]) -> None:
    with (
        listening("127.0.0.1", 0) as first,
        pytest.raises(ConfigurationError, match="address already in use") as refused,
        listening("127.0.0.1", first.port, **alternative),
    ):
        pass
    assert "another port or another address" in refused.value.hint
    assert "none" in refused.value.hint
