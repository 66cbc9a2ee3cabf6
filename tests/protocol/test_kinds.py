"""Bodies of records: they round-trip through a record, and each limit is enforced."""

import unicodedata
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codecs import fit_line, fit_text, long_text, single_line
from protocol.encoding import MAX_INT, Value, decode, encode
from protocol.errors import Rejected
from protocol.record_kinds import (
    AdoptBody,
    Body,
    Diff,
    Origin,
    PatchBody,
    ResultBody,
    UnknownBody,
    body_fields,
    body_from_value,
)
from protocol.remarks import MAX_EVIDENCE, MAX_REPORT_BYTES, ReportBody
from protocol.runs import MAX_SEED, Audit, Cost, Env, Figures, Role, Run, Status
from tests.protocol.examples import ADOPT, BODIES, FAILED_RUN, GOOD_RUN, PATCH, RESULT

ROLES, STATUSES = get_args(Role), get_args(Status)

OPTIONAL = {kind: frozenset[str]() for kind in BODIES} | {
    "task": frozenset({"program", "ladder", "target"}),
    "profile": frozenset({"formerly"}),
    "patch": frozenset({"found_on"}),
    "result": frozenset({"size", "level"}),
    "rerun": frozenset({"again", "alpha", "pairs"}),
}
NATURAL = st.integers(0, MAX_INT)
ANY_INT = st.integers(-MAX_INT, MAX_INT)
DIGEST = st.binary(min_size=32, max_size=32)
AUDITS = st.builds(
    Audit, k=st.integers(1, MAX_INT), mean_nano=ANY_INT, se_nano=NATURAL, max_nano=ANY_INT
)
NOTES = st.text(max_size=600).map(lambda raw: fit_text(raw, 500))


@st.composite
def runs(draw: Any) -> Run:
    status = draw(st.sampled_from(STATUSES))
    metric = ANY_INT if status == "ok" else st.none()
    return Run(
        seed=draw(st.integers(0, MAX_SEED)),
        role=draw(st.sampled_from(ROLES)),
        status=status,
        metric_nano=draw(metric),
        secret_nano=draw(metric),
        ms=draw(NATURAL),
        cpu_ms=draw(NATURAL),
        serve_ms=draw(NATURAL),
        tokens=draw(NATURAL),
        peak_mem_bytes=draw(NATURAL),
        flags=tuple(draw(st.lists(st.sampled_from(["contended", "lint"]), max_size=3))),
        reason=draw(st.none() | NOTES.map(lambda raw: fit_line(raw, 200))),
        audit=draw(st.none() | AUDITS),
    )


@st.composite
def results(draw: Any) -> ResultBody:
    some = tuple(draw(st.lists(runs(), max_size=5)))
    measured = any(run.status == "ok" for run in some)
    entries = st.dictionaries(
        st.from_regex(r"[a-z0-9_]{1,24}", fullmatch=True),
        ANY_INT | NOTES.map(lambda raw: fit_line(raw, 120)),
        max_size=5,
    )
    return ResultBody(
        task=draw(DIGEST),
        hardware_class=draw(st.from_regex(r"[a-z0-9_-]{1,48}", fullmatch=True)),
        env=Env.of(draw(entries)),
        patch=draw(DIGEST),
        base=draw(DIGEST),
        tree=draw(DIGEST),
        stage=draw(st.sampled_from(["screen", "keep", "confirm"])),
        status=draw(st.sampled_from(STATUSES if measured else STATUSES[1:])),
        runs=some,
        cost=draw(
            st.builds(
                Cost, device_ms=NATURAL, tokens=st.none() | NATURAL, micro_usd=st.none() | NATURAL
            )
        ),
        note=draw(NOTES),
        level_nano=draw(st.none() | ANY_INT),
    )


@st.composite
def reports(draw: Any) -> ReportBody:
    since, until = sorted((draw(NATURAL), draw(NATURAL)))
    return ReportBody(
        task=draw(DIGEST),
        hardware_class=draw(st.from_regex(r"[a-z0-9_-]{1,48}", fullmatch=True)),
        title=draw(st.text(max_size=200).map(lambda raw: fit_line(raw, 120) or "none")),
        since_ms=since,
        until_ms=until,
        base=draw(DIGEST),
        head=draw(DIGEST),
        figures=Figures.of(
            draw(
                st.dictionaries(
                    st.from_regex(r"[a-z0-9_]{1,24}", fullmatch=True), ANY_INT, max_size=32
                )
            )
        ),
        text=draw(DIGEST),
        size_bytes=draw(st.integers(1, MAX_REPORT_BYTES)),
        evidence=tuple(draw(st.lists(DIGEST, max_size=MAX_EVIDENCE))),
    )


