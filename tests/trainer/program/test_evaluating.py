"""An imported evaluator calls a program by value, from any import, and sees nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import ArnodeError, ConfigurationError, SafetyError
from tests.trainer.program.evaluators import CALLED, EVALUATOR, SOLVE, SUM, evaluated
from tests.trainer.program.tasks import HEAD, Bench, figures, write_task
from tests.trainer.program.tasks import read as read_folder
from trainer.measuring.host_load import HostLoad
from trainer.program import evaluating
from trainer.program.manifest import spec_of
from trainer.sandbox.tier import probe_tier

pytestmark = pytest.mark.skipif(probe_tier().name != "full", reason="takes sandbox tier full")

ECHO = """\
    program = imported(path)
    given = program.solve(ASKED)
    if given != ASKED or type(given) is not type(ASKED):
        raise Wrong(f"{given!r}")
    return {"score": 1.0}"""
IN_A_CHILD = """\
    import subprocess, sys, tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as script:
        script.write(f'''
import importlib.util
spec = importlib.util.spec_from_file_location("program", {path!r})
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
print(sum(program.solve([1, 2])))
''')
    ended = subprocess.run([STARTED, script.name], capture_output=True, check=True, text=True)
    return {"score": float(ended.stdout)}"""
KILLED_CHILD = """\
    import subprocess, sys
    folder = path.rpartition("/")[0]
    code = f"import sys; sys.path.insert(0, {folder!r}); import solve; solve.hang()"
    try:
        subprocess.run([sys.executable, "-c", code], timeout=1.0)
    except subprocess.TimeoutExpired:
        return {"score": float(imported(path).solve([1])[0])}"""
POOL = """\
    from concurrent.futures import ProcessPoolExecutor
    global program
    program = imported(path)
    with ProcessPoolExecutor(2) as pool:
        return {"score": float(sum(pool.map(asked, [1, 2])))}


def asked(value):
    return program.solve([value])[0]"""
PAIRS = """\
    import asyncio
    async def asked():
        return imported(path).solve([1])
    return {"score": float(asyncio.run(asked())[0])}"""
STATE = """\
    first, second = imported(path), imported(path)
    return {"score": float(10 * first.count() + 100 * first.count() + second.count())}"""
NAMES = """\
    program = imported(path)
    assert program.LEVEL == 3 and hasattr(program, "solve") and not hasattr(program, "os")
    assert "LEVEL" in dir(program) and "os" not in dir(program)
    import inspect
    assert list(inspect.signature(program.solve).parameters) == ["values"]
    names = {}
    exec(open(path).read(), names)
    assert names["solve"]([2]) == [4] and names["LEVEL"] == 3
    return {"score": 1.0}"""
CAUGHT = """\
    try:
        imported(path).solve([1])
    except Exception as fault:
        print(type(fault).__name__, "|", fault)
        return {"score": 1.0 if str(fault) == "KeyError: 'gone'" else 0.0}"""


@pytest.fixture(scope="module")
def summing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(evaluated(tmp_path_factory.mktemp("sum"))) as bench:
        assert figures(bench.calibrate()) == (6_000_000_000, 6_000_000_000)
        yield bench


def scored(folder: Path, body: str, solve: str = SOLVE) -> float:
    """Return the score of a program by an evaluator with this body."""
    with Bench(evaluated(folder, body, solve=solve)) as bench:
        nano, secret = figures(bench.calibrate())
        assert nano == secret
        assert nano is not None
        return nano / 1e9


@pytest.mark.parametrize(
    "asked",
    ["[None, True, 1, -(10**40), 2.5, 'ü', b'x']", "{'a': {1: (2, 3)}, (1, 2): []}", "((1, 2), [])",
     "3 + 4j", "'x' * 100_000"],
)  # fmt: skip
def test_plain_data_cross_as_they_are(asked: str, tmp_path: Path) -> None:
    body = ECHO.replace("ASKED", asked)
    assert scored(tmp_path, body, "def solve(value):\n    return value\n") == 1.0


def test_arrays_cross_with_shape_and_type(tmp_path: Path) -> None:
    body = """\
    import numpy as np
    asked = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = imported(path).solve(asked, scale=np.int16(2))
    assert given.dtype == np.float32 and given.shape == (2, 3) and (given == 2 * asked).all()
    return {"score": 1.0}"""
    solve = "def solve(value, *, scale):\n    return value * value.dtype.type(scale)\n"
    assert scored(tmp_path, body, solve) == 1.0


def test_what_is_of_a_subclass_arrives_as_plain_data(tmp_path: Path) -> None:
    solve = """\
import collections, enum
class Level(enum.IntEnum):
    HIGH = 4
Pair = collections.namedtuple("Pair", "a b")
def solve(values):
    return collections.OrderedDict(level=Level.HIGH, pair=Pair(1, 2))
