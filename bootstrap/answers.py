"""What a running bootstrap node answers to commands."""

from collections.abc import Callable, Mapping

from node.home.control import Message
from node.home.home import Home
from node.home.people import read_people
from node.peering.membership import Membership
from node.reporting.peers import peers_document, trust_in
from node.reporting.queries import Nothing
from node.reporting.status import status_document
from node.store.store import Store
from node.web.steering import DONE, Answer, Done, Stop
from protocol.errors import UsageError
from trainer.sandbox.tier import probe_tier


def answers_of(
    home: Home,
    store: Store,
    membership: Membership,
    *,
    author: bytes,
    stop: Callable[[], None],
) -> Mapping[str, Answer]:
    """Return what answers each command; `author` is this node's key, `stop` ends it."""

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
    """Answer every other command: it is about research.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        "a bootstrap node runs on this home, which does no research",
        "set ARNODE_HOME to the home of a node that does",
    )
