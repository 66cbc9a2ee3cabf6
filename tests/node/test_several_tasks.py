"""A home that works on two tasks: which one a command means, and how rows are distinguished."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.config import Config
from node.home.home import Home
from node.on_demand.session import task_meant
from node.store.jobs import Line, LineKey
from node.store.named_tasks import labels, remember_session, task_named
from node.store.store import Store
from protocol.errors import UsageError
from protocol.record_kinds import TaskBody
from tests.conftest import UNHURRIED_TASK
from tests.node.examples import (
    BASELINE,
    BETTER,
    HARDWARE_CLASS,
    LINE,
    MANIFEST,
    TASK,
    Notebook,
    result_body,
    run,
)

TEXT = replace(MANIFEST, name="my-text")
TEXT_LINE = LineKey(task=TEXT.id, hardware_class=HARDWARE_CLASS)


@pytest.fixture
def two(home: Home, notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Task `tiny`, whose head is BETTER, and then `my-text`, whose head is the baseline."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    notebook.task_and_baseline()
    notebook.adopted()
    notebook.save_line()
    notebook.write(TaskBody(manifest=TEXT))
    runs = (run(1_900_000_000, role="base"),)
    notebook.write(replace(result_body("baseline", runs), task=TEXT.id))
    save_line(notebook.store, TEXT_LINE, BASELINE.tree)
    return notebook.store


def save_line(store: Store, key: LineKey, tree: bytes) -> None:
    """Keep a line that explores nothing."""
    line = Line(
        task=key.task,
        hardware_class=key.hardware_class,
        verified=tree,
        working=tree,
        stack=(),
        reference_nano=(),
        promotion_trial_ms=1,
    )
    store.jobs.save_line(line)


def arnode(capsysbinary: pytest.CaptureFixture[bytes], *words: str, code: int = 0) -> list[str]:
    """Run a command line in this process and return stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsysbinary.readouterr()
    assert caught.value.code == code, captured.err
    return [captured.out.decode(), captured.err.decode()]


