"""A reader of published lists: a file over HTTPS, or TXT records in the DNS.

The server is untrusted, and observers of the connection can see the request. So an answer is read
only up to the maximum length of a list and for a limited time. The reader follows no redirect and
sends nothing but the list's URL or DNS name. `node.peering.address_list` checks the content.
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
    """The settings of a reader.

    `ssl`: trusted authorities instead of this machine's; `resolver`: DNS servers instead of this
    machine's.
    """

    ssl: "SSLContext | None" = None
    resolver: "Resolver | None" = None
    https_s: float = 20.0
    dns_s: float = 10.0

    async def read(self, place: str) -> bytes | Rejected:
        """Return the unverified text at a URL or DNS name, or the reason it cannot be read."""
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
            return Rejected(f"it was not reached: {_fault_line(fault)}")
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
            return Rejected(f"no DNS server answered within {self.dns_s:g} s")
        except (DNSException, OSError) as fault:
            return Rejected(f"its name cannot be resolved: {_fault_line(fault)}")
        return text_of_records(b"".join(one.strings) for one in answer if isinstance(one, TXT))


def _fault_line(fault: Exception) -> str:
    """Return a fault as one line, which may hold untrusted text."""
    return " ".join((str(fault) or type(fault).__name__).split())[:_LONGEST_FAULT]
