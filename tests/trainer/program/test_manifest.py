"""A program task's file: the meaning of each field, and errors with the field and a hint."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from protocol.program import Guard, Instances
from tests.trainer.program.tasks import CALLED, DRAWN, HEAD, JUDGE, METRIC, SOLVE, read, write_task
from trainer.program.harness.files import File
from trainer.program.kind import ProgramKind
from trainer.program.manifest import (
    EVALUATOR,
    ProgramRecipe,
    check,
    is_exact,
    is_timed,
    recipe_of,
    spec_of,
    tools_of,
)
from trainer.program.metric import SCALE
from trainer.program.profiles import profile_of
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task, untrusted_task

RUN = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n'


def task(tmp_path: Path, **parts: Any) -> Task:
    return read(write_task(tmp_path / "task", **parts))


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    read_task = task(tmp_path)
    manifest, spec = read_task.manifest, spec_of(read_task.manifest)
    assert (manifest.name, manifest.version, manifest.kind) == ("add", 1, "program")
    assert manifest.evaluator == EVALUATOR
    assert (manifest.budget.unit, manifest.budget.amount) == ("instances", 4)
    assert (manifest.limits.limit_s, manifest.limits.memory_mb) == (20, 1000)
    assert manifest.metric.max_step_nano == 10**10
    assert manifest.noise_floor_nano == 10**6
    assert (spec.run, spec.entry, spec.build) == (None, "solve.py:solve", None)
    assert (spec.encoding, spec.isolation, spec.device) == ("json", "fresh", "cpu")
    assert (spec.aggregate, spec.scoring, spec.interactive) == ("mean", "judged", False)
    assert (spec.instances.public, spec.instances.secret) == (2, 2)
    limits = spec.limits
    assert (limits.threads, limits.instance_mb, limits.answer_mb, limits.warmup) == (1, 16, 16, 0)
    assert (spec.best_known, spec.impossible, spec.guards) == (None, None, ())
    assert recipe_of(read_task) == ProgramRecipe(judge=JUDGE.encode(), fixed=())
    assert not is_timed(manifest)
    assert not is_exact(manifest)


def test_everything_that_a_file_may_say(tmp_path: Path) -> None:
    more = """\
[guards]
wall_s = { times = 1.5 }
calls = { most = 2.5 }
peak_mb = { times = 2, most = 100 }
[bound]
best_known = 0.25
impossible = -0.000001
"""
    how = """\
