"""Places where tests publish lists: a web server with a certificate, and a name server."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, TypeAlias

import dns.flags
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dns.asyncresolver import Resolver

from tests.free_ports import free_port
from tests.network.zone import Zone, answer_of

HOST: Final = "127.0.0.1"
_LONGEST_BY_UDP: Final = 1_232

# The answer to a request; None to never answer.
Answer: TypeAlias = bytes | None


def page(body: bytes, *, status: str = "200 OK", head: str = "") -> bytes:
    """Return an answer of a web server."""
    length = f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{length}{head}\r\n".encode() + body


def endless() -> bytes:
    """Return the beginning of an endless answer, longer than any list."""
    return b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 17)


class Web:
    """A web server on loopback: `pages` by path."""

    def __init__(self, port: int, client: ssl.SSLContext, pages: dict[str, Answer]) -> None:
        self.client = client  # trusts this server, and no other
        self.pages = pages
        self.asked: Counter[str] = Counter()
        self._port = port

    def url(self, path: str) -> str:
        return f"https://{HOST}:{self._port}{path}"


@asynccontextmanager
async def web(folder: Path, pages: dict[str, Answer] | None = None) -> AsyncIterator[Web]:
    """Serve pages until the block ends; `folder` is for the server's key."""
    certified, client = _contexts(folder)
    found: list[Web] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split()[1]
            found[0].asked[path] += 1
            answer = found[0].pages[path]
            if answer is None or answer.startswith(endless()[:20]):
                writer.write(answer or b"")
                await reader.read()  # until the client gives up
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=certified)
    found.append(Web(server.sockets[0].getsockname()[1], client, pages or {}))
    async with server:
        yield found[0]


def _contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "server.pem"
    path.write_bytes(certificate + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=certificate.decode())


@asynccontextmanager
async def names(zone: Zone) -> AsyncIterator[Resolver]:
    """Answer name queries until the block ends, by TCP if too long for UDP; yield the queries."""
    port = free_port()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        answer = answer_of(await reader.readexactly(size), zone)
        if answer is not None:
            data = answer.to_wire()
            writer.write(len(data).to_bytes(2) + data)
            await writer.drain()
        writer.close()

    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = [HOST], port
    async with await asyncio.start_server(serve, HOST, port):
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(zone), local_addr=(HOST, port)
        )
        with contextlib.closing(transport):
            yield resolver


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._send: Callable[[bytes, tuple[str, int]], None] = lambda _, __: None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._send = transport.sendto

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        answer = answer_of(data, self._zone)
        if answer is None:
            return
        if len(answer.to_wire()) > _LONGEST_BY_UDP:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        self._send(answer.to_wire(), sender)
