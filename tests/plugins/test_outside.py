"""No importer takes a file from outside the folder that it was given, or waits for one."""

import ast
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import arnode_plugins
from arnode_plugins import (
    algotune,
    codeevolve,
    kernelbot,
    mle_bench,
    openevolve,
    pi_autoresearch,
    shinka,
)
from node.exchange.importers import Importer
from node.home.plugins import IMPORTERS as GROUP
from node.home.plugins import plugins
from protocol.errors import ArnodeError, ConfigurationError
from tests.outsiders import OUTSIDERS, REFUSED, SECRET, secret_next_to
from tests.plugins.brought import FOLDERS
from trainer import importing
from trainer.importing.command import Measured, Wanted, draft_of
from trainer.importing.draft import TaskDraft, write_draft

IMPORTERS: Final[dict[str, tuple[Callable[[Path], TaskDraft], str, str, tuple[str, ...]]]] = {
    "algotune": (
        algotune.read_task, "algotune", "AlgoTuneTasks/longest_rise",
        ("description.txt", "longest_rise.py", "../../reports/generation.json"),
    ),
    "codeevolve": (
        codeevolve.read_task, "codeevolve", "gaps",
        (
            "input", "input/evaluate.py", "input/src/init_program.py", "input/new/data.txt",
            "configs", "configs/config.yaml",
        ),
    ),
    "kernelbot": (
        kernelbot.read_task, "kernelbot", "double_py",
        ("task.yml", "task.py", "reference.py", "submission.py", "../utils.py", "../eval.py"),
    ),
    "mle-bench": (
        mle_bench.read_task, "mle_bench", "mlebench/competitions/tree-heights",
        (
            "config.yaml", "prepare.py", "grade.py", "description.md", "leaderboard.csv",
            "columns.py", "../utils.py", "raw", "raw/trees.csv", "raw/more.csv",
        ),
    ),
    "openevolve": (
        openevolve.read_task, "openevolve", "spread",
        ("config.yaml", "evaluator.py", "initial_program.py", "width.txt", "new/data.txt"),
    ),
    "pi-autoresearch": (
        pi_autoresearch.read_task, "pi", "words",
        (
            ".auto", ".auto/config.json", ".auto/checks.sh", ".auto/log.jsonl",
            ".auto/measure.sh", ".auto/prompt.md", "words.py", "bench.py", "new.py",
        ),
    ),
    "shinka": (
        shinka.read_task, "shinka", "halves",
        ("evaluate.py", "initial.py", "run_evo.py", "evo.yaml", "new/data.txt"),
    ),
}  # fmt: skip
FILES: Final = [(name, file) for name, (_, _, _, files) in IMPORTERS.items() for file in files]


def theirs(name: str, root: Path) -> Path:
    """Copy an example with its surrounding files; return its folder."""
    _, system, inside, _ = IMPORTERS[name]
    shutil.copytree(FOLDERS / system, root / "theirs")
    return root / "theirs" / inside


def written(name: str, folder: Path, into: Path) -> None:
    write_draft(IMPORTERS[name][0](folder), into)


def test_each_importer_is_tried_here() -> None:
    own = plugins(GROUP).values()
    assert IMPORTERS.keys() == {one.name for one in own if one.load(Importer).task}


@pytest.mark.parametrize("outsider", OUTSIDERS)
@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_file_that_leads_out_or_is_no_file_is_refused_by_name(
    name: str, file: str, outsider: str, tmp_path: Path
) -> None:
    folder = theirs(name, tmp_path)
    into = tmp_path / "made"
    written(name, folder, into)
    shutil.rmtree(into)
    OUTSIDERS[outsider](folder / file, secret_next_to(tmp_path))
    with pytest.raises(ConfigurationError, match=REFUSED) as caught:
        written(name, folder, into)
    assert Path(file).name in caught.value.message or "0_step" in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.hint
    assert not into.exists()


