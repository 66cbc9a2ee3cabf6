"""Packages that arnode's environment lacks: pip makes an environment for the task, once."""

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from protocol.errors import ArnodeError, ConfigurationError
from tests.trainer.program.tasks import CALLED, Bench, figures, read, write_task
from trainer.program import environments
from trainer.program.environments import JUDGE_LOCK, LOCK
from trainer.program.manifest import recipe_of
from trainer.sandbox import packages
from trainer.task_folder.task import NotPreparedError, Task
from trainer.task_kinds import settled_task, untrusted_task

ERROR = (12_000_000_000, 12_000_000_000)  # the error of an answer
SOLVE = """\
from dozen import DOZEN


def solve(instance):
    return sum(instance["numbers"]) + DOZEN
"""
Prepare = Callable[[Path], Task]


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages instead of an index, and an empty one for environments."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "twelve", "1.0", "VALUE = 11\n")
    wheel(folder, "twelve", "2.0", "VALUE = 12\n")
    wheel(folder, "dozen", "1.5", "import numpy, twelve\nDOZEN = twelve.VALUE\n", "twelve", "numpy")
    wheel(folder, "older", "1.0", "", "numpy<1")
    sources_only(folder, "unbuilt", ran=tmp_path / "ran")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for module in (packages, environments):
        monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "environments")
    return folder


def wheel(folder: Path, name: str, version: str, text: str, *needed: str) -> None:
    about = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in needed)
    files = {
        f"{name}.py": text,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def sources_only(folder: Path, name: str, *, ran: Path) -> None:
    text = f"open({str(ran)!r}, 'w').close()\n".encode()
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        reported = tarfile.TarInfo(f"{name}-1.0/setup.py")
        reported.size = len(text)
        archive.addfile(reported, BytesIO(text))


def task_folder(place: Path, *asked: str, judges: Sequence[str] = (), text: str = SOLVE) -> Path:
    names, of_judge = (
        f"requires = {[*each]}\n".replace("'", '"') if each else "" for each in (asked, judges)
    )
    return write_task(place, how=CALLED + names, judging=of_judge, files={"solve.py": text})


def prepared(folder: Path) -> Task:
    load = partial(read, folder)
    return settled_task(load, data_dir=folder, data_url=None, progress=lambda *_: None)


def test_what_is_not_here_is_named_with_its_fix(tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "task", "dozen")
    with pytest.raises(
        NotPreparedError, match="Python packages are not installed: dozen"
    ) as caught:
        read(folder)
    assert caught.value.hint == f"prepare it: arnode task prepare {folder}"


def test_a_candidate_imports_what_was_installed_once_for_its_task_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "environments" / "making-abc"  # by a process that was killed
    left.mkdir(parents=True)
    folder = task_folder(tmp_path / "task", "dozen")
    task = prepared(folder)
    assert not left.exists()
    monkeypatch.setattr(environments, "_pip", None)
    assert prepared(folder).id == task.id
    lines = (folder / LOCK).read_text().splitlines()
    assert [line for line in lines if not line.startswith("numpy==")] == [
        "dozen==1.5",
        "twelve==2.0",
    ]
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == ERROR
    other = read(write_task(tmp_path / "other", files={"solve.py": SOLVE}))
    with Bench(other) as bench, pytest.raises(ArnodeError, match="No module named 'dozen'"):
        bench.calibrate()


@pytest.mark.soak
def test_the_version_that_is_asked_for_comes_and_is_another_task(tmp_path: Path) -> None:
    newest = prepared(task_folder(tmp_path / "a", "dozen", "twelve"))
    older = prepared(task_folder(tmp_path / "b", "dozen", "twelve==1.0"))
    assert newest.id != older.id
    with Bench(older) as bench:
        assert figures(bench.calibrate()) == (11_000_000_000, 11_000_000_000)


def test_a_judge_has_packages_apart_from_its_candidates(tmp_path: Path) -> None:
    plain = "def solve(instance):\n    return sum(instance['numbers'])\n"
    folder = task_folder(tmp_path / "task", judges=["twelve"], text=plain)
    judge = (folder / "judge.py").read_text()
    (folder / "judge.py").write_text(f"import twelve\n{judge}")
    task = prepared(folder)
    assert (folder / JUDGE_LOCK).read_text() == "twelve==2.0\n"
    assert not (folder / LOCK).exists()
    with Bench(task) as bench:
        assert figures(bench.calibrate()) == (0, 0)
        assert "No module named 'twelve'" in str(bench.run(f"import twelve\n{plain}").reason)


@pytest.mark.soak
def test_others_make_the_same_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = prepared(task_folder(tmp_path / "task", "dozen", judges=["twelve"]))
    served = {hashlib.sha256(one).digest(): one for one in recipe_of(own).named_blobs}
    for module in (packages, environments):
        monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "elsewhere")
    load = partial(untrusted_task, own.manifest, own.source, served.__getitem__)
    with pytest.raises(NotPreparedError) as caught:
        load()
    assert caught.value.hint == f"prepare it: arnode task prepare {own.id.hex()[:12]}"
    theirs = settled_task(load, data_dir=tmp_path, data_url=None, progress=lambda *_: None)
    assert theirs.id == own.id
    with Bench(theirs) as bench:
        assert figures(bench.calibrate()) == ERROR


@pytest.mark.parametrize(
    ("asked", "said"),
    [("older", "numpy"), ("no-such-thing", "no-such-thing"), ("unbuilt", "unbuilt")],
)
def test_what_cannot_be_installed_leaves_nothing_and_runs_nothing(
    asked: str, said: str, tmp_path: Path
) -> None:
    folder = task_folder(tmp_path / "task", asked)
    with pytest.raises(ConfigurationError, match=f"cannot be installed: .*{said}"):
        prepared(folder)
    assert [one.name for one in (tmp_path / "environments").iterdir()] == ["lock"]
    assert not (folder / LOCK).exists()
    assert not (tmp_path / "ran").exists()


def test_a_list_must_hold_what_is_asked_for(tmp_path: Path) -> None:
    folder = task_folder(tmp_path / "task", "twelve")
    (folder / LOCK).write_text("dozen==1.5\n")
    with pytest.raises(ConfigurationError, match="the list lacks twelve, which the task requires"):
        read(folder)
    (folder / LOCK).write_text("dozen==1.5\ntwelve==2.0\n")
    with pytest.raises(NotPreparedError, match=r"dozen==1\.5, twelve==2\.0"):
        read(folder)
    assert prepared(folder)
    assert (folder / LOCK).read_text() == "dozen==1.5\ntwelve==2.0\n"
