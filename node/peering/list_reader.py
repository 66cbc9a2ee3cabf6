"""Reads what is published at a list's place: a file over HTTPS, or TXT records in the DNS.

Whoever answers is a stranger, and whoever is between sees that somebody asked: an answer is read as
far as a list may be long, for so many seconds, no other place is asked for its sake, and nothing is
said but the place's own name. What it says is for `node.peering.address_list` to judge.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.home.network_definition import DNSADDR
from node.home.signed_list import MAX_BYTES
from node.peering.address_list import text_of_records
from protocol.errors import Rejected

if TYPE_CHECKING:
    from ssl import SSLContext

    from dns.asyncresolver import Resolver

_LONGEST_FAULT: Final = 200  # characters
_HEADERS: Final = {"User-Agent": "arnode", "Accept-Encoding": "identity"}
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReader:
    """`ssl`: whom to believe instead of this machine's authorities; `resolver`: whom to ask for
    names instead of this machine's servers."""

    ssl: "SSLContext | None" = None
    resolver: "Resolver | None" = None
    https_s: float = 20.0
    dns_s: float = 10.0

    async def read(self, place: str) -> bytes | Rejected:
        """Return the text that is published at a place, unverified, or why there is none."""
        if place.startswith(DNSADDR):
            return await self._looked_up(place.removeprefix(DNSADDR))
        return await self._fetched(place)

    async def _fetched(self, url: str) -> bytes | Rejected:
        import aiohttp

        text = bytearray()
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=self.https_s), auto_decompress=False
                ) as session,
                session.get(
                    url, headers=_HEADERS, ssl=self.ssl or True, allow_redirects=False
                ) as answer,
            ):
                if answer.status != _OK:
                    return Rejected(f"it answered with status {answer.status}, not {_OK}")
                async for part in answer.content.iter_any():
                    text += part
                    if len(text) > MAX_BYTES:
                        return Rejected(f"it has more than {MAX_BYTES} bytes")
        except TimeoutError:
            return Rejected(f"it did not answer within {self.https_s:g} s")
        except (aiohttp.ClientError, OSError) as fault:
            return Rejected(f"it was not reached: {_told(fault)}")
        return bytes(text)

    async def _looked_up(self, name: str) -> bytes | Rejected:
        from dns.asyncbackend import get_backend
        from dns.asyncresolver import Resolver
        from dns.exception import DNSException, Timeout
        from dns.rdtypes.ANY.TXT import TXT

        try:
            async with asyncio.timeout(self.dns_s):
                answer = await (self.resolver or Resolver()).resolve(
                    f"_dnsaddr.{name}",
                    "TXT",
                    search=False,
                    lifetime=self.dns_s,
                    backend=get_backend("asyncio"),
                )
        except (TimeoutError, Timeout):
            return Rejected(f"no server for names answered within {self.dns_s:g} s")
        except (DNSException, OSError) as fault:
            return Rejected(f"its name was not looked up: {_told(fault)}")
        return text_of_records(b"".join(one.strings) for one in answer if isinstance(one, TXT))


def _told(fault: Exception) -> str:
    """Return a fault in a line, which may hold what a stranger answered."""
    return " ".join((str(fault) or type(fault).__name__).split())[:_LONGEST_FAULT]
