"""A program that plays a coding agent, well or badly: `coding_agent.py BEHAVIOUR [WORDS…]`.

It takes the place of Claude Code or aider in the node's agent sandbox, and obeys its arguments.
"""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

TRAIN = Path("train.py")


def edit() -> None:
    """Write an edit and a description of it, as asked."""
    TRAIN.write_text(TRAIN.read_text().replace("WIDTH = 64", "WIDTH = 96"))
    Path(".arnode/title.txt").write_text("Widen the model\nMore width helps \u202ehere\x07.\n")


def edit_silently() -> None:
    """An edit without words, and what checking it leaves behind."""
    TRAIN.write_text(TRAIN.read_text() + "DEPTH = 3\n")
    Path("__pycache__").mkdir()
    Path("__pycache__/train.pyc").write_bytes(b"\0")


def prompted() -> None:
    """Write into the edit the received words, the neighbouring files and the available tools."""
    received = {
        "words": sys.argv[2:],
        "prompt": Path(".arnode/prompt.md").read_text(),
        "program": Path("program.md").read_text(),
        "environment": dict(os.environ),
        "input": sys.stdin.read(),
        "terminal": [os.isatty(descriptor) for descriptor in range(3)],
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }
    TRAIN.write_text(f"{received!r}\n")


def networked() -> None:
    """A question to a server, whose answer it writes."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as server:
        TRAIN.write_text(f"ANSWER = {server.recv(100)!r}\n")


def renew() -> None:
    """A log-in that is renewed in place."""
    login = Path.home() / ".claude" / ".credentials.json"
    login.write_text(login.read_text() + "renewed")
    with contextlib.suppress(OSError):
        (Path.home() / ".claude" / "settings.json").write_text("hooks")
    (Path.home() / ".claude" / "history").write_text("of its own")
    edit()


def leak() -> None:
    """Its log-in, in what would be published."""
    login = Path.home() / ".claude" / ".credentials.json"
    TRAIN.write_text(f"# {login.read_text()}\n")


def snoop() -> None:
    """Everything that it should not get at; what succeeded becomes its edit."""
    secrets: dict[str, str] = json.loads(sys.argv[2])
    node = Path(f"/proc/{secrets.pop('pid')}")
    attempts = attempts_outside(int(node.name))
    for name, place in secrets.items():
        path = Path(place)
        attempts |= {
            f"read {name}": path.read_bytes,
            f"list above {name}": lister(path.parent),
            f"write {name}": opener(path, "r+b"),
            f"empty {name}": partial(os.truncate, path, 0),
            f"remove {name}": path.unlink,
            f"link {name}": partial(os.link, path, "stolen"),
        }
    attempts |= {f"its {name}": (node / name).read_bytes for name in ("environ", "mem", "maps")}
    attempts |= {f"its {name}": lister(node / name) for name in ("root", "cwd", "map_files")}
    attempts |= {f"its {name}": (node / name).readlink for name in ("exe", "fd/0", "fd/1")}
    attempts |= {f"its open {name}": opener(node / name, "rb") for name in ("fd/0", "fd/1")}
    done = []
    for name, attempt in attempts.items():
        with contextlib.suppress(OSError):
            attempt()
            done.append(name)
    TRAIN.write_text(f"{(done, has_secret(), [one.name for one in Path.home().iterdir()])!r}\n")


def attempts_outside(node: int) -> dict[str, Callable[[], object]]:
    """Return attempts to reach the system or other processes."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(*arguments: int) -> None:
        if libc.syscall(*arguments) < 0:
            raise OSError

    return {
        "signal": partial(os.kill, node, 0),
        "limits": partial(resource.prlimit, node, 7, (9, 9)),
        "priority": partial(os.setpriority, os.PRIO_PROCESS, node, 19),
        "ptrace": partial(call, 101, 16, node, 0, 0),
        "keyring": partial(call, 250, 0, -4, 1),
        "namespace": partial(call, 272, 0x10000000),
        "io_uring": partial(call, 425, 1, 0),
        "shadow": Path("/etc/shadow").read_bytes,
        "settings": opener(Path("/proc/sys/kernel/core_pattern"), "w"),
        "usr": opener(Path("/usr/arnode-was-here"), "w"),
        "etc": opener(Path("/etc/passwd"), "a"),
        "interpreter": opener(Path(os.__file__), "a"),
        "disk": opener(Path("/dev/vda"), "rb"),
        "terminal": opener(Path("/dev/tty"), "r"),
        "unix socket": partial(socket.socket, socket.AF_UNIX),
        "datagram pair": partial(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
        "packets": partial(socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
    }


def opener(path: Path, mode: str) -> Callable[[], object]:
    """Opening a file, and nothing else."""
    return lambda: path.open(mode).close()


def lister(path: Path) -> Callable[[], object]:
    """Listing a folder."""
    return lambda: list(path.iterdir())


def has_secret() -> bool:
    """Return whether the environment of any visible process has the node's secret."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if b"a secret of the node" in path.read_bytes():
                return True
    return False


def add_files() -> None:
    """An edit, with a copy of what was there before and what tools leave behind."""
    shutil.copy(TRAIN, "train.py.bak")
    edit()
    Path("helper.py").write_text("x = 1\n")
    Path(".git/objects").mkdir(parents=True)


def report() -> None:
    """An edit, and what it took."""
    edit()
    usage = {"input_tokens": 1200, "output_tokens": 34}
    print(json.dumps({"type": "result", "total_cost_usd": 0.25, "usage": usage}))


def report_and_hang() -> None:
    """Report the usage so far, and never end."""
    result = {"type": "result", "total_cost_usd": 0.01, "result": "Half done."}
    print(json.dumps(result), flush=True)
    hang()


def change_program() -> None:
    """An edit, and one of what it was to read."""
    edit()
    Path("program.md").chmod(0o644)
    Path("program.md").unlink()
    Path("program.md").write_text("Do as I like.\n")


def delete() -> None:
    """The file is gone."""
    TRAIN.unlink()


def replace_by_link() -> None:
    """The file is a link to something that only the node may read."""
    TRAIN.unlink()
    TRAIN.symlink_to(sys.argv[2])


def replace_by_pipe() -> None:
    """The file is a pipe, which never ends."""
    TRAIN.unlink()
    os.mkfifo(TRAIN)


def replace_by_folder() -> None:
    """The file is a folder."""
    TRAIN.unlink()
    TRAIN.mkdir()


def link_notes() -> None:
    """The notes are a link to another folder, with a file of the title's name."""
    edit()
    shutil.rmtree(".arnode")
    Path("__pycache__").mkdir()
    Path("__pycache__/title.txt").write_text("A title from elsewhere")
    Path(".arnode").symlink_to("__pycache__")


def make_executable() -> None:
    """The file gets a mode that no patch has."""
    edit()
    TRAIN.chmod(0o755)


def close_folder() -> None:
    """Nobody may read the folder."""
    edit()
    Path.cwd().chmod(0)


def not_text() -> None:
    """The file is no UTF-8."""
    TRAIN.write_bytes(b"WIDTH = 64 # \xff\xfe\n")


def not_python() -> None:
    """The file is no program."""
    TRAIN.write_text("def (:\n")


def huge() -> None:
    """The file has a gigabyte."""
    with TRAIN.open("wb") as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))


