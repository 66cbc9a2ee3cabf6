"""Your other machines: Ray's head and workers, and the lane that a node starts over ssh."""

import sys

import click

from protocol.errors import UsageError

_LANES = click.option(
    "--lanes", type=click.IntRange(1), metavar="N", help="How many lanes it has [its cores]."
)


@click.group()
def ray() -> None:
    """Make machines of yours one Ray cluster, for `arnode start --ray`.

    Needs Ray: pip install 'arnode[ray]'. Whoever has the token runs code on all of them, so each
    listens on a private network or a VPN only, and a firewall belongs around that.
    """


@ray.command()
@click.option("--host", default="127.0.0.1", metavar="IP", help="Where it is reached [127.0.0.1].")
@click.option("--port", type=click.IntRange(1, 65535), help="At which port [6379].")
@_LANES
def head(host: str, port: int | None, lanes: int | None) -> None:
    """Run the cluster's head on this machine until it is stopped.

    Makes the token that lets machines in, a file in this home: copy it to the home of each machine
    that joins, readable by you alone.
    """
    from node.home.home import Home
    from node.remote.ray_setup import head_command, make_token
    from node.settings.own_address import RAY_PORT, own_host
    from protocol.errors import Rejected

    place = own_host(host)
    if isinstance(place, Rejected):
        raise UsageError(place.reason, "give this machine's address there, like 10.0.0.1")
    home = Home.here()
    make_token(home)
    port = port or RAY_PORT
    click.echo(f"token: {home.ray_token}", err=True)
    click.echo(f"join a machine: arnode ray worker {place}:{port}", err=True)
    click.echo(f"then, anywhere: arnode start --ray {place}:{port}", err=True)
    _become(head_command(place, port=port, lanes=lanes))


@ray.command()
@click.argument("address")
@_LANES
def worker(address: str, lanes: int | None) -> None:
    """Join this machine to the cluster at ADDRESS until it is stopped."""
    from node.remote.ray_setup import worker_command
    from node.settings.own_address import AUTO, LOCAL, RAY_PORT, ray_cluster
    from protocol.errors import Rejected

    place = ray_cluster(address)
    if isinstance(place, Rejected) or place in (AUTO, LOCAL):
        why = place.reason if isinstance(place, Rejected) else f"{place} is no other machine's"
        raise UsageError(why, f"the head's address, like 10.0.0.1:{RAY_PORT}")
    _become(worker_command(place, lanes=lanes))


def _become(command: list[str]) -> None:
    """Let Ray take this process's place."""
    import os

    from node.home.home import Home
    from node.remote.ray_setup import checked_token, environment, require_ray

    require_ray()
    os.environ.update(environment(checked_token(Home.here().ray_token)))
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606


@click.command()
@click.option("--gpus", metavar="LIST", help="The NVIDIA cards to choose from, as for `start`.")
def lane(gpus: str | None) -> None:
    """Be a lane of a node elsewhere: what `arnode start --lane HOST` starts over ssh.

    It speaks with that node over standard input and output, and ends with it.
    """
    if sys.stdin.isatty():
        raise UsageError(
            "a lane is started by a node, which is not at a terminal",
            "on the node's machine: arnode start --lane THIS_MACHINE",
        )
    from node.remote.lane import serve_standard

    serve_standard(gpus=tuple(gpus.split(",")) if gpus else ())
