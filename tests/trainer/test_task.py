"""Task folders: loading, inheritance, and the message for every mistake."""

import itertools
import shutil
from pathlib import Path

import pytest

from protocol.errors import ArnodeError, ConfigurationError, UsageError
from protocol.ideas import Move
from protocol.manifest import TaskManifest
from trainer import tasks
from trainer.language_model.text.vocabulary import parse_ranks
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

TINY = Path(tasks.__file__).parent / "tiny"


@pytest.fixture
def tiny(tmp_path: Path) -> Task:
    return load_task("tiny", data_dir=tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the tiny task's files, to break."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("task.toml", "train.py", "program.md", "moves.toml", "vocabulary.tiktoken"):
        shutil.copy(TINY / name, copy)
    return copy


def applied(code: str, move: Move) -> str:
    for edit in move.edits:
        assert code.count(edit.search) == 1, (move.name, edit.search)
        code = code.replace(edit.search, edit.replace)
    return code


def test_the_builtin_tasks_load(tmp_path: Path) -> None:
    assert {"tiny", "tiny-long", "tiny-short"} <= set(builtin_tasks())
    for name in ("tiny", "tiny-long", "tiny-short"):
        assert load_task(name, data_dir=tmp_path).name == name


def test_the_manifest_survives_the_wire(tiny: Task) -> None:
    assert TaskManifest.from_value(tiny.manifest.to_value()) == tiny.manifest
    assert tiny.id == tiny.manifest.id
    assert tiny.manifest.baseline_tree == tiny.source.tree
    assert tiny.manifest.scored_rows * tiny.manifest.context == 65_536


def test_a_task_loads_from_its_folder_and_from_its_file(folder: Path, tiny: Task) -> None:
    assert load_task(folder, data_dir=folder).id == tiny.id
    assert load_task(str(folder / "task.toml"), data_dir=folder).id == tiny.id


def test_tiny_long_differs_in_its_budget_and_shares_everything_else(tiny: Task) -> None:
    long = load_task("tiny-long", data_dir=TINY)
    assert long.manifest.budget.amount == 4 * tiny.manifest.budget.amount
    assert (long.source, long.moves, long.hyperparameters) == (
        tiny.source,
        tiny.moves,
        tiny.hyperparameters,
    )
    assert long.manifest.data == tiny.manifest.data
    assert long.id != tiny.id


def test_hints_are_no_part_of_the_identity(folder: Path, tiny: Task) -> None:
    (folder / "program.md").write_text("Try harder.\n")
    assert load_task(folder, data_dir=folder).id == tiny.id


def test_the_baseline_is_part_of_the_identity(folder: Path, tiny: Task) -> None:
    (folder / "train.py").write_bytes((folder / "train.py").read_bytes() + b"\n# note\n")
    assert load_task(folder, data_dir=folder).id != tiny.id


def test_the_baseline_is_short_and_keeps_the_contract(tiny: Task) -> None:
    code = tiny.source["train.py"].decode()
    assert len(code.splitlines()) <= 150
    steps = ["model = ", "make_dataloader(", "torch.optim.", "evaluate_bpb(model"]
    places = [code.rindex(step) for step in steps]
    assert places == sorted(places)


def test_every_move_applies_and_so_does_every_pair(tiny: Task) -> None:
    code = tiny.source["train.py"].decode()
    assert len(tiny.moves) >= 14
    for move in tiny.moves:
        compile(applied(code, move), move.name, "exec")
    for first, second in itertools.permutations(tiny.moves, 2):
        compile(applied(applied(code, first), second), f"{first.name}+{second.name}", "exec")


def test_moves_that_bring_constants_bring_hyperparameters(tiny: Task) -> None:
    code = tiny.source["train.py"].decode()
    brought = {
        hyperparameter.name
        for hyperparameter in tiny.hyperparameters
        if f"\n{hyperparameter.name} = " not in code
    }
    assert {"EMBEDDING_LEARNING_RATE", "HEAD_LEARNING_RATE", "BIGRAMS"} <= brought


def test_for_an_unknown_task_the_nearest_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task 'tinny'") as raised:
        load_task("tinny", data_dir=tmp_path)
    assert "'tiny'" in raised.value.hint


def test_a_folder_without_a_task_file_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it has no task\.toml"):
        load_task(tmp_path, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("version = 3", "version = true", "version is True", "whole number"),
        ("version = 3", 'version = "1"', "version is '1'", "whole number"),
        ("limit_s = 120", "", "limit_s is missing", "add it"),
        ("limit_s = 120", "limit_s = 0", "limit_s is 0", "from 1"),
        ("limit_s", "limit_sec", "limit_s is missing", "add it"),
        ("limit_s = 120", "limit_s = 120\nlimt = 3", "limt is not a known field", "'limit_s'"),
        ("tokens = 153_600", "tokens = 1\nseconds = 2", "budget.seconds clashes", "either seconds"),
        ("[metric]", "[metric]\nmaxstep = 1", "metric.maxstep is not a known field", "'max_step'"),
        ('direction = "min"', 'direction = "mini"', "metric.direction is 'mini'", "'min'"),
        (
            'direction = "min"',
            'direction = "max"',
            "metric.direction is 'max', but lm-bpb/1 measures 'min'",
            'direction = "min"',
        ),
        (
            'unit = "bits per byte"',
            'unit = "nats"',
            "metric.unit is 'nats', but lm-bpb/1 measures 'bits per byte'",
            'unit = "bits per byte"',
        ),
        ('kind = "language-model"', 'kind = "language"', "kind is 'language'", "'language-model'"),
        ("noise_floor = 0.0104", 'noise_floor = "low"', "noise_floor is 'low'", "a number"),
        ('["train.py"]', '"train.py"', "editable is 'train.py'", "list"),
        ('["train.py"]', '["../train.py"]', "lies outside", "inside"),
        ('["train.py"]', '["tran.py"]', "tran.py: cannot be read", "add it"),
        ('["train.py"]', '["my train.py"]', "names 'my train.py': it has a space", "rename"),
        ('["train.py"]', '["träin.py"]', "names 'träin.py': it has 'ä' (U+00E4)", "rename"),
        ('name = "tiny"', 'name = "Tiny"', "name", "fix"),
        ("meters.WIDTH]", "meters.WIDHT]", "hyperparameters.WIDHT is not a constant", "'WIDTH'"),
        ("low = 5e-4", "low = 0.0", "hyperparameters.LEARNING_RATE.low is 0", "above zero"),
        ("low = 5e-4", "low = 5.0", "hyperparameters.LEARNING_RATE.high is", "from 5"),
        ('module = "lm-bpb/1"', 'module = "lm-bpb/9"', "evaluator.module is", "'lm-bpb/1'"),
        ('title = "', 'title = 3 #"', "title is 3", "quotes"),
        ("version = 3", "version = = 1", "not TOML", "line"),
        ("version = 3", 'extends = "tiney"\nversion = 1', "extends is 'tiney'", "'tiny'"),
    ],
)  # fmt: skip
def test_a_broken_task_file_names_field_and_fix(
    folder: Path, old: str, new: str, message: str, hint: str
) -> None:
    path = folder / "task.toml"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as raised:
        load_task(folder, data_dir=folder)
    assert str(folder) in raised.value.message
    assert message in raised.value.message
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "bigram"', 'name = "rope"', "'rope' occurs twice"),
        ("F.gelu(self.expand(norm(x)))", "F.gelu(self.expand(x))", "exactly once"),
        ("[[move.edit]]", '[[move.edit]]\npath = "prepare.py"', "path is 'prepare.py'"),
        ('title = "', 'titel = "', "title is missing"),
    ],
)
def test_a_broken_move_names_file_and_field(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / "moves.toml"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=r"moves\.toml") as raised:
        load_task(folder, data_dir=folder)
    assert message in raised.value.message


