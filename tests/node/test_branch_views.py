"""Views of a branch: where the line continues, shown as no experiment."""

import json
from typing import cast

import pytest

from node.home.home import Home
from node.line.branch import older_root
from node.line.line_writer import LineWriter
from node.loop.insights import publish_insight
from node.reporting.blocks import quoted
from node.reporting.concluded import TimeSpan
from node.reporting.night import as_markdown
from node.reporting.pull_request import kept_parts
from node.reporting.report import LineReport, report_of
from node.reporting.status import status_document
from node.reporting.status_text import print_status
from node.store.journal import Journal
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.remarks import InsightBody
from tests.node.examples import KEY, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    go_back,
    go_on,
    keep,
    promotion_trial,
    with_baseline,
)
from tests.node.test_commands import arnode
from tests.node.test_live import drawn, node_of

EVER = TimeSpan(since_ms=0, until_ms=4_000_000_000_000)


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    """A line that went on from the baseline and kept one patch there."""
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    root = older_root(line_writer, reach_sd=100.0, noise_sd=0.001)
    assert root is not None
    go_on(line_writer, root, BASE_NANO + 5, BASE_NANO + 7)
    keep(line_writer, "0.3")
    return line_writer


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


def report(line_writer: LineWriter) -> LineReport:
    (line,) = report_of(line_writer.store, EVER, net="main").lines
    return line


def test_status_reports_from_which_tree_the_line_goes_on(
    line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    document = status_document(line_writer.store, author=KEY.public, net="main", sandbox="full")
    (line,) = document["lines"]  # type: ignore[misc, union-attr]
    working = cast("dict[str, object]", line["working"])  # type: ignore[index, call-overload]
    assert (working["keeps"], working["branch"]) == (1, "on from the task's baseline")
    assert working["tree"] == line_writer.known_line.working.hex()
    assert line["experiments"]["total"] == 2  # type: ignore[index, call-overload]
    print_status(document)
    assert "1 patch on from the task's baseline, not verified yet" in capsys.readouterr().out


def test_the_live_view_reports_so_too(line_writer: LineWriter, home: Home, store: Store) -> None:
    picture = drawn(node_of(home, store))
    assert "1 patch on from the task's baseline, not verified yet" in picture
    assert "branch" in picture


def test_the_log_lists_it_as_what_it_is(
    line_writer: LineWriter, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "branched" in arnode(capsys, "log")
    document = json.loads(arnode(capsys, "log", "--json"))
    decisions = [one["decision"] for one in document["experiments"]]
    assert decisions == ["kept", "branched", "adopted", "kept", "baseline"]


def test_the_journal_and_its_table_follow(line_writer: LineWriter, home: Home) -> None:
    go_back(line_writer)
    journal = Journal(home, line_writer.store, line_writer.blobs, LINE)
    journal.catch_up()
    rows = [row.split("\t") for row in (journal.path / "results.tsv").read_text().splitlines()]
    assert [(row[3], row[4]) for row in rows[-3:]] == [
        ("discard", "on from the task's baseline"),
        ("keep", "LEARNING_RATE → 0.3"),
        ("discard", "back to the head"),
    ]
    assert journal.check() == []


def test_the_report_counts_it_among_no_ideas(line_writer: LineWriter) -> None:
    line = report(line_writer)
    assert [idea.entry.title for idea in line.ideas] == [
        "LEARNING_RATE → 0.2",
        "LEARNING_RATE → 0.3",
    ]
    assert line.open_keeps == 1
    assert dict(line.device_ms)["other trees to continue from"] > 0
    assert [point.entry.decision for point in line.points][-2:] == ["branched", "kept"]
    text = as_markdown(report_of(line_writer.store, EVER, net="main"), None)
    assert "2 experiments: 2 kept" in text


def test_the_gain_of_a_branch_is_that_of_its_ideas(line_writer: LineWriter) -> None:
    promotion_trial(line_writer, gain_nano=2 * GAIN_NANO)
    line = report(line_writer)
    assert {row.origin.proposer for row in line.origins} == {"search"}
    assert sum(row.alone_nano for row in line.origins) == line.gain_nano


def test_a_promotion_trial_of_a_branch_teaches_what_it_was_made_of(line_writer: LineWriter) -> None:
    promotion_trial(line_writer, gain_nano=2 * GAIN_NANO)
    publish_insight(line_writer)
    (reported,) = (record.body for record in line_writer.store.records.listed("insight"))
    assert isinstance(reported, InsightBody)
    assert "another tree than the head" in reported.message


def test_a_pull_request_lists_what_the_branch_is_made_of_and_nothing_below(
    line_writer: LineWriter,
) -> None:
    first = next(
        one for one in line_writer.store.experiments.listed(LINE) if one.decision == "adopted"
    )
    branch = promotion_trial(line_writer, gain_nano=2 * GAIN_NANO)
    assert isinstance(branch.body, ResultBody)
    assert kept_parts(line_writer.store, branch.body)[:2] == [
        quoted("on from the task's baseline"),
        quoted("LEARNING_RATE → 0.3"),
    ]
    before = line_writer.store.records.get(first.id).body
    assert isinstance(before, ResultBody)
    assert kept_parts(line_writer.store, before)[:1] == [quoted("LEARNING_RATE → 0.2")]
