"""`worker`: the user's other machines, as a Ray cluster or as lanes over ssh."""

import os
import stat
import sys
from typing import TYPE_CHECKING

import click

from node.commands.basics import Count
from node.home.home import Home
from protocol.errors import Rejected, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_LANES = click.option(
    "--lanes", type=Count(1), metavar="N", help="The number of lanes [one per core]."
)


@click.command("ray-head")
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="IP",
    help="This machine's address for the others [127.0.0.1].",
)
@click.option("--port", type=Count(1, 65535), help="The port of Ray's head node [6379].")
@_LANES
def ray_head(host: str, port: int | None, lanes: int | None) -> None:
    """Run the head of a Ray cluster of your machines until it is stopped.

    Needs Ray: pip install 'arnode[ray]'. Anyone with the token can run code on all machines of the
    cluster. Use a private network or a VPN only, behind a firewall.

    The command creates a token file in this home. Copy that file to the home of each machine that
    joins, and make it readable by you alone.
    """
    from node.home.fleet import RAY_PORT, own_host
    from node.remote.ray_setup import head_command

    place = own_host(host)
    if isinstance(place, Rejected):
        raise UsageError(place.reason, "give this machine's address, like 10.0.0.1")
    port = port or RAY_PORT
    token = _token(is_made=True)
    click.echo(f"token: {token}", err=True)
    click.echo(f"join a machine: arnode worker ray-join {place}:{port}", err=True)
    click.echo(f"then, on any of them: arnode start --ray {place}:{port}", err=True)
    _become(head_command(place, port=port, lanes=lanes), token)


@click.command("ray-join")
@click.argument("address")
@_LANES
def ray_join(address: str, lanes: int | None) -> None:
    """Join this machine to the Ray cluster at ADDRESS until it is stopped."""
    from node.home.fleet import AUTO, LOCAL, RAY_PORT, ray_cluster
    from node.remote.ray_setup import worker_command

    place = ray_cluster(address)
    if isinstance(place, Rejected) or place in (AUTO, LOCAL):
        why = (
            place.reason
            if isinstance(place, Rejected)
            else f"{place} is not another machine's address"
        )
        raise UsageError(why, f"give the address of Ray's head node, like 10.0.0.1:{RAY_PORT}")
    _become(worker_command(place, lanes=lanes), _token())


def _token(*, is_made: bool = False) -> "Path":
    """Return the path of the cluster's token. With `is_made` create the token if missing."""
    from node.home.settings_in_force import config_of
    from node.remote.ray_setup import checked_token, make_token, require_ray, token_of

    require_ray()
    home = Home.here()
    token = token_of(home, config_of(home))
    if is_made:
        make_token(home, token)
    return checked_token(token)


def _become(command: list[str], token: "Path") -> None:
    """Replace this process with Ray. Its lanes on this machine store their data in this home."""
    from node.remote.ray_setup import environment

    home = Home.here()
    home.prepare()
    os.environ.update({**environment(token), "ARNODE_HOME": str(home.root)})
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606


@click.command()
@click.option("--gpus", metavar="LIST", help="The NVIDIA cards to choose from, as for `start`.")
def lane(gpus: str | None) -> None:
    """Serve as a lane of a node on another machine; `arnode start --lane HOST` runs this by ssh.

    The lane and the node exchange messages over standard input and output. The lane ends with the
    node.
    """
    modes = [os.fstat(end).st_mode for end in (0, 1)]
    if not all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes):
        raise UsageError(
            "a lane must be started by a node",
            "on the node's machine: arnode start --lane THIS_MACHINE",
        )
    from node.remote.lane import serve_standard

    serve_standard(gpus=tuple(gpus.split(",")) if gpus else ())
