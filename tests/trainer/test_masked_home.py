"""Attempts of a fenced program on this machine: it reads installed files and writes nothing."""

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import node
from protocol.errors import SafetyError
from trainer.host.interpreter import python_command
from trainer.sandbox import masked_home, tier
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.masked_home import with_masked_home
from trainer.sandbox.tier import Tier, probe_tier

ROOT = Path(node.__file__).parents[1]

LOOK = """
import os, sys
from pathlib import Path
home = Path(sys.argv[1])
def tried(action):
    try:
        return str(action())
    except OSError:
        return "refused"
print(tried((home / "shown").read_text))
print(tried((home / "hidden" / "key").read_text))
print(tried(lambda: os.listdir(home / "hidden")))
"""


def look(home: Path, *, is_networked: bool = False) -> list[str]:
    command = [sys.executable, "-c", LOOK, str(home)]
    masked = with_masked_home(
        command, hidden=[home / "hidden", home / "none"], is_networked=is_networked
    )
    said = subprocess.run(masked, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a user's home. It is in `/tmp`, so another folder stands in for the emptied ones."""
    monkeypatch.setattr(masked_home, "_SHARED", (tmp_path / "tmp",))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "key").write_text("secret")
    (tmp_path / "shown").write_text("shown")
    (tmp_path / ".bashrc").write_text("# mine\n")
    return tmp_path


@pytest.mark.parametrize("is_networked", [False, True])
def test_the_hidden_folder_is_empty_and_the_rest_is_there(home: Path, is_networked: bool) -> None:
    assert probe_tier().name == "full"
    assert look(home, is_networked=is_networked) == ["shown", "refused", "[]"]


@pytest.mark.skipif(not landlock_abi(), reason="the kernel has no Landlock")
@pytest.mark.parametrize("is_networked", [False, True])
def test_without_namespaces_it_is_refused(
    home: Path, is_networked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="partial", detail=""))
    assert look(home, is_networked=is_networked) == ["shown", "refused", "refused"]


def test_without_a_sandbox_nothing_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="none", detail="none", hint="hint"))
    with pytest.raises(SafetyError, match="no sandbox"):
        look(home)


