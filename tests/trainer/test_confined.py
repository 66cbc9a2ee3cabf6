"""A sandbox without namespaces, from the inside and from the outside.

For root it is tier container, unless our own installation is where other users have no access;
otherwise tier partial. `make soak PART=hostile` runs all attacks in both.
"""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.trainer.inside import DEAF, MIB, ended, inside, profile, ran_out_of_memory
from trainer.language_model.job import program_message
from trainer.sandbox import sandbox as sandbox_module
from trainer.sandbox.backend import SandboxBackend
from trainer.sandbox.confined import BOXES, THROWAWAY_UIDS, Confined, _link_visible
from trainer.sandbox.forked import ForkedConfined
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import _probe_weaker
from trainer.sandbox.visible import visible_tree
from trainer.sandbox.zygote import Zygote

pytestmark = pytest.mark.skipif(
    not can_scope_signals(), reason="the kernel's Landlock cannot keep signals inside"
)
MakeConfined = Callable[[Profile], SandboxBackend]
IS_CONTAINER = _probe_weaker().name == "container"


def own_or_forked(profile: Profile) -> SandboxBackend:
    make_confined = ForkedConfined if profile.may_be_forked else Confined
    return make_confined(profile, as_throwaway=IS_CONTAINER)


def own(profile: Profile) -> SandboxBackend:
    return Confined(profile, as_throwaway=IS_CONTAINER)


def folders() -> set[Path]:
    """Return the folders of sandboxes, without those of zygotes."""
    made = set(Path(tempfile.gettempdir()).glob("arnode-*"))
    zygotes = {one.folder for one in Zygote._fit.values() if one.folder is not None}
    return (made - zygotes) | {box for one in zygotes for box in (one / BOXES).iterdir()}


@pytest.fixture(autouse=True, params=[own_or_forked, own], ids=["forked", "own"])
def make_confined(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeConfined]:
    """Make all sandboxes of these tests in this way, and check that each removes its folder."""
    monkeypatch.setattr(sandbox_module, "make_backend", request.param)
    before = folders()
    yield request.param
    assert folders() <= before


@pytest.fixture(scope="module", autouse=True)
def _own_temporary_folder() -> Iterator[None]:
    """Keep sandbox folders apart from other tests', in a place open to throwaway users."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tempfile, "tempdir", folder)
            yield
            for zygote in Zygote.living():
                if zygote.folder is not None:
                    zygote.retire()


ATTEMPTS = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
def syscall(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError
node = @NODE@
attempts = {
    "passwd": lambda: open("/etc/passwd").read(),
    "root": lambda: os.listdir("/"),
    "home": lambda: open("@HOME@/key").read(),
    "home by cwd": lambda: open(f"/proc/{node}/cwd/key").read(),
    "write /tmp": lambda: open("/tmp/arnode-test-owned", "w"),
    "write beside": lambda: open("../owned", "w"),
    "write package": lambda: open(os.__file__, "a"),
    "environ": lambda: open(f"/proc/{node}/environ").read(),
    "memory": lambda: open(f"/proc/{node}/mem", "rb+"),
    "settings": lambda: open("/proc/sys/kernel/core_pattern", "w"),
    "disk": lambda: open("/dev/sda", "rb"),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "signal": lambda: os.kill(node, 0),
    "ptrace": lambda: syscall(101, 16, node, 0, 0),
    "limits": lambda: __import__("resource").prlimit(node, 7, (1, 1)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, node, 19),
    "truncate": lambda: os.truncate("@HOME@/key", 0),
    "remove": lambda: os.remove("@HOME@/key"),
    "setuid": lambda: os.setuid(0) if os.getuid() else os.setgroups([1]),
    "death signal": lambda: libc.prctl(1, 0) == 0 or 1 / 0,
    "own": lambda: open("notes", "w").write("x"),
    "tensor": lambda: __import__("torch").ones(3).sum().item(),
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
        done.append(name)
    except (OSError, ZeroDivisionError):
        pass
print(json.dumps({"done": done, "uid": os.getuid(), "environment": dict(os.environ),
                  "open": [fd for fd in range(512) if is_open(fd)]}))
"""


