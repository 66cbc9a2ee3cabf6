"""`report --card`: a night in one picture, of figures that the report and the board have."""

import struct
import sys
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from node.home.home import Home
from node.reporting.card import NightCard, card_of
from node.reporting.card_picture import SIZE, drawn
from node.reporting.concluded import TimeSpan
from node.reporting.report import LineReport, report_of
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.board_facts import BoardClaim
from protocol.errors import ConfigurationError
from tests.node.examples import HARDWARE_CLASS, TASK
from tests.node.night import EVENING_MS, HOSTILE, Night, evening
from tests.node.test_commands import arnode


def line_of(night: Night, span: TimeSpan | None = None) -> LineReport:
    (line,) = report_of(night.store, span or night.span, net="main").lines
    return line


def card(night: Night, line: LineReport | None = None) -> NightCard:
    found = line or line_of(night)
    return card_of(night.store, found, night.span, net="main", node="attic", zone=UTC)


def test_its_figures_are_those_of_the_report(night: Night) -> None:
    line, reported = line_of(night), card(night)
    assert (reported.node, reported.subject) == ("attic", "tiny on cpu-x86_64")
    assert (reported.head, reported.unit) == ("verified head", "bpb")
    assert reported.first == 1.5
    assert line.after is not None
    assert reported.last == line.after.metric
    assert reported.tried == f"{len(line.ideas)} experiments tried, 4 kept"
    assert reported.trials == "1 of 2 promotion trials passed"
    assert reported.points == line.points
    assert "Measured on" in reported.measured


def test_the_heads_interval_is_that_of_its_pairs_next_to_the_baseline(
    home: Home, store: Store
) -> None:
    night = evening(home, store)
    night.keep(night.idea())
    night.promotion_trial(20_000_000)
    reported = card(night)
    facts = store.boards.own_facts(BoardKey("main", TASK, HARDWARE_CLASS))
    (fact,) = [one.anchor_gain for one in facts if isinstance(one, BoardClaim)]
    assert fact is not None
    assert reported.gain == (
        f"gain {fact.value_nano / 1e9:+.4f}, 95 % interval {fact.lower_nano() / 1e9:+.4f} to"
        f" {fact.upper_nano / 1e9:+.4f} (4 pairs of new runs)"
    )


def test_a_night_without_a_new_head_says_so(home: Home, store: Store) -> None:
    night = evening(home, store)
    reported = card(night)
    assert reported.gain == "still the task's baseline"
    assert reported.trials == "no promotion trial"
    assert reported.first == reported.last == 1.5


def test_a_task_that_scores_itself_has_a_measured_head(night: Night) -> None:
    reported = card(night, replace(line_of(night), scoring="self"))
    assert reported.head == "measured head"
    assert "self-scored" in reported.subject
    assert "nothing is verified" in reported.measured


def test_dates_are_reported_to_the_minute_and_a_day_once(night: Night) -> None:
    short = TimeSpan(since_ms=EVENING_MS, until_ms=EVENING_MS + 7_200_000)
    reported = card_of(night.store, line_of(night), short, net="main", node="", zone=UTC)
    assert reported.dates == "2026-09-21 14:13 to 16:13"
    longer = replace(night.span, until_ms=EVENING_MS + 86_400_000)
    reported = card_of(night.store, line_of(night), longer, net="main", node="", zone=UTC)
    assert reported.dates == "2026-09-21 14:13 to 2026-09-22 14:13"


def test_without_pillow_it_says_how_to_get_it(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigurationError, match="Pillow") as caught:
        drawn(card(night))
    assert "arnode[card]" in caught.value.hint


def size_of(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_it_is_a_picture_of_the_size_that_previews_have(night: Night) -> None:
    pytest.importorskip("PIL")
    first = drawn(card(night))
    assert size_of(first) == SIZE == (1200, 675)
    assert drawn(card(night)) == first
    assert drawn(replace(card(night), tried="9 experiments tried, 9 kept")) != first


def test_whatever_there_is_to_draw_fits(night: Night) -> None:
    pytest.importorskip("PIL")
    reported = card(night)
    for other in (
        replace(reported, node=HOSTILE, subject="x" * 400, gain="y" * 400, unit="z" * 16),
        replace(reported, points=(), first=None, last=None),
        replace(reported, points=reported.points[:1]),
        replace(reported, points=reported.points * 200, first=-1e9, last=1e9),
    ):
        assert size_of(drawn(other)) == SIZE


def test_the_command_writes_it_into_a_file(
    night: Night,
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("PIL")
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    monkeypatch.setenv("ARNODE_NAME", "attic")
    path = tmp_path / "night.png"
    arnode(capsys, "report", "--since", "2026-09-21", "--card", str(path))
    assert size_of(path.read_bytes()) == SIZE
    gone = str(tmp_path / "gone" / "night.png")
    said = arnode(capsys, "report", "--since", "2026-09-21", "--card", gone, code=2)
    assert "cannot write" in said
    both = arnode(capsys, "report", "--card", str(path), "--json", code=2)
    assert "exclude each other" in both


def test_a_home_in_which_nothing_was_measured_has_no_card(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    said = arnode(capsys, "report", "--card", str(tmp_path / "night.png"), code=2)
    assert "nothing has been measured here yet" in said
