"""The line that says why a program failed, in the output of compilers and interpreters."""

import pytest

from trainer.measuring.causes import cause_in

C = """\
sort.c: In function 'main':
sort.c:19:13: warning: unused variable 'x' [-Wunused-variable]
sort.c:20:5: error: 'y' undeclared (first use in this function)
   20 |     y = 3;
      |     ^
sort.c:21:5: error: expected ';' before 'return'
cc1: all warnings being treated as errors
the build ended with exit code 1
"""
LINKER = """\
/usr/bin/ld: /tmp/ccX.o: in function `main':
sort.c:(.text+0xe): undefined reference to `sorted'
collect2: error: ld returned 1 exit status
"""
RUST = """\
error[E0308]: mismatched types
 --> sort.rs:3:18
  |
3 |     let x: u64 = "a";
  |            ---   ^^^ expected `u64`, found `&str`

error: aborting due to 1 previous error

For more information about this error, try `rustc --explain E0308`.
"""
OUT_OF_BOUNDS = "index out of bounds: the len is 3 but the index is 9"
PANIC = f"""\
thread 'main' (12) panicked at sort.rs:4:10:
{OUT_OF_BOUNDS}
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""
GO = "# command-line-arguments\n./sort.go:18:14: syntax error: unexpected {\n"
FORTRAN = "sort.f90:3:8:\n\n    3 |   broken =\n      |        1\nError: Invalid character at (1)\n"
NODE = """\
/job/lib/render.js:3
throw new TypeError("no rows");
^

TypeError: no rows
    at Object.<anonymous> (/job/lib/render.js:3:7)
    at node:internal/main/run_main_module:23:47

Node.js v20.20.2
"""
TESTS = """\
TAP version 13
ok 1 - parses
not ok 2 - renders
  ---
  error: 'Expected values to be strictly equal'
  ...
# fail 1
"""
PYTHON = """\
started
Traceback (most recent call last):
  File "/job/solve.py", line 3, in solve
    int("x")
ValueError: invalid literal for int() with base 10: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/job/solve.py", line 9, in solve
    raise Unsolved("row 3")
solve.Unsolved: row 3
sys:1: RuntimeWarning: coroutine 'later' was never awaited
RuntimeWarning: Enable tracemalloc to get the object allocation traceback
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/job/solve.py", line 5, in solve
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/job/solve.py", line 3, in later
    | KeyError: 'rows'
    +------------------------------------
"""
SYNTAX = '  File "/job/main.py", line 1\n    def (:\n        ^\nSyntaxError: invalid syntax\n'
SHELL = (
    "building\nrun.sh: line 3: cargo: command not found\n`sh run.sh` failed with exit code 127\n"
)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (C, "sort.c:20:5: error: 'y' undeclared (first use in this function)"),
        (LINKER, "sort.c:(.text+0xe): undefined reference to `sorted'"),
        (RUST, "error[E0308]: mismatched types"),
        (PANIC, f"thread 'main' (12) panicked at sort.rs:4:10: {OUT_OF_BOUNDS}"),
        (GO, "./sort.go:18:14: syntax error: unexpected {"),
        (FORTRAN, "Error: Invalid character at (1)"),
        (NODE, "TypeError: no rows"),
        (TESTS, "not ok 2 - renders"),
        (PYTHON, "solve.Unsolved: row 3"),
        (GROUP, "KeyError: 'rows'"),
        (SYNTAX, "SyntaxError: invalid syntax"),
        (SHELL, "run.sh: line 3: cargo: command not found"),
        ("\x1b[31merror:\x1b[0m no such target\nmore\n", "error: no such target"),
        ("epoch 3\nerror: 0.25\nerror: -1e-3\nit diverged\n", "it diverged"),
        ("one\n\ntwo\n \n", "two"),
        ("Node.js v20.20.2\n", "Node.js v20.20.2"),
        ("", None),
        (" \n\n", None),
    ],
)
def test_the_cause_is_found_wherever_it_stands(output: str, cause: str | None) -> None:
    assert cause_in(output) == cause