@pytest.mark.parametrize("wanted", ["{secret}/id_rsa", "../../secret/id_rsa", "../secret.py"])
def test_a_name_that_leads_out_is_refused(wanted: str, tmp_path: Path) -> None:
    secret = secret_next_to(tmp_path)
    wanted = wanted.format(secret=secret)
    problem = theirs("kernelbot", tmp_path)
    (problem.parent / "secret.py").write_text(f"KEY = '{SECRET}'\n")
    task = problem / "task.yml"
    task.write_text(task.read_text().replace('"source": "task.py"', f'"source": "{wanted}"'))
    with pytest.raises(ConfigurationError, match="lies outside the folder"):
        written("kernelbot", problem, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("wanted", ["{secret}/id_rsa", "../../secret/id_rsa"])
def test_a_template_that_leads_out_is_refused(wanted: str, tmp_path: Path) -> None:
    wanted = wanted.format(secret=secret_next_to(tmp_path))
    problem = theirs("kernelbot", tmp_path)
    (problem / "submission.py").unlink()
    task = problem / "task.yml"
    task.write_text(task.read_text().replace('Python: "template.py"', f'Python: "{wanted}"'))
    with pytest.raises(ConfigurationError, match="lies outside the folder"):
        written("kernelbot", problem, tmp_path / "made")


@pytest.mark.parametrize("wanted", ["{secret}", "../../secret", "link"])
def test_a_session_that_works_elsewhere_is_refused(wanted: str, tmp_path: Path) -> None:
    secret = secret_next_to(tmp_path)
    session = theirs("pi-autoresearch", tmp_path)
    (session / "link").symlink_to(secret)
    named = wanted.format(secret=secret)
    (session / ".auto" / "config.json").write_text(f'{{"workingDir": "{named}"}}')
    with pytest.raises(ConfigurationError, match="lies outside the folder"):
        written("pi-autoresearch", session, tmp_path / "made")


@pytest.mark.parametrize("wanted", ["{secret}/key.py", "../../secret/key.py"])
def test_a_file_in_scope_that_leads_out_is_refused(wanted: str, tmp_path: Path) -> None:
    secret = secret_next_to(tmp_path)
    (secret / "key.py").write_text(f"KEY = '{SECRET}'\n")
    session = theirs("pi-autoresearch", tmp_path)
    prompt = session / ".auto" / "prompt.md"
    named = wanted.format(secret=secret)
    prompt.write_text(prompt.read_text().replace("`missing.py`", f"`{named}`"))
    with pytest.raises(ConfigurationError, match="lies outside the folder"):
        written("pi-autoresearch", session, tmp_path / "made")


@pytest.mark.parametrize("wanted", ["from ..secret.key import KEY", "from .....key import KEY"])
def test_a_module_above_a_competition_is_not_taken(wanted: str, tmp_path: Path) -> None:
    folder = theirs("mle-bench", tmp_path)
    moved = tmp_path / "alone"
    folder.rename(moved)  # no checkout of MLE-bench around it
    for module in (tmp_path / "secret" / "key.py", tmp_path / "key.py"):
        module.parent.mkdir(exist_ok=True)
        module.write_text(f"KEY = '{SECRET}'\n")
    prepare = moved / "prepare.py"
    own = "from .columns import KEY as KEY_COLUMN"
    prepare.write_text(prepare.read_text().replace(own, wanted))
    with pytest.raises(ConfigurationError):
        written("mle-bench", moved, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_link_to_another_file_of_the_folder_is_fine(name: str, tmp_path: Path) -> None:
    folder = theirs(name, tmp_path)
    file = next(one for one in IMPORTERS[name][3] if (folder / one).is_file())
    kept = folder / f"kept{Path(file).suffix}"
    (folder / file).rename(kept)
    (folder / file).symlink_to(os.path.relpath(kept, (folder / file).parent))
    named = tmp_path / folder.name
    named.symlink_to(folder)  # the folder's own name may be a link: the user gave it
    written(name, named, tmp_path / "made")
    assert (tmp_path / "made" / "task.toml").is_file()


@pytest.mark.parametrize("outsider", OUTSIDERS)
@pytest.mark.parametrize("file", ["fit.py", "score.py", "points.py", "extra", "extra/x.txt"])
def test_a_command_takes_nothing_from_outside(outsider: str, file: str, tmp_path: Path) -> None:
    root = tmp_path / "line"
    shutil.copytree(FOLDERS / "command", root)
    (root / "extra").mkdir()
    (root / "extra" / "x.txt").write_text("x")
    OUTSIDERS[outsider](root / file, secret_next_to(tmp_path))

    def bring() -> None:
        wanted = Wanted(
            targets=[root / "fit.py"],
            command="python score.py",
            metric="error",
            root=root,
            extra_files=[root / "extra"],
        )
        write_draft(draft_of(wanted, Measured(direction="min")), tmp_path / "made")

    with pytest.raises(ArnodeError):
        bring()
    assert not (tmp_path / "made").exists()


def test_what_is_changed_while_it_is_imported_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    folder = theirs("openevolve", tmp_path)
    draft = openevolve.read_task(folder)
    OUTSIDERS["link to a file"](folder / "width.txt", secret_next_to(tmp_path))
    (tmp_path / "empty").mkdir()
    for into in (tmp_path / "made", tmp_path / "empty"):
        with pytest.raises(ConfigurationError, match=r"width\.txt lies outside"):
            write_draft(draft, into)
    assert not (tmp_path / "made").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_more_than_the_disk_holds_is_refused(tmp_path: Path) -> None:
    folder = theirs("mle-bench", tmp_path)
    with (folder / "raw" / "huge.csv").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(ConfigurationError, match=r"but only .* are free"):
        written("mle-bench", folder, tmp_path / "made")
    assert not (tmp_path / "made").exists()


# Calls that open, list or ask about a file; importers go through `trainer.host.folder_files`.
CALLS: Final = frozenset(
    {"copyfile", "copytree", "exists", "glob", "is_file", "iterdir", "listdir", "lstat", "open"}
    | {"read_bytes", "read_text", "rglob", "scandir", "stat", "walk"}
)
OWN: Final = {
    ("draft.py", "exists"): "the folder to write into",
    ("draft.py", "iterdir"): "likewise",
    ("kernelbot.py", "exists"): "whether a name that leads out is there at all",
    ("pi_autoresearch.py", "exists"): "likewise",
    ("self_scored.py", "read_text"): "a script of ours",
    ("wandb.py", "glob"): "an exporter: the runs that it wrote before",
}


def calls_of(tree: ast.AST) -> set[str]:
    """Return the methods and functions of `CALLS` that a module calls by name."""
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return CALLS & {
        one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "")
        for one in called
        if not (isinstance(one, ast.Attribute) and ast.unparse(one) == "ast.walk")
        if not (isinstance(one, ast.Name) and one.id == "read_text")
    }


def test_importers_reach_files_through_the_one_helper() -> None:
    folders = [Path(package.__file__ or "").parent for package in (importing, arnode_plugins)]
    found = {
        (path.name, call)
        for folder in folders
        for path in folder.glob("*.py")
        for call in calls_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == OWN.keys()


def test_paths_of_the_refusals_are_whole(tmp_path: Path) -> None:
    folder = theirs("algotune", tmp_path)
    secret = secret_next_to(tmp_path)
    OUTSIDERS["link to a file"](folder / "description.txt", secret)
    said = f"{folder}: description.txt lies outside the folder: it leads to {secret}/id_rsa"
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        algotune.read_task(folder)