@pytest.mark.parametrize("broken", [b"IQ== 1\n", b"IQ==\n", b"!? 0\n", b"IQ== 0\n"])
def test_a_broken_vocabulary_is_refused(broken: bytes) -> None:
    with pytest.raises(ArnodeError, match="words"):
        parse_ranks(broken, name="words")


def test_a_vocabulary_survives_its_file(tiny: Task) -> None:
    again = parse_ranks(tiny.recipe.vocabulary.file_bytes, name="again")
    assert again == tiny.recipe.vocabulary
    assert again.digest == tiny.manifest.tokenizer
    text = "Ada gave Omar three lamps, <|bos|> and Zoë a café."
    assert again.decode(again.encode(text)).decode() == text
    assert again.bos not in again.encode(text)


# A ladder of scales


def test_rungs_name_the_one_below_by_its_id() -> None:
    rungs = [
        load_task(name, data_dir=TINY) for name in ("tiny-short", "tiny", "tiny-long", "tiny-deep")
    ]
    assert [rung.manifest.below for rung in rungs] == [None, *(one.id for one in rungs[:-1])]
    assert [rung.rung_below for rung in rungs] == [None, "tiny-short", "tiny", "tiny-long"]


@pytest.mark.parametrize("value", ["{[]: 1}", "(" * 9999])
def test_a_constant_that_is_no_literal_is_no_hyperparameter(folder: Path, value: str) -> None:
    script = folder / "train.py"
    script.write_text(f"{script.read_text()}\nTABLE = {value}\n")
    load_task(folder, data_dir=folder)
    manifest = folder / "task.toml"
    manifest.write_text(
        manifest.read_text().replace("[hyperparameters.WIDTH]", "[hyperparameters.TABLE]")
    )
    with pytest.raises(ConfigurationError, match="TABLE is not a constant"):
        load_task(folder, data_dir=folder)


