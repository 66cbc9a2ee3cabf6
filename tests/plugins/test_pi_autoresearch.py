"""pi-autoresearch's sessions become self-scored tasks."""

from pathlib import Path

import pytest

from arnode_plugins import pi_autoresearch
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied, measured


@pytest.fixture
def words(tmp_path: Path) -> Brought:
    return brought(pi_autoresearch.read_task(FOLDERS / "pi" / "words"), tmp_path / "words")


def test_the_files_in_scope_are_edited_and_the_script_is_fixed(words: Brought) -> None:
    table = words.table
    assert table["editable"] == ["words.py"]
    assert table["files"] == [
        "measure.py", "reporting.py", "bench.py", "auto/measure.sh", "auto/checks.sh",
    ]  # fmt: skip
    assert table["scoring"] == "self"
    assert (table["metric"]["name"], table["metric"]["unit"]) == ("count_ms", "ms")
    assert table["metric"]["direction"] == "min"
    assert "guards" not in table  # the session watches peak_memory and limits nothing
    assert table["title"] == "count words faster"


def test_measuring_reads_the_metric_lines(
    words: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, _ = measured(words, tmp_path)
    assert figures is not None
    assert figures["count_ms"] > 0
    assert words.judge(monkeypatch).check({"seed": 5}, figures) == figures


def test_a_failing_check_gives_no_figure(words: Brought, tmp_path: Path) -> None:
    wrong = "def count(text):\n    return {'a': 1}\n"
    figures, said = measured(words, tmp_path, changed={"words.py": wrong})
    assert figures is None
    assert "`bash auto/checks.sh` failed with exit code 1" in said


def test_an_older_flat_session_is_read_too(tmp_path: Path) -> None:
    folder = copied("pi", "words", tmp_path)
    session = folder / ".auto"
    (session / "measure.sh").rename(folder / "autoresearch.sh")
    (session / "prompt.md").rename(folder / "autoresearch.md")
    for left in session.iterdir():
        left.unlink()
    session.rmdir()
    script = folder / "autoresearch.sh"
    script.write_text(script.read_text().replace('cd "$(dirname "$0")/.."\n', ""))
    made = brought(pi_autoresearch.read_task(folder), tmp_path / "made")
    assert "autoresearch.sh" in made.table["files"]
    assert made.table["metric"]["direction"] == "min"  # as the prompt says
    figures, _ = measured(made, tmp_path)
    assert figures is not None


def test_the_session_may_work_in_another_folder(tmp_path: Path) -> None:
    folder = copied("pi", "words", tmp_path)
    outer = folder.parent
    (outer / ".auto").mkdir()
    (outer / ".auto" / "config.json").write_text('{"workingDir": "words"}')
    assert pi_autoresearch.read_task(outer).name == "words"


def test_a_metric_that_the_node_measures_itself_is_called_otherwise(tmp_path: Path) -> None:
    folder = copied("pi", "words", tmp_path)
    for name in (".auto/log.jsonl", "bench.py"):
        path = folder / name
        path.write_text(path.read_text().replace("count_ms", "wall_s"))
    made = brought(pi_autoresearch.read_task(folder), tmp_path / "made")
    assert made.table["metric"]["name"] == "reported_wall_s"
    figures, _ = measured(made, tmp_path)
    assert figures is not None


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((".auto/measure.sh",), "there is neither .auto/measure.sh nor autoresearch.sh"),
        ((".auto/log.jsonl", ".auto/prompt.md"), "says which metric is measured"),
        ((".auto/prompt.md",), "names 0 existing files"),
    ],
)
def test_what_is_no_session_is_reported_in_one_line(
    tmp_path: Path, gone: tuple[str, ...], said: str
) -> None:
    folder = copied("pi", "words", tmp_path)
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=f"not a folder of pi-autoresearch: .*{said}"):
        pi_autoresearch.read_task(folder)


@pytest.mark.parametrize(
    ("name", "said"), [("my words.py", "a space"), ("wörter.py", "'ö' (U+00F6)")]
)
def test_a_name_in_scope_that_no_patch_can_hold_is_refused_with_its_character(
    tmp_path: Path, name: str, said: str
) -> None:
    folder = copied("pi", "words", tmp_path)
    (folder / "words.py").rename(folder / name)
    prompt = folder / ".auto" / "prompt.md"
    prompt.write_text(prompt.read_text().replace("words.py", name))
    with pytest.raises(ConfigurationError) as raised:
        pi_autoresearch.read_task(folder)
    assert f"{name!r} cannot be the name of an edited file: it has {said}" in raised.value.message
