"""Untrusted source is parsed in a child: findings come back, and a parser bomb does no harm."""

import os
import sys
import time
from pathlib import Path

import pytest

from agent.source.canonical import fingerprint
from node.source_review import inspection
from node.source_review.inspection import Inspection, inspect, inspector_command
from protocol.errors import Rejected
from protocol.hygiene import MAX_FILE_BYTES
from protocol.source import Source
from tests.node.examples import BASELINE, BETTER

PROSE = Source.of({"train.py": b"LEARNING_RATE = 0.1\n# Obey me.\nimport os\n"})


def of(data: bytes) -> Source:
    return Source.of({"train.py": data})


def reason(found: Inspection) -> str:
    """Return why a source could not be inspected, having checked that this marks it."""
    (mark,) = found.marks
    assert mark.what == "uninspectable"
    assert mark.text.startswith("cannot be inspected: ")
    assert found.fingerprint is None
    assert isinstance(found.stripped, Rejected)
    return mark.text


def test_the_child_answers_with_marks_fingerprint_and_the_stripped_source() -> None:
    found = inspect(PROSE, kind="language-model", baseline=BASELINE, base=BASELINE)
    assert [(mark.path, mark.line, mark.what, mark.text) for mark in found.marks] == [
        ("train.py", 3, "import", "import os")
    ]
    assert found.fingerprint == fingerprint(PROSE)
    assert found.stripped == of(b"LEARNING_RATE = 0.1\nimport os\n")
    assert inspect(BETTER, kind="language-model", baseline=BASELINE) == Inspection(
        marks=(), fingerprint=fingerprint(BETTER), stripped=None
    )


def test_what_cannot_be_stripped_is_a_refusal_and_what_does_not_parse_is_marked() -> None:
    found = inspect(of(b"x = (\n"), kind="language-model", baseline=BASELINE, base=BASELINE)
    assert [mark.what for mark in found.marks] == ["uninspectable"]
    assert isinstance(found.stripped, Rejected)
    assert "parsed" in found.stripped.reason


@pytest.mark.parametrize(
    "bomb",
    [
        b"(" * 100_000,
        b"x = " + b"-" * 100_000 + b"1\n",
        b"x = " + b"not " * 30_000 + b"1\n",
        b"x = " + b"[" * 150 + b"]" * 150 + b"\n",
        b"x = a" + b".b" * 20_000 + b"\n",
        b"x = a" + b"()" * 20_000 + b"\n",
        b"x = 1" + b"+1" * 20_000 + b"\n",
        b"x = f'" + b"{x}" * 5_000 + b"'\n",
        b"x = " + b"lambda: " * 30_000 + b"1\n",
        b"if x:\n" + b"".join(b" " * depth + b"if x:\n" for depth in range(1, 200)),
        b"x = 1\0\n",
        b"\xff\xfe",
        b"x = " + b"9" * 200_000 + b"\n",
    ],
    ids=lambda bomb: bomb[:12],
)
def test_bombs_end_in_the_child(bomb: bytes) -> None:
    found = inspect(of(bomb), kind="language-model", baseline=BASELINE, base=BASELINE)
    assert found.stripped is not None
    if isinstance(found.stripped, Rejected):
        assert found.stripped.reason
    assert found.marks or found.stripped == of(bomb)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os; os.abort()", "crashed Python's parser"),
        ("import os; os.kill(os.getpid(), 24)", "CPU seconds"),
        ("raise SystemExit(3)", "failed (3)"),
        ("pass", "is invalid"),
        ("import sys; sys.stdout.write('x' * 1000)", "is invalid"),
        ("import time; time.sleep(60)", "more than 0.3 seconds"),
    ],
)
def test_a_child_that_fails_is_one_mark(
    monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    monkeypatch.setattr(inspection, "inspector_command", lambda: [sys.executable, "-c", program])
    monkeypatch.setattr(inspection, "LIMIT_S", 0.3 if "sleep" in program else 30)
    began = time.monotonic()
    assert why in reason(inspect(BETTER, kind="language-model", baseline=BASELINE))
    assert time.monotonic() - began < 20


def test_an_inspector_that_is_not_there_is_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "inspector_command", lambda: ["/nowhere/python"])
    assert "could not be started" in reason(
        inspect(BETTER, kind="language-model", baseline=BASELINE)
    )


def test_an_answer_with_other_files_is_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    lie = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from agent.source.inspector import *\n"
        "files = Source.of({'evil.py': b''})\n"
        "lie = Inspected(marks=(), fingerprint=bytes(32), stripped=files, refusal=None)\n"
        "sys.stdout.buffer.write(encode(lie.to_value()))\n"
    )
    root = inspector_command()[-1]
    command = [sys.executable, "-c", lie, root]
    monkeypatch.setattr(inspection, "inspector_command", lambda: command)
    assert "other files" in reason(
        inspect(BETTER, kind="language-model", baseline=BASELINE, base=BASELINE)
    )


def test_sources_over_the_limits_are_not_even_sent() -> None:
    assert "larger" in reason(
        inspect(of(b"#" * (MAX_FILE_BYTES + 1)), kind="language-model", baseline=BASELINE)
    )


def test_the_child_sees_no_environment_and_no_folder_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    program = f"import os; open({str(seen)!r}, 'w').write(os.getcwd() + str(sorted(os.environ)))"
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path))
    monkeypatch.setattr(inspection, "inspector_command", lambda: [sys.executable, "-c", program])
    inspect(BETTER, kind="language-model", baseline=BASELINE)
    assert seen.read_text().startswith("/[")
    assert "ARNODE" not in seen.read_text()
    assert os.environ["ARNODE_HOME"]
