"""A task folder only uses its own files, and a user's text contains no file from elsewhere."""

import tomllib
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.outsiders import OUTSIDERS, REFUSED, SECRET, secret_next_to
from tests.tasks import sums
from trainer.language_model.text.splits import read_texts
from trainer.task_kinds import load_task

MOVES = """\
[[move]]
name = "m"
title = "t"
why = "w"
[[move.edit]]
search = "OFF = 8"
replace = "OFF = 7"
"""
REFUSED_HERE = rf"{REFUSED}|not a plain file|Not a directory"
FILES = (
    "task.toml", "solve.py", "judge.py", "program.md", "moves.toml", "data.txt", "findings.toml",
    "requires.lock", "raw", "raw/x.csv", "shown", "shown/y.csv",
)  # fmt: skip
TOP = """\
private = true
moves = "moves.toml"
findings = "findings.toml"
files = ["data.txt"]
requires = ["numpy"]
"""
DATA = '\n[data]\npublic = "shown"\njudge = "raw"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a task folder that names every possible kind of file."""
    secret_next_to(tmp_path)
    folder = tmp_path / "task"
    for name in ("raw", "shown"):
        (folder / name).mkdir(parents=True)
    lines = sums.TASK.replace('device = "any"\n', f'device = "any"\n{TOP}') + DATA
    texts = {
        "task.toml": lines, "solve.py": sums.SOLVE, "judge.py": sums.JUDGE, "program.md": "x",
        "moves.toml": MOVES, "data.txt": "1", "findings.toml": "", "raw/x.csv": "1",
        "shown/y.csv": "1",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def test_the_example_names_every_file_and_loads(folder: Path, tmp_path: Path) -> None:
    task = load_task(folder, data_dir=tmp_path)
    assert (len(task.moves), task.catalogue) == (1, folder / "findings.toml")
    assert "data.txt" in tomllib.loads((folder / "task.toml").read_text())["files"]


@pytest.mark.parametrize("outsider", OUTSIDERS)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_leads_out_or_is_no_file_is_refused_by_name(
    file: str, outsider: str, folder: Path, tmp_path: Path
) -> None:
    OUTSIDERS[outsider](folder / file, tmp_path / "secret")
    with pytest.raises(ConfigurationError, match=REFUSED_HERE) as said:
        load_task(folder, data_dir=tmp_path)
    assert Path(file).name in said.value.message
    assert SECRET not in said.value.message
    assert said.value.hint


@pytest.mark.parametrize("field", ["editable", "program", "moves", "findings", "files", "file"])
@pytest.mark.parametrize(
    "named", ["{secret}/id_rsa", "../secret/id_rsa", "raw/../../secret/id_rsa"]
)
def test_a_field_that_names_what_lies_outside_is_refused(
    field: str, named: str, folder: Path, tmp_path: Path
) -> None:
    named = named.format(secret=tmp_path / "secret")
    path = folder / "task.toml"
    lines = path.read_text().splitlines()
    is_list = field in ("editable", "files")
    value = f'["{named}"]' if is_list else f'"{named}"'
    lines = [f"{field} = {value}" if one.startswith(f"{field} = ") else one for one in lines]
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match="lies outside the folder"):
        load_task(folder, data_dir=tmp_path)


@pytest.mark.parametrize("outsider", OUTSIDERS)
@pytest.mark.parametrize("file", ["b.txt", "deep", "deep/c.txt"])
def test_own_text_from_elsewhere_is_refused_by_name(
    file: str, outsider: str, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    (text / "deep").mkdir(parents=True)
    (text / "a.txt").write_text("mine")
    OUTSIDERS[outsider](text / file, secret_next_to(tmp_path))
    with pytest.raises(ConfigurationError, match=REFUSED) as caught:
        read_texts(text)
    assert caught.value.hint


def test_own_text_may_be_named_by_a_link_and_its_inner_links_count_once(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text("mine")
    (text / "b.txt").symlink_to("a.txt")
    (text / ".hidden").symlink_to("/etc/hostname")
    (tmp_path / "folder").symlink_to(text)
    (tmp_path / "file").symlink_to(text / "a.txt")
    assert read_texts(tmp_path / "folder") == [("a.txt", b"mine")]
    assert read_texts(tmp_path / "file") == [("", b"mine")]


def test_more_text_than_is_supported_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match="more than the 67108864 bytes"):
        read_texts(tmp_path)
