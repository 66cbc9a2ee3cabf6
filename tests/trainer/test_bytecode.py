"""Compiled files name no folder of the host, and are otherwise unchanged."""

import importlib.util
import marshal
import py_compile
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.trainer.inside import inside
from trainer.sandbox.bytecode import hide_host_names
from trainer.sandbox.tier import probe_tier
from trainer.sandbox.visible import VisiblePath, VisibleTree, visible_tree

SOURCE = """HERE = {here!r}
def where():
    def deeper():
        return 1
    raise ValueError(deeper())
"""
INSIDE = "/packages/thing"


def compiled(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(SOURCE.format(here=str(folder)))
    return Path(py_compile.compile(str(folder / name), doraise=True))


@pytest.mark.parametrize("length", [10, 200, 400])
def test_a_compiled_file_names_no_folder_of_the_host_and_is_as_valid(
    tmp_path: Path, length: int
) -> None:
    """This includes long paths, whose length marshal writes in another form."""
    parts = [f"name-of-a-user-{part}"[:20] for part in range(length // 20 + 1)]
    thing = Path(tmp_path, *parts, "thing")
    files = [compiled(thing, "__init__.py"), compiled(thing, "deep/module.py")]
    before = [file.read_bytes() for file in files]
    hide_host_names(thing, INSIDE)
    for file, data in zip(files, before, strict=True):
        assert b"name-of-a-user" in data
        said = file.read_bytes().count(b"name-of-a-user")
        assert said == len(parts)  # in a separate text that must not be changed
        assert len(file.read_bytes()) == len(data)
        code = marshal.loads(file.read_bytes()[16:])  # noqa: S302 -- we have just compiled it
        assert code.co_filename.lstrip("/").startswith("packages/thing/")
        nested = [one for one in code.co_consts if hasattr(one, "co_filename")]
        assert {one.co_filename for one in nested} == {code.co_filename}
    again = [file.read_bytes() for file in files]
    hide_host_names(thing, INSIDE)
    assert [file.read_bytes() for file in files] == again


def test_what_is_hidden_is_seen_to_be_whatever_its_length() -> None:
    """Its length is stored before it, and 47 is the code of a slash."""
    with tempfile.TemporaryDirectory() as folder:
        room = 47 - len(f"{folder}//thing/__init__.py")
        thing = Path(folder, "x" * room, "thing")
        file = compiled(thing, "__init__.py")
        hide_host_names(thing, INSIDE)
        before = file.stat()
        assert folder.encode() not in file.read_bytes().replace(str(thing).encode(), b"", 1)
        hide_host_names(thing, INSIDE)
        assert file.stat().st_ino == before.st_ino


def test_python_still_reads_it_and_names_the_source_that_is_there(tmp_path: Path) -> None:
    file = compiled(tmp_path / "thing", "__init__.py")
    hide_host_names(tmp_path / "thing", INSIDE)
    kept = file.stat().st_mtime_ns
    said = subprocess.run(
        [sys.executable, "-c", "import thing; thing.where()"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert str(tmp_path / "thing" / "__init__.py") in said.stderr
    assert file.stat().st_mtime_ns == kept  # it was not compiled again


def test_what_is_no_such_file_stays(tmp_path: Path) -> None:
    cache = tmp_path / "thing" / "__pycache__"
    cache.mkdir(parents=True)
    for name in ("module.cpython-311.pyc", "other.pyc", "notes.txt"):
        (cache / name).write_bytes(f"{tmp_path}/thing/module.py".encode())
    hide_host_names(tmp_path / "thing", INSIDE)
    for file in cache.iterdir():
        assert file.read_bytes() == f"{tmp_path}/thing/module.py".encode()


def test_a_module_of_arnode_that_any_process_compiles_names_none_either(tmp_path: Path) -> None:
    """No installer compiles these, and a process that imports a module now may write it later."""
    host = tmp_path / "trainer" / "sandbox" / "inside"
    host.mkdir(parents=True)
    (host / "thing.py").write_text("x = 1\n")
    tree = VisibleTree(bindings=(VisiblePath(host, "/arnode/trainer/sandbox/inside"),), covered=())
    tree.warm_up()
    subprocess.run([sys.executable, "-c", "import thing"], cwd=host, check=True)
    (file,) = host.glob("__pycache__/*.pyc")
    assert str(tmp_path).encode() not in file.read_bytes()
    assert b"/arnode/trainer/sandbox/inside/thing.py" in file.read_bytes()
    py_compile.compile(str(host / "thing.py"), doraise=True)
    assert str(tmp_path).encode() in file.read_bytes()
    tree.warm_up()
    assert str(tmp_path).encode() not in file.read_bytes()


# pytest compiles modules with a test's name itself, including a module of torch that a test
# imports.
LOOK = """
import os, re
shown = 0
for root in ("/python", "/packages", "/arnode"):
    for within, _, names in os.walk(root):
        for name in names:
            if name.endswith(".pyc"):
                data = open(within + "/" + name, "rb").read()
                is_known = "sysconfigdata" in name or "-pytest-" in name
                shown += any(one in data for one in {names}) and not is_known
print(shown)
"""


def test_sandboxes_see_none_in_any_compiled_file() -> None:
    if probe_tier().name != "full":
        pytest.skip("in other tiers the host's folders are shown by their names")
    visible_tree().warm_up()
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    folders = {str(Path(spec.origin).parents[1]), sys.base_prefix, str(Path(__file__).parents[2])}
    names = [f"{name}/".encode() for name in folders if not name.startswith("/usr")]
    assert inside(LOOK.format(names=names)).strip() == "0"
