"""`view`: the page in a browser, of the running node or of a home whose node does not run."""

import asyncio
import webbrowser
from typing import TYPE_CHECKING, Final

import click

from node.commands.basics import json_option, setting_option, tell
from node.home.control import call, is_running, nonsense
from node.home.home import Home
from node.settings.config import Config, config_of
from protocol.errors import UsageError

if TYPE_CHECKING:
    from node.web.tokens import Right

_RIGHTS: Final = ("read", "steer")
_OPENED: Final = "the link opens one page, within an hour; `arnode view` prints another"


@click.command()
@setting_option("web")
@click.option("--no-browser", is_flag=True, help="Print the link and open nothing.")
@click.option("--read-only", is_flag=True, help="A link that steers nothing.")
@click.option(
    "--token",
    type=click.Choice(_RIGHTS),
    help="Print a token for a program, to read or to steer as well, and serve nothing.",
)
@click.option(
    "--node",
    "added",
    multiple=True,
    metavar="URL",
    help="Show another node of yours beside this one, from now on; asks for its reading token.",
)
@click.option("--forget", "dropped", multiple=True, metavar="URL", help="Show it no more.")
@click.option("--new-tokens", is_flag=True, help="Make new tokens: who has the old is shut out.")
@json_option()
def view(
    web: str | None,
    no_browser: bool,
    read_only: bool,
    token: "Right | None",
    added: tuple[str, ...],
    dropped: tuple[str, ...],
    new_tokens: bool,
    as_json: bool,
) -> None:
    """Open the page of this home in a browser.

    The running node serves it; where none runs this command does, to read only, until Ctrl-C.
    """
    from node.web.tokens import Tokens

    home = Home.here()
    config = config_of(home, {"web": web})
    home.prepare()
    if new_tokens:
        if is_running(home.socket):
            raise UsageError("the running node has the old ones", "stop it first: `arnode stop`")
        Tokens.renewed(home.web_tokens)
    if added or dropped:
        _change_fleet(home, added, dropped)
    if token is not None:
        text = Tokens.of(home.web_tokens).of_right(token)
        tell({"token": text, "right": token}, text, as_json=as_json)
        return
    if is_running(home.socket):
        link = call(home.socket, "page", {"steer": not read_only})
        if not isinstance(link, str):
            raise nonsense()
        _open(link, no_browser=no_browser, as_json=as_json)
        return
    asyncio.run(_serve(home, config, no_browser=no_browser, as_json=as_json))


def _change_fleet(home: Home, added: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    from node.web.fleet import Fleet, address_of

    fleet = Fleet.of(home.fleet)
    for url in dropped:
        fleet = fleet.without(url)
    for url in added:
        asked = f"reading token of {address_of(url)} (`arnode view --token read` there)"
        fleet = fleet.with_node(url, click.prompt(asked, hide_input=True, err=True).strip())
    fleet.keep(home.fleet)


def _open(link: str, *, no_browser: bool, as_json: bool) -> None:
    tell({"link": link}, link, as_json=as_json)
    if not no_browser and not webbrowser.open(link):
        no_browser = True
    if no_browser and not as_json:
        click.echo(_OPENED, err=True)


async def _serve(home: Home, config: Config, *, no_browser: bool, as_json: bool) -> None:
    from node.settings.values import NO_PAGE
    from node.terminal.interrupts import until_interrupted
    from node.web.serving import address_of, serving
    from node.web.site import Site
    from node.web.tokens import Tokens

    if config.web == NO_PAGE:
        raise UsageError("`web` is none: no page is served", "give an address: `--web auto`")
    host, port = address_of(config.web)
    site = Site(home=home, kind="store", net=config.net, tokens=Tokens.of(home.web_tokens))
    ended = asyncio.Event()
    async with serving(site, host, port) as served:
        _open(served.link("read"), no_browser=no_browser, as_json=as_json)
        click.echo("no node runs here: this serves what is in its store; Ctrl-C ends it", err=True)
        await until_interrupted(_until(ended), first=ended.set)


async def _until(ended: asyncio.Event) -> None:
    await ended.wait()
