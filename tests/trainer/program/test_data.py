"""Folders of data, and files that a judge may write: who sees them, how long, and the limits."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from tests.trainer.program.tasks import CALLED, HEAD, JUDGE, SOLVE, Bench, read, write_task
from trainer.measuring.host_load import LaneWork
from trainer.program.data import DataFolder, JudgeResources
from trainer.program.harness.codec import decode, encode
from trainer.program.judge import Judge, Verdict
from trainer.program.manifest import ProgramRecipe, recipe_of, spec_of
from trainer.program.seeds import InstanceName
from trainer.task_folder.task import Task
from trainer.task_kinds import untrusted_task

PRIVATE = f"{HEAD}private = true\n"
DATA = '[data]\npublic = "shown"\njudge = "hidden"\n'
INSTANCE = encode({"drawn": 0.5}, "json")
NAME = InstanceName(split="public", index=0, seed=bytes(32))

# A naive judge that does with files whatever an answer asks.
WRITING = """\
import os
import tempfile
from pathlib import Path

SCRATCH = Path(tempfile.gettempdir())


def instance(seed, split, index):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.txt")
        path.write_text("made")
        return {"made": path.read_text(), "left": sorted(map(str, SCRATCH.iterdir()))[1:]}


def check(instance, answer):
    if answer == "leave":
        (SCRATCH / "left").mkdir()
        (SCRATCH / "left" / "word").write_text("a secret")
        os.symlink("/", SCRATCH / "link")
    if answer == "own file":
        Path(__file__).write_text("taken over")
    if answer == "flood":
        (SCRATCH / "flood").write_bytes(bytes(3_000_000))
    if answer == "floods":
        for number in range(64):
            (SCRATCH / str(number)).write_bytes(bytes(999_999))
    return {"files": len(list(SCRATCH.rglob("*"))), "text": len(Path(__file__).read_text())}
"""
# A judge that looks at data and reports on it as asked.
READING = """\
from pathlib import Path

SHOWN = Path(__file__).with_name("shown") / "words.txt"
HIDDEN = Path(__file__).with_name("hidden") / "deep" / "answers.txt"


def instance(seed, split, index):
    return {"words": SHOWN.read_text()}


def check(instance, answer):
    if answer == "write":
        HIDDEN.write_text("0")
    return {"error": abs(answer - float(HIDDEN.read_text()))}
"""


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop:
        yield loop


@pytest.fixture(scope="module")
def writing(loop: asyncio.Runner) -> Iterator[Judge]:
    """Return a judge that may write two million bytes to answer a question."""
    recipe = ProgramRecipe(
        judge=WRITING.encode(), fixed=(), judge_means=JudgeResources(scratch_bytes=2_000_000)
    )
    judge = Judge("write", recipe, encoding="json", interactive=False, work=LaneWork())
    yield judge
    loop.run(judge.close())


def folders(folder: Path) -> None:
    (folder / "shown").mkdir(parents=True)
    (folder / "shown" / "words.txt").write_text("seven words")
    (folder / "hidden" / "deep").mkdir(parents=True)
    (folder / "hidden" / "deep" / "answers.txt").write_text("7.5")


def task(folder: Path, **parts: object) -> Task:
    folders(folder)
    given = {"head": PRIVATE, "more": DATA, "judge": READING} | parts
    return read(write_task(folder, **given))  # type: ignore[arg-type]


def checked(loop: asyncio.Runner, judge: Judge, answer: str) -> Verdict:
    return loop.run(judge.check(INSTANCE, encode(answer, "json")))


# Files that a judge writes


def test_a_question_may_write_and_the_next_one_finds_nothing(
    loop: asyncio.Runner, writing: Judge
) -> None:
    clean = {"files": 0.0, "text": float(len(WRITING))}
    assert checked(loop, writing, "nothing").figures == clean
    assert checked(loop, writing, "leave").figures["files"] == 3.0
    assert checked(loop, writing, "nothing").figures == clean
    made = loop.run(writing.make([NAME, NAME], most_bytes=1000))
    assert [decode(one, "json") for one in made] == [{"made": "made", "left": []}] * 2


def test_questions_at_once_find_nothing_of_each_other(loop: asyncio.Runner, writing: Judge) -> None:
    async def both() -> list[Verdict]:
        answers = ("leave", "nothing", "leave")
        asked = (writing.check(INSTANCE, encode(answer, "json")) for answer in answers)
        return await asyncio.gather(*asked)

    assert [one.figures["files"] for one in loop.run(both())] == [3.0, 0.0, 3.0]


@pytest.mark.parametrize("answer", ["own file", "flood", "floods"])
def test_no_more_is_written_than_a_task_grants(
    loop: asyncio.Runner, writing: Judge, answer: str
) -> None:
    assert checked(loop, writing, answer).wrong
    assert checked(loop, writing, "nothing").figures["files"] == 0.0


def test_one_that_cannot_be_loaded_says_why_also_where_it_may_write(loop: asyncio.Runner) -> None:
    recipe = ProgramRecipe(judge=b"1 / 0\n", fixed=(), judge_means=JudgeResources(scratch_bytes=1))
    judge = Judge("bad", recipe, encoding="json", interactive=False, work=LaneWork())
    with pytest.raises(ConfigurationError, match=r"cannot be loaded .*ZeroDivisionError"):
        loop.run(judge.make([NAME], most_bytes=1000))
    loop.run(judge.close())


# Files that are read


def test_the_judge_reads_both_and_a_candidate_what_it_is_shown(tmp_path: Path) -> None:
    looking = """\
