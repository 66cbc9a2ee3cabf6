"""Candidates on instances: functions and commands, in several languages, within their limits."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.program.tasks import (
    CALLED,
    HEAD,
    JUDGE,
    ONE_OF_EACH,
    SOLVE,
    Bench,
    figures,
    read,
    write_task,
)
from tests.trainer.runners import SPLIT
from trainer.measuring.outcome import RunOutcome
from trainer.sandbox import sandbox as sandbox_module

ERROR = (3_000_000_000, 3_000_000_000)
COMMAND = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\nencoding = "json"\n'
PYTHON = """\
import json
import sys

print(sum(json.load(sys.stdin)["numbers"]) + 3)
"""
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
JAVASCRIPT = """\
const { numbers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(numbers.reduce((sum, number) => sum + number) + 3);
"""
SMALL = HEAD.replace("memory_gb = 1.0", "memory_gb = 0.25") + "answer_mb = 1\n"


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench that adds numbers by a function, with little memory."""
    folder = write_task(tmp_path_factory.mktemp("called"), head=SMALL, instances=ONE_OF_EACH)
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        yield bench


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return the same bench with a Python command."""
    folder = write_task(
        tmp_path_factory.mktemp("command"),
        head=SMALL,
        how=COMMAND,
        instances=ONE_OF_EACH,
        files={"solve.py": PYTHON},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        yield bench


def is_reported(outcome: RunOutcome, said: str) -> bool:
    """Return True if a reason says so, or gives only that a secret instance ended the run."""
    assert outcome.reason is not None
    return said in outcome.reason or "secret split" in outcome.reason


def test_a_run_takes_seconds_and_memory(called: Bench) -> None:
    outcome = called.run()
    assert outcome.cpu_ms > 0
    assert outcome.ms > 0
    assert outcome.peak_mem_bytes > 1 << 20
    assert outcome.tokens == 0
    assert outcome.audit is None


PEAK = 300 << 20
ENDS_AT_ONCE = """\
import os

from trainer.sandbox.inside.channel import Channel

send = Channel.send


def answer_and_end(*frame):
    send(*frame)
    os._exit(0)


def solve(instance):
    kept = b"x" * (300 << 20)
    del kept
    Channel.send = answer_and_end
    return sum(instance["numbers"]) + 3
"""
ENDS_FREED = """\
import json
import os
import sys

kept = b"x" * (300 << 20)
del kept
print(sum(json.load(sys.stdin)["numbers"]) + 3, flush=True)
os._exit(0)
"""


@pytest.fixture
def seldom_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at sandboxes only once, when they are ready."""
    monkeypatch.setattr(sandbox_module, "_WATCH_INTERVAL_S", 60.0)


def test_a_function_that_ends_at_once_does_not_hide_its_memory(
    tmp_path: Path, seldom_watched: None
) -> None:
    with Bench(read(write_task(tmp_path / "task", instances=ONE_OF_EACH))) as bench:
        assert figures(bench.calibrate()) == ERROR
        outcome = bench.run(ENDS_AT_ONCE)
        if outcome.status == "ok":  # it was checked before it had ended
            assert outcome.peak_mem_bytes > PEAK
        else:
            assert outcome.status == "crash"
            assert is_reported(outcome, "it exited before its memory was measured")


def test_a_command_that_ends_between_two_looks_shows_its_memory(
    tmp_path: Path, seldom_watched: None
) -> None:
    files = {"solve.py": PYTHON}
    folder = write_task(tmp_path / "task", how=COMMAND, instances=ONE_OF_EACH, files=files)
    with Bench(read(folder)) as bench:
        small = bench.calibrate()
        assert figures(small) == ERROR
        assert small.peak_mem_bytes < PEAK / 2
        hog = bench.run(ENDS_FREED)
        assert figures(hog) == ERROR
        assert hog.peak_mem_bytes > PEAK


def test_a_better_function_comes_to_a_better_metric(called: Bench) -> None:
    assert figures(called.run(SOLVE.replace("STEP = 3", "STEP = 0"))) == (0, 0)
    assert figures(called.run()) == ERROR


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("def solve(instance):\n    raise KeyError('no such number')\n", "crash", "no such number"),
        ("def solve(instance:\n", "crash", "SyntaxError"),
        ("import scipy\n", "crash", "No module named 'scipy'"),
        ("solve = 3\n", "crash", "solve.py has no function solve"),
        ("def solve(instance):\n    return {1, 2}\n", "crash", "a set cannot be encoded as JSON"),
        ("def solve(instance):\n    return 'x' * 2_000_000\n", "rejected", "a frame of"),
        ("def solve(instance):\n    return 'many'\n", "rejected", "answered wrong"),
        (
            "def solve(instance):\n    kept = [b'x' * (1 << 20) for _ in range(2000)]\n",
            "oom",
            "of memory",
        ),
        (
            "def solve(instance):\n    while True:\n        print('x' * 9999)\n",
            "crash",
            "more output",
        ),
    ],
)
def test_each_failure_of_a_function_has_its_word(
    called: Bench, text: str, status: str, said: str
) -> None:
    outcome = called.run(text)
    assert outcome.status == status, (outcome.reason, outcome.log_tail)
    assert is_reported(outcome, said), outcome.reason
    assert outcome.metric_nano is outcome.secret_nano is None
    assert figures(called.run()) == ERROR


