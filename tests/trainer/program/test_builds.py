"""Builds: the files that they leave, their messages, and toolchains that run in a sandbox."""

import os
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.trainer.program.tasks import (
    HEAD,
    METRIC,
    ONE_OF_EACH,
    SOLVE,
    Bench,
    figures,
    read,
    write_task,
)
from trainer.sandbox.toolchains import toolchain, toolchain_of

ERROR = (3_000_000_000, 3_000_000_000)
RIGHT = (0, 0)
SUM = "json.load(sys.stdin)['numbers']"
PYTHON = f"import json, sys\n\nprint(sum({SUM}) + 3)\n"
C = """\
#include <stdio.h>
int main(void) {
    int c, sum = 0, number = 0;
    while ((c = getchar()) != EOF) {
        if (c >= '0' && c <= '9') number = 10 * number + c - '0';
        else { sum += number; number = 0; }
    }
    printf("%d", sum + 3);
    return 0;
}
"""
RUST = """\
use std::io::*;
fn main() {
    let mut text = String::new();
    stdin().read_to_string(&mut text).unwrap();
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|x| x.parse::<u64>().ok());
    print!("{}", numbers.sum::<u64>() + 3);
}
"""
GO = """\
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var given struct{ Numbers []int }
	json.NewDecoder(os.Stdin).Decode(&given)
	sum := 3
	for _, number := range given.Numbers {
		sum += number
	}
	fmt.Print(sum)
}
"""
FORTRAN = """\
program main
  implicit none
  character(len=4000) :: text
  integer :: i, digit, number, total
  read (*, '(A)') text
  number = 0
  total = 3
  do i = 1, len_trim(text)
    digit = index('0123456789', text(i:i)) - 1
    if (digit >= 0) then
      number = 10 * number + digit
    else
      total = total + number
      number = 0
    end if
  end do
  print '(I0)', total
end program
"""


def needs(command: str) -> pytest.MarkDecorator:
    """Skip a test where a command is missing, or a version manager has no version for it."""
    return pytest.mark.skipif(not _works(command), reason=f"there is no {command}")


def _works(command: str) -> bool:
    try:
        return toolchain(toolchain_of(command) or "") is not None
    except ConfigurationError:
        return False


def command_task(folder: Path, how: str, files: dict[str, str], **more: str) -> Path:
    """Write a task whose program is a command; `how` has the lines to edit, build and run it."""
    return write_task(
        folder,
        how=f'{how}encoding = "json"\n',
        instances=ONE_OF_EACH,
        files=files,
        **more,
    )


@pytest.mark.parametrize(
    ("name", "text", "build", "broken", "said"),
    [
        pytest.param(
            "sum.c", C, '["cc", "-O1", "-o", "sum", "sum.c"]', "int broken( {\n",
            "in the build: sum.c:11:13: error: expected declaration specifiers",
            marks=needs("cc"),
        ),
        pytest.param(
            "sum.rs", RUST, '["rustc", "-O", "-o", "sum", "sum.rs"]', "fn broken( {\n",
            "in the build: error: ",
            marks=needs("rustc"),
        ),
        pytest.param(
            "sum.go", GO, '["go", "build", "-o", "sum", "sum.go"]', "func broken( {\n",
            "in the build: ./sum.go:18:14: ",
            marks=[needs("go"), pytest.mark.soak],  # it compiles its library first
        ),
        pytest.param(
            "sum.f90", FORTRAN, '["gfortran", "-o", "sum", "sum.f90"]', "broken =\n",
            "in the build: Error: ",
            marks=needs("gfortran"),
        ),
    ],
)  # fmt: skip
def test_a_compiled_program_runs_and_its_compilers_output_is_kept(
    tmp_path: Path, name: str, text: str, build: str, broken: str, said: str
) -> None:
    how = f'editable = ["{name}"]\nbuild = {build}\nrun = ["./sum"]\n'
    with Bench(read(command_task(tmp_path / "task", how, {name: text}))) as bench:
        assert figures(bench.calibrate()) == ERROR
        failed = bench.run(text + broken)
        assert failed.status == "crash"
        assert failed.reason is not None
        assert failed.reason.startswith(said), failed.reason
        assert said.removeprefix("in the build: ") in failed.log_tail