import os
from pathlib import Path

TELLS = []
for path in ("hidden", "/data/hidden", "../data/hidden", "HOST"):
    try:
        os.listdir(path)
        TELLS.append(path)
    except OSError:
        pass
try:
    Path("shown/words.txt").write_text("mine")
    TELLS.append("written")
except OSError:
    pass
FOUND = sorted(os.listdir("shown"))


def solve(instance):
    same = Path("shown/words.txt").read_text() == instance["words"] == "seven words"
    return 6.5 + len(TELLS) if same and FOUND == ["words.txt"] else 100.0
"""
    own = task(tmp_path, files={"solve.py": "def solve(instance):\n    return 6.0\n"})
    with Bench(own) as bench:
        assert bench.calibrate().metric_nano == 1_500_000_000
        hidden = str(tmp_path / "hidden")
        outcome = bench.run(looking.replace("HOST", hidden))
        assert (outcome.reason, outcome.metric_nano) == (None, 1_000_000_000)
        assert (tmp_path / "shown" / "words.txt").read_text() == "seven words"
        wrong = bench.run('def solve(instance):\n    return "write"\n')
    assert wrong.status == "rejected"
    assert "Read-only file system" in str(wrong.reason) or "Permission" in str(wrong.reason)
    assert (tmp_path / "hidden" / "deep" / "answers.txt").read_text() == "7.5"


def test_every_byte_of_data_is_in_the_id(tmp_path: Path) -> None:
    manifest = task(tmp_path).manifest
    spec = spec_of(manifest)
    assert spec.public_data is not None
    assert spec.public_data[0] == "shown"
    assert [name for name, _ in spec.judge_data] == ["hidden"]
    assert TaskManifest.from_value(manifest.to_value()) == manifest
    for path, text in (("shown/words.txt", "eight words"), ("hidden/deep/answers.txt", "7.6")):
        (tmp_path / path).write_text(text)
        assert read(tmp_path).id != manifest.id
        folder = tmp_path / path.split("/")[0]
        assert DataFolder.read(folder.name, folder).digest in spec_of(read(tmp_path).manifest).blobs


def test_a_listing_travels_and_the_data_do_not(tmp_path: Path) -> None:
    own = task(tmp_path)
    named_blobs = b"".join(own.recipe.named_blobs)
    assert b"  deep/answers.txt\n" in named_blobs
    assert b"7.5" not in named_blobs
    assert b"seven words" not in named_blobs


def test_nobody_runs_it_from_what_the_manifest_names(tmp_path: Path) -> None:
    own = task(tmp_path)
    blobs = {sha256(blob).digest(): blob for blob in own.recipe.named_blobs}
    with pytest.raises(ConfigurationError, match="only its author has its data"):
        untrusted_task(own.manifest, own.source, blobs.__getitem__)


def test_a_folder_that_was_only_touched_is_the_same(tmp_path: Path) -> None:
    own = task(tmp_path)
    path = tmp_path / "hidden" / "deep" / "answers.txt"
    path.write_text("7.5")
    for folder in recipe_of(own).judge_means.data:
        folder.check()
    path.rename(path.with_name("others.txt"))
    with pytest.raises(ConfigurationError, match="have changed since the task was loaded"):
        recipe_of(own).judge_means.data[1].check()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"head": HEAD}, "data needs a private task"),
        ({"more": '[data]\njudge = "shown"\npublic = "shown"\n'}, "data names one folder twice"),
        ({"more": '[data]\njudge = "../hidden"\n'}, r"data names '\.\./hidden'"),
        ({"more": '[data]\njudge = "nowhere"\n'}, "nowhere: cannot be read"),
        ({"more": '[data]\nothers = "shown"\n'}, r"data\.others is not a known field"),
        (
            {"how": f'{CALLED}files = ["hidden/deep/answers.txt"]\n'},
            "data contains 'hidden/deep/answ",
        ),
        ({"how": f'{CALLED}toolchains = ["zsh"]\n'}, "toolchains names 'zsh'"),
    ],
)
def test_what_cannot_be_is_reported_in_one_line(
    tmp_path: Path, parts: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        task(tmp_path, **parts)


def test_a_link_among_data_is_refused(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "hidden" / "link").symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError, match=r"link is not a plain file"):
        DataFolder.read("hidden", tmp_path / "hidden")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="the folder has no files"):
        DataFolder.read("empty", tmp_path / "empty")


def test_a_task_without_any_says_nothing_of_it(tmp_path: Path) -> None:
    value = read(write_task(tmp_path, judge=JUDGE, files={"solve.py": SOLVE})).manifest.to_value()
    assert isinstance(value, dict)
    program = value["program"]
    assert isinstance(program, dict)
    assert program.keys().isdisjoint({"toolchains", "public_data"})
    assert program["limits"] == {"threads": 1, "instance_mb": 16, "answer_mb": 16, "warmup": 0}
