"""Objects computed here are the ones that git computes."""

import subprocess
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.git_objects import commit_object, source_objects
from protocol.source import Source

NAMES = st.text("ab.z-", min_size=1, max_size=3).filter(lambda name: name[0] in "abz")
SOURCES = st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=4)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@settings(max_examples=15)
@given(flat=SOURCES, nested=SOURCES, folder_name=NAMES)
def test_a_source_has_the_tree_that_git_gives_it(
    flat: dict[str, bytes], nested: dict[str, bytes], folder_name: str
) -> None:
    files = {name: data for name, data in flat.items() if name != folder_name}
    files |= {f"{folder_name}/{name}": data for name, data in nested.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git(folder, "init", "--quiet")
        for path, data in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        git(folder, "add", "--all")
        assert source_objects(Source.of(files))[-1].name == git(folder, "write-tree")


def test_a_commit_is_the_one_that_git_would_write() -> None:
    tree = source_objects(Source.of({"train.py": b"x = 1\n"}))[-1]
    commit = commit_object(
        tree=tree.name,
        parents=["1" * 40, "2" * 40],
        author="search <a@b.invalid>",
        committer="arnode <a@b.invalid>",
        ts_s=1_790_000_000,
        message="keep: é\n",
    )
    with tempfile.TemporaryDirectory() as name:
        body = commit.framed.partition(b"\0")[2]
        done = subprocess.run(
            ["git", "hash-object", "-t", "commit", "--literally", "--stdin"],
            cwd=name,
            input=body,
            capture_output=True,
            check=True,
        )
    assert done.stdout.decode().strip() == commit.name
