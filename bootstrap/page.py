"""What a bootstrap node shows over HTTP, to read only: the page of its home, for everybody."""

from collections.abc import Iterator, Mapping

from node.home.home import Home
from node.peering.membership import Membership
from node.web.site import Site
from node.web.steering import Answer


def public_site(home: Home, membership: Membership, answers: Mapping[str, Answer]) -> Site:
    """Return what is served: to everybody, to be read only, and without who is connected."""
    return Site(
        home=home,
        kind="bootstrap",
        net=membership.network.name,
        credentials=None,
        answers={"status": answers["status"]},
        more_figures=lambda: figures(membership),
    )


def figures(membership: Membership) -> Iterator[str]:
    """Yield Prometheus' lines about the network (text format 0.0.4)."""
    process = membership.process
    values = {
        "peers": ("Peers that said hello.", len(membership.peers)),
        "up": ("Whether the network process runs.", int(process.peer_id is not None)),
        "streams": ("Streams open at the last look.", process.open_streams),
        "lost_messages": ("Gossip not taken in time.", process.lost_messages),
    }
    for name, (what, value) in values.items():
        yield f"# HELP arnode_{name} {what}\n# TYPE arnode_{name} gauge\narnode_{name} {value}\n"
    yield "# HELP arnode_ignored_messages Gossip not passed on.\n"
    yield "# TYPE arnode_ignored_messages gauge\n"
    for why, number in sorted(process.ignored_messages.items()):
        yield f'arnode_ignored_messages{{why="{why}"}} {number}\n'