def test_an_instance_that_takes_too_long_ends_the_run(
    called: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(called.stages._candidate, "_limit_s", 0.5)
    outcome = called.run("import time\n\n\ndef solve(instance):\n    time.sleep(60)\n")
    assert outcome.status == "timeout"
    assert is_reported(outcome, "instance 1 took more than 0.5 s")


def test_what_a_failed_function_printed_is_its_log(called: Bench) -> None:
    public = called.stages.instances.names(1, SPLIT)[0].candidate_seed
    text = f"""\
import os


def solve(instance):
    print("looking at it")
    if os.environ["ARNODE_SEED"] == "{public}":
        raise ValueError("cannot")
    return 0
"""
    outcome = called.run(text)
    assert outcome.reason == "in instance 1: ValueError: cannot"
    assert "looking at it" in outcome.log_tail
    assert "Traceback" in outcome.log_tail


def test_a_candidate_has_a_seed_of_its_own_which_is_the_same_each_time(called: Bench) -> None:
    text = """\
import os


def solve(instance):
    print("SEED", os.environ["ARNODE_SEED"])
    return sum(instance["numbers"]) + int(os.environ["ARNODE_SEED"]) % 1000
"""
    first, again, other = called.run(text), called.run(text), called.run(text, seed=2)
    assert figures(first) == figures(again)
    assert first.log_tail == again.log_tail != other.log_tail
    assert first.log_tail.count("SEED") == 1  # nothing is printed about the secret split


def test_a_candidate_has_its_own_files_and_nothing_of_the_task(called: Bench) -> None:
    text = """\
import os


def solve(instance):
    assert os.listdir() == ["solve.py"], os.listdir()
    assert "judge" not in repr(sorted(os.environ)), os.environ
    return sum(instance["numbers"]) + 3
"""
    assert figures(called.run(text)) == ERROR


def test_arrays_go_both_ways(tmp_path: Path) -> None:
    judge = """\
import numpy as np
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"points": np.array([[chance.random()] * 2] * 3), 7: (1 + 2j, 3**99, b"raw")}


def check(instance, answer):
    if not isinstance(answer, np.ndarray) or answer.shape != (3, 2):
        raise Wrong("no points")
    return {"error": float(np.abs(answer - instance["points"]).max())}
"""
    solve = """\
import numpy as np


def solve(instance):
    assert instance[7] == (1 + 2j, 3**99, b"raw")
    return instance["points"] + np.float64(0.5)
"""
    folder = write_task(
        tmp_path / "task",
        how=CALLED + 'encoding = "arrays"\n',
        judge=judge,
        instances=ONE_OF_EACH,
        files={"solve.py": solve},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == (500_000_000, 500_000_000)


def test_warm_ups_are_other_instances_and_count_for_nothing(tmp_path: Path) -> None:
    solve = """\
SEEN = []


def solve(instance):
    SEEN.append(instance["numbers"])
    assert len(set(map(tuple, SEEN))) == len(SEEN)
    print("CALL", len(SEEN))
    return sum(instance["numbers"]) + 4 - len(SEEN)
"""
    folder = write_task(
        tmp_path / "task",
        how=CALLED + "warmup = 2\n",
        instances=ONE_OF_EACH,
        files={"solve.py": solve},
    )
    with Bench(read(folder)) as bench:
        outcome = bench.calibrate()
        assert figures(outcome) == (1_000_000_000, 1_000_000_000)
        assert outcome.log_tail.count("CALL") == 3


def test_warm_ups_have_one_limit_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = SOLVE.replace("    return", "    __import__('time').sleep(0.3)\n    return")
    how = CALLED + "warmup = 16\nwarmup_limit_s = 7\n"
    folder = write_task(tmp_path / "task", how=how, instances=ONE_OF_EACH)
    with Bench(read(folder)) as bench:
        bench.calibrate()
        assert bench.stages._candidate._warmup_limit_s == 7
        # More than one needs, less than all of them need, even with other load on the machine.
        monkeypatch.setattr(bench.stages._candidate, "_warmup_limit_s", 0.5)
        outcome = bench.run(solve)
    assert (outcome.status, outcome.reason) == ("timeout", "the warm-up took more than 0.5 s")


ON_CORES = """\
import os

cores = os.sched_getaffinity(0)
try:
    os.sched_setaffinity(0, range(os.cpu_count()))
    print("CHOSEN", file=__import__("sys").stderr)
except PermissionError:
    print("REFUSED", file=__import__("sys").stderr)
assert len(os.sched_getaffinity(0)) == len(cores)
print("CORES", len(cores), file=__import__("sys").stderr)
"""


@pytest.mark.parametrize("more", ["", 'toolchains = ["sh"]\n'])
@pytest.mark.parametrize("kind", ["called", "command"])
def test_with_one_thread_all_threads_share_one_core(tmp_path: Path, kind: str, more: str) -> None:
    answer = "def solve(instance):\n    return 0\n" if kind == "called" else "print(0)\n"
    how = CALLED if kind == "called" else COMMAND
    folder = write_task(tmp_path / "task", how=how + more, files={"solve.py": ON_CORES + answer})
    with Bench(read(folder)) as bench:
        outcome = bench.calibrate()
    assert "CORES 1\n" in outcome.log_tail
    assert "REFUSED" in outcome.log_tail
    assert "CHOSEN" not in outcome.log_tail


def test_with_several_threads_all_cores_are_there(tmp_path: Path) -> None:
    answer = "def solve(instance):\n    return 0\n"
    how = CALLED + "threads = 2\n"
    folder = write_task(tmp_path / "task", how=how, files={"solve.py": ON_CORES + answer})
    with Bench(read(folder)) as bench:
        outcome = bench.calibrate()
    assert f"CORES {len(os.sched_getaffinity(0))}\n" in outcome.log_tail


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", "rejected", "answered wrong: the answer: it is not json"),
        ("print(1, 2)\n", "rejected", "answered wrong: the answer: it is not json"),
        (PYTHON + "raise SystemExit(4)\n", "crash", ""),
        ("raise ValueError('cannot')\n", "crash", "ValueError: cannot"),
        ("print('1' * 2_000_000)\n", "rejected", "its answer is larger than allowed"),
        ("kept = [b'x' * (1 << 20) for _ in range(2000)]\n", "oom", "of memory"),
    ],
)
def test_each_failure_of_a_command_has_its_word(
    command: Bench, text: str, status: str, said: str
) -> None:
    outcome = command.run(text)
    assert outcome.status == status, (outcome.reason, outcome.log_tail)
    assert is_reported(outcome, said), outcome.reason


