"""The sandbox self-test: tries attacks that the sandbox must refuse.

It is run as `selftest.py HOME`, or as `selftest.py DESCRIPTOR forks HOME` for a forked sandbox. It
prints `contained`, or the attacks that succeeded.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

_USER_NAMESPACE = 0x10000000  # CLONE_NEWUSER


def main() -> None:
    """Try every attack and print the result."""
    home, *forked = reversed(sys.argv[1:])
    if forked:
        sys.path.insert(0, str(Path(__file__).parents[3]))
        from trainer.sandbox.inside.zygote import serve

        serve(int(forked[-1]))
    has_namespaces = os.getpid() == 1
    attempts: dict[str, Callable[[], object]] = {
        "reading /etc/passwd": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
        "listing the home directory": lambda: list(Path(home).iterdir()),
        "writing to /var/tmp": lambda: os.close(
            os.open(f"/var/tmp/arnode-{os.getpid()}", os.O_CREAT | os.O_WRONLY)  # noqa: S108
        ),
        "a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "a new process": os.fork,
        "a namespace": _make_namespace,
    }
    if has_namespaces:
        attempts["writing to /"] = lambda: os.close(os.open("/own", os.O_CREAT | os.O_WRONLY))
        attempts["seeing processes"] = lambda: list(Path("/proc/self").iterdir())
    else:
        attempts["listing /"] = lambda: list(Path("/").iterdir())
        attempts["a signal to the parent"] = lambda: os.kill(os.getppid(), 0)
    done = [name for name, attempt in attempts.items() if _succeeds(attempt)]
    print("contained" if not done else f"not contained: {', '.join(done)}", flush=True)
    if forked:
        os._exit(0)


def _make_namespace() -> None:
    if ctypes.CDLL(None).unshare(_USER_NAMESPACE):
        raise OSError


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