def test_log_names_the_task_of_each_row(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = arnode(capsysbinary, "log")[0].splitlines()
    assert lines[0].split() == ["id", "time", "task", "decision", "val_bpb", "gain", "title"]
    assert [line.split()[3] for line in lines[1:]] == ["my-text", "tiny", "tiny"]


def test_log_shows_one_task(two: Store, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = arnode(capsysbinary, "log", "--task", "tiny")[0].splitlines()
    assert (len(lines), "task" in lines[0].split()) == (3, False)
    document = json.loads(arnode(capsysbinary, "log", "--task", "my-text", "--json")[0])
    assert [one["task"] for one in document["experiments"]] == [TEXT.id.hex()]
    assert len(arnode(capsysbinary, "log", "-n", "1", "--task", "tiny")[0].splitlines()) == 2


def test_log_names_the_class_where_there_are_two(
    two: Store, notebook: Notebook, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    body = result_body("baseline", (run(1_400_000_000, role="base"),))
    notebook.write(replace(body, hardware_class="cuda-other"))
    lines = arnode(capsysbinary, "log", "--task", "tiny")[0].splitlines()
    assert lines[0].split()[:3] == ["id", "time", "class"]
    assert [line.split()[3] for line in lines[1:]] == ["cuda-other", *[HARDWARE_CLASS] * 2]


def test_head_is_that_of_the_session(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    text, tiny = BASELINE["train.py"].decode(), BETTER["train.py"].decode()
    out, err = arnode(capsysbinary, "head")  # nothing says which session: what was measured last
    assert (out, "shows task my-text" in err, "--task takes: tiny" in err) == (text, True, True)
    remember_session(two, LINE)
    out, err = arnode(capsysbinary, "head")
    assert (out, "shows task tiny" in err) == (tiny, True)
    out, err = arnode(capsysbinary, "head", "--task", "my-text")
    assert (out, "shows task my-text" in err) == (text, True)
    assert "shows task tiny" in arnode(capsysbinary, "export", "results.tsv")[1]


def test_one_line_needs_no_word(
    home: Home,
    notebook: Notebook,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    notebook.task_and_baseline()
    notebook.save_line()
    assert arnode(capsysbinary, "head")[1] == ""


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("head",),
            ("log",),
            ("report",),
            ("leaderboard",),
            (
                "leaderboard",
                "--transfer",
            ),
        ),
        ("export", "results.tsv"),
    ],
)
def test_a_misspelt_task_is_named(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes], words: tuple[str, ...]
) -> None:
    out, err = arnode(capsysbinary, *words, "--task", "tinny", code=2)
    assert out == ""
    assert "there is no task 'tinny' here\n" in err
    assert "did you mean 'tiny'?" in err


def test_a_misspelt_class_is_named(two: Store, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    err = arnode(capsysbinary, "leaderboard", "--class", "cpu-x86_46", code=2)[1]
    assert "no leaderboard of class 'cpu-x86_46' here\n" in err
    assert f"did you mean '{HARDWARE_CLASS}'?" in err


@pytest.mark.parametrize(
    ("option", "known"), [("--class", HARDWARE_CLASS), ("--task", "my-text, tiny")]
)
def test_known_names_are_listed_once(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes], option: str, known: str
) -> None:
    err = arnode(capsysbinary, "leaderboard", option, "h100", code=2)[1]
    assert err.count(known) == 1
    assert f"hint: possible: {known}\n" in err


def test_a_task_without_a_board_is_no_misspelling(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ("leaderboard", "--task", "my-text", "--class", HARDWARE_CLASS)
    assert "no leaderboard of the network main yet" in arnode(capsysbinary, *words)[1]
    err = arnode(capsysbinary, "leaderboard", "--task", "nanochat", code=2)[1]
    known = "known tasks: my-text, tiny"
    assert f"nothing has been measured on task 'nanochat' here yet; {known}" in err


def test_an_empty_home_knows_the_tasks_that_come_with_it(
    home: Home,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    err = arnode(capsysbinary, "leaderboard", "--task", "tinny", code=2)[1]
    assert "there is no task 'tinny' here" in err
    assert "did you mean 'tiny" in err


def test_tasks_of_one_name_are_reported_by_their_ids(two: Store, notebook: Notebook) -> None:
    edited = replace(TEXT, version=2)
    notebook.write(TaskBody(manifest=edited))
    among = [TASK, TEXT.id, edited.id]
    assert labels(two, among) == {one: "tiny" if one == TASK else one.hex()[:8] for one in among}
    with pytest.raises(UsageError, match="several") as caught:
        task_named(two, "my-text", among)
    assert edited.id.hex()[:8] in caught.value.message
    assert task_named(two, edited.id.hex()[:8], among) == edited.id


def test_a_task_is_meant_by_its_folder(two: Store, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    two.set_meta("task-folder/" + TEXT.id.hex(), str(folder.resolve()).encode())
    assert task_named(two, str(folder), [TASK, TEXT.id]) == TEXT.id


def test_what_measures_takes_the_task_of_the_last_session(two: Store, home: Home) -> None:
    """As what only reads does; without a session it is what the machine is for."""
    assert task_meant(home, Config(), is_named=False)[1].name == "tiny"
    remember_session(two, LineKey(task=TEXT.id, hardware_class="any"))
    with pytest.raises(UsageError, match="the last session worked on my-text") as caught:
        task_meant(home, Config(), is_named=False)
    assert "--text" in caught.value.hint
    assert task_meant(home, Config(task="tiny"), is_named=True)[1].name == "tiny"
    two.set_meta("task-folder/" + TEXT.id.hex(), str(UNHURRIED_TASK).encode())
    config, task = task_meant(home, Config(), is_named=False)
    assert (config.task, task.name) == (str(UNHURRIED_TASK), "unhurried")


def test_of_a_task_without_a_session_no_id_is_read(
    two: Store, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ("compare", "baseline", "head", "--pairs", "2", "--task", str(UNHURRIED_TASK))
    said = arnode(capsysbinary, *words, code=2)[1]
    assert "nothing has been measured on task unhurried here yet" in said


def test_output_that_cannot_be_written_is_an_error(two: Store) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "node", "head"],
            env=os.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert "cannot write the output: no space left on device" in ended.stderr
    assert "internal error" not in ended.stderr