"""
    body = """\
    given = imported(path).solve([])
    assert {type(given), type(given["level"]), type(given["pair"])} == {dict, int, tuple}
    return {"score": 1.0}"""
    assert scored(tmp_path, body, solve) == 1.0


@pytest.mark.parametrize("started", ["sys.executable", "'python'"])
def test_a_child_of_the_evaluator_calls_the_program_too(started: str, tmp_path: Path) -> None:
    assert scored(tmp_path, IN_A_CHILD.replace("STARTED", started)) == 6.0


def test_a_child_that_is_killed_takes_the_program_that_it_called_along(tmp_path: Path) -> None:
    solve = SOLVE + "\n\ndef hang():\n    while True:\n        pass\n"
    assert scored(tmp_path, KILLED_CHILD, solve) == 2.0


def test_forks_of_the_evaluator_load_the_program_for_themselves(tmp_path: Path) -> None:
    assert scored(tmp_path, POOL) == 6.0


def test_an_evaluator_may_make_pairs_of_sockets(tmp_path: Path) -> None:
    assert scored(tmp_path, PAIRS) == 2.0


def test_each_import_is_a_program_of_its_own(tmp_path: Path) -> None:
    solve = "calls = 0\ndef count():\n    global calls\n    calls += 1\n    return calls\n"
    assert scored(tmp_path, STATE, solve) == 10 + 200 + 1


def test_names_are_found_as_in_a_module(tmp_path: Path) -> None:
    assert scored(tmp_path, NAMES, f"import os\n\n{SOLVE}") == 1.0


def test_names_of_the_program_replace_none_of_the_evaluator_s(tmp_path: Path) -> None:
    body = """\
    names = {"total": sum, "__builtins__": __builtins__}
    exec(open(path).read(), names)
    return {"score": float(names["total"](names["solve"]([1, 2])))}"""
    solve = f"{SOLVE}\n\ndef total(values):\n    return 99.0\n"
    assert scored(tmp_path, body, solve) == 6.0


def test_an_exception_arrives_as_a_message(tmp_path: Path) -> None:
    solve = "def solve(values):\n    raise KeyError('gone')\n"
    assert scored(tmp_path, CAUGHT, solve) == 1.0


def test_no_line_of_the_program_is_where_the_evaluator_is(tmp_path: Path) -> None:
    body = """\
    from pathlib import Path
    texts = [one.read_text() for one in Path.cwd().rglob("*.py") if one.name != "judge.py"]
    assert texts and not any("def solve" in text for text in texts)
    return {"score": 1.0}"""
    assert scored(tmp_path, body) == 1.0


def test_no_line_of_the_evaluator_is_where_the_program_is(tmp_path: Path) -> None:
    solve = """\
from pathlib import Path
def solve(values):
    return sorted(one.name for one in Path.cwd().rglob("*"))
