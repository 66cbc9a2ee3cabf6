"""Ray's settings in arnode: a token, no dashboard, addresses of the user's network.

Source: Ray 2.60, "Ray token authentication" and "Configuring Ray". The settings must be equal on
all machines of a cluster. Ray's processes listen on all interfaces, whatever address they get.
Anyone with the token can run code as the user of these processes. So a cluster needs a firewall or
a VPN.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from node.home.config import Config
from node.home.faults import explaining_faults
from node.home.files import create_file
from node.home.fleet import LOCAL
from node.home.home import Home
from protocol.errors import ConfigurationError
from trainer.host.interpreter import python_command

_NODE_PORTS: Final = ("--node-manager-port", "--object-manager-port", "--runtime-env-agent-port")
_FIRST_NODE_PORT: Final = 6380
_FIRST_WORKER_PORT: Final = 6400
_LAST_WORKER_PORT: Final = 6599
_OBJECT_STORE_BYTES: Final = 80 << 20  # hardly any data passes through it
_TOKEN_BYTES: Final = 32
# A machine that hangs is detected after 16 s instead of 65.
_HEALTH: Final = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Ray cluster: `address` as in `node.home.fleet`; `token`: the file that gives access.

    `home` is the node's home. If the node starts Ray itself, its lanes also use the data there.
    """

    address: str
    token: Path
    home: Path


def cluster_of(home: Home, config: Config, address: str) -> Cluster:
    """Return the cluster at the address in a setting.

    Raises ConfigurationError if Ray is not installed or there is no token.
    """
    require_ray()
    token = token_of(home, config)
    if address == LOCAL:
        make_token(home, token)
    return Cluster(address=address, token=checked_token(token), home=home.root)


def token_of(home: Home, config: Config) -> Path:
    """Return the path of the token of this home's clusters."""
    return Path(config.ray_token).expanduser().absolute() if config.ray_token else home.ray_token


def require_ray() -> None:
    """Raise ConfigurationError unless Ray is installed."""
    if find_spec("ray") is None:
        raise ConfigurationError("Ray is not installed", "pip install 'arnode[ray]'")


def make_token(home: Home, token: Path) -> None:
    """Create the token file if it does not exist."""
    home.prepare()
    with explaining_faults(token):
        if not token.exists():
            create_file(token, secrets.token_hex(_TOKEN_BYTES).encode())


def checked_token(path: Path) -> Path:
    """Return a token's path. Raises ConfigurationError if it is missing or others can read it."""
    with explaining_faults(path):
        if not path.exists():
            raise ConfigurationError(
                f"there is no token for Ray at {path}",
                "copy it from the machine of Ray's head (`arnode worker ray-head` creates it), and "
                "make it readable only by you",
            )
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(f"other users can read the token {path}", f"chmod 600 {path}")
    return path


def environment(token: Path) -> dict[str, str]:
    """Return the environment variables for Ray's processes and for processes that join them."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "PYTHONSAFEPATH": "1",  # import nothing from the folder that Ray was started in
        **_HEALTH,
    }


def head_command(host: str, *, port: int, lanes: int | None) -> list[str]:
    """Return the command that runs Ray's head at an address until it ends."""
    given = ["--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
    return _command(given, lanes)


def worker_command(address: str, *, lanes: int | None) -> list[str]:
    """Return the command that joins this machine to a cluster until it ends."""
    return _command([f"--address={address}"], lanes)


def _command(given: list[str], lanes: int | None) -> list[str]:
    ports = [f"{name}={_FIRST_NODE_PORT + number}" for number, name in enumerate(_NODE_PORTS)]
    ports += [f"--min-worker-port={_FIRST_WORKER_PORT}", f"--max-worker-port={_LAST_WORKER_PORT}"]
    more = ["--disable-usage-stats", f"--object-store-memory={_OBJECT_STORE_BYTES}", "--block"]
    count = [] if lanes is None else [f"--num-cpus={lanes}"]
    return [*python_command("-m", "ray.scripts.scripts"), "start", *given, *ports, *count, *more]


def local_options(lanes: int | None) -> Mapping[str, object]:
    """Return the arguments of `ray.init` for a Ray cluster that the node itself starts."""
    return {
        "address": "local",
        "num_cpus": lanes or os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
    }
