"""One sandbox from the inside: its view of the machine, and its ends."""

import asyncio
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.errors import SafetyError
from tests.trainer.inside import (
    DEAF,
    MIB,
    ended,
    inside,
    light_profile,
    profile,
    ran_out_of_memory,
)
from trainer.host.processes import family_of, held_kib, pipes_kib, proportional_kib, status_number
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.seccomp import gate_program
from trainer.sandbox.tier import probe_tier
from trainer.sandbox.visible import SHOWN_CODE
from trainer.sandbox.zygote import Zygote

WALK = """
import os, stat, json
writable, private = [], []
def visit(folder):
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.path in ("/proc", "/job", "/tmp", "/dev/shm", "/dev/pts", "/dev/fd"):
            continue
        if entry.is_dir(follow_symlinks=False):
            visit(entry.path)
            try:
                probe = os.open(os.path.join(entry.path, "probe"), os.O_CREAT | os.O_WRONLY)
                writable.append(entry.path)
            except OSError:
                pass
        elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            try:
                os.close(os.open(entry.path, os.O_WRONLY))
                writable.append(entry.path)
            except OSError:
                pass
for name in ("/", "/dev", "/proc", "/proc/sys/kernel", "/packages", "/python"):
    try:
        os.close(os.open(name + "/probe", os.O_CREAT | os.O_WRONLY))
        writable.append(name)
    except OSError:
        pass
visit("/")
for name in ("core_pattern", "modprobe", "hostname", "pid_max"):
    try:
        os.close(os.open("/proc/sys/kernel/" + name, os.O_WRONLY))
        writable.append(name)
    except OSError:
        pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("mem", "oom_score_adj", "comm", "clear_refs"):
        try:
            os.close(os.open(f"/proc/{pid}/{name}", os.O_WRONLY))
            writable.append(f"/proc/{pid}/{name}")
        except OSError:
            pass
for name in ("null", "zero", "urandom", "tty", "full"):
    for change in (
        lambda: os.chmod("/dev/" + name, 0o666),
        lambda: os.chown("/dev/" + name, 1000, 1000),
        lambda: os.setxattr("/dev/" + name, "system.posix_acl_access", b"\\2\\0\\0\\0"),
        lambda: os.unlink("/dev/" + name),
    ):
        try:
            change()
            writable.append("/dev/" + name)
        except OSError:
            pass
try:
    os.fchmod(0, 0o666)
    writable.append("standard input")
except OSError:
    pass
print(json.dumps({"writable": writable, "root": sorted(os.listdir("/")),
                  "files": len(os.listdir("/packages")), "uid": os.getuid(),
                  "processes": [p for p in os.listdir("/proc") if p.isdigit()],
                  "environment": sorted(os.environ), "null": open("/dev/null").read()}))
"""


def test_nothing_of_the_host_is_writable_and_little_is_there() -> None:
    """If root runs the node, the kernel takes the candidate for root, who owns root's files."""
    mode = Path("/dev/null").stat().st_mode
    # With processes there is a /proc, which has the most to look at.
    found = json.loads(inside(WALK, profile(single_process=False)).splitlines()[-1])
    assert found["writable"] == []
    assert Path("/dev/null").stat().st_mode == mode
    expected = {"arnode", "dev", "job", "lib", "lib64", "packages", "proc", "python", "tmp"}
    assert set(found["root"]) <= expected
    assert found["uid"] == 1000
    assert len(found["processes"]) == 2  # bubblewrap's first process and the candidate
    assert not [name for name in found["environment"] if "KEY" in name or "TOKEN" in name]


