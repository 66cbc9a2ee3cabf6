"""Logs with the structure of real ones: read by their columns, without loss."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.exchange.importers import read_history
from node.store.imported_rows import ImportedLog
from protocol.errors import UsageError
from tests.node.histories import histories

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
ELEVEN = (
    "commit\tval_bpb\tmemory_gb\tmfu\ttok_per_sec\tnum_steps\tparams_M\tbatch_size\tfinal_loss"
    "\tstatus\tdescription\n"
    "aaa0001\t2.310000\t5.5\t58.1\t37700\t180\t162.1\t4\t5.155\tkeep\tbaseline — 1.50→5.15\n"
    "aaa0002\t0.000000\t0.0\t0.0\t0\t0\t0.0\t0\t0.000\tcrash\ttied weights\n"
    "aaa0003\t1.900000\t5.5\t58.1\t36982\t180\t162.1\t4\t4.950\tkeep\tno warmdown\n"
)
THIRTEEN = (
    "commit\tkind\tthread\tval_bpb\tdelta_vs_best\tmemory_gb\tstatus\thypothesis\texpected_result"
    "\tinterpretation\tagrees\tnext_hypothesis\tdescription\n"
    "aaa0001\tbaseline\tplain\t0.96\t0.0\t29.9\tkeep\ta\tb\tc\tyes\td\tthe plain model\n"
    "aaa0002\tlr\tplain\t0.95\t-0.01\t29.9\ttentative\ta\tb\tc\tpartial\td\thalve the rate\n"
)
PROSE = (
    HEADER + "aaa0001\t1.86\t1.8\tbaseline\tdepth 4\n"
    "aaa0002\t1.85\t1.3\tbest\tmore data\n"
    "2026-03-03\twarmup\t1.84\t157\t253911\t30.2\t1302.6\tWARMUP=0.01, other columns\n"
    "\n"
    "================\n"
    "Columns: date, tag, val_bpb, steps\n"
    "2026-03-04, a0, 3.07, 250, reference, in commas now\n"
    "| commit | val_bpb |\n"
    "|---|---|\n"
    "aaa0003\t1.84\t1.3\tkeep\tback to work\n"
)


def table(text: str | bytes) -> ImportedLog:
    """Read a table, which comes out as it went in."""
    data = text if isinstance(text, bytes) else text.encode()
    log = read_history("autoresearch", data, "results.tsv")
    assert log.data == data
    return log


def read(log: ImportedLog) -> list[tuple[str, float | None, str]]:
    """Return what was read: label, value, status."""
    return [(row.label, row.value, row.status) for row in log.read]


def test_columns_are_read_by_their_header() -> None:
    log = table(ELEVEN)
    assert read(log) == [
        ("aaa0001", 2.31, "keep"),
        ("aaa0002", None, "crash"),
        ("aaa0003", 1.9, "keep"),
    ]
    assert (log.rows[0].memory_gb, log.rows[0].description) == ("5.5", "baseline — 1.50→5.15")
    log = table(THIRTEEN)
    assert read(log) == [("aaa0001", 0.96, "keep"), ("aaa0002", 0.95, "tentative")]
    assert log.rows[1].description == "halve the rate"
    assert [segment.metric for segment in log.segments] == ["val_bpb"]


def test_prose_between_and_behind_the_rows_is_kept_as_text() -> None:
    log = table(PROSE)
    assert read(log) == [
        ("aaa0001", 1.86, "baseline"),
        ("aaa0002", 1.85, "best"),
        ("aaa0003", 1.84, "keep"),
    ]
    assert log.text_lines == [4, 6, 7, 8, 9, 10]
    assert all(row.value is None for row in log.rows if not row.is_read)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + ELEVEN.encode(),
        ELEVEN.replace("\n", "\r\n").encode(),
        ELEVEN.encode("utf-16"),
        b"\xfe\xff" + ELEVEN.encode("utf-16-be"),
        ELEVEN.encode("utf-16") + b"\x61",
        ELEVEN.rstrip("\n").encode(),
        ELEVEN.replace("\t", " \t  ").encode(),
        ("# " + ELEVEN).encode(),
    ],
    ids=["bom", "crlf", "utf-16", "utf-16-be", "torn utf-16", "no end", "spaces", "comment"],
)
def test_however_it_was_written(data: bytes) -> None:
    log = table(data)
    assert [entry[1] for entry in read(log)] == [2.31, None, 1.9][: len(log.read)]
    assert len(log.read) == 3
    assert log.read[2].description == "no warmdown"


def test_a_line_in_another_encoding_costs_no_other_line() -> None:
    data = HEADER.encode() + b"a\t1\t1\tkeep\tone \x97 two\nb\t0.9\t1\tkeep\tthree\n"
    assert [row.description for row in table(data).read] == ["one — two", "three"]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("nan", None),
        ("-inf", None),
        ("", None),
        ("n/a", None),
        ("FAILED", None),
        ("1,234.5", 1234.5),
        ("12,345,678", 12345678.0),
        (" 1.5 ", 1.5),
        ("1,5", None),
        ("0,987", None),
        ("~1.5", None),
    ],
)
def test_a_metric_that_is_no_number_has_no_value(metric: str, value: float | None) -> None:
    log = table(f"{HEADER}a\t{metric}\t1\tdiscard\tx\nb\t1.5\t1\tkeep\tx\n")
    assert [row.value for row in log.read] == [value, 1.5]
    assert log.read[0].metric == metric.strip()


def test_a_torn_last_line_is_text() -> None:
    log = table(HEADER + "a\t1.5\t1\tkeep\tx\nb\t1.")
    assert (len(log.read), log.text_lines) == (1, [3])


def test_quotes_are_text_unless_only_they_make_the_columns_right() -> None:
    log = table(
        HEADER + 'a\t1.5\t1\tkeep\t"a\tb ""c"""\n'
        'b\t1.4\t1\tkeep\t"wide" model\n'
        'c\t1.3\t1\tkeep\t"an open end\n'
        "d\t1.2\t1\tkeep\ta\ttab\n"
        'e\t1.1\t1\tkeep\t"two\nlines"\n'
        "f\t1.0\t1\tkeep\tlast\n"
    )
    assert [row.description for row in log.read] == [
        'a\tb "c"',
        '"wide" model',
        '"an open end',
        "a\ttab",
        "two\nlines",
        "last",
    ]


