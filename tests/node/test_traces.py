"""Traces of visits: kept within limits and without secrets, linked to experiments, never shared."""

import asyncio
import contextlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion
from agent.visit.trace import TraceStep
from node.commands.cli import main
from node.home.home import Home
from node.line.experiment import close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.proposing.redaction import DROPPED, Redaction
from node.proposing.traced import TracedProposer, trace_body
from node.reporting.traces import trace_document
from node.store import traces
from node.store.notes import keep_note
from node.store.store import Store
from node.store.traces import (
    TRACE_BYTES,
    keep_trace,
    link_trace,
    read_trace,
    refuse_trace,
    trace_of,
    visits,
)
from protocol.errors import UsageError
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import BASE_NANO, finished, line_writer_of, proposal_of, with_baseline
from tests.node.test_page_api import answer
from tests.node.visits import STEPS, body, visit

KEY = "sk-proj-Vb7qTz2LmX9cRk4WpHs6NfYd8JgAe3Uo"
MARK = "a-mark-that-nobody-else-may-see"


@pytest.fixture
def redaction(tmp_path: Path) -> Redaction:
    env = {
        "HOME": str(tmp_path),
        "OPENAI_API_KEY": KEY,
        "DEPLOY_PASSWORD": "correct horse",
        "N": "x",
    }
    return Redaction(env, home=tmp_path / ".arnode")


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    with_baseline(home, store)
    return line_writer_of(home, store)


def experiment_of(line_writer: LineWriter, trace: int, rate: str = "0.2") -> bytes:
    """Try the proposal of a visit; return the result's id."""
    base = line_writer.source(line_writer.known_line.working)
    proposal = replace(proposal_of(base, rate), trace=trace)
    job = open_experiment(line_writer, Idea.of(line_writer, proposal, arm="some/model"))
    runs = finished(line_writer.store, job, BASE_NANO + 1)
    step = replace(job.step, decision="screened_out")
    return close_experiment(line_writer, job, step, runs, note="no gain").result


def test_the_latest_visits_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_TRACES", 5)
    numbers = [keep_trace(store.database, visit(f"idea {n}"), body()) for n in range(8)]
    link_trace(store.database, numbers[0], b"r" * 32)  # it was dropped
    total, found = visits(store.database, offset=0, limit=10)
    assert (total, [one.number for one in found]) == (5, numbers[:2:-1])
    assert read_trace(store.database, numbers[0]) is None
    assert trace_of(store.database, b"r" * 32) is None


def test_a_server_that_is_down_all_night_leaves_one_trace(store: Store) -> None:
    down = visit(refusal="fault", is_answered=False)
    keep_trace(store.database, visit(), body())
    for _ in range(5):
        keep_trace(store.database, down, body(STEPS[0]))
    keep_trace(store.database, replace(down, proposer="another"), body(STEPS[0]))
    keep_trace(store.database, replace(down, refusal="limit"), body(STEPS[0]))
    _, found = visits(store.database, offset=0, limit=10)
    assert [(one.proposer, one.refusal) for one in found] == [
        ("some/model", "limit"),
        ("another", "fault"),
        ("some/model", "fault"),
        ("some/model", None),
    ]


def test_a_trace_is_read_as_it_was_stored(store: Store) -> None:
    number = keep_trace(store.database, visit(), body())
    found = read_trace(store.database, number)
    assert found is not None
    summary, steps = found
    assert steps == body()
    assert replace(summary, number=0) == visit()


def test_an_experiment_leads_to_its_visit(line_writer: LineWriter) -> None:
    store = line_writer.store
    number = keep_trace(store.database, visit(), body())
    result = experiment_of(line_writer, number)
    assert trace_of(store.database, result) == number
    total, found = visits(store.database, offset=0, limit=10, without_result=True)
    assert (total, found) == (0, [])
    refuse_trace(store.database, number, "outdated", "tried meanwhile")
    assert trace_document(store, number)["visit"]["refused"] == "outdated"