def _through_bytes(body: Body) -> Body | Rejected:
    value = decode(encode(body.to_value()))
    assert not isinstance(value, Rejected)
    return body_from_value(body.kind, value)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_each_kind_survives_its_encoding(body: Body) -> None:
    assert _through_bytes(body) == body
    assert body.kind == next(kind for kind, entry in BODIES.items() if entry is body)


@given(results())
def test_any_result_survives_its_encoding(result: ResultBody) -> None:
    assert _through_bytes(result) == result


@given(reports())
def test_any_report_survives_its_encoding(report: ReportBody) -> None:
    assert _through_bytes(report) == report


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_listed_field_is_required(body: Body) -> None:
    value = body.to_value()
    assert isinstance(value, dict)
    assert set(value) == body_fields(body.kind) - OPTIONAL[body.kind]
    for name in value:
        missing = {key: item for key, item in value.items() if key != name}
        assert body_from_value(body.kind, missing) == Rejected(f"{name}: missing")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_field_takes_a_value_of_any_other_type(body: Body) -> None:
    value = body.to_value()
    assert isinstance(value, dict)
    wrong_values: tuple[Value, ...] = (True, 7, "\n", b"x", ["x", 1, []], {"zz": {}})
    for name, own in value.items():
        for wrong_value in wrong_values:
            if type(wrong_value) is not type(own):
                answer = body_from_value(body.kind, {**value, name: wrong_value})
                assert isinstance(answer, Rejected), (name, wrong_value)
                assert answer.reason.startswith(f"{name}: ")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_unknown_fields_are_ignored(body: Body) -> None:
    value = body.to_value()
    assert isinstance(value, dict)
    later = body_from_value(body.kind, {**value, "from_a_later_version": [1]})
    assert not isinstance(later, Rejected)
    if body.kind != "task":  # covered by a task's id: see test_manifest
        assert later == body


def test_an_unknown_kind_is_kept_as_it_came() -> None:
    value: Value = {"text": "é", "evidence": [bytes(32)]}
    body = body_from_value("prophecy", value)
    assert body == UnknownBody(kind="prophecy", encoded=encode(value))
    assert isinstance(body, UnknownBody)
    assert body.to_value() == value
    assert body_fields("prophecy") == frozenset()


def test_optional_costs_are_left_out_and_never_nil() -> None:
    assert Cost(device_ms=5).to_value() == {"device_ms": 5}
    assert Cost.from_value({"device_ms": 5}) == Cost(device_ms=5)
    assert Cost.from_value({"device_ms": 5, "tokens": None}) == Rejected("tokens: not an int")


def test_the_size_of_a_result_may_be_left_out_and_is_never_nil() -> None:
    sized = replace(RESULT, size_bytes=7_700)
    assert _through_bytes(sized) == sized
    value = RESULT.to_value()
    assert isinstance(value, dict)
    assert "size" not in value
    assert ResultBody.from_value({**value, "size": None}) == Rejected("size: not an int")


@pytest.mark.parametrize("status", STATUSES[1:])
def test_a_failed_run_has_no_metric(status: Any) -> None:
    failed = replace(FAILED_RUN, status=status)
    assert Run.from_value(failed.to_value()) == failed
    for change in ({"metric_nano": 1}, {"secret_nano": 1}):
        assert isinstance(Run.from_value(replace(failed, **change).to_value()), Rejected)


@pytest.mark.parametrize("change", [{"metric_nano": None}, {"secret_nano": None}])
def test_an_ok_run_has_both_metrics(change: Any) -> None:
    assert isinstance(Run.from_value(replace(GOOD_RUN, **change).to_value()), Rejected)


def test_a_baseline_is_its_own_base_and_runs_as_base() -> None:
    base_run = replace(GOOD_RUN, role="base")
    baseline = replace(RESULT, stage="baseline", patch=None, tree=RESULT.base, runs=(base_run,))
    assert _through_bytes(baseline) == baseline
    for change in ({"patch": bytes(32)}, {"tree": bytes(32)}, {"runs": (GOOD_RUN,)}):
        assert isinstance(_through_bytes(replace(baseline, **change)), Rejected)


def test_a_failure_without_any_run_is_a_result_too() -> None:
    rejected = replace(RESULT, status="rejected", runs=())
    assert _through_bytes(rejected) == rejected


