"""Commands that read their instance from a file, and write their answer into one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.trainer.program.tasks import Bench, figures, read, write_task
from trainer.program.profiles import SCRATCH_BYTES, profile_of

ERROR = (3_000_000_000, 3_000_000_000)
SUM = 'sum(json.load(open(sys.argv[1] if len(sys.argv) > 1 else "arnode-in"))["numbers"]) + 3'


def how(*words: str, more: str = "") -> str:
    command = ", ".join(f'"{word}"' for word in ("python", "solve.py", *words))
    return f'editable = ["solve.py"]\nrun = [{command}]\nencoding = "json"\n{more}'


def run(folder: Path, text: str, *words: str, more: str = "") -> tuple[int | None, int | None]:
    """Return the scores of a command with these words."""
    text = "import json\nimport os\nimport sys\n\n" + text
    task = read(write_task(folder, how=how(*words, more=more), files={"solve.py": text}))
    with Bench(task) as bench:
        return figures(bench.calibrate())


def test_an_instance_is_a_file_and_nothing_is_to_be_read_besides(tmp_path: Path) -> None:
    text = f"assert sys.stdin.read() == ''\nprint({SUM})\n"
    assert run(tmp_path, text, "{in}") == ERROR


def test_an_answer_is_a_file_and_what_is_printed_is_a_log(tmp_path: Path) -> None:
    text = """\
print("many words")
with open(sys.argv[1].removeprefix("--to="), "w") as file:
    file.write(str(sum(json.load(sys.stdin)["numbers"]) + 3))
"""
    assert run(tmp_path, text, "--to={out}") == ERROR


def test_both_are_files_and_the_command_is_still_one_process(tmp_path: Path) -> None:
    text = f"""\
assert sorted(os.listdir()) == ["arnode-in", "solve.py"], os.listdir()
try:
    os.fork()
except OSError:
    open(sys.argv[2], "w").write(str({SUM}))
"""
    assert run(tmp_path, text, "{in}", "{out}") == ERROR


def test_large_files_have_room(tmp_path: Path) -> None:
    text = f"""\
with open("{{filled}}", "wb") as file:
    file.write(bytes(50_000_000))
open(sys.argv[2], "w").write(str({SUM}) + " " * 30_000_000)
"""
    assert run(tmp_path, text, "{in}", "{out}", more="answer_mb = 40\n") == ERROR
    spec = read(write_task(tmp_path / "other", how=how("{in}", "{out}"))).manifest
    assert profile_of(spec).scratch_bytes == SCRATCH_BYTES + 32_000_000


def test_what_a_command_takes_is_counted_where_somebody_waits(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\n"
    text = f"import json, sys\n{spin}open(sys.argv[2], 'w').write(str({SUM}))\n"
    folder = write_task(tmp_path, how=how("{in}", "{out}"), files={"solve.py": text})
    with Bench(read(folder)) as bench:
        assert bench.calibrate().cpu_ms >= 2 * 300


@pytest.mark.parametrize(
    ("words", "more", "why"),
    [
        (("{in}",), "interactive = true\n", "run uses {in}"),
        ((), 'build = ["cc", "-o", "{out}"]\n', "build uses {in} or {out}"),
        (("{out}",), 'files = ["arnode-out"]\n', "a file is called arnode-out"),
    ],
)
def test_a_file_that_cannot_be_had_is_refused(
    tmp_path: Path, words: tuple[str, ...], more: str, why: str
) -> None:
    (tmp_path / "arnode-out").write_text("")
    with pytest.raises(ConfigurationError) as fault:
        read(write_task(tmp_path, how=how(*words, more=more)))
    assert why in fault.value.message


def test_a_file_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    make = "open('arnode-in', 'w').write('made before')\n"
    text = f"import json, sys\nprint({SUM})\n"
    folder = write_task(
        tmp_path,
        how=how("{in}", more='build = ["python", "make.py"]\n').replace(
            '["solve.py"]\n', '["make.py", "solve.py"]\n', 1
        ),
        files={"make.py": make, "solve.py": text},
    )
    with Bench(read(folder)) as bench:
        outcome = bench.run()
    assert outcome.status == "crash"
    assert "arnode-in exists already" in (outcome.reason or "") + outcome.log_tail or (
        "secret split" in (outcome.reason or "")
    )


FOLDERS_JUDGE = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {f"numbers/{i}.txt": str(chance.randrange(100)) for i in range(3)} | {"empty": b""}


def check(instance, answer):
    if set(answer) != {"sums/all.txt", "log"}:
        raise Wrong(f"files {sorted(answer)}")
    total = sum(int(text) for path, text in instance.items() if path != "empty")
    return {"error": abs(total - int(answer["sums/all.txt"]))}
"""
FOLDERS_SOLVE = """\
import os, pathlib, sys
given, into = map(pathlib.Path, sys.argv[1:])
assert sys.stdin.read() == ""
assert sorted(os.listdir()) == ["arnode-in", "arnode-out", "solve.py"], os.listdir()
(into / "sums").mkdir()
total = sum(int(one.read_text()) for one in (given / "numbers").iterdir()) + 3
(into / "sums" / "all.txt").write_text(str(total))
"""