@needs("cc")
def test_a_shell_stands_next_to_a_compiler_and_runs_what_it_compiled(tmp_path: Path) -> None:
    how = """\
editable = ["sum.c"]
files = ["run.sh"]
run = ["sh", "run.sh"]
toolchains = ["cc", "sh"]
"""
    script = "set -e\ncc -o made sum.c\nexec ./made\n"
    files = {"sum.c": C, "run.sh": script}
    with Bench(read(command_task(tmp_path / "task", how, files))) as bench:
        assert figures(bench.calibrate()) == ERROR
        assert figures(bench.run(C.replace("sum + 3", "sum"))) == RIGHT


@needs("node")
def test_the_test_runner_of_node_runs(tmp_path: Path) -> None:
    how = """\
editable = ["sum.js"]
files = ["sum.test.js", "run.sh"]
run = ["sh", "run.sh"]
toolchains = ["node", "sh"]
"""
    files = {
        "sum.js": "module.exports = (numbers) => numbers.reduce((a, b) => a + b) + 3;\n",
        "sum.test.js": (
            "const test = require('node:test'), assert = require('node:assert');\n"
            "test('adds', () => assert.ok(require('./sum')([1, 2]) >= 3));\n"
        ),
        "run.sh": (
            "set -e\nnode --test >&2\n"
            "node -e \"console.log(require('./sum')("
            "JSON.parse(require('fs').readFileSync(0)).numbers))\"\n"
        ),
    }
    with Bench(read(command_task(tmp_path / "task", how, files))) as bench:
        assert figures(bench.calibrate()) == ERROR
        failed = bench.run("module.exports = (numbers) => 0;\n")
        assert failed.status == "crash"
        assert failed.reason is not None
        assert "not ok 1 - adds" in failed.reason or "secret split" in failed.reason


def test_a_function_may_run_an_event_loop(tmp_path: Path) -> None:
    solve = """\
import asyncio


async def later(numbers):
    await asyncio.sleep(0)
    return sum(numbers) + 3


def solve(instance):
    return asyncio.run(later(instance["numbers"]))
"""
    folder = write_task(tmp_path / "task", instances=ONE_OF_EACH, files={"solve.py": solve})
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR


# What is available at run time

BUNDLE = """\
editable = ["src.py"]
files = ["bundle.py"]
build = ["python", "bundle.py"]
run = ["python", "out.py"]
"""
BUNDLER = """\
import ast

text = ast.unparse(ast.parse(open("src.py").read()))
open("out.py", "w").write(text)
"""
IN_A_COMMENT = f"""\
exec("".join(l[2:] for l in open("src.py") if l[:2] == "##"))
##import json, sys
##print(sum({SUM}))
"""
BYTES = METRIC.replace('"error"', '"build_bytes"').replace("10.0", "1000.0")


def test_a_program_cannot_keep_itself_in_the_source_of_its_build(tmp_path: Path) -> None:
    files = {"src.py": f"# as it is\n{PYTHON}", "bundle.py": BUNDLER}
    folder = command_task(tmp_path / "task", BUNDLE, files, metric=BYTES)
    with Bench(read(folder)) as bench:
        size = len(PYTHON.replace("\n\n", "\n").strip())
        assert figures(bench.calibrate()) == (size * 10**9, size * 10**9)
        hidden = bench.run(IN_A_COMMENT)
        assert hidden.status == "crash"
        assert hidden.reason is not None
        assert "src.py" in hidden.reason or "secret split" in hidden.reason


def test_a_source_that_is_run_itself_counts_next_to_what_was_built(tmp_path: Path) -> None:
    how = """\
editable = ["main.py", "numbers.txt"]
files = ["pack.py"]
build = ["python", "pack.py"]
run = ["python", "main.py"]
"""
    main = f"import json, sys\n\nprint(sum({SUM}) + int(open('packed').read()))\n"
    files = {
        "main.py": main,
        "numbers.txt": "3\n",
        "pack.py": "open('packed', 'w').write(open('numbers.txt').read().strip())\n",
    }
    folder = command_task(tmp_path / "task", how, files, metric=BYTES)
    with Bench(read(folder)) as bench:
        size = len(main) + len("3\n") + len("3")
        assert figures(bench.calibrate()) == (size * 10**9, size * 10**9)


