"""What must be refused, tried by ourselves: `arnode doctor` runs this inside the walls.

Prints `contained`, or what got through.
"""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Try, and say how it went."""
    attempts: dict[str, Callable[[], object]] = {
        "reading /etc/passwd": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
        "listing /": lambda: list(Path("/").iterdir()),
        "listing the home": lambda: list(Path(sys.argv[1]).iterdir()),
        "writing to /var/tmp": lambda: os.close(
            os.open(f"/var/tmp/arnode-{os.getpid()}", os.O_CREAT | os.O_WRONLY)  # noqa: S108
        ),
        "a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "a new process": os.fork,
        "a signal to the parent": lambda: os.kill(os.getppid(), 0),
    }
    done = [name for name, attempt in attempts.items() if _succeeds(attempt)]
    print("contained" if not done else f"not contained: {', '.join(done)}")


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