def test_sixty_four_runs_fit_into_a_record() -> None:
    full = replace(RESULT, runs=(GOOD_RUN,) * 64)
    assert _through_bytes(full) == full
    assert len(encode(full.to_value())) < 15_000


@pytest.mark.parametrize(
    ("evidence", "unverified"), [(bytes(32), False), (bytes(32), True), (None, True)]
)
def test_an_adoption_has_evidence_or_says_that_it_is_unverified(
    evidence: bytes | None, unverified: bool
) -> None:
    adopt = replace(ADOPT, evidence=evidence, unverified=unverified)
    assert _through_bytes(adopt) == adopt
    assert isinstance(AdoptBody.from_value(replace(ADOPT, evidence=None).to_value()), Rejected)


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"why": "x" * 601},
        {"files": ()},
        {"files": PATCH.files * 2},
        {"diff": Diff()},
        {"diff": Diff(zlib=b"")},
        {"diff": Diff(zlib=b"x", blob=bytes(32))},
        {"parents": (bytes(31),)},
        {"origin": Origin(proposer="")},
        {"origin": Origin(proposer="llm", model="x" * 81)},
        {"task": bytes(33)},
    ],
)
def test_a_patch_keeps_its_limits(change: Any) -> None:
    assert isinstance(PatchBody.from_value(replace(PATCH, **change).to_value()), Rejected)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "./a", ".git/hooks/x", "a\\b", "C:x", "a b",
     "é.py", "a\n", "x" * 129],
)  # fmt: skip
def test_a_path_stays_below_its_folder(path: str) -> None:
    changed = replace(PATCH, files=(replace(PATCH.files[0], path=path),))
    assert PatchBody.from_value(changed.to_value()) == Rejected(
        "files: [0]: path: not a plain relative path"
    )


@pytest.mark.parametrize("path", ["train.py", "a/b/c-d_e.f+g", "_x/1.py", "x" * 128])
def test_ordinary_paths_are_accepted(path: str) -> None:
    changed = replace(PATCH, files=(replace(PATCH.files[0], path=path),))
    assert _through_bytes(changed) == changed


def test_an_environment_is_flat_short_and_sorted() -> None:
    env = Env.of({"torch": "2.13", "clock_mhz": -1})
    assert env == Env.of({"clock_mhz": -1, "torch": "2.13"})
    assert env.get("torch") == "2.13"
    assert env.get("driver") is None
    assert Env.from_value(env.to_value()) == env
    faults: tuple[Value, ...] = (
        [],
        {"a": None},
        {"a": True},
        {"a": []},
        {"a": "x" * 121},
        {"a": "\n"},
        {f"k{i}": i for i in range(33)},
    )
    for fault in faults:
        assert isinstance(Env.from_value(fault), Rejected), fault


@given(st.text(st.characters()), st.integers(1, 30))
def test_any_text_can_be_made_to_fit(raw: str, limit: int) -> None:
    for fitted, codec in (
        (fit_line(raw, limit), single_line(0, limit)),
        (fit_text(raw, limit), long_text(limit)),
    ):
        assert codec.read(decode(encode(fitted))) == fitted  # type: ignore[arg-type]


def test_text_that_fits_is_left_alone() -> None:
    assert fit_text("Two lines,\n\tone tab: é", 100) == "Two lines,\n\tone tab: é"
    assert (
        fit_line(" Two lines,\n one tab:\te\u0301 \x1b[0m", 100)
        == "Two lines, one tab: é \ufffd[0m"
    )
    assert unicodedata.is_normalized("NFC", fit_text("e\u0301" * 3, 2))
    # A joiner, a variation selector and a combining mark, which languages and emoji need.
    shaped = "\u0645\u06cc\u200c\u062e\u0648 \U0001f469\u200d\U0001f52c \u26a0\ufe0f"
    assert fit_line(shaped, 100) == shaped


@pytest.mark.parametrize(
    "hidden",
    ["\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\U000e0041", "\U000e0100", "\ue000"],
)
def test_text_that_hides_or_turns_is_refused_and_made_to_show(hidden: str) -> None:
    for codec in (single_line(0, 9), long_text(9)):
        assert codec.read(f"a{hidden}b") == Rejected(f"the hidden character U+{ord(hidden):04X}")
    assert fit_text(f"a{hidden}b", 9) == "a\ufffdb"
    # A line separator ends a word, like any other line end.
    assert fit_line(f"a{hidden}b", 9) == ("a b" if hidden == "\u2028" else "a\ufffdb")
