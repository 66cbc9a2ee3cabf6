"""The page of a running node: at its address while the node runs, with a link for its owner."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from node.documents.now import now_document
from node.home.control import Handler, Message
from node.running.handlers import handlers
from node.running.node import Node
from node.settings.values import NO_PAGE
from protocol.errors import UsageError

if TYPE_CHECKING:
    from node.web.serving import Served


@contextlib.asynccontextmanager
async def with_page(node: Node, *, is_shown: bool) -> AsyncIterator[Mapping[str, Handler]]:
    """Serve the page as the setting `web` says; yield what commands may ask, for links too.

    `is_shown`: a link is printed. Raises ConfigurationError where its address is not to be had.
    """
    answers = handlers(node)
    if node.config.web == NO_PAGE:
        yield {**answers, "page": _no_page}
        return
    from node.web.serving import address_of, serving
    from node.web.site import Site
    from node.web.tokens import Tokens

    host, port = address_of(node.config.web)
    site = Site(
        home=node.home,
        kind="node",
        net=node.config.net,
        tokens=Tokens.of(node.home.web_tokens),
        handlers=answers,
        now=lambda: now_document(node.research),
    )
    async with serving(site, host, port) as served:
        if is_shown:
            print(f"page: {served.link('steer')}", file=sys.stderr, flush=True)
        yield {**answers, "page": _links(served)}


def _links(served: "Served") -> Handler:
    async def page(arguments: Mapping[str, Message]) -> Message:
        return served.link("steer" if arguments.get("steer") else "read")

    return page


async def _no_page(_: Mapping[str, Message]) -> Message:
    raise UsageError("the running node serves no page", "set `web`, and start it again")