def test_home_keys_and_data_do_not_exist_in_there(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("a node's secret")
    code = f"""
import os
paths = [{str(secret)!r}, "/proc/1/root" + {str(secret)!r}, "/etc/passwd", "/etc/shadow",
         {str(Path.home())!r}, "/root", "/home", "/work", "/sys", "/var", "/usr", "/run", "/mnt",
         {str(Path(__file__).parents[2])!r}, "/arnode/trainer/tasks",
         "/arnode/trainer/language_model/text",
         "/proc/1/cwd/../../etc/passwd", "/../../../etc/passwd"]
for path in paths:
    print(path, os.path.exists(path))
print(sorted(path for path, folders, files in os.walk("/arnode")
             if files and not path.endswith("/__pycache__")))
"""
    *lines, last = inside(code).splitlines()
    assert lines
    assert all(line.endswith("False") for line in lines), lines
    shown = [
        "/arnode/trainer/language_model/harness",
        "/arnode/trainer/program/harness",
        "/arnode/trainer/sandbox/inside",
    ]
    assert last == str(shown)


def test_there_is_no_network() -> None:
    code = """
import socket
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16, 17, 40):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(family, kind)
            print("open", family, kind)
        except OSError as error:
            assert error.errno == 1, error
try:
    socket.socketpair()
    print("open pair")
except PermissionError:
    pass
print(open("/proc/net/dev").read().count(":"), "device")
"""
    lo_which_is_down = ["1 device"]
    assert inside(code, profile(single_process=False)).splitlines() == lo_which_is_down


def test_each_scratch_folder_is_bounded_and_the_rest_is_read_only() -> None:
    code = """
import os, errno
for folder in ("/tmp", "/job", "/dev/shm"):
    written = 0
    with open(folder + "/fill", "wb", buffering=0) as file:
        try:
            while True:
                written += file.write(bytes(1 << 16))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    print(folder, written >> 20)
for folder in ("/", "/dev", "/proc", "/lib", "/python"):
    try:
        open(folder + "/fill", "wb")
        print("writable", folder)
    except OSError as error:
        assert error.errno in (errno.EROFS, errno.ENOENT, errno.EACCES), (folder, error)
"""
    lines = [line.split() for line in inside(code).splitlines()]
    assert [name for name, _ in lines] == ["/tmp", "/job", "/dev/shm"]  # noqa: S108
    assert all(6 <= int(size) <= 8 for _, size in lines)


def test_limits_of_the_process_cannot_be_raised() -> None:
    code = """
import resource, os
core, files = resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)
print(core, files[1], flush=True)
for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE,
              resource.RLIMIT_SIGPENDING, resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO,
              resource.RLIMIT_MEMLOCK):
    try:
        resource.setrlimit(limit, (1 << 40, 1 << 40))
        print("raised", limit, flush=True)
    except (ValueError, OSError):
        pass
os.abort()
"""
    assert inside(code).splitlines() == ["(0, 0) 512"]


def test_cpu_seconds_are_those_of_all_threads() -> None:
    code = """
import threading, time, hashlib
def burn():
    while time.thread_time() < 0.4:
        hashlib.sha256(bytes(1 << 16)).digest()
threads = [threading.Thread(target=burn) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("burnt", flush=True)
time.sleep(60)
"""

    async def run() -> float:
        sandbox = await Sandbox.launch(profile())
        try:
            before_s = sandbox.cpu_s()
            await sandbox.send(JOB, program_message(code, "serve"))
            async with asyncio.timeout(60):
                while "burnt" not in sandbox.output_tail():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            used_s = sandbox.cpu_s() - before_s
        finally:
            await sandbox.close()
        assert sandbox.cpu_s() - before_s >= used_s  # the last reading remains
        return used_s

    assert 1.2 <= asyncio.run(run()) < 3


def test_the_tail_of_the_output_is_kept_and_a_flood_ends_it() -> None:
    tail = inside("import sys; sys.stdout.write('x' * 100_000 + 'the end')")
    assert len(tail) == 16 * 1024
    assert tail.endswith("the end")
    flood = "import os\nwhile True:\n    os.write(1, b'x' * 65536)"
    sandbox = ended(flood, profile(output_bytes=MIB))
    assert sandbox.end == "output"
    assert len(sandbox.output_tail()) == 16 * 1024


HOGS = {
    "plain": "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * (8 << 20)))",
    "page tables": """
import mmap
kept = []
while True:  # a page of tables for each page of zeros that is looked at; sizes show nothing
    kept.append(mmap.mmap(-1, 64 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000))
    kept[-1].madvise(15)  # no huge pages
    for at in range(0, 64 << 30, 2 << 20):
        kept[-1][at]
""",
}


@pytest.mark.parametrize("name", HOGS)
def test_memory_is_limited(name: str) -> None:
    sandbox = ended(HOGS[name], profile(memory_bytes=600 * MIB))
    assert sandbox.end == "memory"
    assert sandbox.peak_memory_bytes > 600 * MIB


HIDDEN_MEMORY = """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def memfd():
    return os.memfd_create("hidden")
def shared():
    kept = mmap.mmap(-1, 1 << 20)
    kept.madvise(mmap.MADV_DONTNEED)
def zero():
    return mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 20)
def segment():
    if libc.shmget(0, 1 << 20, 0o1600) < 0:
        raise OSError
for hide in (memfd, shared, zero, segment):
    try:
        hide()
        print("hidden by", hide.__name__)
    except OSError:
        print("refused")
"""


def test_memory_cannot_be_hidden_from_the_watch() -> None:
    assert inside(HIDDEN_MEMORY).split() == ["refused"] * 4


def test_a_process_that_hides_its_maps_counts_in_full() -> None:
    """If not dumpable, it hides its proportional size even from a node of the same user."""
    hidden = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import ctypes as c; c.CDLL(None).prctl(4, 0); print(flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert hidden.stdout is not None
        hidden.stdout.readline()
        ask = proportional_kib
        seen_kib = _as_nobody(lambda: ask(hidden.pid)) if os.getuid() == 0 else ask(hidden.pid)
        assert seen_kib >= status_number(hidden.pid, "VmRSS") > 1000
    finally:
        hidden.communicate(b"\n")


def _as_nobody(ask: Callable[[], int]) -> int:
    """Call a function in a child without root's rights."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(65534)
        os.write(writer, str(ask()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        return int(answer.read())


PIPES = """
import os, time
kept = [os.pipe() for _ in range(200)]
for _, writer in kept:
    os.write(writer, b"x" * 65536)
print("filled", flush=True)
time.sleep(60)
"""


def test_what_pipes_hold_counts_as_memory() -> None:
    """It belongs to no process, so a limit on processes' memory does not see it."""

    async def run() -> None:
        sandbox = await Sandbox.launch(profile(single_process=False, memory_bytes=4000 * MIB))
        try:
            await sandbox.send(JOB, program_message(PIPES, "serve"))
            pids = family_of(sandbox.root)
            async with asyncio.timeout(60):
                while pipes_kib(pids) < 200 * 64:  # noqa: ASYNC110 -- a pipe raises no event
                    await asyncio.sleep(0.01)
                held = sum(map(held_kib, pids)) << 10
                while sandbox.peak_memory_bytes < held + 12 * MIB:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            await sandbox.close()

    asyncio.run(run())


def test_a_program_of_one_process_holds_no_memory_in_pipes() -> None:
    said = inside("""
import os
try:
    os.pipe()
except PermissionError:
    print("refused")
""")
    assert said.strip() == "refused"


THREADS = """
import threading, time
for _ in range(200):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
"""
DAEMONS = """
import os, time
for _ in range(40):
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
DAEMON_HOG = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    kept = []
    while True:
        kept.append(bytearray(b"x" * (8 << 20)))
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("code", "single_process", "end"),
    [(THREADS, True, "threads"), (DAEMONS, False, "threads"), (DAEMON_HOG, False, "memory")],
)
def test_threads_and_daemons_count_together(code: str, single_process: bool, end: str) -> None:
    limits = profile(threads=30, single_process=single_process, memory_bytes=1000 * MIB)
    assert ended(code, limits).end == end


def pids_in(namespace: str) -> list[str]:
    """Return the living processes of a pid namespace, without zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if str(path.readlink()) == namespace:
                state = Path("/proc", path.parts[2], "stat").read_text().rpartition(") ")[2][0]
                found += [] if state == "Z" else [path.parts[2]]
        except OSError:
            continue  # it is gone, or belongs to somebody else
    return found


def namespace_of(sandbox: Sandbox) -> str:
    return str(Path(f"/proc/{sandbox._pid}/ns/pid").readlink())


async def _kill_outer(sandbox: Sandbox) -> None:
    sandbox._process.kill()


CLOSERS: dict[str, Callable[[Sandbox], Awaitable[None]]] = {
    "by us": lambda _sandbox: asyncio.sleep(0),
    "bubblewrap killed from outside": _kill_outer,
}


@pytest.mark.parametrize("closer", CLOSERS)
def test_close_leaves_no_process(closer: str) -> None:
    """This includes one that forks, ignores signals and has closed its output."""
    code = (
        DEAF
        + """
for _ in range(5):
    if not os.fork():
        os.setsid()
        break
print("settled", flush=True)
os.close(1), os.close(2)
kept = bytearray(b"x" * (100 << 20))  # takes a moment to take down
while True:
    time.sleep(60)
"""
    )

    async def run() -> tuple[int, list[str]]:
        sandbox = await Sandbox.launch(profile(single_process=False, memory_bytes=2000 * MIB))
        namespace = namespace_of(sandbox)
        try:
            await sandbox.send(JOB, program_message(code, "serve"))
            async with asyncio.timeout(30):
                while sandbox.output_tail().count("settled") < 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            await CLOSERS[closer](sandbox)
            before = len(pids_in(namespace))
        finally:
            await sandbox.close()
        return before, pids_in(namespace)

    before, after = asyncio.run(run())
    if closer == "by us":
        assert before >= 7
    assert after == []


_SET_CHILD_SUBREAPER = 36  # prctl(2)


@pytest.fixture
def orphans() -> Iterator[None]:
    """Make orphaned processes children of this process."""
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def living_family() -> set[int]:
    """Return this process's descendants, and reap those that nobody else waits for."""
    found = set(family_of(os.getpid())) - {os.getpid()}
    for pid in sorted(found):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                found.remove(pid)
    return found


@pytest.mark.parametrize("single_process", [True, False])
def test_a_launch_that_is_given_up_leaves_no_process(orphans: None, single_process: bool) -> None:
    """The moment varies: before there is a process, before its first message, and after it."""
    limits = light_profile(single_process=single_process)

    async def given_up(after_s: float) -> None:
        launching = asyncio.create_task(Sandbox.launch(limits))
        await asyncio.sleep(after_s)
        launching.cancel()
        async with asyncio.timeout(30):
            with suppress(asyncio.CancelledError):
                await (await launching).close()

    async def run() -> tuple[set[int], set[int]]:
        await (await Sandbox.launch(limits)).close()
        before = living_family()
        for moment in range(12):
            await given_up(moment * 0.004)
        return before, living_family()

    before, after = asyncio.run(run())
    assert after <= before


def test_who_is_cancelled_while_it_closes_has_closed_it(orphans: None) -> None:
    async def run() -> set[int]:
        before = living_family()
        sandbox = await Sandbox.launch(light_profile(single_process=False))
        closing = asyncio.create_task(sandbox.close())
        for _ in range(3):
            await asyncio.sleep(0)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        return living_family() - before

    assert asyncio.run(run()) == set()


def test_the_sandbox_dies_with_a_killed_node(tmp_path: Path) -> None:
    node = subprocess.Popen(
        [sys.executable, "-c", KILLED_NODE],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert node.stdout is not None
    namespace = node.stdout.readline().strip()
    assert pids_in(namespace)
    node.kill()
    node.communicate()
    deadline_s = time.monotonic() + 10
    while pids_in(namespace) and time.monotonic() < deadline_s:
        os.sched_yield()
    assert pids_in(namespace) == []


KILLED_NODE = """
import asyncio, os
from trainer.sandbox.profile import Profile
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.seccomp import gate_program
async def main():
    sandbox = await Sandbox.launch(
        Profile(role="serve", harness="trainer/language_model/harness",
                memory_bytes=1 << 30, scratch_bytes=1 << 20))
    print(os.readlink(f"/proc/{sandbox._pid}/ns/pid"), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_sandbox_whose_node_is_gone_before_it_is_warm_ends_by_itself() -> None:
    """The kernel's signal that the parent died can come before bubblewrap is ready for it."""
    ours, theirs = socket.socketpair()
    boot = SHOWN_CODE[HARNESS] / "boot.py"
    with subprocess.Popen(
        [sys.executable, boot, str(theirs.fileno()), "serve", gate_program().hex()],
        pass_fds=(theirs.fileno(),),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as orphan:
        ours.close()
        theirs.close()
        assert orphan.wait(timeout=60)


@pytest.mark.skipif(probe_tier().name != "full", reason="bubblewrap's")
def test_bubblewrap_is_taken_from_where_the_node_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not only from the system's folders: it may be in /usr/local/bin or a Nix profile."""
    bwrap, seen = tmp_path / "bwrap", tmp_path / "seen"
    bwrap.write_text(f'#!/bin/sh\n: > {seen}\nexec {shutil.which("bwrap")} "$@"\n')
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert inside("print('inside')", profile(is_fresh=True)).split() == ["inside"]
    assert seen.exists()


def test_a_sandbox_that_cannot_start_says_how_to_fix_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(Zygote, "_fit", {})
    for wanted in (profile(), profile(is_fresh=True)):
        with pytest.raises(SafetyError) as failed:
            asyncio.run(Sandbox.launch(wanted))
        assert failed.value.hint


LOOKUPS = """
import os, sys
from pathlib import Path
from trainer.language_model.harness import session
held = os.open("/packages", os.O_RDONLY)
session.channel.send(b"S")
session.channel.receive()
attempts = {
    "open": lambda: open("/job/train.py"),
    "stat": lambda: os.stat("/packages/torch"),
    "missing": lambda: os.stat("/packages/none"),
    "held": lambda: os.stat("torch", dir_fd=held),
    "list": lambda: os.listdir(held),
    "import": lambda: __import__("wave"),
    "write": lambda: open("/tmp/new", "w"),
    "link": lambda: os.readlink("/proc/self/exe"),
    "run": lambda: os.execv(sys.executable, ["python"]),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print("ESCAPED", name)
    except (OSError, ImportError) as error:
        print("refused", name)
"""


def test_behind_a_shut_syscall_gate_no_name_can_be_looked_up() -> None:
    async def run() -> str:
        sandbox = await Sandbox.launch(profile())
        try:
            await sandbox.send(JOB, program_message(LOOKUPS, "serve"))
            async with asyncio.timeout(60):
                await sandbox.receive(b"S")
                await sandbox.shut_gate()
                await sandbox.send(b"G")
                with pytest.raises(SandboxEnded):
                    await sandbox.receive(b"?")
            await sandbox.settled()
        finally:
            await sandbox.close()
        return sandbox.output_tail()

    said = asyncio.run(run()).split("\n")
    assert [line for line in said if line] == [
        f"refused {name}"
        for name in ("open", "stat", "missing", "held", "list", "import", "write", "link", "run")
    ]


def test_the_end_of_a_device_without_memory_is_distinguished_from_others() -> None:
    assert ran_out_of_memory("import torch\nraise torch.OutOfMemoryError('none is free')")
    assert not ran_out_of_memory("raise ValueError('none is free')")


@pytest.mark.parametrize("counts_cpu", [True, False])
def test_what_is_charged_by_the_cpu_gives_way_and_what_runs_by_the_clock_does_not(
    *, counts_cpu: bool
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)

    async def run() -> set[int]:
        sandbox = await Sandbox.launch(light_profile(single_process=counts_cpu))
        try:
            return {os.getpriority(os.PRIO_PROCESS, pid) for pid in family_of(sandbox.root)}
        finally:
            await sandbox.close()

    assert asyncio.run(run()) == {own + 5 if counts_cpu else own}


def test_no_program_inside_raises_its_priority_again() -> None:
    said = inside("""
import os
try:
    os.setpriority(os.PRIO_PROCESS, 0, 0)
except OSError:
    print("refused")
""")
    assert said.strip() == "refused"