def test_a_build_that_writes_the_same_once_more_has_built_it(tmp_path: Path) -> None:
    how = """\
editable = ["small.py"]
files = ["shrink.py", "main.py"]
build = ["python", "shrink.py"]
run = ["python", "main.py"]
"""
    files = {
        "small.py": "MORE=3",
        "main.py": f"import json, sys\n\nfrom small import MORE\n\nprint(sum({SUM}) + MORE)\n",
        "shrink.py": "text = open('small.py').read().strip()\nopen('small.py', 'w').write(text)\n",
    }
    folder = command_task(tmp_path / "task", how, files, metric=BYTES)
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == (6 * 10**9, 6 * 10**9)
        assert figures(bench.run("MORE=0\n\n")) == (6 * 10**9, 6 * 10**9)


# Files count as memory

MEMORY = METRIC.replace('"error"', '"peak_mb"').replace("10.0", "1000.0")
MIB = 1 << 20
KEEPS = "open('kept', 'wb').write(b'x' * 1024)\n"
IN_A_FILE = """\
import os

CHUNK = b"x" * (1 << 20)
with open("kept", "wb") as file:
    for _ in range(40):
        file.write(CHUNK)
os.remove("kept")
"""


@pytest.mark.parametrize("is_command", [False, True], ids=["function", "command"])
def test_what_a_program_keeps_in_files_is_memory_that_it_held(
    tmp_path: Path, is_command: bool
) -> None:
    if is_command:
        how, text = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n', PYTHON
        folder = command_task(tmp_path / "task", how, {"solve.py": text}, metric=MEMORY)
    else:
        folder = write_task(tmp_path / "task", metric=MEMORY, instances=ONE_OF_EACH)
        text = SOLVE
    with Bench(read(folder)) as bench:
        plain = bench.calibrate()
        hidden = bench.run(IN_A_FILE + text)
        assert (plain.status, hidden.status) == ("ok", "ok"), hidden.reason
        # Two processes of one program differ by some hundred kilobytes.
        assert 39 * MIB < hidden.peak_mem_bytes - plain.peak_mem_bytes < 44 * MIB


def test_what_is_printed_or_answered_is_in_no_file(tmp_path: Path) -> None:
    how = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n'
    spaces = PYTHON + "sys.stdout.write(' ' * (8 << 20))\n"
    chatty = PYTHON + "sys.stderr.write('x' * (3 << 20))\n"
    head = HEAD + "answer_mb = 16\n"
    folder = command_task(tmp_path / "task", how, {"solve.py": PYTHON}, metric=MEMORY, head=head)
    with Bench(read(folder)) as bench:
        plain = bench.calibrate().peak_mem_bytes
        for text, held in ((spaces, 16), (chatty, 6)):
            outcome = bench.run(text)
            assert outcome.status == "ok", outcome.reason
            assert outcome.peak_mem_bytes - plain < (held + 2) * MIB


UNCOUNTED = """\
import mmap
import os
import socket
import sys


def refused(action):
    try:
        action()
    except OSError:
        return True
    return False


with open("kept", "wb") as file:
    os.ftruncate(file.fileno(), 1 << 20)
with open("kept", "r+b") as file:
    assert refused(lambda: mmap.mmap(file.fileno(), 1 << 20))
assert refused(socket.socketpair)
assert refused(os.pipe)
"""


def test_where_memory_is_weighed_none_is_held_where_nobody_counts(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task", metric=MEMORY, instances=ONE_OF_EACH)
    with Bench(read(folder)) as bench:
        bench.calibrate()
        outcome = bench.run(UNCOUNTED + SOLVE)
        assert outcome.status == "ok", (outcome.reason, outcome.log_tail)


def test_the_cause_of_what_fails_on_both_splits_is_reported(tmp_path: Path) -> None:
    """It comes from the public split, even if the secret one fails first, which reveals nothing."""
    how = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n'
    folder = command_task(tmp_path / "task", how, {"solve.py": PYTHON})
    with Bench(read(folder)) as bench:
        bench.calibrate()
        for seed in range(1, 9):
            ended = bench.run("import gone_for_good\n", seed=seed)
            assert "No module named 'gone_for_good'" in str(ended.reason)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("echo no toolchain is chosen >&2; exit 1", "no toolchain is chosen"),
        ("exit 0", "`rustc --print sysroot` names no folder"),
        ("echo somewhere", "`rustc --print sysroot` names no folder"),
    ],
)
def test_a_toolchain_that_names_no_folder_of_its_own_is_an_error(
    answer: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty answer would show the current folder in sandboxes."""
    command = tmp_path / "rustc"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ConfigurationError, match=f"`rustc` is installed but cannot be used: {why}"):
        toolchain.__wrapped__("rust")
