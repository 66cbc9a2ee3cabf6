"""The HTTP transport for litellm: one recorded request per question, with a bounded answer.

litellm by itself repeats a request after a broken connection, which may cost twice. Its clients
follow redirects and look for proxies. This transport does neither. Only the worker imports this
module, because httpx is installed with litellm.
"""

import json
import zlib
from contextvars import ContextVar
from typing import Any, Final

import httpx

from agent.worker.exchange import (
    BODY_BYTES,
    ModelExchange,
    Trouble,
    document_of,
    is_bounded,
    with_texts,
)

CONNECT_S: Final = 20.0
# Some servers and proxies compress answers regardless of the request (RFC 9110, 8.4.1).
_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 47}
# The question of the current asyncio task; its request is recorded there.
current: Final[ContextVar[ModelExchange]] = ContextVar("current")


class NotingTransport(httpx.AsyncBaseTransport):
    """A transport that sends the first request of a question, and no other."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(retries=0, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer, read to the end.

        Raises:
            httpx.TransportError: there is no answer; the exchange records what happened.
        """
        exchange = current.get()
        if exchange.is_sent:
            raise httpx.TransportError("a question may send only one request")
        exchange.is_sent = True
        exchange.place = f"{request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"
        # The whole question has a time limit; only connecting has a limit of its own.
        request.extensions["timeout"] = {"connect": CONNECT_S}
        request.headers["accept-encoding"] = "identity"
        try:
            return await self._answer(request, exchange)
        except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
            raise _noted(exchange, "no_connection", fault) from fault
        except httpx.TransportError as fault:
            raise _noted(exchange, exchange.trouble or "broken", fault) from fault

    async def _answer(self, request: httpx.Request, exchange: ModelExchange) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding != "identity" and encoding not in _WINDOWS:
                exchange.trouble = "encoded"
                raise httpx.TransportError("an encoding that was not requested")
            inflate = zlib.decompressobj(_WINDOWS[encoding]) if encoding in _WINDOWS else None
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk if inflate is None else _inflated(inflate, chunk, exchange)
                if len(body) > BODY_BYTES:
                    exchange.trouble = "too_much"
                    raise httpx.TransportError("too long")
        finally:
            await response.aclose()
        exchange.headers = dict(response.headers)
        exchange.body = bytes(body)
        exchange.document = document_of(exchange.body)
        if not is_bounded(exchange.document):
            exchange.trouble = "too_much"
            raise httpx.TransportError("too many parts")
        exchange.status = response.status_code
        plain = with_texts(exchange.document)
        content = exchange.body if plain is exchange.document else json.dumps(plain).encode()
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in ("content-encoding", "content-length")
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=content, request=request
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def _inflated(inflate: Any, chunk: bytes, exchange: ModelExchange) -> bytes:
    """Return a decompressed chunk of at most the size of an answer."""
    try:
        said: bytes = inflate.decompress(chunk, BODY_BYTES + 1)
    except zlib.error as fault:
        exchange.trouble = "encoded"
        raise httpx.TransportError("the compressed answer is damaged") from fault
    if inflate.unconsumed_tail:
        exchange.trouble = "too_much"
        raise httpx.TransportError("too long")
    return said


def noting_client(*_: Any, **__: Any) -> httpx.AsyncClient:
    """Return a client over `NotingTransport`, whatever arguments litellm passes."""
    return httpx.AsyncClient(transport=NotingTransport(), trust_env=False, follow_redirects=False)


def _noted(exchange: ModelExchange, trouble: Trouble, fault: Exception) -> httpx.TransportError:
    exchange.trouble, exchange.words = trouble, str(fault) or type(fault).__name__
    return httpx.TransportError(exchange.words)
