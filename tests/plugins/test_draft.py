"""Task folders are written whole, under safe names, and never over anything."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arnode_plugins import algotune, kernelbot, openevolve, pi_autoresearch, shinka
from protocol.errors import ConfigurationError, UsageError
from tests.plugins.brought import FOLDERS, copied
from trainer.importing.command import Measured, Wanted, draft_of
from trainer.importing.draft import MEASURED, safe_figure, safe_name, write_draft
from trainer.importing.toml_text import toml_text
from trainer.task_kinds import load_task

SPREAD = FOLDERS / "openevolve" / "spread"

SCALARS = st.text() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(
    allow_nan=False, allow_infinity=False
)  # fmt: skip


@given(
    st.dictionaries(st.text(), SCALARS | st.lists(SCALARS) | st.dictionaries(st.text(), SCALARS))
)
def test_what_is_written_reads_the_same(table: dict[str, object]) -> None:
    read = tomllib.loads(toml_text(table))  # type: ignore[arg-type]
    assert read == table


def test_comments_and_guards_are_a_line_each() -> None:
    text = toml_text({"a": 1, "guards": {"s": {"times": 1.5}}}, {"a": "why"})
    assert text == "a = 1  # why\n\n[guards]\ns = { times = 1.5 }\n"


def test_what_is_brought_over_loads_as_a_task(tmp_path: Path) -> None:
    line = FOLDERS / "command"
    drafts = [
        openevolve.read_task(SPREAD),
        shinka.read_task(FOLDERS / "shinka" / "halves"),
        kernelbot.read_task(FOLDERS / "kernelbot" / "double_py"),
        pi_autoresearch.read_task(FOLDERS / "pi" / "words"),
        algotune.read_task(FOLDERS / "algotune" / "AlgoTuneTasks" / "longest_rise"),
        draft_of(
            Wanted(targets=[line / "fit.py"], command="true", metric="a" * 40, root=line),
            Measured(direction="max"),
        ),
    ]
    for draft in drafts:
        write_draft(draft, tmp_path / draft.name)
        assert load_task(tmp_path / draft.name, data_dir=tmp_path).name == draft.name


@given(st.text())
def test_names_are_safe(text: str) -> None:
    name, figure = safe_name(text), safe_figure(text)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 1 <= len(name) <= 48
    assert figure.isidentifier() or figure[0].isdigit()
    assert figure not in MEASURED


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    draft = openevolve.read_task(SPREAD)
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty") as caught:
        write_draft(draft, tmp_path)
    assert "--into" in caught.value.hint
    with pytest.raises(UsageError, match="exists and is not empty"):
        write_draft(draft, tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    (tmp_path / "empty").mkdir()
    write_draft(draft, tmp_path / "empty")
    assert (tmp_path / "empty" / "task.toml").is_file()


@pytest.mark.parametrize("wanted", [openevolve.read_task, None], ids=["brought", "loaded"])
def test_harbors_tasks_are_of_another_kind(tmp_path: Path, wanted: object) -> None:
    folder = FOLDERS / "harbor" / "hello"
    with pytest.raises(ConfigurationError, match="is a Harbor task") as caught:
        openevolve.read_task(folder) if wanted else load_task(folder, data_dir=tmp_path)
    assert "arnode task init" in caught.value.hint


def test_a_task_folder_is_not_brought_over_again(tmp_path: Path) -> None:
    write_draft(openevolve.read_task(SPREAD), tmp_path / "made")
    with pytest.raises(ConfigurationError, match="already a task folder"):
        openevolve.read_task(tmp_path / "made")


def test_more_files_than_a_task_may_have_are_reported(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    for number in range(61):
        (folder / f"data_{number}.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="more than 60 files"):
        openevolve.read_task(folder)


def test_hidden_files_stay_where_they_are_and_a_link_that_leads_out_is_refused(
    tmp_path: Path,
) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / ".env").symlink_to("/etc/hostname")
    assert ".env" not in openevolve.read_task(folder).files
    (folder / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(ConfigurationError, match=r"link\.txt lies outside .* to /etc/hostname"):
        openevolve.read_task(folder)


def test_a_name_that_the_task_takes_is_refused(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "measure.py").write_text("x = 1\n")
    with pytest.raises(ConfigurationError, match=r"measure\.py has the name of a file"):
        openevolve.read_task(folder)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such folder"):
        openevolve.read_task(tmp_path / "gone")
