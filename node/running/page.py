"""The web page of a running node, and the link with which its owner opens it."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.home.config import Config
from node.home.home import Home
from node.home.values import NO_PAGE
from node.reporting.now import now_document
from node.running.answers import answers_of
from node.running.node import Node
from node.terminal.terminal import say
from node.web.commands import Answer, OpenPage
from protocol.errors import UsageError

if TYPE_CHECKING:
    from node.web.listening import Listener
    from node.web.serving import Served
    from node.web.tokens import Codes, Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePlace:
    """The address and the tokens of a page. All tasks of the process share them."""

    listener: "Listener"
    credentials: "Credentials"
    codes: "Codes"


@contextlib.contextmanager
def page_place(home: Home, config: Config) -> Iterator[PagePlace | None]:
    """Listen at the address in the setting `web`, and create the page's tokens.

    Yield None if the setting turns the page off.

    Raises ConfigurationError if the address cannot be used.
    """
    if config.web == NO_PAGE:
        yield None
        return
    from node.web.listening import address_of, listening
    from node.web.tokens import Codes, Credentials, fleet_key, issued

    with listening(*address_of(config.web)) as listener, issued(home.web_tokens) as tokens:
        if listener.notice is not None:
            say(listener.notice, err=True)
        credentials = Credentials(tokens=tokens, fleet_key=fleet_key(home.fleet_key))
        yield PagePlace(listener=listener, credentials=credentials, codes=Codes())


@contextlib.asynccontextmanager
async def with_page(
    node: Node, place: PagePlace | None, *, is_shown: bool
) -> AsyncIterator[Mapping[str, Answer]]:
    """Serve a node's page at `place` while the block runs; without a place, serve no page.

    Yield the handlers for the commands that clients send to the node, by name. The handler `page`
    returns a link to the page. With `is_shown`, print a link too.
    """
    answers = answers_of(node)
    if place is None:
        yield {**answers, "page": _no_page}
        return
    from node.web.serving import serving
    from node.web.site import Site

    site = Site(
        home=node.home,
        kind="node",
        net=node.config.net,
        credentials=place.credentials,
        answers=answers,
        now=lambda: now_document(node.research),
        codes=place.codes,
    )
    async with serving(site, place.listener) as served:
        if is_shown:
            say(f"page: {served.link('steer')}", err=True)
        yield {**answers, "page": _links(served)}


def _links(served: "Served") -> Answer:
    async def page(asked: OpenPage) -> dict[str, str]:
        link = served.link("steer" if asked.steer else "read")
        return {"link": link, "address": served.url}

    return page


async def _no_page(_: OpenPage) -> None:
    raise UsageError("the running node serves no page", "set `web`, and start it again")
