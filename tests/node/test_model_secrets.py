"""The worker that asks models, seen from around it: no home, no key to be found, no way in."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.home.home import Home
from node.home.keyfile import load_keys
from node.proposing.keys import take_keys
from tests.llm_server import LlmServer, says
from tests.trainer.inside import inside
from tests.workers import KEY, asking, configured, own_worker
from trainer.sandbox.tier import probe_tier

needs_bubblewrap = pytest.mark.skipif(
    probe_tier().name != "full", reason="the profile is made by bubblewrap"
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Home]]:
    """A worker that was asked, and the home that it belongs to, which has a key."""
    home = Home(tmp_path_factory.mktemp("node") / "home")
    load_keys(home)
    keys = take_keys({"MODEL_KEY": KEY}, "MODEL_KEY")
    with LlmServer(says("hi")) as server, asyncio.Runner() as runner:
        opened = asking(home, configured(server.url), keys=keys)
        runner.run(opened.__aenter__())
        yield own_worker(), home
        runner.run(opened.__aexit__(None, None, None))


@needs_bubblewrap
def test_it_does_not_see_the_home(worker: tuple[int, Home]) -> None:
    pid, home = worker
    root = Path(f"/proc/{pid}/root")
    assert home.key.exists()
    assert list((root / home.root.relative_to("/")).iterdir()) == []
    assert (root / str(Path(__file__).relative_to("/"))).exists()


def test_the_key_is_in_no_argument_and_no_environment(worker: tuple[int, Home]) -> None:
    pid, _ = worker
    read = 0
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                reported = (folder / name).read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            assert KEY.encode() not in reported
            read += folder.name == str(pid)
    assert read == 2
    assert Path(f"/proc/{pid}/environ").read_bytes().startswith(b"PATH=")


LIMITS = """
import ctypes, resource
from agent.worker.program import MEMORY_BYTES, keep_to_oneself
keep_to_oneself()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
try:
    bytearray(MEMORY_BYTES)
except MemoryError:
    print("no more memory")
"""


def test_nobody_of_the_same_user_can_look_into_it_and_its_memory_is_bounded() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LIMITS], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == ["0 (0, 0)", "no more memory"]


def test_it_writes_no_file(worker: tuple[int, Home]) -> None:
    pid, _ = worker
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (size,) = [line.split() for line in limits if line.startswith("Max file size")]
    assert size[3:5] == ["0", "0"]


# The two halves are put together inside, so that the search does not find itself.
SEARCH = """
import os
from pathlib import Path
wanted = ({first!r} + {second!r}).encode()
found = []
for folder in Path("/proc").glob("[0-9]*"):
    for name in ("cmdline", "environ"):
        try:
            if wanted in (folder / name).read_bytes():
                found.append(name)
        except OSError:
            pass
    try:
        with open(folder / "maps") as maps, open(folder / "mem", "rb") as memory:
            if folder.name == str(os.getpid()):
                continue
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split("-"))
                if "w" in rights:
                    memory.seek(start)
                    if wanted in memory.read(end - start):
                        found.append("memory")
    except OSError:
        pass
print("found", found)
for pid in (1, {pid}):
    try:
        os.kill(pid, 0)
        os.stat(f"/proc/{{pid}}/exe")
        print("reached", pid == {pid})
    except OSError:
        pass
"""


def test_a_sandboxed_run_finds_the_key_nowhere(worker: tuple[int, Home]) -> None:
    pid, _ = worker
    middle = len(KEY) // 2
    said = inside(SEARCH.format(first=KEY[:middle], second=KEY[middle:], pid=pid))
    assert "found []" in said
    assert "reached True" not in said
