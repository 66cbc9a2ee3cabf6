"""The README is true: every command in it works, and everything that it names exists.

The lines of its shell blocks are run in order, in one home and one folder. They have smaller goals,
and a task with a fortieth of tiny's tokens, in which no patch is kept and confirmed. A node is
started as a process of its own; other commands run in this process. Commands that would install
something or recurse are only checked.
"""

import contextlib
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from agent.source.literals import find_hyperparameters
from docs.configuration import with_agents, with_settings
from node.commands.table import COMMANDS
from node.home.config import SETTINGS, Config
from node.home.home import Home
from node.home.settings_in_force import load_config
from tests.conftest import DEAF_TASK
from tests.integration.nodes import in_process
from trainer.language_model.data import TaskData

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# A script of the reader's that prints a number.
FIT = """
import random

RATE = 0.01

loss = sum((1 - RATE) ** 2 + random.random() / 10 for _ in range(9))
print("val_loss:", loss)
"""
# Goals that are small enough for a test; all other words of a command stay as in the README.
SMALLER = {"--max-experiments": "1", "--for": "20s", "--pairs": "2", "--seeds": "1"}
NOT_SHOWN = 5  # the exit status if two pairs are too few
TIMEOUT_S = 600


def shell_lines(page: str) -> Iterator[str]:
    """Yield the commands of a page's shell blocks, in order."""
    for block in re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        lines = (line.partition("  #")[0].rstrip() for line in block.splitlines())
        yield from filter(None, lines)


def arnode_lines() -> list[str]:
    return [line for line in shell_lines(README) if line.startswith("arnode ")]