def test_a_header_is_no_row_wherever_it_stands() -> None:
    log = table(f"# log\n{HEADER}a\t1.5\t1\tkeep\tx\n{HEADER}b\t1.4\t1\tkeep\tx\n")
    assert [row.label for row in log.read] == ["a", "b"]
    assert log.text_lines == [1]


def test_a_table_without_a_header_is_read_as_autoresearch_writes_it() -> None:
    log = table("a\t1.5\t1\tkeep\tx\nb\t0.0\t0.0\tcrash\ty\n")
    assert read(log) == [("a", 1.5, "keep"), ("b", None, "crash")]
    assert log.segments[0].metric == "val_bpb"


def test_another_header_begins_another_segment() -> None:
    log = table(
        HEADER + "a\t1.5\t1\tkeep\tx\n"
        "exp\tscore\tsharpe\tstatus\tdescription\n"
        "exp0\t0.5\t0.1\tBASELINE\tx\nexp1\t0.7\t0.1\tKEEP\ty\nexp2\t-9\t0\tREVERT\tz\n"
    )
    assert [(one.metric, one.direction) for one in log.segments] == [
        ("val_bpb", "min"),
        ("score", "max"),
    ]
    assert [row.segment for row in log.read] == [0, 1, 1, 1]
    assert [row.is_dropped for row in log.read] == [False, False, False, True]


def test_a_column_of_words_is_no_metric() -> None:
    log = table(
        "experiment\ttag\tkernel\ttflops\tlatency_us\tcorrectness\tpeak_vram_mb\tdescription\n"
        "0\tbaseline\tmatmul\t15.1\t7094\tPASS\t2048\tx\n"
        "1\ttuned\tmatmul\t136.8\t785\tPASS\t2048\ty\n"
        "2\tbroken\tmatmul\t0.0\t0\tFAIL\t0\tz\n"
    )
    assert log.segments[0].metric == "tflops"
    assert log.segments[0].direction == "max"
    assert read(log) == [("0", 15.1, "PASS"), ("1", 136.8, "PASS"), ("2", None, "FAIL")]
    assert log.rows[0].memory_gb == "2.0"


RUN = {"run": 1, "commit": "abc1234", "metric": 9.5, "status": "keep", "description": "x"}
HOOK = {"type": "hook", "stage": "before", "exit_code": 0, "duration_ms": 12, "timed_out": False}


def config(metric: str, direction: str) -> dict[str, str]:
    """Return the first line of a segment."""
    return {"type": "config", "name": "n", "metricName": metric, "bestDirection": direction}


def lines(*values: object) -> bytes:
    """JSON lines; a text is a line as it is."""
    return "\n".join(
        value if isinstance(value, str) else json.dumps(value) for value in values
    ).encode()