"""
    body = """\
    assert Path("hidden.txt").read_text() == "told to nobody"
    given = imported(path).solve([])
    return {"score": 1.0 if given == ["solve.py"] else 0.0}""".replace(
        "    assert", "    from pathlib import Path\n    assert", 1
    )
    task = evaluated(
        tmp_path,
        body,
        solve=solve,
        judging='files = ["hidden.txt"]\n',
        files={"hidden.txt": "told to nobody"},
    )
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == (1_000_000_000, 1_000_000_000)
    (named,) = spec_of(task.manifest).judge_files or ()
    assert named[0] == "hidden.txt"
    assert named[1] in spec_of(task.manifest).blobs


def test_a_program_imports_what_it_needs_of_the_evaluator_s_folder(tmp_path: Path) -> None:
    (tmp_path / "evaluator").mkdir()
    solve = "import helping\n\n\ndef solve(values):\n    return helping.doubled(values)\n"
    task = evaluated(
        tmp_path,
        head=f'{HEAD}files = ["evaluator/helping.py"]\n',
        solve=solve,
        files={"evaluator/helping.py": "def doubled(values):\n    return 2 * values\n"},
    )
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == (6_000_000_000, 6_000_000_000)


@pytest.mark.parametrize(
    ("solve", "said"),
    [
        ("def solve(values):\n    return [1, {'x': object()}]\n",
         "what solve() returned[1]['x'] is an object: pass only plain data"),
        ("def solve(values):\n    return (one for one in values)\n",
         "what solve() returned is a generator: pass only plain data"),
        ("import numpy\ndef solve(values):\n    return numpy.array([object()])\n",
         "what solve() returned is an array of object: pass only plain data"),
        ("def solve(values):\n    return ValueError\n",
         "what solve() returned is the class ValueError: pass only plain data"),
        ("def solve(values):\n    return {1, 2}\n", "is a set: pass only plain data"),
    ],
)  # fmt: skip
def test_what_is_no_plain_data_ends_the_run_by_its_name(
    solve: str, said: str, summing: Bench
) -> None:
    ended = summing.run(solve)
    assert ended.status == "rejected"
    assert said in str(ended.reason)
    assert "--self-scored" in str(ended.reason)


def test_an_argument_that_is_no_plain_data_ends_the_run_by_its_name(tmp_path: Path) -> None:
    body = "    return {'score': imported(path).solve(len)}"
    with Bench(evaluated(tmp_path, body)) as bench, pytest.raises(ArnodeError) as caught:
        bench.calibrate()
    assert "argument 0 of solve() is a builtin_function_or_method" in caught.value.message


def test_a_program_that_is_run_as_a_script_ends_the_run(tmp_path: Path) -> None:
    body = """\
    import subprocess, sys
    subprocess.run([sys.executable, path])
    return {"score": 1.0}"""
    with Bench(evaluated(tmp_path, body)) as bench, pytest.raises(ArnodeError) as caught:
        bench.calibrate()
    assert "the evaluator runs the program as a script" in caught.value.message


def test_of_a_secret_instance_no_word_of_either_side_is_reported(tmp_path: Path) -> None:
    body = """\
    import os
    print("seed", instance["seed"])
    return {'score': imported(path).solve(instance["seed"])}"""
    solve = "def solve(seed):\n    print('asked', seed)\n    return 1\n"
    with Bench(evaluated(tmp_path, body, solve=solve)) as bench:
        ran = bench.calibrate()
    assert ran.log_tail.count("seed ") == 1
    assert ran.log_tail.count("asked ") == 1


def test_what_fails_on_both_splits_is_reported_for_the_public_one(summing: Bench) -> None:
    for seed in range(1, 5):
        ended = summing.run("def solve(values):\n    return object()\n", seed=seed)
        assert "what solve() returned is an object" in str(ended.reason)


def test_a_program_has_its_seconds_however_long_it_is_asked(tmp_path: Path) -> None:
    head = HEAD.replace("limit_s = 20", "limit_s = 1")
    with Bench(evaluated(tmp_path, SUM, head=head)) as bench:
        bench.calibrate()
        ended = bench.run("def solve(values):\n    while True:\n        pass\n")
    assert ended.status == "timeout"


@pytest.mark.parametrize(("busy", "status"), [(0.0, "timeout"), (0.5, "ok")])
def test_an_evaluation_has_longer_while_others_use_the_processors(
    busy: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostLoad, "share", lambda _load: busy)
    head = HEAD.replace("limit_s = 20", "limit_s = 1")
    body = f"    __import__('time').sleep(2.5)\n{SUM}"
    with Bench(evaluated(tmp_path, body, head=head, judging="limit_s = 1\n")) as bench:
        ended = bench.run()
    assert ended.status == status, ended.reason
    assert status == "ok" or "its evaluation took more than 2 s" in str(ended.reason)


def test_what_a_program_keeps_in_files_is_memory_that_a_guard_weighs(tmp_path: Path) -> None:
    in_a_file = "with open('kept', 'wb') as file:\n    for _ in range(40):\n"
    hoards = f"{SOLVE}\n\n{in_a_file}        file.write(bytes(1 << 20))\n"
    guards = "\n[guards]\npeak_mb = { times = 1.2 }\n"
    with Bench(evaluated(tmp_path, judging=guards)) as bench:
        assert bench.calibrate().status == "ok"
        ended = bench.run(hoards.replace("40", "1"))
        assert ended.status == "ok", ended.reason
        ended = bench.run(hoards)
        assert ended.reason is not None
        assert ended.reason.startswith("guard peak_mb: "), ended.reason


def test_what_varies_follows_from_the_seed(tmp_path: Path) -> None:
    body = "    return {'score': float(imported(path).solve([len(vary)])[0])}"
    task = evaluated(tmp_path, body, judging='vary = "variable CASES_SEED"\n')
    assert (task.manifest.scoring, spec_of(task.manifest).vary) == (
        "judged",
        "variable CASES_SEED",
    )
    with Bench(task) as bench:
        assert figures(bench.calibrate())[0] == 2e9 * len("variable CASES_SEED")


def test_without_anything_that_varies_it_is_marked(summing: Bench) -> None:
    assert summing.task.manifest.scoring == "public"
    assert summing.task.manifest.is_ranked


def test_where_no_process_may_be_started_safely_it_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = evaluated(tmp_path)

    class Partial:
        name = "partial"

    monkeypatch.setattr(evaluating, "probe_tier", Partial)
    with pytest.raises(SafetyError, match="needs sandbox tier full"):
        Bench(task)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"how": 'editable = ["solve.py"]\nmodule = "other.py"\n'}, "not among the editable"),
        ({"how": f'{CALLED}run = ["python", "solve.py"]\n'}, "only one of the three"),
        ({"instances": '[instances]\nfixed = ["one"]\n'}, "not possible with fixed instances"),
        ({"judging": 'vary = "weather"\n'}, "vary is 'weather'"),
        ({"how": f"{CALLED}interactive = true\n"}, "not possible with interactive"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    folder = write_task(tmp_path, **{"how": CALLED, "judge": EVALUATOR, **given})
    with pytest.raises(ConfigurationError) as caught:
        read_folder(folder)
    assert said in str(caught.value)
