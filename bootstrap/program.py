"""A bootstrap node as a program: the network's part of a node, all topics, and a page to read.

It has an author key like every node, signs nothing but its profile, and runs nobody's code.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Final

from bootstrap.answers import answers_of, refuse
from bootstrap.page import public_site
from node.home.clock import clock_ms
from node.home.control import ControlServer
from node.home.home import Home
from node.home.keyfile import load_keys
from node.line.identity import announce_profile, identity_of
from node.networks.consent import with_settings
from node.networks.known import find_network
from node.peering.membership import taking_part
from node.settings.config import Config
from node.settings.network_definition import TASK_BYTES, Network, key_of
from node.store.intake import Quotas
from node.store.store import Store
from node.terminal.interrupts import until_interrupted
from node.web.listening import listening
from node.web.serving import serving
from node.web.steering import on_socket
from protocol.errors import ConfigurationError
from protocol.topics import all_subscriptions
from trainer.task_kinds import builtin_ids

_ALTERNATIVE: Final = "give `--http` another address of this machine, or none"
_log = logging.getLogger("node")


def run_bootstrap(
    home: Home, config: Config, *, http: tuple[str, int] | None, relays: bool
) -> None:
    """Serve a network in this process until it is stopped; `relays`: as a relay too.

    Raises:
        ArnodeError: the network is not defined here, its definition or the home has a fault, or
            another node works in this home.
    """
    network = with_settings(find_network(home, config.net).network, config)
    keys = load_keys(home)

    stopped = asyncio.Event()

    async def serve(store: Store) -> None:
        async with contextlib.AsyncExitStack() as stack:
            membership = await stack.enter_async_context(
                taking_part(
                    network,
                    home=home,
                    keys=keys,
                    store=store,
                    topics=all_subscriptions(network.name, task_ids(home, network)),
                    listen=config.listen,
                    relays=relays,
                    mdns=config.mdns,
                )
            )
            author = keys.author.public
            answers = answers_of(home, store, membership, author=author, stop=stopped.set)
            control = ControlServer(home.socket, on_socket(answers), otherwise=refuse)
            await stack.enter_async_context(control)
            if http is not None:
                site = public_site(home, membership, answers)
                listener = stack.enter_context(listening(*http, alternative=_ALTERNATIVE))
                await stack.enter_async_context(serving(site, listener))
            await membership.process.wait_up()
            for address in membership.addresses:
                _log.info("listening at %s", address)
            await stopped.wait()

    with (
        home.lock(),
        _logging(),
        Store.open(home, quotas=Quotas(total=config.max_records)) as store,
    ):
        with store.transaction():
            identity = identity_of(keys, config, role="bootstrap")
            announce_profile(store, identity, classes=(), now_ms=clock_ms())
        asyncio.run(until_interrupted(serve(store), first=stopped.set))
        _log.info("stopped")


def task_ids(home: Home, network: Network) -> list[bytes]:
    """Return the tasks of a network: those that it names, else those that come with arnode.

    Raises:
        ConfigurationError: it names a task that is unknown here.
    """
    known = builtin_ids(home.data)
    ids: list[bytes] = []
    for named in network.tasks or known:
        if named in known:
            ids.append(known[named])
        elif (task := key_of(named, TASK_BYTES)) is not None:
            ids.append(task)
        else:
            raise ConfigurationError(
                f"the network {network.name!r} names the task {named!r}, which is unknown here",
                "name it by its id: 64 hex digits, from `arnode task show`",
            )
    return ids


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.removeHandler(handler)