@pytest.mark.parametrize(
    "text",
    [
        f"key is {KEY}.",
        f'{{"Authorization": "Bearer {KEY[8:]}"}}',
        "curl -H 'x-api-key: 0123456789abcdef'",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "gsk_0123456789abcdefghij and AIzaSyA0123456789abcdefghijklmnopqrs",
        "https://me:hunter22@example.org/v1",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n-----END OPENSSH PRIVATE KEY-----",
        "the password is correct horse",
        "in /home/ada/project and /Users/ada/x",
    ],
)
def test_secrets_are_removed(text: str, redaction: Redaction) -> None:
    hidden = (
        KEY,
        KEY[8:],
        "0123456789abcdef",
        "dXNlcjpw",
        "hunter22",
        "abcdef\n",
        "ada",
        "correct",
    )
    cleaned = redaction.cleaned(text)
    assert cleaned != text
    assert not any(one in cleaned for one in hidden)


def test_paths_below_home_folders_lose_the_folder(redaction: Redaction, tmp_path: Path) -> None:
    text = f"{tmp_path}/work/train.py {tmp_path}/.arnode/key {tmp_path}-other"
    assert redaction.cleaned(text) == f"~/work/train.py $ARNODE_HOME/key {tmp_path}-other"


@pytest.mark.parametrize("pieces", [KEY[8:24], KEY[:7:-1], " ".join(KEY[8:])])
def test_a_text_with_pieces_of_a_key_is_dropped(pieces: str, redaction: Redaction) -> None:
    stored = trace_body((TraceStep(kind="output", text=f"see: {pieces}"), STEPS[0]), redaction)
    assert stored.steps[0].text == DROPPED
    assert stored.steps[1].text == STEPS[0].text


class Writer:
    """A proposer that says the same in each visit."""

    name = "writer"

    def __init__(self, made: Proposal | NoProposal) -> None:
        self.made = made

    async def propose(self, _context: Context) -> Proposal | NoProposal:
        return self.made

    def question(self, _context: Context) -> ProposerQuestion | NoProposal:
        return NoProposal(reason="no", retry_s=1.0)


def traced(store: Store, made: Proposal | NoProposal, redaction: Redaction) -> TracedProposer:
    return TracedProposer(
        Writer(made), store.database, arm="writer#text", task=LINE.task, redaction=redaction
    )


def context() -> Context:
    return Context(
        source=BASELINE, editable=("train.py",), hyperparameters=(), moves=(), history=(),
        tried=lambda _: False, seed=1,
    )  # fmt: skip


def test_a_visit_is_stored_cleaned_and_bounded(store: Store, redaction: Redaction) -> None:
    steps = (*STEPS, *(TraceStep(kind="output", text=f"{KEY} " * 9_000),) * 40)
    writer = traced(store, replace(proposal_of(BASELINE, "0.2"), steps=steps), redaction)
    made = asyncio.run(writer.propose(context()))
    assert isinstance(made, Proposal)
    assert made.steps == ()
    assert made.trace is not None
    found = read_trace(store.database, made.trace)
    assert found is not None
    summary, stored = found
    assert (summary.proposer, summary.title) == ("writer#text", made.title)
    assert summary.refusal is None
    assert KEY not in "".join(step.text for step in stored.steps)
    ((size,),) = store.database.rows("SELECT length(body) FROM trace")
    assert size <= TRACE_BYTES


def test_a_refused_visit_is_stored_with_its_reason(store: Store, redaction: Redaction) -> None:
    steps = (*STEPS, TraceStep(kind="refusal", text="again", refusal="tried"))
    made = NoProposal(reason=f"no: {KEY}\ud800", retry_s=1.0, steps=steps)
    asyncio.run(traced(store, made, redaction).propose(context()))
    _, (found,) = visits(store.database, offset=0, limit=1)
    assert (found.refusal, found.reason, found.title) == ("tried", "no: [removed]?", "")


def test_where_nobody_was_asked_nothing_is_stored(store: Store, redaction: Redaction) -> None:
    made = NoProposal(reason="repaired 2 times already", retry_s=0.0)
    assert asyncio.run(traced(store, made, redaction).propose(context())) is made
    assert visits(store.database, offset=0, limit=1)[0] == 0