editable = ["solve.c"]
run = ["./solve", "--fast"]
build = ["cc", "-O2", "-o", "solve", "solve.c"]
encoding = "json"
isolation = "fresh"
device = "any"
threads = 2
instance_mb = 3
answer_mb = 4
interactive = true
files = ["words.txt", "more.txt"]
"""
    metric = METRIC + 'aggregate = "sum"\n'
    files = {"solve.c": "int main(void){return 0;}\n", "words.txt": "a\n", "more.txt": "b\n"}
    read_task = task(tmp_path, how=how, more=more, metric=metric, files=files)
    spec = spec_of(read_task.manifest)
    assert spec.run == ("./solve", "--fast")
    assert spec.build == ("cc", "-O2", "-o", "solve", "solve.c")
    assert (spec.device, spec.aggregate, spec.interactive) == ("any", "sum", True)
    limits = spec.limits
    assert (limits.threads, limits.instance_mb, limits.answer_mb, limits.warmup) == (2, 3, 4, 0)
    assert [path for path, _ in spec.fixed_files] == ["more.txt", "words.txt"]
    assert recipe_of(read_task).fixed == (
        File(path="more.txt", data=b"b\n"),
        File(path="words.txt", data=b"a\n"),
    )
    assert spec.guards == (
        Guard(name="calls", scale=SCALE, most=2_500_000_000),
        Guard(name="peak_mb", scale=SCALE, times_millionths=2_000_000, most=100 * 10**9),
        Guard(name="wall_s", scale=SCALE, times_millionths=1_500_000),
    )
    assert (spec.best_known, spec.impossible) == (250_000_000, -1000)


@pytest.mark.parametrize(
    ("how", "instances", "encoding"),
    [(CALLED, DRAWN, "json"), (RUN, DRAWN, "bytes"), (RUN, '[instances]\nfixed = ["n=26"]\n', "")],
)
def test_a_manifest_survives_its_way_to_others(
    tmp_path: Path, how: str, instances: str, encoding: str
) -> None:
    manifest = task(tmp_path, how=how, instances=instances).manifest
    assert TaskManifest.from_value(manifest.to_value()) == manifest
    assert not encoding or spec_of(manifest).encoding == encoding
    check(manifest)
    assert kind_of(manifest).words(manifest).limits


def test_every_byte_that_a_number_depends_on_is_in_the_id(tmp_path: Path) -> None:
    how = CALLED + 'files = ["words.txt"]\n'
    files = {"solve.py": "def solve(x): return 1\n", "words.txt": "a\n"}
    ids = {
        read(write_task(tmp_path / name, **{"how": how, "files": files, **parts})).id  # type: ignore[arg-type]
        for name, parts in {
            "same": {},
            "again": {},
            "judge": {"judge": JUDGE + "\n"},
            "baseline": {"files": {**files, "solve.py": "def solve(x): return 2\n"}},
            "words": {"files": {**files, "words.txt": "b\n"}},
            "limit": {"head": HEAD.replace("limit_s = 20", "limit_s = 21")},
            "instances": {"instances": DRAWN.replace("secret = 2", "secret = 3")},
            "guard": {"more": "[guards]\nwall_s = { times = 2 }\n"},
        }.items()
    }
    assert len(ids) == 7


def test_fixed_instances_are_exact_unless_what_counts_is_measured(tmp_path: Path) -> None:
    fixed = '[instances]\nfixed = ["n=26", "n=32"]\n'
    manifest = task(tmp_path, instances=fixed).manifest
    assert is_exact(manifest)
    assert manifest.budget.amount == 2
    assert spec_of(manifest).instances == Instances(public=0, secret=0, fixed=("n=26", "n=32"))
    sized = METRIC.replace('"error"', '"answer_bytes"')
    assert not is_exact(task(tmp_path / "sized", instances=fixed, metric=sized).manifest)


FAULTS: dict[str, tuple[dict[str, str], str, str]] = {
    # difference → part of the error, and part of the hint
    "neither entry nor run": ({"how": 'editable = ["solve.py"]\n'}, "run or entry", "entry is a"),
    "entry and run": ({"how": CALLED + 'run = ["./a"]\n'}, "run or entry", "entry is a"),
    "an entry without a function": (
        {"how": 'editable = ["solve.py"]\nentry = "solve.py"\n'},
        "entry",
        "fix that field",
    ),
    "an entry outside": (
        {"how": 'editable = ["solve.py"]\nentry = "/solve.py:solve"\n'},
        "entry names /solve.py, which is no file of the task",
        "name one of solve.py",
    ),
    "an entry that is absent": (
        {"how": 'editable = ["solve.py"]\nentry = "pak.py:solve"\n'},
        "entry names pak.py, which is no file of the task",
        "name one of solve.py, or add it to `editable` or `files`",
    ),
    "no list to run": (
        {"how": 'editable = ["solve.py"]\nrun = "python solve.py"\n'},
        "run is 'python solve.py'",
        "a list",
    ),
    "no instance limit": ({"head": HEAD.replace("limit_s = 20\n", "")}, "limit_s", "add it"),
    "an endless limit": (
        {"head": HEAD.replace("limit_s = 20", "limit_s = 0")},
        "limit_s is 0",
        "from 1 to 86400",
    ),
    "no memory": (
        {"head": HEAD.replace("memory_gb = 1.0", "memory_gb = 0")},
        "memory_gb is 0",
        "from 0.05",
    ),
    "an unknown field": (
        {"how": CALLED + "limits_s = 3\n"},
        "limits_s is not a known field",
        "limit_s",
    ),
    "an unknown encoding": (
        {"how": CALLED + 'encoding = "cbor"\n'},
        "encoding is 'cbor'",
        "arrays, bytes, files, json",
    ),
    "an unknown isolation": (
        {"how": CALLED + 'isolation = "none"\n'},
        "isolation is 'none'",
        "fresh",
    ),
    "an unknown device": ({"how": CALLED + 'device = "gpu"\n'}, "device is 'gpu'", "cpu"),
    "no threads": ({"how": CALLED + "threads = 0\n"}, "threads is 0", "from 1"),
    "too large an answer": (
        {"how": CALLED + "answer_mb = 4096\n"},
        "answer_mb is 4096",
        "from 1 to 256",
    ),
    "a flag in quotes": (
        {"how": CALLED + 'interactive = "yes"\n'},
        "interactive is 'yes'",
        "true or false",
    ),
    "interactive bytes": (
        {"how": RUN + "interactive = true\n"},
        "encoding is 'bytes'",
        "interactive commands use",
    ),
    "warm-ups of a command": (
        {"how": RUN + "warmup = 2\n"},
        "warmup needs an entry that is not interactive",
        "omit it",
    ),
    "warm-ups of a conversation": (
        {"how": CALLED + "interactive = true\nwarmup = 2\n"},
        "warmup needs an entry that is not interactive",
        "omit it",
    ),
    "a limit of no warm-ups": (
        {"how": CALLED + "warmup_limit_s = 2\n"},
        "warmup_limit_s needs warmup",
        "write `warmup = 1`",
    ),
    "a direction": (
        {"metric": METRIC.replace('"min"', '"down"')},
        "metric.direction is 'down'",
        "possible: max, min",
    ),
    "an aggregate": (
        {"metric": METRIC + 'aggregate = "median"\n'},
        "metric.aggregate is 'median'",
        "mea",
    ),
    "a metric's name": (
        {"metric": METRIC.replace('"error"', '"the error"')},
        "metric",
        "fix that field",
    ),
    "no step": (
        {"metric": METRIC.replace("max_step = 10.0\n", "")},
        "metric.max_step is missing",
        "add it",
    ),
    "a step of nothing": (
        {"metric": METRIC.replace("10.0", "0.0")},
        "metric.max_step is 0.0",
        "from 1e-09",
    ),
    "a word in the metric": (
        {"metric": METRIC + "scale = 3\n"},
        "metric.scale is not a known field",
        "name",
    ),
    "no instances": ({"instances": ""}, "instances is missing", "[instances]"),
    "no secret instances": (
        {"instances": "[instances]\npublic = 2\n"},
        "instances.secret is missing",
        "from 1 to 4096",
    ),
    "fixed and drawn": (
        {"instances": DRAWN + 'fixed = ["a"]\n'},
        "instances.fixed clashes with",
        "omit `public` and `secret`",
    ),
    "a duplicate instance": (
        {"instances": '[instances]\nfixed = ["a", "a"]\n'},
        "a duplicate instance",
        "fix that field",
    ),
    "seconds of fixed instances": (
        {
            "instances": '[instances]\nfixed = ["a"]\n',
            "metric": METRIC.replace('"error"', '"wall_s"'),
        },
        "metric.name needs new instances in each run, but the task's instances are fixed",
        "replace `fixed`",
    ),
    "processor time where processes may be started": (
        {
            "how": CALLED + "threads = 2\n",
            "metric": METRIC.replace('"error"', '"cpu_s"'),
        },
        "cpu_s does not include",
        "wall_s",
    ),
    "a guard of processor time where processes may be started": (
        {
            "how": 'editable = ["solve.py"]\nrun = ["node", "solve.py"]\n',
            "more": "[guards]\ncpu_s = { times = 2 }\n",
        },
        "cpu_s does not include",
        "wall_s",
    ),
    "a guard of nothing": ({"more": "[guards]\nwall_s = {}\n"}, "times, most", "fix that field"),
    "a guard with another word": (
        {"more": "[guards]\nwall_s = { factor = 2 }\n"},
        "guards.wall_s.factor is not a known field",
        "times",
    ),
    "a guard that is no section": (
        {"more": "[guards]\nwall_s = 2\n"},
        "guards.wall_s is not a section",
        "write it as",
    ),
    "a bound with another word": (
        {"more": "[bound]\nbest = 2\n"},
        "bound.best is not a known field",
        "best_known",
    ),
    "a bound beyond what records hold": (
        {"more": "[bound]\nbest_known = 1e7\n"},
        "bound.best_known",
        "a number from",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_field_and_the_fix(tmp_path: Path, name: str) -> None:
    parts, said, hint = FAULTS[name]
    with pytest.raises(ConfigurationError) as fault:
        task(tmp_path, **parts)
    assert "task.toml" in fault.value.message
    assert said in fault.value.message
    assert hint in fault.value.hint, fault.value.hint


def test_a_judge_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task")
    (folder / "judge.py").unlink()
    with pytest.raises(ConfigurationError, match=r"judge\.py: cannot be read") as fault:
        read(folder)
    assert "add it" in fault.value.hint


def test_a_file_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    with pytest.raises(ConfigurationError, match="lies outside"):
        task(tmp_path, how=CALLED + 'files = ["../key"]\n')


UNKNOWN: dict[str, dict[str, Any]] = {
    "encoding": {"encoding": "cbor"},
    "isolation": {"isolation": "fork"},
    "device": {"device": "tpu"},
    "scoring": {"scoring": "voted"},
    "aggregate": {"aggregate": "median"},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_word_that_is_not_known_here_is_not_run(tmp_path: Path, name: str) -> None:
    """A manifest may come from a newer version with more words."""
    manifest = task(tmp_path).manifest
    unlike = replace(manifest, program=replace(spec_of(manifest), **UNKNOWN[name]))
    assert TaskManifest.from_value(unlike.to_value()) == unlike
    with pytest.raises(ConfigurationError, match=f"its {name} is ") as fault:
        kind_of(unlike)
    assert "install the arnode version" in fault.value.hint


def test_another_evaluator_budget_or_scale_is_not_run(tmp_path: Path) -> None:
    manifest = task(tmp_path).manifest
    for unlike in (
        replace(manifest, evaluator="program/1"),
        replace(manifest, budget=replace(manifest.budget, unit="seconds")),
        replace(manifest, metric=replace(manifest.metric, scale=3)),
    ):
        with pytest.raises(ConfigurationError, match="not known here"):
            check(unlike)


def test_what_is_no_program_is_none(tmp_path: Path) -> None:
    tiny = load_task("tiny", data_dir=tmp_path)
    with pytest.raises(TypeError, match="not a program task"):
        spec_of(tiny.manifest)
    with pytest.raises(TypeError, match="not a program task"):
        recipe_of(tiny)


@pytest.mark.parametrize(
    ("command", "tools"),
    [
        (None, ()),
        (("./solve",), ()),
        (("python", "solve.py"), ()),
        (("cc", "-o", "solve"), ("cc",)),
        (("make",), ("cc",)),
        (("cargo", "build"), ("rust",)),
        (("node", "solve.js"), ("node",)),
    ],
)
def test_a_command_says_which_toolchain_it_needs(
    command: tuple[str, ...] | None, tools: tuple[str, ...]
) -> None:
    assert tools_of(command) == tools


def test_a_called_function_is_a_single_process(tmp_path: Path) -> None:
    assert profile_of(task(tmp_path).manifest).single_process
    several = task(tmp_path / "several", how=CALLED + "threads = 4\n").manifest
    assert not profile_of(several).single_process
    assert profile_of(several).memory_bytes == 10**9


def test_an_assistant_is_shown_what_counts(tmp_path: Path) -> None:
    words = ProgramKind().words(task(tmp_path).manifest)
    assert words.budget == "4 instances, new in each run"
    assert words.limits == "20 s an instance, 1 GB of memory."
    assert "no network" in words.measured
    fixed = task(tmp_path / "fixed", instances='[instances]\nfixed = ["a"]\n').manifest
    assert ProgramKind().words(fixed).budget == "1 fixed instances"


def test_only_seconds_must_stand_alone(tmp_path: Path) -> None:
    timed = task(tmp_path, metric=METRIC.replace('"error"', '"wall_s"')).manifest
    assert is_timed(timed)
    assert not ProgramKind().may_run_alongside(timed)
    assert ProgramKind().may_run_alongside(task(tmp_path / "judged").manifest)


def test_no_field_of_a_spec_is_left_out_of_what_is_read(tmp_path: Path) -> None:
    spec = spec_of(task(tmp_path).manifest)
    unread = {"judge_data", "packages", "judge_packages", "llm", "regions", "forbid"}
    assert {name.name for name in fields(spec)} >= unread
    assert all(not getattr(spec, name) for name in unread)


def test_a_judge_may_have_limits_of_its_own(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "usual")
    usual = read(folder)
    assert usual.manifest.program is not None
    assert usual.manifest.program.limits.judge_limit_s is None
    text = (folder / "task.toml").read_text()
    longer = text.replace(
        'file = "judge.py"\n', 'file = "judge.py"\nlimit_s = 5\nmemory_gb = 0.5\n'
    )
    (folder / "task.toml").write_text(longer)
    changed = read(folder)
    assert changed.id != usual.id
    means = recipe_of(changed).judge_means
    assert (means.limit_s, means.memory_bytes) == (5, 500_000_000)


def test_an_untrusted_task_has_its_script_its_packages_and_its_judges_limits(
    tmp_path: Path,
) -> None:
    llm = '[llm]\nmodels = ["scripted"]\nscript = "scripted.py"\ncalls = 4\ntokens = 40\n'
    files = {"solve.py": SOLVE, "scripted.py": "def answer(messages, seed):\n    return ''\n"}
    folder = write_task(tmp_path, how=CALLED + 'requires = ["click"]\n', more=llm, files=files)
    text = (folder / "task.toml").read_text()
    longer = text.replace('file = "judge.py"\n', 'file = "judge.py"\nlimit_s = 5\nscratch_mb = 1\n')
    (folder / "task.toml").write_text(longer)
    own = read(folder)
    served = {hashlib.sha256(one).digest(): one for one in recipe_of(own).named_blobs}
    assert spec_of(own.manifest).blobs
    assert set(spec_of(own.manifest).blobs) <= set(served)
    others = untrusted_task(own.manifest, own.source, served.__getitem__)
    ours, theirs = recipe_of(own), recipe_of(others)
    assert (theirs.script, theirs.judge_means) == (ours.script, ours.judge_means)
    assert theirs.packages == ours.packages