def test_only_its_own_folder_can_be_written_and_nothing_of_ours_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    with subprocess.Popen(["sleep", "1000"], cwd=tmp_path) as node:
        code = ATTEMPTS.replace("@NODE@", str(node.pid)).replace("@HOME@", str(tmp_path))
        try:
            found = json.loads(inside(code).splitlines()[-1])
        finally:
            node.kill()
    assert found["done"] == ["own", "tensor"]
    assert (tmp_path / "key").read_text() == "secret"
    assert (found["uid"] in THROWAWAY_UIDS) == IS_CONTAINER
    assert "ARNODE_HOME" not in found["environment"]
    assert found["environment"]["USER"] == "candidate"
    assert len(found["open"]) <= 5  # standard ones, the channel, the listing itself


FORKS = (
    DEAF
    + """
for _ in range(5):
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        break
print("pid", os.getpid(), flush=True)
while True:
    time.sleep(60)
"""
)


@pytest.mark.parametrize("make_confined", [own], indirect=True)  # with processes it is never forked
def test_close_leaves_no_process_of_many_that_hide() -> None:
    async def run() -> list[int]:
        sandbox = await Sandbox.launch(profile(single_process=False, memory_bytes=2000 * MIB))
        try:
            await sandbox.send(b"J", program_message(FORKS, "serve"))
            async with asyncio.timeout(60):
                while sandbox.output_tail().count("pid") < 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        finally:
            await sandbox.close()
        words = sandbox.output_tail().split()
        return [int(word) for word in words if word.isdigit()]

    pids = asyncio.run(run())
    assert len(pids) == 6
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.soak
def test_variables_name_its_own_folders_alone() -> None:
    said = inside(
        "import os\n"
        "own = os.path.dirname(os.environ['HOME'])\n"
        "print([v for v in os.environ.values() if 'arnode-' in v and not v.startswith(own)])",
        dataclasses.replace(profile(), role="train"),
    )
    assert said.strip() == "[]"


@pytest.mark.soak
def test_a_full_or_deep_folder_ends_the_run_and_goes_away() -> None:
    full = "import os\nfor n in range(10**6):\n    open(f'file{n}', 'wb').write(bytes(1 << 16))"
    assert ended(full, profile(scratch_bytes=8 * MIB)).end == "files"
    deep = (
        "import os\nfor n in range(5000):\n    os.mkdir('x' * 200)\n    os.chdir('x' * 200)\n"
        "while True: pass"
    )
    assert ended(deep, profile()).end == "files"


def test_everything_dies_with_a_killed_node(make_confined: MakeConfined) -> None:
    name = "ForkedConfined" if make_confined is own_or_forked else "Confined"
    node = subprocess.Popen(
        [sys.executable, "-c", KILLED_NODE, str(IS_CONTAINER or ""), name],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
        text=True,
    )
    assert node.stdout is not None
    pid, supervisor = map(int, node.stdout.readline().split())
    assert Path(f"/proc/{pid}").exists()
    node.kill()
    node.communicate()
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and any(
        Path(f"/proc/{left}").exists() for left in (pid, supervisor)
    ):
        os.sched_yield()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{supervisor}").exists()


KILLED_NODE = """
import asyncio, os, sys
from trainer.sandbox import sandbox
from trainer.sandbox.confined import Confined
from trainer.sandbox.forked import ForkedConfined
from trainer.sandbox.profile import Profile
from trainer.sandbox.zygote import Zygote
walls = globals()[sys.argv[2]]
sandbox.make_backend = lambda profile: walls(profile, as_throwaway=bool(sys.argv[1]))
async def main():
    box = await sandbox.Sandbox.launch(
        Profile(role="serve", harness="trainer/language_model/harness",
                memory_bytes=1 << 30, scratch_bytes=1 << 20))
    zygotes = [one._process.pid for one in Zygote._fit.values()]
    print(box._pid, *(zygotes or [box._process.pid]), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_end_of_a_device_without_memory_is_distinguished_from_others() -> None:
    assert ran_out_of_memory("import torch\nraise torch.OutOfMemoryError('none is free')")
    assert not ran_out_of_memory("raise ValueError('none is free')")


def test_another_user_passes_through_the_box_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        _link_visible(tmp_path, visible_tree().bindings)
    finally:
        os.umask(before)
    made = [Path(folder) for folder, _, _ in os.walk(tmp_path) if Path(folder) != tmp_path]
    assert {folder.relative_to(tmp_path).parts[0] for folder in made} == {"packages", "arnode"}
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o755}
