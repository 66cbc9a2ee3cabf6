"""`stop` waits until the node has ended, and says so."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from node.commands import node_control
from node.commands.cli import main
from node.home.home import Home


class Clock:
    """A clock that `sleep` moves on, and what happens at a time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.at_s = 0.0
        self.then: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.at_s:
            self.then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(node_control, "time", clock)
    return clock


@pytest.fixture
def node(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """A node that holds the home's lock until it is closed; it answers each command."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    monkeypatch.setattr("node.home.control_socket.is_running", lambda _: True)
    monkeypatch.setattr("node.home.control_socket.call", lambda *_: {})
    with ExitStack() as stack:
        stack.enter_context(home.lock())
        yield stack


def stop(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["stop", *words])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_stop_returns_once_the_node_has_released_its_home(
    home: Home, node: ExitStack, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.at_s, clock.then = 1.0, node.close
    assert stop() == 0
    assert not home.is_locked()
    assert capsys.readouterr().err == "stopped\n"


def test_a_long_wait_is_explained_and_ends_in_one_document(
    node: ExitStack, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.at_s, clock.then = 40.0, node.close
    assert stop("--json", "--after-promotion-trial") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"v": 1, "stopped": True, "seconds": 40.0}
    assert err.splitlines() == [
        "waiting for the promotion trial to end; Ctrl-C ends only this wait …",
        "waiting for the promotion trial to end, 32 s so far …",
    ]


def test_an_interrupted_wait_leaves_the_node_stopping(
    home: Home, node: ExitStack, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    clock.at_s, clock.then = 1.0, interrupt
    assert stop() == 130
    assert home.is_locked()
    assert "the node is still stopping" in capsys.readouterr().err


def test_a_node_started_meanwhile_is_not_waited_for(
    home: Home, node: ExitStack, clock: Clock
) -> None:
    def start_another() -> None:
        home.lock_file.write_text("1\n")

    clock.then = start_another
    assert stop() == 0
    assert home.is_locked()