def test_a_command_reads_its_instance_and_knows_its_seed(command: Bench) -> None:
    text = """\
import json
import os
import sys

import numpy

assert int(os.environ["ARNODE_SEED"]) >= 0
assert os.listdir() == ["solve.py"]
print("a log", file=sys.stderr)
print(int(numpy.sum(json.load(sys.stdin)["numbers"])) + 3)
"""
    outcome = command.run(text)
    assert figures(outcome) == ERROR
    assert "a log" in outcome.log_tail


def test_a_command_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    how = 'editable = ["solve.py"]\nrun = ["./solve"]\nencoding = "json"\n'
    build = 'build = ["python", "solve.py"]\n'
    makes = "with open('solve', 'w') as file:\n    file.write('#!/nowhere\\n')\n"
    folder = write_task(
        tmp_path / "task", how=how + build, instances=ONE_OF_EACH, files={"solve.py": makes}
    )
    with Bench(read(folder)) as bench:
        outcome = bench.run()
        assert outcome.status == "crash"
        assert is_reported(outcome, "./solve: No such file or directory")


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_program_in_c_is_built_and_run(tmp_path: Path) -> None:
    how = """\
editable = ["solve.c"]
run = ["./solve"]
build = ["cc", "-O1", "-o", "solve", "solve.c"]
encoding = "json"
"""
    folder = write_task(tmp_path / "task", how=how, instances=ONE_OF_EACH, files={"solve.c": C})
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        assert figures(bench.run(C.replace("sum + 3", "sum"))) == (0, 0)
        broken = bench.run(C.replace("return 0;", "return nothing;"))
        assert broken.status == "crash"
        assert broken.reason is not None
        assert broken.reason.startswith("in the build: solve.c:9:12: error: ")
        assert "nothing" in broken.log_tail  # the compiler's message about it
        crashed = bench.run(C.replace("return 0;", "return *(volatile int *)0;"))
        assert crashed.status == "crash"
        assert figures(bench.run()) == ERROR


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
def test_a_program_in_javascript_is_run_and_its_failures_come_to_an_end(tmp_path: Path) -> None:
    how = 'editable = ["solve.js"]\nrun = ["node", "solve.js"]\nencoding = "json"\n'
    # More than there are cores: one that fails cancels others that are in progress.
    folder = write_task(
        tmp_path / "task",
        how=how,
        instances="[instances]\npublic = 6\nsecret = 1\n",
        files={"solve.js": JAVASCRIPT},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        for _ in range(2):
            failed = bench.run("throw new Error('cannot');\n")
            assert failed.status == "crash"
        assert figures(bench.run(JAVASCRIPT)) == ERROR


SPOKEN = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"numbers": [chance.randrange(100) for _ in range(5)]}


