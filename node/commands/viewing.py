"""`view`: open the page in a browser, from the running node or served from the store."""

import asyncio
import sys
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from node.commands.basics import (
    json_option,
    print_result,
    refuse_other_options,
    setting_option,
)
from node.home.config import Config
from node.home.control_socket import call, is_running, nonsense
from node.home.home import Home
from node.home.next_start import next_start
from node.home.settings_in_force import config_of
from protocol.errors import UsageError

if TYPE_CHECKING:
    from node.web.tokens import Right

_RIGHTS: Final = ("read", "steer")
_STORED: Final = "no node is running: this command serves its store read-only; Ctrl-C ends it"
_RECORDED: Final = "this is a recorded night, not yours; Ctrl-C ends it"
_OPENED: Final = "the link works once, within an hour"
_NEXT: Final = "; `arnode view` prints another"


@click.command()
@setting_option("web")
@click.option("--no-browser", is_flag=True, help="Print the link instead of opening it.")
@click.option("--read-only", is_flag=True, help="Open the page without the right to send commands.")
@click.option(
    "--token",
    type=click.Choice(_RIGHTS),
    help="Print a token with which a program may read, or also send commands (steer).",
)
@click.option(
    "--node",
    "added",
    multiple=True,
    metavar="URL",
    help="Add another node of yours to this page; asks for its fleet key.",
)
@click.option(
    "--forget",
    "dropped",
    multiple=True,
    metavar="URL",
    help="Remove the node at this address from the page.",
)
@click.option(
    "--fleet-key",
    is_flag=True,
    help="Print this node's fleet key, which `--node` on your other machines asks for.",
)
@click.option(
    "--new-fleet-key", is_flag=True, help="Replace the fleet key; the old one stops working."
)
@click.option(
    "--demo",
    "is_demo",
    is_flag=True,
    help="Show a recorded night instead of this home, which need not exist.",
)
@json_option()
def view(
    web: str | None,
    no_browser: bool,
    read_only: bool,
    token: "Right | None",
    added: tuple[str, ...],
    dropped: tuple[str, ...],
    fleet_key: bool,
    new_fleet_key: bool,
    is_demo: bool,
    as_json: bool,
) -> None:
    """Open the page of this home in a browser.

    The running node serves the page. If no node runs, this command serves it read-only until
    Ctrl-C. Tokens and links are valid until the node or this command stops.
    """
    home = Home.here()
    config = config_of(home, {"web": web})
    if is_demo:
        refuse_other_options("--demo", "is_demo", "web", "no_browser", "read_only", "as_json")
        _show_demo(config, no_browser=no_browser, as_json=as_json)
        return
    is_there = is_running(home.socket)
    if is_there and web is not None:
        raise UsageError(
            "--web has no effect: the running node serves the page at its own address",
            f"plain `arnode view` opens that; for another: {next_start('--web', web)}",
        )
    home.prepare()
    if added or dropped:
        _change_fleet(home, added, dropped)
    if fleet_key or new_fleet_key:
        _print_fleet_key(home, is_new=new_fleet_key, as_json=as_json)
        return
    if token is not None:
        from node.web.tokens import Tokens

        text = Tokens.current(home.web_tokens).of_right(token)
        print_result({"token": text, "right": token}, text, as_json=as_json)
        return
    if is_there:
        match call(home.socket, "page", {"steer": not read_only}):
            case {"link": str() as link, "address": str() as address}:
                _open(link, address, no_browser=no_browser, as_json=as_json, hint=_OPENED + _NEXT)
            case _:
                raise nonsense()
        return
    asyncio.run(_serve(home, config, no_browser=no_browser, as_json=as_json))


def _show_demo(config: Config, *, no_browser: bool, as_json: bool) -> None:
    from node.demo.cast import NETWORK
    from node.demo.recording import recorded_home
    from node.store.store import Store

    config = replace(config, net=NETWORK)
    with recorded_home() as home:
        with Store.open_read_only(home) as store:
            recorded_ms = store.records.latest_own_ms()
        served = _serve(
            home, config, no_browser=no_browser, as_json=as_json, recorded_ms=recorded_ms
        )
        asyncio.run(served)


def _print_fleet_key(home: Home, *, is_new: bool, as_json: bool) -> None:
    from node.web import tokens

    if is_new and is_running(home.socket):
        raise UsageError("the running node uses the old fleet key", "stop it first: `arnode stop`")
    key = (tokens.new_fleet_key if is_new else tokens.fleet_key)(home.fleet_key)
    print_result({"fleet_key": key}, key, as_json=as_json)


def _change_fleet(home: Home, added: tuple[str, ...], dropped: tuple[str, ...]) -> None:
    from node.web.fleet import Fleet, address_of

    fleet = Fleet.of(home.fleet)
    for url in dropped:
        fleet = fleet.without(url)
    for url in added:
        asked = f"fleet key of {address_of(url)} (`arnode view --fleet-key` prints it there)"
        fleet = fleet.with_node(url, click.prompt(asked, hide_input=True, err=True).strip())
    fleet.keep(home.fleet)


def _open(link: str, address: str, *, no_browser: bool, as_json: bool, hint: str) -> None:
    print_result({"link": link, "address": address}, link, as_json=as_json)
    sys.stdout.flush()  # else a program that reads the link waits until the server ends
    if not no_browser and not webbrowser.open(link):
        no_browser = True
    if no_browser and not as_json:
        click.echo(hint, err=True)


async def _serve(
    home: Home,
    config: Config,
    *,
    no_browser: bool,
    as_json: bool,
    recorded_ms: int | None = None,
) -> None:
    from node.running.page import page_place
    from node.terminal.interrupts import until_interrupted
    from node.web.serving import serving
    from node.web.site import Site

    ended = asyncio.Event()
    with page_place(home, config) as place:
        if place is None:
            raise UsageError("`web` is none: no page is served", "give an address: `--web auto`")
        site = Site(
            home=home,
            kind="store",
            net=config.net,
            credentials=place.credentials,
            recorded_ms=recorded_ms,
        )
        async with serving(site, place.listener) as served:
            link = served.link("read")
            hint = _OPENED if recorded_ms is not None else _OPENED + _NEXT
            _open(link, served.url, no_browser=no_browser, as_json=as_json, hint=hint)
            click.echo(_STORED if recorded_ms is None else _RECORDED, err=True)
            await until_interrupted(_until(ended), first=ended.set)


async def _until(ended: asyncio.Event) -> None:
    await ended.wait()
