"""`arnode view --demo` as a process without a home."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def demo_link(home: Path) -> Iterator[str]:
    """Run the command; yield the link that it prints."""
    env = {**os.environ, "ARNODE_HOME": str(home)}
    command = [sys.executable, "-m", "node", "view", "--demo", "--no-browser"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        try:
            yield shown.stdout.readline().strip()
        finally:
            shown.send_signal(signal.SIGINT)
