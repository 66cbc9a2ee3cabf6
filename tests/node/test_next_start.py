"""No message suggests `arnode start` alone while a node runs, since it would fail."""

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.line.line_writer import LineWriter
from tests.node.answering import running
from tests.node.line_writers import keep


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    return home


def printed(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Run a command line in this process and return all that it prints."""
    with pytest.raises(SystemExit):
        main(line.split())
    return "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "line",
    ["head", "head --provenance", "show 1", "log", "leaderboard", "log --task tiny"],
)
def test_an_empty_home_of_a_running_node_is_not_started_again(
    at_home: Home, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    said = printed(capsys, line)
    with running(at_home, {"name": "main", "addresses": []}):
        assert "`arnode start" not in printed(capsys, line)
    assert "`arnode start" in said


def test_the_baseline_s_next_step_depends_on_whether_a_node_runs(
    at_home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing was kept yet; `arnode start` continues" in printed(capsys, "head")
    with running(at_home, {"name": "main", "addresses": []}):
        shows = "nothing was kept yet; a node is running: `arnode status` shows what it does"
        assert shows in printed(capsys, "head")
        keep(line_writer, "0.2")
        assert "not verified yet. A running node verifies it by itself" in printed(capsys, "head")
    assert "not verified yet. `arnode start`, then `arnode stop --after" in printed(capsys, "head")


def test_the_next_start_comes_after_a_stop_while_a_node_runs(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "next: `arnode start --network lab --yes`; then" in printed(capsys, "network init lab")
    with running(at_home, {"name": "main", "addresses": []}):
        said = printed(capsys, "network init den")
    assert "next: `arnode stop`, then `arnode start --network den --yes`; then" in said
