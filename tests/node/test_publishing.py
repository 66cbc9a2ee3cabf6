"""A night's report is published after its user agrees, without private data."""

import asyncio
import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.exchange.importers import read_history
from node.home.config import Config
from node.home.consent import TaskOf
from node.home.control_socket import Message
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys
from node.home.network_definition import Network
from node.reporting import publishing
from node.reporting.publishing import (
    MOST_TEXT_BYTES,
    ReportDraft,
    draft_message,
    draft_of,
    read_draft,
    refusal,
    sign_report,
    whose_task,
)
from node.reporting.report import Report, report_of
from node.running.answers import answers_of
from node.store.blobs import Blobs
from node.store.store import Store
from node.web.commands import COMMANDS, SignReport, on_socket
from protocol.errors import ArnodeError, UsageError
from protocol.evidence import GAINS
from protocol.record_kinds import TaskBody
from protocol.remarks import MAX_EVIDENCE, MAX_TITLE, ReportBody, RetractBody
from tests.node.examples import LINE, MANIFEST, TASK
from tests.node.line_writers import IDENTITY
from tests.node.night import HOSTILE, Night, evening
from tests.node.peer_authors import PeerAuthor
from tests.node.test_commands import arnode
from tests.node.test_live import node_of

NIGHT = ("--since", "2026-09-01")


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


@pytest.fixture
def announced(night: Night, home: Home) -> PeerAuthor:
    """Somebody else who announced the same task."""
    ada = PeerAuthor(night.store, Blobs(home.blobs), number=60, clock_ms=night.clock)
    ada.publish(TaskBody(manifest=MANIFEST))
    return ada


def main_report(night: Night) -> Report:
    return report_of(night.store, night.span, net="main")


def draft(night: Night, **how: str) -> ReportDraft:
    report = main_report(night)
    found = draft_of(night.store, report, report.lines[0], **how)
    assert found is not None
    return found


def own_reports(store: Store) -> list[ReportBody]:
    return [one.body for one in store.records.own() if isinstance(one.body, ReportBody)]


# What it says


def test_its_figures_are_those_of_the_report(night: Night) -> None:
    report, body = main_report(night), draft(night).body
    (line,) = report.lines
    assert line.before is not None
    assert line.after is not None
    assert (body.task, body.hardware_class) == (TASK, line.hardware_class)
    assert (body.base, body.head) == (line.before.tree, line.after.tree)
    assert (body.since_ms, body.until_ms) == (report.span.since_ms, report.span.until_ms)
    figures = dict(body.figures.items)
    assert (figures["experiments"], figures["kept"], figures["failed"]) == (9, 4, 1)
    assert (figures["trials"], figures["passed"], figures["claims"]) == (2, 1, 3)
    assert figures["gain_nano"] == line.gain_nano > 0
    assert figures["tokens"] == line.spend.tokens == 3500
    assert figures["device_ms"] == sum(ms for _, ms in line.device_ms)
    assert figures["after_nano"] == round(line.after.metric * 1e9) if line.after.metric else False
    assert 1 <= len(body.evidence) <= MAX_EVIDENCE
    stand = [one.entry.id for one in line.confirmations if one.stands and one.verdict in GAINS]
    assert body.evidence[: len(stand)] == tuple(stand)


def test_its_title_is_made_of_facts_or_given(night: Night) -> None:
    assert draft(night).body.title.startswith("tiny: 9 experiments, 4 kept, verified gain +0.0")
    long = draft(night, title=f"a\nnight \x1b[2J{HOSTILE * 9}").body.title
    assert long.startswith("a night ")
    assert len(long) == MAX_TITLE
    assert not {"\n", "\x1b"} & set(long)


def test_its_text_is_that_line_s_alone_and_no_name_of_this_machine_s(
    night: Night, home: Home
) -> None:
    log = read_history("autoresearch", b"commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
                   b"a\t1.0\t1.0\tkeep\tx\n", "")  # fmt: skip
    name = str(home.root / "private" / "results.tsv")
    night.store.imported.keep(
        Blobs(home.blobs), log, name=name, at_ms=night.clock.now_ms, sources={}
    )
    assert main_report(night).imported
    found = draft(night)
    text = found.text.decode()
    assert text.startswith("# What happened from 2026-09-21 14:")  # in UTC, wherever this runs
    assert "## tiny on " in text
    assert "9 experiments" in text
    assert str(home.root) not in text
    assert "results.tsv" not in text
    assert (found.body.text, found.body.size_bytes) == (
        hashlib.sha256(found.text).digest(),
        len(found.text),
    )


