"""The report of a night: true to the store, the same every time, and harmless whatever is in it."""

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from datetime import UTC
from html.parser import HTMLParser

import msgspec
import pytest

from node.home.home import Home
from node.line.catch_up import CatchUpStep
from node.line.job_kinds import KINDS
from node.proposing.budget import open_cost_database
from node.reporting.blocks import (
    BulletList,
    Plot,
    bullets,
    figures_column,
    name_of,
    paragraph,
    quoted,
    table,
    words_column,
)
from node.reporting.concluded import Spend, TimeSpan
from node.reporting.markdown import code_span, markdown_of
from node.reporting.night import as_markdown, night_document
from node.reporting.report import LineReport, Report, report_of
from node.reporting.report_json import report_json
from node.store.model_calls import Charge, ModelCostLimits, reserve
from node.store.store import Store
from node.web.night_file import as_file
from protocol.errors import UsageError
from tests.node.examples import BASELINE
from tests.node.line_writers import BASE_NANO, GAIN_NANO
from tests.node.night import (
    EVENING_MS,
    GOLDEN,
    HOSTILE,
    LLM,
    Night,
    evening,
    rare_report_texts,
    report_texts,
)
from tests.node.test_commands import arnode


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


def line_of(night: Night, span: TimeSpan | None = None) -> LineReport:
    (line,) = report_of(night.store, span or night.span, net="main").lines
    return line


# What it says


@pytest.mark.parametrize("name", ["night.md", "night.json", "rare.md", "rare.json", "empty.md"])
def test_the_report_of_a_night_is_the_one_that_was_reviewed(night: Night, name: str) -> None:
    assert {**report_texts(night), **rare_report_texts(night)}[name] == (GOLDEN / name).read_text(
        encoding="utf-8"
    )


def test_it_is_the_same_whenever_it_is_made(night: Night) -> None:
    assert report_texts(night) == report_texts(night)


def test_ideas_are_reported_with_what_decided_them_and_what_became_of_their_stack(
    night: Night,
) -> None:
    line = line_of(night)
    assert [(idea.decision, idea.fate) for idea in line.ideas] == [
        ("screened_out", None),
        ("rechecked_out", None),
        ("failed", None),
        ("rejected", None),
        ("kept", "passed"),
        ("kept", "passed"),
        ("kept", "missed"),
        ("screened_out", None),
        ("kept", "open"),
    ]
    assert [idea.gain_sd for idea in line.ideas][:3] == [-0.04, 0.18, None]
    assert line.ideas[2].reason == f"crash: {HOSTILE}"
    assert (line.ideas[5].origin, line.spend) == (LLM, Spend(tokens=3500, usd_nano=12_000_000))
    assert line.open_keeps == 1


def test_trials_have_the_interval_that_the_rule_saw(night: Night) -> None:
    passed, missed, theirs = line_of(night).confirmations
    assert [one.verdict for one in (passed, missed, theirs)] == [
        "confirmed",
        "unconfirmed",
        "confirmed",
    ]
    assert passed.measured is not None
    assert passed.measured.pairs == 4
    assert passed.measured.lower_nano is not None
    assert 0 < passed.measured.lower_nano < 2 * GAIN_NANO < (passed.measured.upper_nano or 0)
    assert [part.origin.proposer for part in passed.parts] == ["search", "llm"]
    assert (theirs.kind, theirs.author is not None) == (CatchUpStep, True)


def test_the_head_is_reported_before_and_after(night: Night) -> None:
    line = line_of(night)
    assert line.before is not None
    assert line.after is not None
    assert (line.is_new, line.before.tree) == (True, BASELINE.tree)
    verified = night.line_writer.known_line.verified
    assert (line.after.tree, line.after.metric) == (verified, pytest.approx(1.44, abs=1e-6))
    assert line.gain_nano == pytest.approx(3 * GAIN_NANO, rel=0.01)


def test_peers_claims_and_words_are_reported_by_level(night: Night) -> None:
    peers = line_of(night).peers
    assert [(one.how, one.here) for one in peers.tried] == [
        ("head", "confirmed"),
        ("again", "refuted"),
        ("idea", "no gain"),
    ]
    # This node's own re-run of the lie is "here", and nobody else's word.
    assert peers.tried[1].others is not None
    assert (peers.tried[1].others.refuted, peers.tried[1].claimed_nano) == (0, 30_000_000)
    assert (peers.tried[2].claimed_sd, peers.tried[2].gain_sd) == (5.0, 0.1)
    own, theirs = peers.own
    assert (own.others.confirmed, own.others.refuted, own.new) == (1, 0, 1)
    assert (theirs.others.confirmed, theirs.new) == (0, 0)


