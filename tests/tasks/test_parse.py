"""The tasks `parse` and `parse-c`: one format, one judge, read by programs in two languages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.baselines import OTHER_SEED, SEED, hyperparameters_of, moved, moves_of
from tests.tasks.judges import load_judge
from trainer.task_folder.folder import BUILTIN_FOLDER, with_inherited

NAME, IN_C = "parse", "parse-c"
SIZE_BYTES = 60_000

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    """A judge whose logs are short."""
    judge = load_judge(NAME)
    judge.SIZE_BYTES = SIZE_BYTES
    return judge


@pytest.fixture(scope="module")
def log(judge: ModuleType) -> bytes:
    return bytes(judge.instance(SEED, "public", 0))


def read(text: str, folder: Path, log: bytes) -> bytes:
    """Return the result of a Python program for a log."""
    (folder / "solve.py").write_text(text)
    return _output([sys.executable, "solve.py"], folder, log)


def read_in_c(text: str, folder: Path, log: bytes) -> bytes:
    """Return the result of a C program for a log."""
    (folder / "solve.c").write_text(text)
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    build = ["cc", "-O2", *warnings, "-o", "solve", "solve.c"]
    subprocess.run(build, cwd=folder, check=True, timeout=60)
    return _output(["./solve"], folder, log)


def _output(command: list[str], folder: Path, log: bytes) -> bytes:
    done = subprocess.run(
        command, cwd=folder, input=log, stdout=subprocess.PIPE, check=True, timeout=60
    )
    return done.stdout


def as_read(judge: ModuleType, log: bytes) -> list[str]:
    """The lines that a right answer has."""
    return [json.dumps(judge.fields_in(line)) for line in log.decode().split("\n")[:-1]]


def test_the_same_seed_gives_the_same_log(judge: ModuleType, log: bytes) -> None:
    assert judge.instance(SEED, "secret", 1) == log
    assert judge.instance(OTHER_SEED, "public", 0) != log
    assert len(log) >= SIZE_BYTES
    assert log.endswith(b"\n")


def test_the_judge_reads_what_it_wrote(judge: ModuleType) -> None:
    chance = judge.random_of(SEED)
    words = judge.Words(chance)
    for number in range(2_000):
        fields = judge.fields_of(chance, words, number)
        line = judge.line_of(fields, chance)
        assert "\n" not in line
        assert list(judge.fields_in(line).items()) == list(fields.items())


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", {}),
        ("retry", {"retry": True}),
        ("a=", {"a": ""}),
        ('a=""', {"a": ""}),
        ("a=1  b=-7 c=0", {"a": 1, "b": -7, "c": 0}),
        ("a=01 b=+1 c=1.0 d=1e3", {"a": "01", "b": "+1", "c": "1.0", "d": "1e3"}),
        ("a=123456789012345 b=1234567890123456", {"a": 123456789012345, "b": "1234567890123456"}),
        ('a="1" b=-', {"a": "1", "b": "-"}),
        (r"a=\n b=x=y", {"a": r"\n", "b": "x=y"}),
        (r'a="\\n\n\t\"\x1b" b', {"a": '\\n\n\t"\x1b', "b": True}),
        ('a="b=c d" e=é', {"a": "b=c d", "e": "é"}),
    ],
)
def test_a_line_reads_as_the_task_says(
    judge: ModuleType, tmp_path: Path, line: str, fields: dict[str, Any]
) -> None:
    assert judge.fields_in(line) == fields
    log = f"{line}\n".encode()
    assert judge.check(log, read(moved(NAME), tmp_path, log)) == {"lines": 1}


def test_the_example_of_the_page_is_right(judge: ModuleType) -> None:
    for name in (NAME, IN_C):
        page = (BUILTIN_FOLDER / name / "program.md").read_text()
        line, answer = page.split("```\n")[1].splitlines()
        assert judge.check(f"{line}\n".encode(), answer.encode()) == {"lines": 1}


def test_spaces_escapes_and_the_order_of_keys_do_not_matter(judge: ModuleType) -> None:
    log = 'a="é\\n" b=2\n'.encode()
    for answer in (
        '{"a":"é\\n","b":2}\n',
        '{"b": 2, "a": "\\u00e9\\u000A"}',
        ' { "b" : 2 , "a" : "é\\n" } \r\n',
    ):
        assert judge.check(log, answer.encode()) == {"lines": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"{}",
        b"null",
        b"[]",
        b'{"a": 1, "b": true}\n\n',
        b'{"a": 1, "b": true}\n{"a": 1, "b": true}',
        b'{"a": 1}',
        b'{"a": 1, "b": true, "c": 1}',
        b'{"a": 1.0, "b": true}',
        b'{"a": "1", "b": true}',
        b'{"a": true, "b": true}',
        b'{"a": 1, "b": 1}',
        b'{"a": 1, "b": "true"}',
        b'{"a": NaN, "b": true}',
        b'{"a": Infinity, "b": true}',
        b'{"a": 1e999, "b": true}',
        b'{"a": ' + b"1" * 10_000 + b', "b": true}',
        b'{"a": 1, "b": true',
        b'{"a": 1, "b": true} {}',
        b"\xff",
        b'\xef\xbb\xbf{"a": 1, "b": true}',
        '{"a": 1, "b": true}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\0",
    ],
)
def test_a_hostile_answer_is_wrong(judge: ModuleType, answer: bytes) -> None:
    with pytest.raises(judge.Wrong, match=r"[a-z]"):
        judge.check(b"a=1 b\n", answer)


def test_one_line_read_otherwise_spoils_the_answer(judge: ModuleType, log: bytes) -> None:
    lines = as_read(judge, log)
    assert judge.check(log, "\n".join(lines).encode()) == {"lines": len(lines)}
    changed = [*lines[:-1], lines[-1].replace("time", "Time")]
    for answer in (changed, lines[:-1], lines[::-1], [*lines, "{}"]):
        with pytest.raises(judge.Wrong):
            judge.check(log, "\n".join(answer).encode())


def test_the_baseline_is_right(judge: ModuleType, log: bytes, tmp_path: Path) -> None:
    assert judge.check(log, read(moved(NAME), tmp_path, log))


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_right(judge: ModuleType, log: bytes, tmp_path: Path, move: Any) -> None:
    text = moved(NAME, move)
    assert text != moved(NAME)
    assert judge.check(log, read(text, tmp_path, log))


@pytest.mark.parametrize("order", [1, -1])
def test_all_moves_follow_one_another(
    judge: ModuleType, log: bytes, tmp_path: Path, order: int
) -> None:
    moves = moves_of(NAME)[::order]
    for number in range(len(moves)):
        assert moved(NAME, *moves[: number + 1]) != moved(NAME, *moves[:number])
    assert judge.check(log, read(moved(NAME, *moves), tmp_path, log))


def test_every_hyperparameter_is_a_constant_that_a_move_brings() -> None:
    everything = moved(NAME, *moves_of(NAME))
    assert all(f"\n{name} = " in everything for name in hyperparameters_of(NAME))


def test_the_variant_in_c_has_the_judge_and_the_instances_of_the_other() -> None:
    folder, fields = with_inherited(BUILTIN_FOLDER / IN_C)
    judging = fields.section("judge")
    assert folder.locate(judging, judging.text("file")) == BUILTIN_FOLDER / NAME / "judge.py"
    assert folder.locate(fields, "program.md").parent.name == IN_C
    assert fields.section("hyperparameters").names() == []
    assert fields.section("instances").whole("public", low=1, high=9) == 8


@needs_compiler
def test_the_baseline_in_c_is_right(judge: ModuleType, log: bytes, tmp_path: Path) -> None:
    assert judge.check(log, read_in_c(moved(IN_C), tmp_path, log))


@needs_compiler
@pytest.mark.parametrize("move", moves_of(IN_C), ids=lambda move: move.name)
def test_every_move_in_c_is_right(judge: ModuleType, log: bytes, tmp_path: Path, move: Any) -> None:
    text = moved(IN_C, move)
    assert text != moved(IN_C)
    assert judge.check(log, read_in_c(text, tmp_path, log))


@needs_compiler
@pytest.mark.parametrize("order", [1, -1])
def test_all_moves_in_c_follow_one_another(
    judge: ModuleType, log: bytes, tmp_path: Path, order: int
) -> None:
    moves = moves_of(IN_C)[::order]
    for number in range(len(moves)):
        assert moved(IN_C, *moves[: number + 1]) != moved(IN_C, *moves[:number])
    assert judge.check(log, read_in_c(moved(IN_C, *moves), tmp_path, log))