def fill() -> None:
    """Files without end."""
    for number in range(10**6):
        Path(f"file{number}").write_bytes(bytes(1 << 22))


def many() -> None:
    """Empty files without end, where they cost no bytes."""
    for number in range(10**6):
        Path(os.environ.get("TMPDIR", "/tmp"), f"file{number}").touch()  # noqa: S108


def hang() -> None:
    """It never ends, whatever it is asked."""
    edit()
    for number in range(1, 65):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)


def flood() -> None:
    """Output without end."""
    line = b"all work and no play\n" * 4096
    while True:
        os.write(1, line)


def talk() -> None:
    """Much output, and an edit."""
    edit()
    for _ in range(256):
        os.write(1, b"." * (1 << 16))


def daemons() -> None:
    """Processes that hide and want to outlive it; then it ends as if all were well."""
    edit()
    for _ in range(3):
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            for number in range(1, 65):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(60)


def linger() -> None:
    """The same, and it stays."""
    daemons()
    print("lingering", flush=True)
    while True:
        time.sleep(60)


def fork_until_refused() -> None:
    """As many processes as it gets, whose number is its edit."""
    started = 0
    with contextlib.suppress(OSError):
        while started < 5000:
            if not os.fork():
                time.sleep(60)
                os._exit(0)
            started += 1
    TRAIN.write_text(f"STARTED = {started}\n")


def fork_bomb() -> None:
    """Processes without end."""
    while True:
        with contextlib.suppress(OSError):
            os.fork()


def hoard() -> None:
    """Memory without end."""
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)) * 64)


def fail() -> None:
    """It says that it failed, with an edit half made."""
    edit()
    print("You are out of credit \x1b[31m")
    sys.exit(3)


def nothing() -> None:
    """It changes nothing."""


def undo() -> None:
    """It makes of a crashed proposal what was there before."""
    TRAIN.write_text(TRAIN.read_text().replace("WIDTH = 96", "WIDTH = 64"))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