def test_all_time_of_the_device_is_accounted_for_once(night: Night) -> None:
    line = line_of(night)
    key = night.line_writer.key
    runs = [
        run.outcome.run
        for job in night.store.jobs.closed_jobs(key, *KINDS)
        for run in night.store.jobs.runs_of(job.id)
        if run.outcome
    ]
    assert sum(ms for _, ms in line.device_ms) == sum(run.ms + run.serve_ms for run in runs)


def test_the_counted_share_is_shown_where_it_is_known(night: Night) -> None:
    report = report_of(night.store, night.span, net="main")
    reported = replace(report, lines=(replace(report.lines[0], counted_share=0.84),))
    assert report.lines[0].counted_share is None  # the night's runs kept no stages
    assert "candidates running" not in as_markdown(report, None)
    assert "device hours, with candidates running 84% of the time" in as_markdown(reported, None)


def test_only_what_ended_in_the_span_is_reported(night: Night) -> None:
    first = line_of(night).confirmations[0].entry.ts_ms
    adopted = night.store.experiments.adoptions(night.line_writer.key)[0].ts_ms
    before, after = (
        line_of(night, TimeSpan(since_ms=since_ms, until_ms=until_ms))
        for since_ms, until_ms in (
            (EVENING_MS, first - 1),
            (adopted, night.clock.now_ms),
        )
    )
    assert (len(before.ideas), len(after.ideas)) == (6, 3)
    assert (len(before.confirmations), len(after.confirmations)) == (0, 2)
    assert before.after is not None
    assert before.after.tree == BASELINE.tree
    assert after.before is not None
    assert (after.is_new, after.before.metric) == (False, pytest.approx(1.46, abs=1e-6))
    assert before.gain_nano == 0
    assert after.gain_nano == pytest.approx(GAIN_NANO, rel=0.01)
    assert len(before.points) + len(after.points) == len(line_of(night).points) - 1


def test_a_gain_that_was_taken_back_counts_no_more(night: Night) -> None:
    record = line_of(night).confirmations[0].entry.id
    with night.store.transaction():
        night.line_writer.record_writer.retraction(record, "it did not hold")
    line = line_of(night)
    assert line.gain_nano == pytest.approx(GAIN_NANO, rel=0.01)
    assert not line.confirmations[0].stands
    assert "retracted later" in report_texts(night)["night.md"]


def test_a_store_that_lost_its_jobs_still_reports_what_its_records_say(night: Night) -> None:
    whole = line_of(night)
    night.store.database.rows("DELETE FROM planned_run")
    night.store.database.rows("DELETE FROM job")
    line = line_of(night)
    assert [idea.entry for idea in line.ideas] == [idea.entry for idea in whole.ideas]
    assert [one.verdict for one in line.confirmations] == [
        one.verdict for one in whole.confirmations
    ]
    assert line.confirmations[0].gain_nano == whole.confirmations[0].gain_nano
    assert report_texts(night)["night.md"]


def test_before_the_baseline_there_is_little_to_say(home: Home, store: Store) -> None:
    assert report_of(store, TimeSpan(since_ms=0, until_ms=1), net="main").lines == ()
    night = evening(home, store)
    line = line_of(night, TimeSpan(since_ms=0, until_ms=1))
    assert (line.after, line.points, line.device_ms) == (None, (), ())


def test_a_report_spans_what_there_is(night: Night) -> None:
    day_ms = 86_400_000
    asked = TimeSpan(since_ms=EVENING_MS - day_ms, until_ms=night.clock.now_ms + day_ms)
    span_given = report_of(night.store, asked, net="main").span
    records = night.store.records.listed()
    assert span_given.since_ms == min(record.ts_ms for record in records)
    assert span_given.until_ms == max(record.ts_ms for record in records)
    nothing = TimeSpan(since_ms=0, until_ms=1)
    assert report_of(night.store, nothing, net="main").span == nothing


# The page