def test_a_rung_has_the_script_of_the_task_that_it_extends_with_its_own_sizes() -> None:
    long, deep = (load_task(name, data_dir=TINY) for name in ("tiny-long", "tiny-deep"))
    text = long.source["train.py"]
    for theirs, own in (
        (b"LAYERS = 2", b"LAYERS = 4"),
        (b"WIDTH = 64", b"WIDTH = 96"),
        (b"LEARNING_RATE = 1e-2", b"LEARNING_RATE = 0.005"),
    ):
        text = text.replace(theirs, own, 1)
    assert deep.source["train.py"] == text


LADDERS = {
    "nowhere": ('below = "tinny"', "ladder.below names no task: there is no task 'tinny'"),
    "itself": ('below = "../itself"', "leads back to '../itself'"),
    "another metric": ('below = "sql"', "names sql, whose kind is 'program'"),
    "a misspelt field": ('bellow = "tiny"', "ladder.below is missing"),
}


@pytest.mark.parametrize("name", LADDERS)
def test_a_ladder_that_is_none_says_why(tmp_path: Path, name: str) -> None:
    ladder, said = LADDERS[name]
    (tmp_path / "itself").mkdir()
    file = tmp_path / "itself" / "task.toml"
    file.write_text(f'extends = "tiny-long"\nname = "mine"\n\n[ladder]\n{ladder}\n')
    with pytest.raises(ConfigurationError) as caught:
        load_task(tmp_path / "itself", data_dir=tmp_path)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_ladder_is_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('extends = "tiny-long"\nname = "mine"\n')
    assert load_task(tmp_path, data_dir=tmp_path).manifest.below is None


def test_a_constant_that_the_script_has_not_is_an_error_that_names_the_nearest(
    tmp_path: Path,
) -> None:
    text = 'extends = "tiny"\nname = "mine"\n\n[constants]\nLAYER = 4\n'
    (tmp_path / "task.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_task(tmp_path, data_dir=tmp_path)
    assert "constants.LAYER is not assigned in exactly one line" in caught.value.message
    assert "did you mean 'LAYERS'?" in caught.value.hint