def converse(instance):
    for number in instance["numbers"]:
        reply = yield {"number": number}
        if reply == "stumble":
            reply + 1


def check(instance, transcript):
    said = [message["number"] for message, _ in transcript]
    if said != instance["numbers"] or any(type(reply) is not int for _, reply in transcript):
        raise Wrong("not a number for each")
    total = 0
    for (message, reply) in transcript:
        total += message["number"]
    return {"error": abs(transcript[-1][1] - total)}
"""
REPLY = """\
SEEN = []


def solve(message):
    SEEN.append(message["number"])
    return sum(SEEN) + 3
"""
REPLY_IN_LINES = """\
import json
import sys

total = 0
for line in sys.stdin:
    total += json.loads(line)["number"]
    print(total + 3, flush=True)
"""


@pytest.mark.parametrize(
    ("how", "text"), [(CALLED, REPLY), (COMMAND, REPLY_IN_LINES)], ids=["called", "command"]
)
def test_an_interactive_instance_is_spoken_about(tmp_path: Path, how: str, text: str) -> None:
    folder = write_task(
        tmp_path / "task",
        head=SMALL,
        how=how + "interactive = true\n",
        judge=SPOKEN,
        instances=ONE_OF_EACH,
        files={"solve.py": text},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        if how == CALLED:
            endings = {
                text.replace("sum(SEEN) + 3", "'none'"): "rejected",
                text.replace("sum(SEEN) + 3", "'stumble'"): "crash",
                text.replace("sum(SEEN) + 3", "'x' * 600_000"): "rejected",  # of 1 MB in total
                text.replace("sum(SEEN) + 3", "'x' * 2_000_000"): "rejected",
                text.replace("sum(SEEN) + 3", "1 / 0"): "crash",
            }
        else:
            endings = {
                text.replace(
                    "print(total + 3, flush=True)", "print('x' * 600_000, flush=True)"
                ): "rejected",
                text.replace(
                    "print(total + 3, flush=True)", "print('x' * 2_000_000, flush=True)"
                ): "crash",
                text.replace("print(total + 3, flush=True)", "break"): "crash",
                text + "raise SystemExit(3)\n": "crash",
            }
        for hostile, status in endings.items():
            outcome = bench.run(hostile)
            assert outcome.status == status, (outcome.reason, hostile)
        assert figures(bench.run()) == ERROR


def test_a_task_may_have_a_judge_that_others_would_share(tmp_path: Path) -> None:
    """Files next to the editable ones are available to both."""
    judge = JUDGE.replace('return {"error"', 'open("words.txt").read()\n    return {"error"')
    solve = "from pathlib import Path\n\n\n" + SOLVE.replace(
        "    return", "    assert Path('words.txt').read_text() == 'a\\n'\n    return"
    )
    folder = write_task(
        tmp_path / "task",
        how=CALLED + 'files = ["words.txt"]\n',
        judge=judge,
        instances=ONE_OF_EACH,
        files={"solve.py": solve, "words.txt": "a\n"},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
