"""The program of a bootstrap node: networking, a subscription to every topic, and a public page.

Commands reach it over the socket in its home. Anyone may read its page. Like every node it has an
author key, but it signs only its profile. It runs no code from anyone.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from node.home.clock import clock_ms
from node.home.config import Config
from node.home.consent import require_library, with_settings
from node.home.control_socket import ControlServer, Message
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys
from node.home.network_definition import TASK_BYTES, Network, key_of
from node.home.networks import find_network
from node.home.people import read_people
from node.line.record_writer import announce_profile
from node.peering.membership import Membership, taking_part
from node.reporting.peers import peers_document, trust_in
from node.reporting.queries import Nothing
from node.reporting.status import status_document
from node.store.intake import Quotas
from node.store.store import Store
from node.terminal.interrupts import until_interrupted
from node.web.commands import DONE, Answer, Done, Stop, on_socket
from node.web.listening import listening
from node.web.serving import serving
from node.web.site import Site
from protocol.errors import ConfigurationError, UsageError
from protocol.topics import all_subscriptions
from trainer.sandbox.tier import probe_tier
from trainer.task_kinds import builtin_ids

_ALTERNATIVE: Final = "give `--http` another port or another address of this machine, or `none`"
_log = logging.getLogger("node")


def run_bootstrap(
    home: Home, config: Config, *, http: tuple[str, int] | None, relays: bool
) -> None:
    """Serve a network in this process until stopped. With `relays`, also act as a relay.

    Raises:
        ArnodeError: libp2p is not installed, the network is not defined here, its definition or the
            home is faulty, or another node already runs in this home.
    """
    require_library()
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
    """Return the ids of the tasks that a network names, or of the built-in tasks if it names none.

    Raises:
        ConfigurationError: the network names a task that is unknown here.
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


def answers_of(
    home: Home,
    store: Store,
    membership: Membership,
    *,
    author: bytes,
    stop: Callable[[], None],
) -> Mapping[str, Answer]:
    """Return a handler for each command. `author`: this node's key; `stop`: shuts the node down."""

    async def status(_: Nothing) -> dict[str, Message]:
        return status_document(
            store,
            author=author,
            net=membership.network.name,
            sandbox=probe_tier().name,
            membership=membership,
        )

    async def peers(_: Nothing) -> dict[str, Message]:
        return peers_document(store, membership, trust_in(read_people(home.people), {}))

    async def end(_: Stop) -> Done:
        stop()
        return DONE

    return {"status": status, "peers": peers, "stop": end}


async def refuse(_: Mapping[str, Message]) -> Message:
    """Reject a command that has no handler here, because it is about research.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        "the node in this home is a bootstrap node, which does no research",
        "set ARNODE_HOME to the home of a research node",
    )


def public_site(home: Home, membership: Membership, answers: Mapping[str, Answer]) -> Site:
    """Return the public, read-only site; it does not show which peers are connected."""
    return Site(
        home=home,
        kind="bootstrap",
        net=membership.network.name,
        credentials=None,
        answers={"status": answers["status"]},
        more_figures=lambda: figures(membership),
    )


def figures(membership: Membership) -> Iterator[str]:
    """Yield metrics of the network as Prometheus text (format 0.0.4)."""
    process = membership.process
    values = {
        "peers": ("Connected peers.", len(membership.peers)),
        "up": ("1 if the network process runs, else 0.", int(process.peer_id is not None)),
        "streams": ("Open streams.", process.open_streams),
        "lost_messages": (
            "Gossip messages dropped because a queue was full.",
            process.lost_messages,
        ),
    }
    for name, (what, value) in values.items():
        yield f"# HELP arnode_{name} {what}\n# TYPE arnode_{name} gauge\narnode_{name} {value}\n"
    yield "# HELP arnode_ignored_messages Gossip not passed on.\n"
    yield "# TYPE arnode_ignored_messages gauge\n"
    for why, number in sorted(process.ignored_messages.items()):
        yield f'arnode_ignored_messages{{why="{why}"}} {number}\n'
