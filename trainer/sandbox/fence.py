"""A profile for the node's other parts: everything as it is, but the node's home is not there.

Network, agent worker, inspector and the programs that they start need files, some need a network,
none needs the signing key. In tier full they get namespaces and an empty folder over the home;
without namespaces `python fence.py HIDDEN NETWORK COMMAND…` restricts itself by Landlock first.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def fenced(command: Sequence[str], *, hidden: Sequence[Path], is_networked: bool) -> list[str]:
    """Return the command that runs `command` without sight of the `hidden` folders.

    Raises SafetyError where there is no sandbox.
    """
    from protocol.errors import SafetyError
    from trainer.sandbox.tier import probe_tier

    tier = probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox: {tier.detail}", tier.mend)
    there = [path.resolve() for path in hidden if path.exists()]
    if tier.name == "full":
        return [*_bubblewrap(there, is_networked=is_networked), *command]
    paths = json.dumps([str(path) for path in there])
    network = "network" if is_networked else "none"
    return [sys.executable, "-I", "-S", "-B", __file__, paths, network, *command]


def _bubblewrap(hidden: list[Path], *, is_networked: bool) -> list[str]:
    arguments = ["bwrap", "--unshare-all", *(["--share-net"] if is_networked else [])]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for path in hidden:
        arguments += ["--tmpfs", str(path)]
    return [*arguments, "--"]


def main() -> None:
    """Give up the hidden folders and become the command."""
    from trainer.sandbox.landlock import everything_but, restrict_self

    hidden, network, *command = sys.argv[1:]
    restrict_self(everything_but(map(Path, json.loads(hidden))), is_networked=network == "network")
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
