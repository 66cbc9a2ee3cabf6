"""A holdout replaces visible files on secret instances, and nothing about it is revealed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, Bench, figures, read, write_task
from trainer.importing.holdout import SALT_FILE
from trainer.measuring.checks import Remark
from trainer.program.checking import examine
from trainer.task_kinds import untrusted_task

MARKER = "held-out-4711"
HOW = 'editable = ["solve.py"]\nentry = "solve.py:solve"\nfiles = ["data.txt", "more.txt"]\n'
HELD_OUT = '[data]\nholdout = "holdout"\n'
PRIVATE = f"private = true\n{HOW}"
SOLVE = """\
from pathlib import Path


def solve(instance):
    text = Path("data.txt").read_text()
    print(text, Path("more.txt").read_text())
    return len(text) + sum(instance["numbers"])
"""


def write_held_out(folder: Path, *, how: str = PRIVATE, instances: str = ONE_OF_EACH) -> Path:
    write_task(
        folder, head=HEAD, how=how, instances=instances, more=HELD_OUT,
        files={"solve.py": SOLVE, "data.txt": "seen", "more.txt": "more"},
    )  # fmt: skip
    (folder / "holdout").mkdir()
    (folder / "holdout" / "data.txt").write_text(MARKER)
    (folder / "holdout" / SALT_FILE).write_bytes(bytes(range(32)))
    return folder


def test_a_trial_meets_the_holdout_and_a_screen_does_not(tmp_path: Path) -> None:
    with Bench(read(write_held_out(tmp_path))) as bench:
        trial = bench.calibrate()
        screen = bench.do(bench.runner.run(bench.task.source, 1))
    public, secret = figures(trial)
    assert public == len("seen") * 10**9
    assert secret == len(MARKER) * 10**9
    assert figures(screen) == (public, public)
    for outcome in (trial, screen):
        assert "seen more" in outcome.log_tail
        assert MARKER not in repr(outcome)


@pytest.mark.parametrize(
    "reveals",
    ["raise ValueError(text)", "print(text); exit(text)", "open(text * 9)", "return text"],
)
def test_what_a_candidate_says_of_it_is_neither_kept_nor_quoted(
    tmp_path: Path, reveals: str
) -> None:
    reported = SOLVE.replace("    return", f"    if text != 'seen':\n        {reveals}\n    return")
    with Bench(read(write_held_out(tmp_path))) as bench:
        bench.calibrate()
        outcome = bench.run(reported)
    assert outcome.status in ("crash", "rejected")
    assert outcome.reason is not None
    assert "an instance of the secret split" in outcome.reason
    assert MARKER not in repr(outcome)


def test_the_manifest_has_a_salted_hash_of_it_alone(tmp_path: Path) -> None:
    folder = write_held_out(tmp_path)
    task = read(folder)
    spec = task.manifest.program
    assert spec is not None
    assert spec.holdout is not None
    assert spec.holdout not in spec.blobs
    assert MARKER.encode() not in b"".join(task.recipe.named_blobs)
    assert MARKER not in repr(task.recipe)
    (folder / "holdout" / SALT_FILE).write_bytes(bytes(range(1, 33)))
    assert read(folder).id != task.id
    (folder / "holdout" / "data.txt").write_text(f"{MARKER}!")
    other = read(folder).manifest.program
    assert other is not None
    assert other.holdout != spec.holdout
    with pytest.raises(ConfigurationError, match="only its author has its data"):
        untrusted_task(task.manifest, task.source, lambda _blob: b"")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: (folder / "holdout" / SALT_FILE).unlink(), "has no .salt"),
        (lambda folder: (folder / "holdout" / "odd.txt").touch(), "odd.txt replaces no file"),
        (lambda folder: (folder / "holdout" / "solve.py").touch(), "solve.py replaces no file"),
        (lambda folder: (folder / "holdout" / "data.txt").unlink(), "the holdout has no files"),
        (
            lambda folder: (folder / "holdout" / "more.txt").symlink_to("/etc/hostname"),
            "lies outside the folder",
        ),
    ],
)
def test_a_holdout_that_cannot_serve_is_reported(
    tmp_path: Path, change: object, expected: str
) -> None:
    folder = write_held_out(tmp_path)
    assert callable(change)
    change(folder)
    with pytest.raises(ConfigurationError, match=expected):
        read(folder)


def test_it_stays_on_this_machine_and_needs_a_secret_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs a private task"):
        read(write_held_out(tmp_path / "open", how=HOW))
    fixed = '[instances]\nfixed = ["all"]\n'
    with pytest.raises(
        ConfigurationError, match="needs secret instances, but the task's instances"
    ):
        read(write_held_out(tmp_path / "fixed", instances=fixed))
    spec = read(write_held_out(tmp_path / "drawn")).manifest.program
    assert spec is not None
    instances = replace(spec.instances, public=0, secret=0, fixed=("all",))
    broken = replace(spec, instances=instances)
    assert "holdout" in (broken._fault() or "")


def test_a_build_sees_none_of_it(tmp_path: Path) -> None:
    how = f'build = ["sh", "-c", "cp data.txt built.txt"]\n{PRIVATE}'
    folder = write_held_out(tmp_path, how=how)
    solve = folder / "solve.py"
    solve.write_text(SOLVE.replace('Path("data.txt")', 'Path("built.txt")'))
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == (4 * 10**9, 4 * 10**9)


def test_a_check_of_the_task_shows_no_words_of_a_judge_that_saw_it(tmp_path: Path) -> None:
    folder = write_held_out(tmp_path)
    judge = folder / "judge.py"
    judge.write_text(judge.read_text().replace('"not a whole number"', "f'no number: {answer}'"))
    solve = folder / "solve.py"
    reported = '    if text != "seen":\n        return text\n    return'
    solve.write_text(solve.read_text().replace("    return", reported))

    async def remarks() -> list[Remark]:
        found = examine(read(folder), progress=lambda _what, _share: None)
        return [remark async for remark in found]

    found = asyncio.run(remarks())
    assert "on the holdout, which is not shown" in repr(found)
    assert MARKER not in repr(found)