class Reader:
    """A user who types the README's commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = "ID"
        self._env = {
            name: value for name, value in os.environ.items() if not name.startswith("ARNODE_")
        } | {
            "ARNODE_HOME": str(folder / "home"),
            "ARNODE_TASK": str(DEAF_TASK),
            "ARNODE_DHT": "0",
            "ARNODE_LANES": "1",
            "ARNODE_QUIET_MINUTES": "0",  # other tests may disturb its runs at any time
        }

    def types(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line that begins with `arnode`, including its redirection."""
        command, _, target = line.partition(" > ")
        words = shlex.split(command)[1:]
        for place, word in enumerate(words[:-1]):
            words[place + 1] = SMALLER.get(word, words[place + 1])
        words = [self.id if word == "ID" else word for word in words]
        if words[0] == "verify" and "--check-only" not in words:
            words += ["--pairs", SMALLER["--pairs"]]
        done = self._starts(words) if words[0] == "start" else self.asks(words)
        if target:
            (self.folder / target).write_text(done.stdout)
        return done

    def _starts(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        if "--task" in words:
            self._env.pop("ARNODE_TASK", None)  # later commands work on the task of this session
        return subprocess.run(
            [sys.executable, "-m", "node", *words],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def asks(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in this process."""
        with contextlib.chdir(self.folder):
            return in_process(words, self._env)

    def looks_up_an_id(self) -> None:
        """Read an experiment's id from the log."""
        experiments = json.loads(self.types("arnode log --json").stdout)["experiments"]
        # The first one: its idea costs no more than the baseline, so it does not wait for a quiet
        # minute.
        self.id = next(entry["id"][:12] for entry in reversed(experiments) if entry["patch"])


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1_100


def test_every_arnode_command_of_the_readme_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the words are checked; `make soak PART=tests` runs the commands."""
    received: list[str] = []
    monkeypatch.setattr(
        click.Context, "invoke", lambda ctx, *_, **__: received.append(ctx.info_name)
    )
    reader = Reader(tmp_path)
    for line in arnode_lines():
        received.clear()
        done = reader.asks(shlex.split(line.partition(" > ")[0])[1:])
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert received, line


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_every_arnode_command_of_the_readme_works(
    tmp_path: Path, data_dir: Path, short_data: TaskData
) -> None:
    (tmp_path / "fit.py").write_text(FIT)
    home = Home(tmp_path / "home")
    home.prepare()
    shutil.copytree(data_dir, home.data, dirs_exist_ok=True)
    reader = Reader(tmp_path)
    for line in arnode_lines():
        if "ID" in line.split() and reader.id == "ID":
            reader.looks_up_an_id()
        done = reader.types(line)
        is_asked = line.startswith(("arnode compare", "arnode verify"))
        right = {0, NOT_SHOWN} if is_asked else {0}
        assert done.returncode in right, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
    assert "make_dataloader" in (tmp_path / "better.py").read_text()
    assert "<html" in (tmp_path / "night.html").read_text()
    assert (tmp_path / "fit-val-loss" / "task.toml").exists()
    assert (tmp_path / "claim.bundle").exists()


def test_what_is_not_run_is_right() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (packages,) = re.findall(r"`apt-get install --yes ([^`]+)`", README)
    assert {"make", "git", "bubblewrap", "python3-venv"} == set(packages.split())
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for line in (*shell_lines(README), *shell_lines(install)):
        match shlex.split(line):
            case ["arnode", *_]:
                pass
            case ["make", target]:
                assert target in targets
            case ["python3", "-m", "venv", folder] | [".", folder]:
                assert "/" not in folder or folder == ".venv/bin/activate"
            case [pip, "install", "."] if pip.endswith("/bin/pip"):
                assert project["build-system"]["build-backend"] == "hatchling.build"
                assert project["project"]["scripts"]["arnode"] == "node.__main__:main"
            case _:
                pytest.fail(f"nobody checks this line of the README: {line}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = [*shell_lines(text), *re.findall(r"`(arnode [^`]+)`", text)]
    named = {found[1] for line in commands if (found := re.match(r"arnode ([a-z]+)", line))}
    assert named <= set(COMMANDS)


def test_help_lists_every_command_of_the_readme() -> None:
    done = in_process(["help", "--all"], os.environ)
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {line.split()[1] for line in arnode_lines()} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:agent|docs|node|protocol|tests|trainer)/[\w./-]+)`",
        page.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_picture_is_one() -> None:
    picture = (ROOT / "docs" / "arnode.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 400_000


def test_the_page_on_configuration_lists_exactly_the_settings() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == with_settings(page), "python docs/configuration.py writes it anew"
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", page, re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    assert rows == {
        name: "none" if value is None else json.dumps(value) for name, value in defaults.items()
    }


def test_the_page_on_configuration_names_the_flags_of_start() -> None:
    from node.commands.node_control import start

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (sentence,) = re.findall(
        r"^`arnode start` has the flags (.*?) for\s+sixteen", page, re.DOTALL | re.MULTILINE
    )
    flags = [SETTINGS[one.name].option for one in start.params if one.name in SETTINGS]
    assert len(flags) == 16
    assert set(re.findall(r"`(--[a-z-]+)`", sentence)) == set(flags)


def test_the_configuration_page_s_example_is_a_right_one() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert set(tomllib.loads(example)) <= {field.name for field in dataclasses.fields(Config)}


def test_the_examples_of_language_models_are_settings_that_name_one(tmp_path: Path) -> None:
    from node.home.agents import AGENTS
    from node.proposing.choice import ModelChoice, ProgramChoice, arms_of
    from node.proposing.keys import ApiKeys
    from node.proposing.model import settings_for

    page = (ROOT / "docs" / "llm.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"\b[A-Z]+_(?:API_)?KEY\b", page))
    assert len(examples) >= 10
    for example in examples:
        (tmp_path / "config.toml").write_text(example)
        config = load_config(tmp_path / "config.toml", env={}).config
        if config.agent == ("auto",):
            continue
        choice = arms_of(config)[0].choice
        if isinstance(choice, ModelChoice):  # with the keys that the page names, nothing is missing
            settings_for(config, choice, ApiKeys(dict.fromkeys(named, "sk-1")))
    for agent in re.findall(r'`"([^"…]+)"`', page):
        choice = arms_of(Config(agent=(agent,), agent_command=("my-agent",)))[0].choice
        assert isinstance(choice, ProgramChoice if agent in AGENTS else ModelChoice)


def test_the_page_on_language_models_lists_exactly_what_agent_takes() -> None:
    page = (ROOT / "docs" / "llm.md").read_text(encoding="utf-8")
    assert page == with_agents(page), "python docs/configuration.py writes it anew"
    assert with_agents(page.replace("| `none` |", "| `nobody` |")) == page


def test_the_example_of_a_catalogue_fits_tiny(tmp_path: Path) -> None:
    from trainer.task_folder.findings import load_catalogue
    from trainer.task_kinds import load_task

    page = (ROOT / "docs" / "replicate.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "catalogue.toml").write_text(example, encoding="utf-8")
    own, moved = load_catalogue(tmp_path / "catalogue.toml", load_task("tiny", data_dir=tmp_path))
    assert own.claimed_gain is not None
    assert moved.claimed_gain is None


def test_the_examples_of_a_task_folder_load(tmp_path: Path) -> None:
    from trainer.task_folder.task import NotPreparedError
    from trainer.task_kinds import load_task

    page = (ROOT / "docs" / "writing-a-task.md").read_text(encoding="utf-8")
    found = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    _, half, sprint, rung, shards, unpinned = found
    (tmp_path / "task.toml").write_text(sprint)
    assert load_task(tmp_path, data_dir=tmp_path).manifest.target_nano == 920_000_000
    (tmp_path / "task.toml").write_text(rung)
    deep = load_task("tiny-deep", data_dir=tmp_path)
    assert load_task(tmp_path, data_dir=tmp_path).source == deep.source
    (tmp_path / "task.toml").write_text(half)
    task = load_task(tmp_path, data_dir=tmp_path)
    assert task.name == "half"
    assert task.manifest.budget.amount == 76_800
    for digit in "123":
        shards = shards.replace("<64 hex digits>", digit * 64, 1)
    (tmp_path / "task.toml").write_text(f'extends = "tiny"\nname = "sharded"\n{shards}')
    recipe = load_task(tmp_path, data_dir=tmp_path).recipe
    assert [shard.split for shard in recipe.shards] == ["public", "secret", "training"]
    (tmp_path / "task.toml").write_text(f'extends = "tiny"\nname = "unpinned"\n{unpinned}')
    with pytest.raises(NotPreparedError):
        load_task(tmp_path, data_dir=tmp_path)


def test_the_five_minutes_with_a_script_and_a_number_work(tmp_path: Path) -> None:
    from tests.tasks.judges import judge_of
    from trainer.task_kinds import load_task

    page = (ROOT / "docs" / "writing-a-task.md").read_text(encoding="utf-8")
    folder = tmp_path / "tour"
    folder.mkdir()
    for language in ("python", "toml"):
        blocks = re.findall(
            rf"^```{language}\n# tour/(\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
        )
        for name, text in blocks:
            (folder / name).write_text(text)
    (folder / "program.md").write_text("Shorter tours.\n")
    task = load_task(folder, data_dir=tmp_path)
    assert [
        hyperparameter.name
        for hyperparameter in find_hyperparameters(task.source, task.editable, task.hyperparameters)
    ] == ["STARTS"]
    judge = judge_of(folder)
    solve: dict[str, Any] = {}
    exec((folder / "solve.py").read_text(), solve)  # noqa: S102 -- the page's own code
    instance = judge.instance(bytes(32), "public", 0)
    before = judge.check(instance, solve["solve"](instance))["length"]
    assert 4 < before < 10
    solve["STARTS"] = 16  # makes the program worse, so that there is a gain to find
    assert judge.check(instance, solve["solve"](instance))["length"] < before
    with pytest.raises(judge.Wrong, match="every city"):
        judge.check(instance, [0] * 40)
