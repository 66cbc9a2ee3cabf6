"""A home's page served on loopback, and somebody who asks it."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from node.home.home import Home
from node.reporting.now import NOTHING, NowDocument
from node.web.commands import Answer as CommandAnswer
from node.web.listening import listening
from node.web.serving import Served, serving
from node.web.site import Kind, Site
from node.web.tokens import Credentials, Right, fleet_key, issued


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of the page's server."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a token, or without."""

    served: Served
    http: ClientSession
    token: str | None

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path below the API."""
        return await self.ask("GET", f"api/v1/{path}", headers=headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        """Say something."""
        return await self.ask("POST", f"api/v1/{path}", headers=headers, body=body)

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str], body: object = None
    ) -> Answer:
        """Send any request."""
        sent = dict(headers)
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        url = self.served.url + path
        async with self.http.request(method, url, headers=sent, data=data) as response:
            text = await response.text()
            is_json = "json" in response.content_type
            return Answer(
                status=response.status,
                headers=response.headers,
                text=text,
                json=await response.json(content_type=None) if is_json and text else None,
            )


@asynccontextmanager
async def visiting(
    home: Home,
    *,
    right: Right | None = "steer",
    kind: Kind = "node",
    answers: Mapping[str, CommandAnswer] | None = None,
    now: NowDocument = NOTHING,
    port: int = 0,
) -> AsyncIterator[Visitor]:
    """Serve a home, at a free port by default; yield a visitor with these rights."""
    home.prepare()
    with issued(home.web_tokens) as tokens, listening("127.0.0.1", port) as listener:
        credentials = Credentials(tokens=tokens, fleet_key=fleet_key(home.fleet_key))
        site = Site(
            home=home,
            kind=kind,
            net="main",
            credentials=None if kind == "bootstrap" else credentials,
            answers=answers or {},
            now=lambda: now,
        )
        async with serving(site, listener) as served, ClientSession() as http:
            token = None if right is None or kind == "bootstrap" else tokens.of_right(right)
            yield Visitor(served=served, http=http, token=token)