def test_the_api_has_visits_for_the_owner_alone(home: Home, line_writer: LineWriter) -> None:
    store = line_writer.store
    number = keep_trace(store.database, visit(), body())
    refused = keep_trace(store.database, visit(refusal="tried"), body())
    result = experiment_of(line_writer, number).hex()
    found = answer(home, "traces").json
    assert (found["total"], [one["id"] for one in found["visits"]]) == (2, [refused, number])
    assert found["visits"][1]["experiments"] == [result]
    left = answer(home, "traces?without=experiments").json
    assert [one["id"] for one in left["visits"]] == [refused]
    trace = answer(home, f"traces/{number}").json
    assert [step["kind"] for step in trace["steps"]] == [step.kind for step in STEPS]
    assert trace["steps"][3]["refused"] == "not readable"
    assert answer(home, f"experiments/{result}").json["trace"] == number
    assert answer(home, "traces/999").status == 404
    assert answer(home, "traces/x").status == 404
    assert answer(home, "traces", right=None).status == 401
    for path in ("traces", f"traces/{number}"):
        assert answer(home, path, kind="bootstrap", right=None).status == 404


def arnode(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with contextlib.suppress(SystemExit):
        main([*words])
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_show_prints_the_trace(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    number = keep_trace(line_writer.store.database, visit(), body())
    result = experiment_of(line_writer, number).hex()
    untraced = experiment_of(line_writer, 999, "0.4").hex()
    assert "--trace" in arnode(capsys, "show", result)
    printed = arnode(capsys, "show", result, "--trace")
    assert f"visit {number} of some/model: 2 questions, 12,910 + 942 tokens" in printed
    assert "4. not readable" in printed
    assert "7. edit, train.py +1 -1" in printed
    assert "+LEARNING_RATE = 0.3" in printed
    document = json.loads(arnode(capsys, "show", result, "--trace", "--json"))
    assert document["visit"]["id"] == number
    assert "no trace of this experiment" in arnode(capsys, "show", untraced, "--trace")
    assert "does not use --raw" in arnode(capsys, "show", result, "--trace", "--raw")


def test_traces_and_notes_leave_this_machine_in_no_way(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """They are in no record, blob, bundle, export or published report."""
    from node.reporting.concluded import TimeSpan
    from node.reporting.night import as_markdown
    from node.reporting.publishing import draft_of
    from node.reporting.report import report_of

    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    store = line_writer.store
    marked = body(*(replace(step, text=f"{MARK}: {step.text}") for step in STEPS))
    number = keep_trace(store.database, visit(title=MARK, reason=MARK), marked)
    result = experiment_of(line_writer, number)
    keep_note(store, LINE, f"{MARK} on it", now_ms=1, about=result, leave=True)
    keep_note(store, LINE, f"{MARK} to all", now_ms=2)
    short = result.hex()
    assert MARK in arnode(capsys, "show", short)
    exported = tmp_path / "exported"
    exported.mkdir()
    outputs = [
        arnode(capsys, "export", "bundle", short, "-o", str(exported / "one.zip")),
        arnode(capsys, "export", "results.tsv"),
        arnode(capsys, "export", "jsonl"),
        arnode(capsys, "export", "patch", short),
        arnode(capsys, "export", "experiment", short, str(exported / "experiment")),
        arnode(capsys, "export", "board", str(exported / "board")),
        arnode(capsys, "show", short, "--raw"),
        arnode(capsys, "show", short, "--json"),
    ]
    span = TimeSpan(since_ms=0, until_ms=10**14)
    report = report_of(store, span, net="main")
    (line,) = report.lines
    assert MARK in as_markdown(report, None)
    draft = draft_of(store, report, line)
    assert draft is not None
    files = [one for folder in (exported, home.blobs) for one in folder.rglob("*")]
    data = [one.read_bytes() for one in files if one.is_file()]
    with zipfile.ZipFile(exported / "one.zip") as bundle:
        data += map(bundle.read, bundle.namelist())
    data += [wire for (wire,) in store.database.rows("SELECT wire FROM record")]
    data += [draft.text, (home.mirror.read_bytes()), *(output.encode() for output in outputs)]
    assert not any("hint:" in output for output in outputs), outputs
    assert len(data) > 12
    assert not any(MARK.encode() in one for one in data)


def test_unknown_visits_are_a_usage_error(store: Store) -> None:
    with pytest.raises(UsageError, match="no visit 7"):
        trace_document(store, 7)


def test_a_source_s_trace_stays_with_it_when_it_is_moved(line_writer: LineWriter) -> None:
    made = Idea.of(line_writer, replace(proposal_of(BASELINE, "0.2"), trace=3))
    assert made.trace == 3
    assert Idea.from_value(made.to_value()) == made
