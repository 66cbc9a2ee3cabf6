"""Catalogues of published findings: each one included fits its task, every mistake is reported."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.canonical import fingerprint
from agent.source.edits import is_made, reapply
from protocol.errors import ArnodeError, ConfigurationError, UsageError
from protocol.hygiene import check_for_task
from tests.trainer.pinned import load_pinned
from trainer.task_folder.findings import MAX_FILE_BYTES, MAX_FINDINGS, is_builtin, load_catalogue
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

TINY = """
[[finding]]
name = "wider"
title = "A wider model"
idea = "It holds more."
source = "somebody, somewhere"
claimed = "a little"
claimed_gain = 0.01
claimed_unit = "bits per byte"

[[finding.edit]]
search = "WIDTH = 64"
replace = "WIDTH = 96"

[[finding]]
name = "turned"
move = "rope"
source = "somebody else"
claimed = "not quantified"
"""
LEAST_FINDINGS = 12
WITH_FINDINGS = ("nanochat", "tiny", "tiny-long", "tiny-short")  # no program has published ones


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    """Return the built-in tasks; shards without known hashes get invented ones."""
    folder = tmp_path_factory.mktemp("data")
    return {name: load_pinned(name, folder) for name in builtin_tasks()}


@pytest.fixture(scope="module")
def tiny(tasks: dict[str, Task]) -> Task:
    return tasks["tiny"]


# Included catalogues


@pytest.mark.parametrize("name", WITH_FINDINGS)
def test_every_finding_of_a_built_in_task_is_a_change_of_its_baseline_that_may_run(
    tasks: dict[str, Task], name: str
) -> None:
    task = tasks[name]
    assert task.catalogue is not None
    assert is_builtin(task.catalogue)
    findings = load_catalogue(task.catalogue, task)
    assert len(findings) >= LEAST_FINDINGS
    marks = {fingerprint(task.source)}
    for finding in findings:
        source = reapply(finding.edits, task.source)
        assert source is not None, finding.name
        for path, content in source.files:
            ast.parse(content.decode(), path)
        assert not is_made(finding.edits, task.source), finding.name
        assert check_for_task(source, task.manifest, baseline=task.source) is None, finding.name
        # It is not in the baseline already, nor another finding under its name.
        assert fingerprint(source) not in marks, finding.name
        marks.add(fingerprint(source))


@pytest.mark.parametrize("name", ["tiny", "nanochat"])
def test_a_finding_that_is_a_move_names_it(tasks: dict[str, Task], name: str) -> None:
    task = tasks[name]
    assert task.catalogue is not None
    text = task.catalogue.read_text()
    for move in task.moves:
        findings = load_catalogue(task.catalogue, task)
        if any(finding.edits == move.edits for finding in findings):
            assert f'move = "{move.name}"' in text


def test_claims_say_where_they_were_published_and_how_large_they_are(
    tasks: dict[str, Task],
) -> None:
    publishers = ("autoresearch", "nanochat", "modded-nanogpt")
    for task in (tasks[name] for name in WITH_FINDINGS):
        assert task.catalogue is not None
        for finding in load_catalogue(task.catalogue, task):
            assert any(name in finding.source for name in publishers), finding.name
            has_figure = any(character.isdigit() for character in finding.claimed)
            assert has_figure or finding.claimed.startswith("not quantified"), finding.name


# Reading


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


def test_a_finding_is_edits_of_its_own_or_a_move(path: Path, tiny: Task) -> None:
    path.write_text(TINY)
    wider, turned = load_catalogue(path, tiny)
    assert (wider.name, wider.claimed_gain, wider.edits[0].replace) == ("wider", 0.01, "WIDTH = 96")
    (rope,) = (move for move in tiny.moves if move.name == "rope")
    assert (turned.title, turned.idea, turned.edits) == (rope.title, rope.why, rope.edits)
    assert turned.claimed_gain is None
    assert not is_builtin(path)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ('name = "wider"', "", "finding[1].name is missing", "add it"),
        ('name = "wider"', 'name = "A B"', "finding[1].name is 'A B'", "hyphens"),
        ('name = "wider"', 'name = "turned"', "'turned' occurs twice", "rename"),
        ('source = "somebody, somewhere"', "", "finding[1].source is missing", "add it"),
        ('claimed = "a little"', "claimed = 3", "finding[1].claimed is 3", "quotes"),
        ("claimed = ", "claim = ", "finding[1].claimed is missing", "add it"),
        ('title = "A wider model"', f'title = "{"w" * 121}"', "has 121 characters", "120"),
        (
            'idea = "',
            'why = "because"\nidea = "',
            "finding[1].why is not a known field",
            "possible",
        ),
        ("claimed_gain = 0.01", 'claimed_gain = "1 %"', "claimed_gain is '1 %'", "a number"),
        ("claimed_gain = 0.01", "claimed_gain = -0.01", "claimed_gain is -0.01", "a number"),
        ("claimed_gain = 0.01", "", "claimed_unit needs claimed_gain", "claimed_gain"),
        ("bits per byte", "minutes", "claimed_unit is 'minutes'", "in `claimed`"),
        ("WIDTH = 64", "WIDTH = 65", "edit[1].search does not occur exactly once", "copy it"),
        ("WIDTH = 64", "WIDTH", "edit[1].search does not occur exactly once", "copy it"),
        ('search = "', 'path = "prepare.py"\nsearch = "', "path is 'prepare.py'", "train.py"),
        ('replace = "WIDTH = 96"', "", "edit[1].replace is missing", "add it"),
        ('move = "rope"', 'move = "roap"', "finding[2].move is 'roap'", "'rope'"),
        (
            'move = "rope"',
            'move = "rope"\ntitle = "x"',
            "finding[2].title is not a known field",
            "possible",
        ),
        ("[[finding]]", "version = 1\n[[finding]]", "version is not a known field", "finding"),
        ("[[finding.edit]]", "[[finding.edit]", "not TOML", "line"),
    ],
)
def test_a_broken_catalogue_names_field_and_fix(
    path: Path, tiny: Task, old: str, new: str, message: str, hint: str
) -> None:
    assert old in TINY
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(path, tiny)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert hint in caught.value.hint


def test_what_is_no_catalogue_is_reported(path: Path, tiny: Task) -> None:
    with pytest.raises(UsageError, match="there is no catalogue"):
        load_catalogue(path, tiny)
    with pytest.raises(UsageError, match="there is no catalogue"):
        load_catalogue(path.parent, tiny)
    path.write_text(TINY.replace("[[finding", "[[result"))
    with pytest.raises(ConfigurationError, match="finding is missing"):
        load_catalogue(path, tiny)
    path.write_text("finding = []\n")
    with pytest.raises(ConfigurationError, match="finding occurs 0 times"):
        load_catalogue(path, tiny)
    path.write_text('[[finding]]\nname = "x"\n' * (MAX_FINDINGS + 1))
    with pytest.raises(ConfigurationError, match="times"):
        load_catalogue(path, tiny)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger than"):
        load_catalogue(path, tiny)
    path.write_text("finding = " + "[" * 50_000)
    with pytest.raises(ConfigurationError):
        load_catalogue(path, tiny)


def test_a_catalogue_is_inherited_with_the_baseline_that_it_changes(
    tiny: Task, tmp_path: Path
) -> None:
    (tmp_path / "task.toml").write_text('extends = "tiny"\nname = "own"\n')
    assert load_task(tmp_path, data_dir=tmp_path).catalogue == tiny.catalogue
    (tmp_path / "train.py").write_text("model = None\n")
    (tmp_path / "moves.toml").write_text("move = []\n")
    with (tmp_path / "task.toml").open("a") as stream:
        stream.write("[hyperparameters]\n")
    assert load_task(tmp_path, data_dir=tmp_path).catalogue is None
    (tmp_path / "findings.toml").write_text(TINY)
    task = load_task(tmp_path, data_dir=tmp_path)
    assert task.catalogue == tmp_path / "findings.toml"
    with pytest.raises(ConfigurationError, match="does not occur exactly once") as caught:
        load_catalogue(task.catalogue, task)
    assert "another baseline" in caught.value.hint


VALUES = st.recursive(
    st.text(max_size=20) | st.integers() | st.booleans() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = (
    *("name", "title", "idea", "source", "claimed", "claimed_gain", "claimed_unit", "move"),
    *("edit", "search", "replace", "path"),
)


def toml_value(value: object) -> str:
    """Return a value as TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            escaped = "".join(f"\\U{ord(c):08x}" if not c.isalnum() else c for c in value)
            return f'"{escaped}"'
        case list():
            return f"[{', '.join(map(toml_value, value))}]"
        case dict():
            inner = ", ".join(f"{toml_value(k)} = {toml_value(v)}" for k, v in value.items())
            return f"{{{inner}}}"
    return repr(value)


@given(
    table=st.dictionaries(st.sampled_from(NAMES), VALUES),
    edit=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
)
def test_whatever_a_catalogue_holds_it_is_read_or_refused_with_its_fix(
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Task,
    table: dict[str, object],
    edit: dict[str, object],
) -> None:
    path = tmp_path_factory.mktemp("any") / "catalogue.toml"
    finding = {"edit": [edit], **table}
    text = f"finding = [{toml_value(finding)}]\n"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        (read,) = load_catalogue(path, tiny)
        reported = read.name
    except ArnodeError as fault:
        reported = fault.hint
    assert reported


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_catalogue_are_refused(
    tmp_path_factory: pytest.TempPathFactory, tiny: Task, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "catalogue.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError):
        load_catalogue(path, tiny)