class Page(HTMLParser):
    """A page as a browser parses it, as far as tests need it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {}
        self.without_scripts = ""  # the text that is read where no script runs
        self.blocks: list[str] = []  # the elements that it stands in, as "tag attribute …"
        self._within = ""
        self._is_in_blocks = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._is_in_blocks:
            self.blocks.append(" ".join([tag, *(name for name, _ in attrs)]))
            return
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._within = f"{tag} {dict(attrs).get('type', '')}".strip()
        self._is_in_blocks = tag == "noscript"

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
        if tag == "noscript":
            self._is_in_blocks = False

    def handle_data(self, data: str) -> None:
        if self._is_in_blocks:
            self.without_scripts += data
        self.texts[self._within] = self.texts.get(self._within, "") + data

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")


def page_of(report: Report) -> Page:
    return Page(as_file(report, UTC))


@pytest.fixture
def report(night: Night) -> Report:
    return report_of(night.store, night.span, net="main")


def test_nothing_of_a_record_is_markup_in_the_file(report: Report) -> None:
    text = as_file(report, UTC)
    page, empty = Page(text), page_of(replace(report, lines=()))
    assert page.elements == empty.elements
    assert [name for name, _ in page.attributes] == [name for name, _ in empty.attributes]
    written = page.texts["script application/json"]
    assert json.loads(written) == json.loads(msgspec.json.encode(night_document(report, UTC)))
    assert "<" not in written
    for part in ("<script>alert(1)</script>", "<img src=x>", "&amp;", "\\u200d", "model<b>"):
        assert part in page.without_scripts, f"{part} is shown as it was written"
    assert "\u200d" not in text
    assert set(page.blocks) <= {
        *("h2", "h3", "p", "ul", "li", "code", "pre", "figure", "figcaption", "div class"),
        *("table", "thead", "tbody", "tr", "th class", "td class"),
    }


@pytest.mark.parametrize(
    "text",
    ["<b>x</b>", "</script><script>x", "</pre></noscript><b>", "<!-- x", "&lt;b&gt;", "\\<b>",
     "$title"],
)  # fmt: skip
def test_not_even_text_outside_of_code_becomes_markup_in_the_file(
    report: Report, text: str
) -> None:
    # Nothing that a record may hold gets here: the name of a task has letters, digits and hyphens.
    page = page_of(replace(report, lines=(replace(report.lines[0], task=text),)))
    assert page.elements == page_of(report).elements
    assert page.blocks == page_of(report).blocks
    assert f"{text} on cpu-x86_64" in page.without_scripts


@pytest.mark.parametrize("text", ["[x](http://evil.example/)", "*x* __y__", "![x](//y.example/x)"])
def test_text_has_no_links_pictures_or_emphasis(report: Report, text: str) -> None:
    strange = replace(report, lines=(replace(report.lines[0], task=text),))
    first = night_document(strange, UTC)["blocks"][0]
    assert json.loads(msgspec.json.encode(first)) == {
        "kind": "heading",
        "level": 2,
        "text": [f"{text} on cpu-x86_64"],
    }


def test_the_file_fetches_nothing_and_runs_what_it_was_made_with_alone(report: Report) -> None:
    page = page_of(report)
    names = {name for name, _ in page.attributes}
    assert not names & {"href", "src", "srcset", "style", "action", "data"}
    assert not any(name.startswith("on") for name in names)
    (policy,) = (value for _, value in page.attributes if "default-src" in value)
    style, modules = page.texts["style"], page.texts["script importmap"]
    begin = page.texts["script module"]
    hashes = [_hash(text) for text in (style, modules, begin)]
    assert policy == (
        f"default-src 'none'; style-src '{hashes[0]}'; script-src '{hashes[1]}' '{hashes[2]}' data:"
    )
    assert not re.search(r"url\(|@import|//", style.replace("/*", ""))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def test_the_file_has_every_module_that_one_of_its_modules_names(report: Report) -> None:
    page = page_of(report)
    modules: dict[str, str] = json.loads(page.texts["script importmap"])["imports"]
    named = set(re.findall('"(arnode/[^"]+)"', page.texts["script module"]))
    for address in modules.values():
        text = base64.b64decode(address.removeprefix("data:text/javascript;base64,")).decode()
        named |= set(re.findall(r'^import .* from "([^"]+)";', text, re.MULTILINE))
    assert named == set(modules)


def test_every_experiment_has_a_place_in_the_plot(night: Night, report: Report) -> None:
    (plot,) = (one for one in night_document(report, UTC)["blocks"] if isinstance(one, Plot))
    points = plot.points
    assert points["decision"] == [
        "baseline", "discarded", "discarded", "failed", "rejected", "kept", "kept", "adopted",
        "kept", "unconfirmed", "adopted", "discarded", "kept",
    ]  # fmt: skip
    assert {len(column) for column in points.values()} == {13}  # type: ignore[arg-type]
    assert sum(metric is not None for metric in points["metric"]) == 11
    assert points["id"] == [point.entry.id.hex() for point in line_of(night).points]


def test_experiments_have_an_interval_of_one_run_and_trials_that_of_their_gain(
    night: Night,
) -> None:
    line = line_of(night)
    baseline, screened = line.points[:2]
    assert screened.metric is not None
    assert screened.low == pytest.approx(screened.metric - 1.96 * line.noise_sd)
    assert baseline.high is not None
    assert baseline.metric is not None
    assert baseline.high - baseline.metric == pytest.approx(1.96 * line.noise_sd / 2**0.5)
    passed, measured = line.points[7], line.confirmations[0].measured
    assert measured is not None
    assert passed.metric is not None
    assert passed.low is not None
    assert measured.upper_nano is not None
    assert measured.gain_nano is not None
    assert passed.metric - passed.low == pytest.approx(
        (measured.upper_nano - measured.gain_nano) / 1e9
    )


# Markdown


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("a `tick`", "`` a `tick` ``"),
        ("``", "``` `` ```"),
        ("two\nlines  of", "`two lines of`"),
        ("\u202e", "`\\u202e`"),
        ("<b>", "`<b>`"),
        ("a|b", "`a|b`"),
    ],
)
def test_quoted_text_is_a_code_span_that_it_cannot_end(text: str, span: str) -> None:
    assert code_span(quoted(text)) == span


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "`|", "|"])
def test_no_text_ends_the_cell_of_a_table(text: str) -> None:
    columns = (words_column("x"), figures_column("y"))
    row = markdown_of([table(columns, [(quoted(text), "1")])]).splitlines()[-1]
    assert row.count("|") == 3


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("bpb", "bpb"), ("tokens/s", "tokens/s"), ("", ""), ("<img src=x>", "`<img src=x>`"),
     ("[x](//y.example)", "`[x](//y.example)`"), ("*", "`*`"), ("\n# x", "`# x`")],
)  # fmt: skip
def test_a_unit_is_no_markup_with_any_author(unit: str, expected: str, night: Night) -> None:
    assert markdown_of([paragraph(name_of(unit))]) == f"{expected}\n"
    line = line_of(night)
    metric = replace(line.metric, unit=unit)
    report = replace(report_of(night.store, night.span, net="main"), lines=())
    text = as_markdown(replace(report, lines=(replace(line, metric=metric),)), UTC)
    assert f"to 1.440000 {expected} (val_bpb" in text


def test_long_lists_are_cut_in_markdown_and_whole_on_the_page(report: Report) -> None:
    items = [f"item {number}." for number in range(50)]
    assert markdown_of([bullets(items)], shown=20).splitlines()[20:] == [
        "- and 30 more: `arnode report --json` has all of them"
    ]
    assert "item 49." in markdown_of([bullets(items)])
    long = replace(report, lines=(replace(report.lines[0], lessons=tuple(items)),))
    assert "item 49." not in as_markdown(long, UTC)
    night = night_document(long, UTC)
    last = night["blocks"][-1]
    assert isinstance(last, BulletList)
    assert (night["shown"], len(last.items)) == (20, 50)


# The command


def test_the_command_reads_next_to_a_running_node_and_writes_nothing(
    home: Home, night: Night, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    with night.store.transaction():  # the node is writing just now
        text = arnode(capsys, "report", "--since", "1000d")
    assert text.startswith("# What happened from ")
    assert "1 of 2 promotion trials confirmed." in text
    left = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    assert {path for path in left if left[path] != before.get(path)} <= {
        home.store.with_name(f"{home.store.name}-shm"),
        home.store.with_name(f"{home.store.name}-wal"),
    }


def test_at_a_terminal_the_report_is_drawn_and_in_a_file_it_is_markdown(
    night: Night,
    at_home: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = ("report", "--since", "1000d")
    text = arnode(capsys, *whole)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "1000")
    assert arnode(capsys, *whole, "--format", "md") == text
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", arnode(capsys, *whole))
    assert "\x1b" not in drawn
    assert drawn.startswith("What happened from ")
    for piece in ("1 of 2 promotion trials confirmed.", "━ verified head", "+5.00 sd", "\\u200d"):
        assert piece in text
        assert piece in drawn
    assert not {"# ", "```", "| ---"} & {line[:5].strip() for line in drawn.splitlines()}
    assert "\u200d" not in drawn


def test_the_default_is_the_last_day(
    night: Night, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "9 experiments" not in arnode(capsys, "report")
    assert "9 experiments" in arnode(capsys, "report", "--since", "2026-09-01")


def test_a_page_and_a_document_for_scripts_say_the_same(
    night: Night, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    page = arnode(capsys, "report", "--since", "1000d", "--format", "html")
    assert page.startswith("<!DOCTYPE html>\n<html")
    document = json.loads(arnode(capsys, "report", "--since", "1000d", "--json"))
    assert document["v"] == 1
    (line,) = document["lines"]
    assert len(line["experiments"]) == 9
    assert {
        "task", "class", "env", "metric", "noise_sd", "head", "gain", "experiments", "trials",
        "claims", "own_claims", "parts", "insights", "cost", "origins", "open_keeps",
        "counted_share", "scoring", "stopped", "company",
    } == set(line)  # fmt: skip
    assert line["gain"] == pytest.approx(0.06, rel=0.01)
    llm = next(row for row in line["origins"] if row["proposer"] == "llm")
    assert (llm["gain_alone"], llm["gain_shared"]) == (0.0, pytest.approx(0.02, rel=0.01))
    assert llm["gain_per_usd"] == pytest.approx(0.02 / 0.012, rel=0.01)
    assert json.dumps(report_json(report_of(night.store, night.span, net="main")))


def test_nothing_is_verified_where_a_candidate_scores_itself(night: Night) -> None:
    report = report_of(night.store, night.span, net="main")
    (line,) = report.lines
    assert "self-scored" not in as_markdown(report, UTC)
    marked = as_markdown(replace(report, lines=(replace(line, scoring="self"),)), UTC)
    assert "This task is self-scored: the candidate reports its own number" in marked
    assert "The measured head went from " in marked
    assert "The verified head went from " not in marked


def test_what_models_were_asked_in_vain_is_reported_as_well(
    night: Night, home: Home, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before, within = (night.span.since_ms - 1, night.span.until_ms)
    with open_cost_database(home) as costs:
        for now_ms, tokens_in in ((before, 1), (within, 1_000), (within, 200)):
            charge = Charge(tokens_in=tokens_in, tokens_out=30, usd_nano=4_000_000 * tokens_in)
            reserve(costs, limits=ModelCostLimits(), model="small", most=charge, now_ms=now_ms)
    report = report_of(night.store, night.span, net="main")
    assert report_json(report)["models"] == {"questions": 2, "tokens": 1_260, "usd": 4.8}
    assert "answered 2 questions for all tasks together: 1,260 tokens and $4.80" in as_markdown(
        report, UTC
    )
    document = json.loads(arnode(capsys, "report", "--since", "1000d", "--json"))
    assert document["models"]["questions"] == 3


def test_a_home_without_anything_has_a_report_too_and_stays_one(
    home: Home, at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Nothing was measured here yet" in arnode(capsys, "report")
    assert json.loads(arnode(capsys, "report", "--json"))["lines"] == []
    assert not home.root.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--since", "2999-01-01"),
        ("--format", "pdf"),
        ("--json", "--format", "md"),
        ("--task", "no-such-task"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(
    night: Night, at_home: None, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    message = arnode(capsys, "report", *words, code=2)
    assert len(message.splitlines()) == 2


def test_an_unknown_task_has_no_report(night: Night) -> None:
    with pytest.raises(UsageError):
        report_of(night.store, night.span, net="main", task="no-such-task")


def test_metrics_of_the_night_are_those_of_its_records(night: Night) -> None:
    """Else the tests above would be about an empty night."""
    entries = night.store.experiments.listed()
    assert len(entries) == 13
    assert entries[1].metric_nano == BASE_NANO
