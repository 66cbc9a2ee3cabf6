"""`arnode start` in a terminal of its own: what Ctrl-C asks, and what a smaller window leaves."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.integration.nodes import COMMAND, PATIENCE_S, environment
from tests.tasks.sums import write_sums

CTRL_C, ENTER = b"\x03", b"\r"
KEPT = "patch(es)? on top, not verified yet"
ASKED = r"verify \d patch(es)? before stopping \((about )?[^)]*\)\? \[Y/n\]"


class Terminal:
    """A window of 100 columns in which a command runs, in front; `shown` is all that it printed."""

    def __init__(self, home: Path, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(30, 100)
        env = environment(home, {"TERM": "xterm-256color"})
        for name in ("COLUMNS", "LINES"):  # they would say how large the window is, for good
            env.pop(name, None)
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *COMMAND, *words],
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.shown = b""
        self._changed, self._has_ended = threading.Condition(), False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(self._ours, 65_536):
                with self._changed:
                    self.shown += more
                    self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def wait_for(self, pattern: str, *, after: int = 0) -> None:
        def is_there() -> bool:
            return re.search(pattern, self.text[after:]) is not None

        with self._changed:
            self._changed.wait_for(lambda: is_there() or self._has_ended, PATIENCE_S)
        assert is_there(), f"no {pattern} in\n{self.text[after:]}"
        assert self._process.poll() is None, self.text

    @property
    def text(self) -> str:
        return self.shown.decode(errors="replace")

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and all that it printed."""
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code, self.text

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._ours)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "node")


@pytest.fixture
def terminal(home: Home, tmp_path: Path) -> Iterator[Terminal]:
    write_sums(tmp_path / "task")
    # A trial is due once all of these were made.
    words = ("start", "--task", str(tmp_path / "task"), "--max-experiments", "300")
    started = Terminal(home.root, *words)
    yield started
    started.close()


def confirmed(home: Home) -> list[str]:
    with Store.open_read_only(home) as store:
        return [one.decision for one in store.experiments.listed() if one.stage == "confirm"]


@pytest.mark.parametrize(("answer", "trials"), [(ENTER, ["adopted"]), (b"n", [])])
def test_ctrl_c_asks_whether_what_was_kept_is_to_be_verified(
    home: Home, terminal: Terminal, answer: bytes, trials: list[str]
) -> None:
    terminal.wait_for(KEPT)
    assert terminal.echoes
    terminal.press(CTRL_C)
    terminal.wait_for(ASKED)
    terminal.press(b"x")  # answers nothing
    terminal.press(answer)
    code, _ = terminal.end()
    assert code == 0
    assert terminal.echoes
    assert confirmed(home) == trials


def test_a_second_ctrl_c_ends_it_at_once(home: Home, terminal: Terminal) -> None:
    terminal.wait_for(KEPT)
    terminal.press(CTRL_C)
    terminal.wait_for(ASKED)
    terminal.press(CTRL_C)
    code, shown = terminal.end()
    assert code == 130
    assert "Traceback" not in shown
    assert terminal.echoes
    assert confirmed(home) == []


def test_nothing_of_a_wider_window_stays(terminal: Terminal) -> None:
    terminal.wait_for("baseline")
    before = len(terminal.text)
    terminal.resize(30, 60)
    terminal.wait_for(re.escape("\x1b[2J\x1b[H"), after=before)
