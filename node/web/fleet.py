"""A table of the owner's nodes. This server queries the other nodes, each with its fleet key.

The browser does not query them: a page may only contact the server that it came from, and other
nodes' keys must not be in a browser. Another program may have taken the port of a stopped node. So
each node first proves that it has its key. A request carries a proof made with the key, never the
key itself. Answers have a size limit, and the page shows their texts as quoted, untrusted text.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypedDict
from urllib.parse import urlsplit

import aiohttp
import msgspec

from node.home.files import write_file
from node.web.proof import is_same, server_proof
from node.web.tokens import proof_header
from protocol.errors import ConfigurationError, UsageError

_ANSWERS_S: Final = 5.0
_ANSWER_BYTES: Final = 1 << 20
_MOST_NODES: Final = 64
_CHALLENGE: Final = re.compile("[0-9a-f.]{1,100}")
_UNPROVEN: Final = (
    "another program uses its port, or its fleet key has changed: add it again with"
    " `arnode view --node URL`"
)


class FleetNodeDocument(TypedDict):
    """A node's own status, or the reason why it is missing."""

    url: str
    fault: str | None
    status: dict[str, object] | None
    now: dict[str, object] | None


class FleetDocument(TypedDict):
    """All nodes of the fleet, in the order in which they were added."""

    nodes: list[FleetNodeDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The addresses of nodes, with the fleet key of each."""

    nodes: Mapping[str, str]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the nodes from a home's file. A missing file is an empty fleet.

        Raises ConfigurationError if the file is invalid.
        """
        try:
            kept = json.loads(path.read_bytes())
            nodes = {address_of(url): str(key) for url, key in kept["nodes"].items()}
        except FileNotFoundError:
            return cls(nodes={})
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as fault:
            raise ConfigurationError(
                f"{path} is invalid", "delete it, and add the nodes again: `arnode view --node`"
            ) from fault
        return cls(nodes=nodes)

    def with_node(self, url: str, key: str) -> "Fleet":
        """Return a copy with one more node or a new key. Raises UsageError above 64 nodes."""
        nodes = {**self.nodes, address_of(url): key}
        if len(nodes) > _MOST_NODES:
            raise UsageError(
                f"a fleet has at most {_MOST_NODES} nodes", "remove one: `arnode view --forget URL`"
            )
        return Fleet(nodes=nodes)

    def without(self, url: str) -> "Fleet":
        """Return a copy without a node. Raises UsageError if the node is not in the fleet."""
        known = address_of(url)
        if known not in self.nodes:
            raise UsageError(
                f"the fleet has no node at {known}", "add it: `arnode view --node URL`"
            )
        return Fleet(nodes={one: key for one, key in self.nodes.items() if one != known})

    def keep(self, path: Path) -> None:
        """Write the fleet to a file that only this user can read."""
        write_file(path, json.dumps({"nodes": dict(self.nodes)}).encode())

    async def document(self) -> FleetDocument:
        """Query all nodes at the same time."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWERS_S), trust_env=False
        ) as http:
            asked = (self._asked(http, url, key) for url, key in self.nodes.items())
            return {"nodes": await asyncio.gather(*asked)}

    async def _asked(self, http: aiohttp.ClientSession, url: str, key: str) -> FleetNodeDocument:
        try:
            status = await _answer(http, url, "/api/v1/status", key)
            now = await _answer(http, url, "/api/v1/now", key)
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            words = str(fault).encode("utf-8", "replace").decode() or "it did not answer in time"
            return {"url": url, "fault": words[:200], "status": None, "now": None}
        return {"url": url, "fault": None, "status": status, "now": now.get("now")}


def address_of(url: str) -> str:
    """Return a node's address in normal form: scheme, host and port. Raises UsageError."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not port:
        raise UsageError(
            f"`{url}` is not a node's address", "give one such as http://192.0.2.1:7842"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


async def _answer(http: aiohttp.ClientSession, url: str, path: str, key: str) -> dict[str, Any]:
    """Fetch a document from a node that proves its key first.

    Raises aiohttp.ClientError, TimeoutError, ValueError.
    """
    nonce = secrets.token_hex(16)
    match await _document(http, f"{url}/api/v1/proof?nonce={nonce}", {}):
        case {"proofs": [*proofs], "challenge": str() as challenge}:
            wanted = server_proof(key, nonce)
        case _:
            raise ValueError("its answer is not a JSON object")
    if not any(is_same(one, wanted) for one in proofs if isinstance(one, str)):
        raise ValueError(_UNPROVEN)
    if not _CHALLENGE.fullmatch(challenge):
        raise ValueError("its answer is not a JSON object")
    header = {"Authorization": proof_header(key, challenge, f"GET {path}")}
    return await _document(http, url + path, header)


async def _document(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> dict[str, Any]:
    """Fetch a JSON object. Raises aiohttp.ClientError, TimeoutError, ValueError."""
    async with http.get(url, headers=headers, allow_redirects=False) as response:
        if response.status == 401:
            raise ValueError(_UNPROVEN)
        if response.status != 200:
            raise ValueError(f"it answers with status {response.status}")
        data = bytearray()
        async for part in response.content.iter_any():
            data += part
            if len(data) > _ANSWER_BYTES:
                raise ValueError("its answer is too long")
    try:
        answer = msgspec.json.decode(data)  # rejects values that cannot be encoded again
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise ValueError("its answer is not JSON") from fault
    match answer:
        case dict() as document:
            return document
    raise ValueError("its answer is not a JSON object")