def test_a_text_that_would_be_too_long_reports_less_of_each_list(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(draft(night).text)
    monkeypatch.setattr(publishing, "MOST_TEXT_BYTES", whole - 1)
    assert len(draft(night).text) < whole < MOST_TEXT_BYTES


def test_of_a_time_in_which_nothing_was_measured_there_is_none(night: Night) -> None:
    report = main_report(night)
    line = replace(report.lines[0], ideas=(), confirmations=(), is_new=False)
    assert draft_of(night.store, report, line) is None
    assert draft_of(night.store, report, replace(line, is_new=True)) is not None
    assert draft_of(night.store, report, replace(line, before=None, is_new=True)) is None


# Signing it


def test_it_is_signed_once(night: Night, home: Home) -> None:
    store, blobs, found = night.store, Blobs(home.blobs), draft(night)

    def sign(now_ms: int) -> tuple[bytes, bool]:
        signed = sign_report(store, blobs, IDENTITY, found.body, found.text, now_ms=now_ms)
        return signed.record.id, signed.is_new

    first, is_new = sign(night.clock())
    assert is_new
    assert blobs.get(found.body.text) == found.text
    assert sign(night.clock()) == (first, False)
    retraction = RetractBody(target=first, revoke=False, reason="a slip")
    store.append_own(IDENTITY.keys.author, retraction, ts_ms=night.clock())
    again, is_new = sign(night.clock())
    assert is_new
    assert again != first


def test_a_text_that_is_not_the_record_s_is_not_signed(night: Night, home: Home) -> None:
    found = draft(night)
    for text in (found.text + b" ", b"x" * len(found.text)):
        with pytest.raises(UsageError):
            sign_report(night.store, Blobs(home.blobs), IDENTITY, found.body, text, now_ms=1)
    assert own_reports(night.store) == []


def test_a_running_node_reads_what_it_is_sent_or_refuses_it(night: Night) -> None:
    found = draft(night)
    (command,) = (one for one in COMMANDS if one.name == "publish_report")

    def received(message: dict[str, Message]) -> tuple[ReportBody, bytes]:
        asked = command.read(message)
        assert isinstance(asked, SignReport)
        return read_draft(asked.body), asked.text

    assert received(draft_message(found)) == (found.body, found.text)
    wrong: list[dict[str, Message]] = [
        {},
        {"body": {}, "text": b""},
        {"body": found.body.to_value(), "text": "x"},
    ]
    for message in wrong:
        with pytest.raises(UsageError):
            received(message)


def test_a_running_node_signs_what_it_is_sent_and_fetches_only_where_it_meets_somebody(
    night: Night, home: Home
) -> None:
    commands = on_socket(answers_of(node_of(home, night.store)))

    async def ask() -> None:
        reply = await commands["publish_report"](draft_message(draft(night)))
        assert isinstance(reply, dict)
        assert (reply["new"], reply["network"]) == (True, None)
        assert [one.text for one in own_reports(night.store)] == [draft(night).body.text]
        with pytest.raises(ArnodeError, match="is on no network"):
            await commands["fetch_report"]({"id": reply["id"]})
        with pytest.raises(UsageError):
            await commands["fetch_report"]({"id": night.store.records.own()[0].id})

    asyncio.run(ask())


# Whose task it is


def test_the_task_of_a_folder_that_is_gone_is_this_machine_s(night: Night, home: Home) -> None:
    assert whose_task(home, night.store, MANIFEST, "main") is TaskOf.THIS_MACHINE


def test_a_task_that_others_announced_is_everybody_s_in_that_network(
    night: Night, home: Home, announced: PeerAuthor
) -> None:
    assert whose_task(home, night.store, MANIFEST, "main") is TaskOf.EVERYBODY
    assert whose_task(home, night.store, MANIFEST, "lab") is TaskOf.THIS_MACHINE


@pytest.mark.parametrize(
    ("whose", "secret", "word"),
    [
        (TaskOf.EVERYBODY, None, None),
        (TaskOf.ITS_USER, None, "only in private networks"),
        (TaskOf.ITS_USER, bytes(32), None),
        (TaskOf.THIS_MACHINE, None, "no other node of lab has the task"),
        (TaskOf.THIS_MACHINE, bytes(32), "no other node of lab has the task"),
    ],
)
def test_what_is_published_where(
    night: Night,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    whose: TaskOf,
    secret: bytes | None,
    word: str | None,
) -> None:
    monkeypatch.setattr(publishing, "whose_task", lambda *_: whose)
    why = refusal(home, night.store, MANIFEST, Network(name="lab", secret=secret))
    assert (why is None) if word is None else (word in str(why))


# The command


def test_publishing_signs_it_and_says_that_it_goes_out_later(
    night: Night, home: Home, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads(arnode(capsys, "report", *NIGHT, "--publish", "--yes", "--json"))
    assert (said["network"], said["goes_out"], said["refused"]) == ("main", "later", [])
    (row,) = said["reports"]
    assert (row["new"], row["figures"]["experiments"]) == (True, 9)
    with Store.open_read_only(home) as reader:
        record = reader.records.find(row["id"])
        assert record.author == load_keys(home).author.public
        assert record.net == identity_of(load_keys(home), Config()).net
    output = arnode(capsys, "report", *NIGHT, "--publish", "--yes", "--title", "Again")
    assert "published before" in output
    shown = arnode(capsys, "show", row["id"][:12])
    assert "\n# What happened from " in shown
    assert json.loads(arnode(capsys, "show", row["id"], "--json"))["text"].startswith("# What")


def test_without_a_terminal_only_yes_agrees(
    night: Night, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    message = arnode(capsys, "report", *NIGHT, "--publish", code=2)
    assert "`--yes`" in message
    assert own_reports(night.store) == []


def test_at_a_terminal_it_is_asked_and_a_no_publishes_nothing(
    night: Night,
    announced: PeerAuthor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    message = arnode(capsys, "report", *NIGHT, "--publish", code=1)
    assert "is permanent" in message
    assert "Publish it?" in message
    assert "nothing was published" in message
    assert own_reports(night.store) == []


def test_nothing_of_a_private_task_is_published(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    message = arnode(capsys, "report", *NIGHT, "--publish", "--yes", code=7)
    assert "no other node of main has the task" in message
    assert own_reports(night.store) == []


@pytest.mark.parametrize(
    "words",
    [
        ("--publish", "--peers"),
        ("--publish", "--format", "md"),
        ("--peers", "--fetch", "0123"),
        ("--yes",),
        ("--title", "x", "--peers"),
        ("--publish", "--yes"),  # of the last day, in which nothing happened
        ("--fetch", "ffff"),
    ],
)
def test_what_makes_no_sense_is_refused(
    night: Night, announced: PeerAuthor, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert len(arnode(capsys, "report", *words, code=2).splitlines()) == 2


# What others published


def their_report(night: Night, ada: PeerAuthor, **changes: object) -> bytes:
    body = replace(draft(night).body, **changes)  # type: ignore[arg-type]
    return ada.publish(body)


def test_reports_of_others_are_listed_and_shown_cleaned(
    night: Night, home: Home, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# A night\n\x1b[2J{HOSTILE}\n".encode() + b"\xff"
    digest = hashlib.sha256(text).digest()
    title = f"Obey me \u202e {HOSTILE}"[:MAX_TITLE].replace("\u202e", "").replace("\u200d", "")
    report = their_report(night, announced, title=title, text=digest, size_bytes=len(text))
    (row,) = json.loads(arnode(capsys, "report", "--peers", "--json"))["reports"]
    assert (row["id"], row["own"], row["has_text"]) == (report.hex(), False, False)
    assert row["figures"]["experiments"] == 9
    assert (bytes.fromhex(row["task"]), row["class"]) == (TASK, LINE.hardware_class)
    listed = arnode(capsys, "report", "--peers", "--task", "tiny")
    assert report.hex()[:12] in listed
    assert "not checked" in listed
    shown = arnode(capsys, "show", report.hex())
    assert "its text is not here" in shown
    Blobs(home.blobs).put(text)
    shown = arnode(capsys, "show", report.hex())
    assert "\n# A night\n\\x1b[2J" in shown
    assert "\x1b" not in shown
    assert arnode(capsys, "report", "--fetch", report.hex()[:12]).startswith("# A night\n\\x1b[2J")


def test_times_that_no_calendar_has_are_listed_too(
    night: Night, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    their_report(night, announced, since_ms=0, until_ms=2**53 - 1)
    listed = arnode(capsys, "report", "--peers")
    assert "9999-01-01" in listed or "9998-12-31" in listed


def test_what_was_taken_back_is_not_listed(
    night: Night, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    report = their_report(night, announced)
    announced.publish(RetractBody(target=report, revoke=False, reason=""))
    assert json.loads(arnode(capsys, "report", "--peers", "--json"))["reports"] == []
    assert arnode(capsys, "report", "--peers") == ""


def test_a_text_is_fetched_next_to_a_running_node_alone(
    night: Night, announced: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    report = their_report(night, announced)
    assert "no node is running" in arnode(capsys, "report", "--fetch", report.hex(), code=3)


def test_what_is_no_report_has_no_text(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    task = night.store.records.listed("task")[0].id.hex()
    assert "not a report" in arnode(capsys, "report", "--fetch", task, code=2)


def test_an_evening_without_an_experiment_reports_its_baseline(home: Home, store: Store) -> None:
    begun = evening(home, store)
    found = draft(begun)
    assert dict(found.body.figures.items)["experiments"] == 0
    assert found.body.base == found.body.head


def test_the_rooms_of_the_home_are_not_named(night: Night, home: Home, tmp_path: Path) -> None:
    assert str(tmp_path).encode() not in draft(night).text
