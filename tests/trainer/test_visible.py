"""A sandbox can see an interpreter and named packages, and no text that a task asks about."""

import os
import re
import sysconfig
import time
from pathlib import Path

import pytest
import torch

from trainer.cards.torch_build import Installed
from trainer.language_model.data import TaskData
from trainer.language_model.text.windows import shared_windows
from trainer.sandbox import visible
from trainer.sandbox.bytecode import TEMPORARY
from trainer.sandbox.visible import (
    INTERPRETER,
    PACKAGES,
    SHOWN_CODE,
    VisiblePath,
    VisibleTree,
    visible_tree,
)

SCAN_LIMIT_S = 60
PIECE_TOKENS = 20_000  # enough of the training text, since all documents of a world are similar


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return visible_tree().host_files()


def texts_of(data: TaskData) -> dict[str, bytes]:
    spelled = [*data.vocabulary.ranks, b"\n"]
    secret = data.secret_rows(b"a key")
    tokens = {
        "public": data.public_rows.ravel(),
        "secret": secret.ravel(),
        "training": data.training_parts[0][:PIECE_TOKENS],
    }
    return {name: b"".join(spelled[i] for i in part.tolist()) for name, part in tokens.items()}


def test_no_window_of_a_tasks_text_lies_in_the_visible_tree(
    short_data: TaskData, files: list[Path]
) -> None:
    texts = texts_of(short_data)
    started_s = time.process_time()
    found = shared_windows(b"".join(texts.values()), files)
    assert time.process_time() - started_s < SCAN_LIMIT_S
    assert found == []


def test_such_a_window_would_be_found(short_data: TaskData, tmp_path: Path) -> None:
    for name, text in texts_of(short_data).items():
        (tmp_path / name).write_bytes(b"# found it\n" + text[5000:5100])
        assert shared_windows(text, [tmp_path / name])


def test_only_named_packages_are_shown() -> None:
    shown = visible_tree().bindings
    packages = {binding.inside for binding in shown if binding.inside.startswith("/packages/")}
    allowed = {*PACKAGES, "nvidia"} if torch.version.cuda else {*PACKAGES}
    assert {path.removeprefix("/packages/").removesuffix(".py") for path in packages} <= allowed
    assert "/packages/torch" in packages
    others = [binding for binding in shown if binding.inside not in packages]
    for binding in others:
        assert binding.inside == INTERPRETER or binding.inside.startswith(
            ("/python/lib/", "/lib/", "/lib64/", "/arnode/trainer/")
        )


@pytest.mark.parametrize("cuda", [(13, 0), None])
def test_a_build_for_cuda_finds_its_libraries_without_a_card(
    cuda: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pip's default build on Linux, and does not load without these libraries."""
    (tmp_path / "nvidia").mkdir()
    monkeypatch.setattr(visible, "_next_to_torch", lambda: tmp_path)
    monkeypatch.setattr(visible, "installed", lambda: Installed(version="2.13.0", cuda=cuda))
    tree = visible_tree.__wrapped__()
    shown = VisiblePath(tmp_path / "nvidia", "/packages/nvidia") in tree.bindings
    assert shown == (cuda is not None)


def test_files_that_are_there_for_a_moment_are_nobodys(tmp_path: Path) -> None:
    """Another process makes them to hide names, and they are gone before they are opened."""
    for name in ("a.py", f"{TEMPORARY}x1"):
        (tmp_path / name).touch()
    tree = VisibleTree(bindings=(VisiblePath(tmp_path, "/packages/x"),), covered=())
    assert tree.host_files() == [tmp_path / "a.py"]


def test_the_harness_is_all_of_arnode_that_is_shown(files: list[Path]) -> None:
    root = Path(__file__).parents[2]
    ours = [path for path in files if path.is_relative_to(root / "trainer")]
    assert ours
    assert {path.parent for path in ours if path.suffix == ".py"} == {*SHOWN_CODE.values()}
    for folder in ("node", "agent", "protocol", "bootstrap", "tests", "tools", "docs"):
        assert not any(path.is_relative_to(root / folder) for path in files)


def test_of_the_users_home_only_interpreter_and_packages_are_shown() -> None:
    allowed = [
        Path(sysconfig.get_path("stdlib")).resolve(),
        Path(sysconfig.get_path("stdlib")).resolve().parent,  # libpython next to it
        Path(sysconfig.get_path("purelib")),
        Path(sysconfig.get_path("platlib")),
        *SHOWN_CODE.values(),
    ]
    for binding in visible_tree().bindings:
        if binding.host.is_relative_to(Path.home()) and binding.inside != INTERPRETER:
            assert any(binding.host.is_relative_to(place) for place in allowed), binding


def test_no_binding_shows_a_whole_installation() -> None:
    wide = {Path("/"), Path("/usr"), Path("/usr/lib"), Path("/etc"), Path.home(), Path.cwd()}
    wide |= {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("data"))}
    for binding in visible_tree().bindings:
        assert binding.host not in wide
        assert not any(place.is_relative_to(binding.host) for place in wide - {Path("/")})


def test_other_packages_of_the_environment_are_covered(files: list[Path]) -> None:
    tree = visible_tree()
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    for name in ("site-packages", "dist-packages", "test"):
        if (stdlib / name).is_dir():
            assert f"/python/lib/{stdlib.name}/{name}" in tree.covered
    assert not any("litellm" in path.parts or "hypothesis" in path.parts for path in files)
    assert not any(path.is_relative_to(stdlib / "site-packages") for path in files)


# Debian's links: without `site` (-S) the one is not imported, and only linkers follow the other.
NEEDLESS = re.compile(r"sitecustomize\.py|libpython3\.\d+\.so")


def test_links_inside_lead_nowhere_outside(files: list[Path]) -> None:
    """A link in a bound folder is followed inside the sandbox, where its target is missing."""
    hosts = [binding.host.resolve() for binding in visible_tree().bindings]
    for path in files:
        if path.is_symlink() and not NEEDLESS.fullmatch(path.name):
            target = Path(os.path.realpath(path))
            assert any(target.is_relative_to(host) for host in hosts) or not target.exists(), path


@pytest.mark.parametrize("name", ["passwd", "hosts", "resolv.conf", "ssl"])
def test_nothing_of_etc_is_shown(name: str) -> None:
    assert not any(Path("/etc", name) in (b.host, *b.host.parents) for b in visible_tree().bindings)