def folders(folder: Path, more: str, *words: str) -> Path:
    how_run = how(*(words or ("{in}", "{out}"))).replace('"json"', '"files"')
    files = {"solve.py": FOLDERS_SOLVE + more}
    return write_task(folder, how=how_run, files=files, judge=FOLDERS_JUDGE)


@pytest.fixture(scope="module")
def summing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a calibrated bench of a command that gets folders."""
    task = read(folders(tmp_path_factory.mktemp("folders"), "(into / 'log').touch()\n"))
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == ERROR
        yield bench


def test_instance_and_answer_may_be_folders_of_files(tmp_path: Path) -> None:
    more = "(into / 'log').write_bytes(bytes(1 << 20))\nprint('a log')\n"
    with Bench(read(folders(tmp_path, more))) as bench:
        assert figures(bench.calibrate()) == ERROR


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("os.symlink('/etc/passwd', into / 'log')\n", "arnode-out/log cannot be read"),
        ("os.symlink('/', into / 'deep')\n", r"files \['sums/all.txt'\]"),
        ("os.mkfifo(into / 'log')\n", "arnode-out/log is not a plain file"),
        ("import shutil; shutil.rmtree(into)\n", "arnode-out is not a folder"),
        (
            "import shutil; shutil.rmtree(into); os.symlink('.', into)\n",
            "arnode-out is not a folder",
        ),
        ("for i in range(5000): (into / str(i)).touch()\n", "more than 4096 files"),
        ("(into / 'log').write_bytes(bytes(17_000_000))\n", "answer"),
        ("", r"files \['sums/all.txt'\]"),
    ],
)
def test_what_is_no_folder_of_files_is_no_answer(more: str, why: str, summing: Bench) -> None:
    outcome = summing.run(FOLDERS_SOLVE + more)
    assert outcome.status != "ok"
    assert re.search(why, f"{outcome.reason} {outcome.log_tail}")


def test_a_function_meets_contents_by_path(tmp_path: Path) -> None:
    text = """\
def solve(files):
    total = sum(int(text) for path, text in files.items() if path != "empty")
    return {"sums/all.txt": str(total + 3), "log": b""}
"""
    called = 'editable = ["solve.py"]\nentry = "solve.py:solve"\nencoding = "files"\n'
    folder = write_task(tmp_path, how=called, files={"solve.py": text}, judge=FOLDERS_JUDGE)
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        for answer in ("{'../x': b''}", "{'a': b'', 'a/b': b''}", "{'a': 1}", "[1]", "{1: b''}"):
            outcome = bench.run(f"def solve(files):\n    return {answer}\n")
            assert outcome.status != "ok", answer


def test_folders_take_both_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"run does not contain \{out\}"):
        read(folders(tmp_path, "", "{in}"))
