"""A task with the user's own text: its name, its identity, its privacy."""

import random
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.terminal.progress import silent
from protocol.errors import SafetyError, UsageError
from tests.trainer.runners import prepare_all
from trainer.language_model.text.windows import shared_windows
from trainer.language_model.text_task import task_name
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task, text_task
from trainer.tasks.tiny import world


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "My diary (2).txt"
    path.write_text("".join(d.text for d in world.first_documents(b"own", 500_000)))
    return path


def test_a_text_becomes_a_private_task_named_after_it(diary: Path, tmp_path: Path) -> None:
    task = text_task(diary, data_dir=tmp_path)
    assert task.name.startswith("text-my-diary-2-")
    assert task.is_private
    assert task.manifest.kind == "language-model"
    assert task.manifest.vocabulary_size == task.recipe.vocabulary.size == 1024


def test_the_baseline_hyperparameters_and_moves_are_those_of_tiny(
    diary: Path, tmp_path: Path
) -> None:
    task, tiny = text_task(diary, data_dir=tmp_path), load_task("tiny", data_dir=tmp_path)
    assert (task.source, task.hyperparameters, task.moves) == (
        tiny.source,
        tiny.hyperparameters,
        tiny.moves,
    )
    assert task.id != tiny.id


def test_the_task_can_be_loaded_by_name_afterwards(diary: Path, tmp_path: Path) -> None:
    task = text_task(diary, data_dir=tmp_path)
    assert load_task(task.name, data_dir=tmp_path) == task
    assert text_task(diary, data_dir=tmp_path).id == task.id


def test_the_place_of_the_text_is_no_part_of_its_identity(diary: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / diary.name
    moved.parent.mkdir()
    shutil.copy(diary, moved)
    first = text_task(diary, data_dir=tmp_path)
    second = text_task(moved, data_dir=tmp_path)
    assert second.id == first.id
    assert second.recipe.path == moved


def test_a_folder_becomes_a_task_without_its_hidden_files(diary: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(diary, folder / "sub" / "one.md")
    before = text_task(folder, data_dir=tmp_path)
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"\xff\xfe")
    assert text_task(folder, data_dir=tmp_path).id == before.id
    (folder / "two.md").write_text("One more page.\n")
    assert text_task(folder, data_dir=tmp_path).id != before.id


def test_quotes_in_a_path_do_no_harm(diary: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" \\ ü.txt'
    shutil.copy(diary, odd)
    assert text_task(odd, data_dir=tmp_path).recipe.path == odd


def test_nothing_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        text_task(tmp_path / "absent.txt", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("War & Peace.txt", "text-war-peace-"), ("日記.txt", "text-own-"), ("a" * 99, "text-aaa")],
)
def test_names_are_short_and_plain(name: str, expected: str) -> None:
    found = task_name(Path(name), bytes(32))
    assert found.startswith(expected)
    assert found.endswith("-00000000")
    assert len(found) <= 48


def test_random_letters_give_a_task_too(tmp_path: Path) -> None:
    path = tmp_path / "noise.txt"
    path.write_text("".join(random.Random(1).choices("abcdefgh \n", k=450_000)))
    task = text_task(path, data_dir=tmp_path)
    data = prepare_all(task, data_dir=tmp_path, progress=silent, visible=[])
    assert data.floor_nano is None
    assert len(data.training_tokens(1, task.manifest.budget.amount + 1)) == 153_601


def test_rows_that_sandboxes_can_read_are_never_scored(diary: Path, tmp_path: Path) -> None:
    task = text_task(diary, data_dir=tmp_path)
    hidden = prepare_all(task, data_dir=tmp_path, progress=silent, visible=[])
    passage = _bytes_of(hidden.public_rows[7], task)
    visible = tmp_path / "docs.md"
    visible.write_bytes(b"Intro. " + passage)
    shown = prepare_all(task, data_dir=tmp_path, progress=silent, visible=[visible])
    scored = {row.tobytes() for row in shown.public_rows}
    assert hidden.public_rows[7].tobytes() not in scored
    assert hidden.public_rows[20].tobytes() in scored
    assert len(shown.public_rows) == task.manifest.scored_rows
    joined = b"\0".join(_bytes_of(row, task) for row in shown.public_rows)
    assert shared_windows(joined, [visible]) == []


def _bytes_of(row: NDArray[np.uint16], task: Task) -> bytes:
    return task.recipe.vocabulary.decode(row)


def test_text_that_sandboxes_can_read_is_refused(diary: Path, tmp_path: Path) -> None:
    task = text_task(diary, data_dir=tmp_path)
    copy = tmp_path / "docs.md"
    copy.write_bytes(b"Intro. " + diary.read_bytes())
    with pytest.raises(SafetyError, match="lies in files that every sandbox can read"):
        prepare_all(task, data_dir=tmp_path, progress=silent, visible=[copy])


# A text from the Python installation


def library() -> Path:
    """Return files of the standard library, more than a text needs."""
    return Path(sysconfig.get_path("stdlib"))


def test_the_interpreter_s_own_text_is_refused_before_anything_is_made_of_it(
    tmp_path: Path,
) -> None:
    home, torch = tmp_path / "home", find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    docs = Path(torch.origin).with_name("_torch_docs.py")
    copy = tmp_path / "notes.txt"
    shutil.copy(docs, copy)
    for path in (docs, copy):
        with pytest.raises(SafetyError, match=r"100% of it .* sandbox can read.*_torch_docs\.py"):
            text_task(path, data_dir=home)
    folder = shutil.copytree(
        library() / "asyncio", tmp_path / "notes", ignore=lambda _at, _all: ["__pycache__"]
    )
    with pytest.raises(SafetyError, match="every sandbox can read"):
        text_task(folder, data_dir=home)
    assert not home.exists()


def test_a_little_of_what_is_installed_does_no_harm(diary: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    shutil.copy(diary, folder)
    own_bytes = diary.stat().st_size
    for number, file in enumerate(("textwrap.py", "bisect.py")):
        assert (library() / file).stat().st_size < own_bytes / 10
        shutil.copy(library() / file, folder / f"{number}.txt")
    assert text_task(folder, data_dir=tmp_path).is_private