@pytest.fixture(params=["full", "partial" if os.geteuid() else "container"])
def backend_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a backend that can mask the home on this machine."""
    name: str = request.param
    if name == "full":
        if probe_tier().name != "full":
            pytest.skip(f"there is no tier full here: {probe_tier().detail}")
        return name
    if not landlock_abi():
        pytest.skip("the kernel has no Landlock")
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name=name, detail=""))  # type: ignore[arg-type]
    return name


def attempted(code: str, *words: object, hidden: tuple[Path, ...] = (), **has: bool) -> Any:
    """Return a fenced program's report on its attempts."""
    command = [*python_command("-B"), "-c", ATTEMPT + code, *map(str, words)]
    done = subprocess.run(
        with_masked_home(command, hidden=hidden, is_networked=has.get("is_networked", True)),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ATTEMPT = """
import json, os, socket, sys
from pathlib import Path
def works(action):
    try:
        action()
    except OSError:
        return False
    return True
"""
# Harmless if the mask fails: files are only opened, and new ones are removed.
WRITES = """
def make(path):
    os.mknod(path)
    os.unlink(path)
def tried(path):
    if os.path.isdir(path):
        name = os.path.join(path, ".arnode-fence-test")
        return works(lambda: make(name)) or works(lambda: (os.mkdir(name), os.rmdir(name)))
    return works(lambda: os.open(path, os.O_WRONLY)) or works(lambda: os.open(path, os.O_RDWR))
print(json.dumps([path for path in sys.argv[1:] if tried(path)]))
"""


@pytest.mark.parametrize("is_networked", [False, True])
def test_it_can_write_nothing(home: Path, backend_name: str, is_networked: bool) -> None:
    wanted = [
        home / ".bashrc",
        home,
        home / "tmp",
        home / "hidden",
        Path.home(),
        ROOT,
        *(ROOT / name for name in ("node/__main__.py", "trainer/sandbox/masked_home.py", "agent")),
        Path(click.__file__),
        Path(click.__file__).parents[1],
        *map(Path, (sys.executable, "/", "/etc", "/etc/passwd", "/run", "/dev")),
        *map(Path, ("/tmp", "/var/tmp", "/dev/shm")),  # noqa: S108 -- in vain
        *map(Path, ("/sys/fs/cgroup", "/proc/self/oom_score_adj")),
        *map(Path, ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches")),
    ]
    there = [path for path in wanted if path.exists()]
    assert attempted(WRITES, *there, hidden=(home / "hidden",), is_networked=is_networked) == []
    assert (home / ".bashrc").read_text() == "# mine\n"


ALTERS = """
bashrc, key = map(Path, sys.argv[1:])
print(json.dumps({
    "empty it": works(lambda: os.truncate(bashrc, 0)),
    "open and empty it": works(lambda: os.open(bashrc, os.O_RDONLY | os.O_TRUNC)),
    "remove it": works(bashrc.unlink),
    "rename it": works(lambda: bashrc.rename(bashrc.with_name("other"))),
    "link to it": works(lambda: os.link(bashrc, bashrc.with_name("other"))),
    "times": works(lambda: os.utime(bashrc, (1, 1))),
    "attributes": works(lambda: os.setxattr(bashrc, "user.arnode", b"1")),
    "read it": works(bashrc.read_bytes),
    "read what is hidden": works(key.read_bytes),
    "write to nothing": works(lambda: Path(os.devnull).write_bytes(b"1")),
}))
"""


def test_it_can_alter_no_file(home: Path, backend_name: str) -> None:
    key = home / "hidden" / "key"
    said = attempted(ALTERS, home / ".bashrc", key, hidden=(home / "hidden",))
    assert [name for name, worked in said.items() if worked] == ["read it", "write to nothing"]
    assert (home / ".bashrc").read_text() == "# mine\n"


SOCKETS = """
def connect(address):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(address)
def connect_tcp(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
one, other = socket.socketpair()
file, abstract, port, pipe = sys.argv[1:]
print(json.dumps({
    "file": works(lambda: connect(file)),
    "abstract": works(lambda: connect("\\0" + abstract)),
    "pipe": works(lambda: os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))),
    "tcp": works(lambda: connect_tcp(int(port))),
    "udp": works(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
}))
"""


@pytest.fixture
def listeners(home: Path) -> Iterator[tuple[str, str, int, str]]:
    """Yield listening sockets of a user's programs: two local ones, one of TCP, a pipe."""
    file, name, pipe = home / "socket", f"arnode-{os.getpid()}", home / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with (
        socket.socket(socket.AF_UNIX) as one,
        socket.socket(socket.AF_UNIX) as other,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        one.bind(str(file))
        other.bind(f"\0{name}")
        for each in (one, other):
            each.listen()
        yield str(file), name, tcp.getsockname()[1], str(pipe)
    os.close(reading)


@pytest.mark.parametrize("is_networked", [False, True])
def test_it_reaches_the_internet_at_most(
    listeners: tuple[str, str, int, str], backend_name: str, is_networked: bool
) -> None:
    said = attempted(SOCKETS, *listeners, is_networked=is_networked)
    assert [name for name, worked in said.items() if worked] == ["tcp", "udp"] * is_networked


OTHERS = """
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
outside = int(sys.argv[1])
def call(number, *words):
    if libc.syscall(number, *words) < 0:
        raise OSError
print(json.dumps({
    "memory": works(lambda: os.open(f"/proc/{outside}/mem", os.O_RDONLY)),
    "environment": works(lambda: Path(f"/proc/{outside}/environ").read_bytes()),
    "its files": works(lambda: os.listdir(f"/proc/{outside}/root/")),
    "trace": works(lambda: call(PTRACE, 16, outside, 0, 0)),
    "signal": works(lambda: os.kill(outside, 0)),
    "namespace": works(lambda: call(UNSHARE, 0x10000000)),
    "rights": Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0],
}))
"""
CALLS = {"x86_64": (101, 272), "aarch64": (117, 97)}  # ptrace, unshare


@pytest.mark.skipif(not can_scope_signals(), reason="Landlock here cannot keep signals inside")
def test_it_reaches_no_other_process(home: Path, backend_name: str) -> None:
    trace, unshare = CALLS[platform.machine()]
    code = OTHERS.replace("PTRACE", str(trace)).replace("UNSHARE", str(unshare))
    said = attempted(code, os.getpid())
    assert said.pop("rights") == "0" * 16
    assert not any(said.values()), said


SHARED = """
print(json.dumps([path for path in sys.argv[1:] if works(lambda: os.stat(path).st_size
    and (os.listdir(path) if os.path.isdir(path) else open(path).read()))]))
"""


def test_shared_folders_hold_what_is_installed_and_nothing_else(
    home: Path, backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, log_in = home / "tmp", home / "tmp" / "log-in"
    installed, servers = shared / "packages", shared / "systemd" / "resolve" / "resolv.conf"
    for path in (installed / "module.py", servers, log_in):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    (home / "resolv.conf").symlink_to(servers)
    monkeypatch.setattr(masked_home, "_NAME_SERVERS", home / "resolv.conf")
    monkeypatch.syspath_prepend(str(installed))
    asked = (installed / "module.py", home / "resolv.conf", log_in)
    assert attempted(SHARED, *asked) == [*map(str, asked[:2])]


def test_a_home_within_the_installation_stays_hidden(
    home: Path, backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home / "tmp" / "checkout"
    (root / "home").mkdir(parents=True)
    for path in (root / "module.py", root / "home" / "key"):
        path.write_text("text")
    monkeypatch.syspath_prepend(str(root))
    asked = (root / "module.py", root / "home" / "key")
    assert attempted(SHARED, *asked, hidden=(root / "home",)) == [str(asked[0])]


AGAIN = """
import subprocess
print(json.dumps(subprocess.call(["sh", "-c", 'echo >> "$1"', "sh", sys.argv[1]])))
"""


def test_what_it_starts_is_masked_too(home: Path, backend_name: str) -> None:
    assert attempted(AGAIN, home / ".bashrc") != 0
    assert (home / ".bashrc").read_text() == "# mine\n"


EMPTYING = """
import os, sys
from trainer.sandbox.inside.restrictions import load_filter
from trainer.sandbox.inside.restrictions import forbid_new_privileges
from trainer.sandbox.seccomp import unaltered_program
forbid_new_privileges()
load_filter(unaltered_program(2))
os.close(os.open(sys.argv[1], os.O_RDONLY))
os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND))
os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)
"""


def test_old_landlock_gets_a_filter_against_emptying_files(home: Path) -> None:
    command = [*python_command(), "-c", EMPTYING, str(home / ".bashrc")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "PermissionError: [Errno 1]" in done.stderr.splitlines()[-1]
    assert (home / ".bashrc").read_text() == "# mine\n"