def test_hooks_and_a_torn_last_line_of_pi_autoresearch() -> None:
    data = lines(HOOK, config("ms", "lower"), HOOK, RUN, HOOK, "{'no': json}", RUN, '{"run":3,"me')
    log = read_history("pi-autoresearch", data, "log.jsonl")
    assert log.data == data
    assert [row.value for row in log.read] == [9.5, 9.5]
    assert log.text_lines == [6, 8]


def test_each_segment_of_pi_autoresearch_has_its_metric() -> None:
    data = lines(
        config("none yet", "lower"),
        config("ms", "lower"),
        RUN,
        config("hits", "higher"),
        {**RUN, "metric": None},
        {**RUN, "status": "checks_failed"},
        "",
        config("ms", "lower"),
    )
    log = read_history("pi-autoresearch", data, "log.jsonl")
    assert log.data == data
    assert [(one.metric, one.direction) for one in log.segments[:2]] == [
        ("ms", "min"),
        ("hits", "max"),
    ]
    assert [row.segment for row in log.read] == [0, 1, 1]
    assert [row.value for row in log.read] == [9.5, None, None]


RECORD = {"agent_id": "nova", "val_bpb": 0.98, "status": "keep", "description": "\ud800 wide"}


@pytest.mark.parametrize(
    ("data", "count", "texts"),
    [
        (json.dumps([RECORD, RECORD]).encode(), 2, 0),
        (b"\xef\xbb\xbf" + json.dumps([RECORD, RECORD], indent=2).encode() + b"\r\n", 2, 0),
        (json.dumps(RECORD, indent="\t").encode(), 1, 0),
        (lines(RECORD, RECORD, ""), 2, 0),
        (lines(RECORD, '{"agent_id": "no'), 1, 1),
        (json.dumps([RECORD, RECORD])[:-20].encode(), 1, 1),
        (json.dumps([RECORD, 7, {"claimed_at": "now"}]).encode() + b" more", 1, 3),
        (lines(RECORD) + b"\n\xff\n" + lines(RECORD), 2, 1),
    ],
)
def test_at_home_records_come_out_byte_for_byte(data: bytes, count: int, texts: int) -> None:
    log = read_history("at-home", data, "results.json")
    assert log.data == data
    assert (len(log.read), len(log.text_lines)) == (count, texts)


@given(
    st.lists(
        st.tuples(
            st.from_regex("[0-9a-f]{7}", fullmatch=True),
            st.floats(-9, 9).map(lambda value: f"{value:.6f}"),
            st.sampled_from(["keep", "discard", "crash"]),
            st.text(
                st.characters(exclude_characters='\n\r"', exclude_categories=["Cs"]), min_size=1
            ),
        ),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_any_table_is_given_back_byte_for_byte(
    rows: list[tuple[str, str, str, str]], end: str, ends: bool
) -> None:
    lines = [HEADER.strip(), *(f"{a}\t{b}\t1.0\t{c}\t{d}" for a, b, c, d in rows)]
    log = table(end.join(lines) + (end if ends else ""))
    assert [row.label for row in log.read] == [row[0] for row in rows]
    assert log.text_lines == []


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("autoresearch", b""),
        ("autoresearch", b"a,b,c\n1,2,3\n"),
        ("autoresearch", HEADER.encode()),
        ("autoresearch", b"# Notes\nnothing\tto\tsee\n"),
        ("pi-autoresearch", b"not json\n"),
        ("pi-autoresearch", b'{"run": 1}\n'),
        ("pi-autoresearch", b"[" * 100_000),
        ("at-home", b"[1]"),
        ("at-home", b"[" * 100_000),
        ("at-home", b'{"status": "keep"}'),
        ("at-home", b"[]"),
    ],
)
def test_a_file_without_any_experiment_is_refused(form: str, data: bytes) -> None:
    with pytest.raises(UsageError, match=f"the file has no experiment in the format of {form}"):
        read_history(form, data, "the file")


@given(
    st.sampled_from(histories()),
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    *(HEADER, ELEVEN, PROSE, "a\t1\t1\tkeep\t", "\n", '"', "\ufeff", "\x00"),
                    *(json.dumps(RECORD), json.dumps(RUN), json.dumps(HOOK), "[", "]", "{", ","),
                ]
            )
        ).map(lambda parts: "".join(parts).encode()),
    ),
)
def test_no_bytes_are_worse_than_a_clear_error(form: str, data: bytes) -> None:
    with contextlib.suppress(UsageError):
        log = read_history(form, data, "the file")
        assert log.read
        assert log.data == data
