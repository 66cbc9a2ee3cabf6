"""A zygote: a process that has imported the modules that runs need, and forks their sandboxes.

It has a sandbox of its own and one thread, and has seen no source, no data and no secret. It reads
requests from the node, but no bytes from its forks: it learns only how each of them ended. Each
child enters new namespaces or, without namespaces, becomes a separate user. It gives up every right
before it returns to the caller of `serve`, which receives a source.

The name is Android's. Source: clone(2), user_namespaces(7), pid_namespaces(7), the CPython C API's
"Initialization, Finalization, and Threads" on forking.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

from trainer.sandbox.inside.landlock import Ruleset, give_up
from trainer.sandbox.inside.restrictions import (
    become_user,
    forbid_new_privileges,
    keep_capabilities,
    load_filter,
    lower_limit,
)

READY = b"ready"  # everything is imported
MOST_REQUEST_BYTES = 1 << 17
FORKED = 3  # descriptors with a request: the sandbox's channel, its output, its end
# The report on a sandbox's end: exit status, CPU seconds, peak memory in KiB, pages read from disk,
# and bytes written.
ENDED = struct.Struct("=BdQQQ")
_KILLED = 1  # the exit status that is reported for a sandbox that a signal ended

_NAMESPACES = (  # of mounts, cgroups, uts, ipc, users, pids, network
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)
_SET_TID, _CLEAR_TID = 0x01000000, 0x00200000
_CLONE3, _CLONE_ARGUMENTS = 435, struct.Struct("=11Q")  # struct clone_args
_SET_DUMPABLE, _DROP_BOUNDING, _GET_TID_ADDRESS = 4, 24, 40  # prctl(2)
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
_NOSUID, _NODEV, _READ_ONLY, _REMOUNT, _BIND = 2, 4, 1, 32, 4096  # mount(2)
_UID = 1000  # inside

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest:
    """The node's request to a zygote for one sandbox, in JSON.

    `scratch` maps folders to mount in memory to their sizes in bytes; if it is empty, the child
    stays in the zygote's namespaces. `shown` maps bound files to where they appear in an otherwise
    empty `/proc`. `folder` is the working folder. `program` is its system-call filter, `gate` the
    filter that the caller of `serve` gets, both in hex. Without namespaces `uid` is a throw-away
    user's, or None to keep the current user, and `processes` and `file_bytes` are that user's
    limits.
    """

    folder: str
    program: str
    gate: str = ""
    nice: int = 0
    scratch: dict[str, int] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    uid: int | None = None
    processes: int = 0
    file_bytes: int = 0
    ruleset: dict[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkedChild:
    """A zygote's child once it is confined: its channel, and filters to load later.

    `filters` has the gate's filter in hex, or is empty.
    """

    channel: int
    filters: list[str]


def serve(descriptor: int) -> ForkedChild:
    """Fork whenever the other end of a socket requests it; return only in the children.

    The zygote ends when that end is closed everywhere and its children have ended.
    """
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)  # no process may read its memory
    uid, gid = os.getuid(), os.getgid()  # new namespaces do not show them
    control = socket.socket(fileno=descriptor)
    control.send(READY)
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    ends: dict[int, tuple[int, int]] = {}  # pidfd of a child → its pid, the pipe for its report
    is_asked = True
    while is_asked or ends:
        for ready, _ in waiting.poll():
            if ready in ends:
                waiting.unregister(ready)
                _reap(ready, *ends.pop(ready))
                continue
            text, descriptors, _, _ = socket.recv_fds(control, MOST_REQUEST_BYTES, FORKED)
            if not text:
                waiting.unregister(control)
                is_asked = False
                continue
            request, (channel, output, end) = ForkRequest(**json.loads(text)), descriptors
            pid = _split(request, output)
            if pid == 0:
                control.detach()
                return _fork_isolated(request, channel, output, uid, gid)
            os.close(channel)
            os.close(output)
            if pid is None:
                os.close(end)
                continue
            pidfd = os.pidfd_open(pid)
            ends[pidfd] = pid, end
            waiting.register(pidfd, select.POLLIN)
    os._exit(0)


def _split(request: ForkRequest, output: int) -> int | None:
    """Fork; return 0 in the child. If the kernel refuses, print why and return None."""
    try:
        return _clone() if request.scratch else os.fork()
    except OSError as error:
        os.write(output, f"{error.strerror}\n".encode())
        return None


def _fork_isolated(
    request: ForkRequest, channel: int, output: int, uid: int, gid: int
) -> ForkedChild:
    """Give up every right in a child, or end the child. `uid` and `gid` are the zygote's."""
    try:
        _keep_only(request, channel, output)
        if request.scratch:
            _enter_namespaces(request, uid, gid)
        else:
            _change_user(request)
        _give_up_rights(request)
    except BaseException as error:  # noqa: BLE001 -- a child must never go on as the zygote
        os.write(1, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    return ForkedChild(channel=channel, filters=[request.gate] if request.gate else [])


def _reap(pidfd: int, pid: int, end: int) -> None:
    """Reap a child, and report its exit status and usage, unless the pipe's reader is gone."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    written = _written_bytes(pid)  # readable only before wait4
    _, status, used = os.wait4(pid, 0)
    os.close(pidfd)
    exit_status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else _KILLED
    try:
        cpu_s = used.ru_utime + used.ru_stime
        os.write(end, ENDED.pack(exit_status, cpu_s, used.ru_maxrss, used.ru_majflt, written))
    except BrokenPipeError:
        pass
    finally:
        os.close(end)


def _written_bytes(pid: int) -> int:
    """Return the number of bytes that a child wrote; 0 if the kernel does not report it."""
    try:
        fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        return int(fields["wchar"])
    except (OSError, ValueError, KeyError):
        return 0


def _clone() -> int:
    """Fork a child that is the first process of new namespaces, with clone3(2).

    The child's thread id is stored where libc looks for it, as libc's own fork does. Raises
    OSError.
    """
    thread_id = ctypes.c_uint64()
    _checked(_libc.prctl(_GET_TID_ADDRESS, ctypes.byref(thread_id), 0, 0, 0), "the thread's id")
    arguments = _CLONE_ARGUMENTS.pack(
        _NAMESPACES | _SET_TID | _CLEAR_TID, 0, thread_id.value, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0
    )  # fmt: skip
    python = ctypes.pythonapi
    syscall = ctypes.PyDLL(None, use_errno=True).syscall  # a call that keeps the GIL
    python.PyOS_BeforeFork()
    pid = int(syscall(_CLONE3, arguments, len(arguments)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(ctypes.get_errno(), f"no namespaces: {os.strerror(ctypes.get_errno())}")
    return pid


def _keep_only(request: ForkRequest, channel: int, output: int) -> None:
    """Start a session with the given output and channel, and close all other descriptors."""
    os.setsid()
    os.nice(request.nice)
    # Open it here: forks share the position and flags of a descriptor of the zygote.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, channel)
    os.closerange(channel + 1, 1 << 20)


def _enter_namespaces(request: ForkRequest, uid: int, gid: int) -> None:
    """Set up this process's new namespaces, then give up all rights in them."""
    _show_to_node()
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{_UID} {uid} 1")
    (own / "gid_map").write_text(f"{_UID} {gid} 1")
    last_capability = int(_LAST_CAPABILITY.read_text())
    for folder, size in request.scratch.items():
        _mount("tmpfs", folder, _NOSUID | _NODEV, f"mode=0755,size={size}")
    _mount(
        "tmpfs", "/proc", _NOSUID | _NODEV, "mode=0755,size=4096"
    )  # the mount table of the real one names the host's folders
    for bound, shown in request.shown.items():
        Path(shown).touch()
        _mount(bound, shown, _BIND)
    _mount("", "/proc", _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)
    for capability in range(last_capability + 1):
        _checked(_libc.prctl(_DROP_BOUNDING, capability, 0, 0, 0), "PR_CAPBSET_DROP")
    keep_capabilities()
    os.chdir(request.folder)  # the new mount covers the zygote's folder of that name


def _change_user(request: ForkRequest) -> None:
    """Become the requested user, if any, with that user's limits."""
    os.umask(0o077)
    lower_limit(resource.RLIMIT_FSIZE, request.file_bytes)
    if request.uid is not None:
        become_user(request.uid, processes=request.processes)
    keep_capabilities()
    _show_to_node()  # the change of user has hidden it again
    os.environ.clear()  # it still names the zygote's scratch folders
    os.environ.update(request.environment)
    os.chdir(request.folder)


def _show_to_node() -> None:
    """Let the node watch this process's memory.

    Sandboxes cannot read it: the calls for that are refused to them.
    """
    _checked(_libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0), "PR_SET_DUMPABLE")


def _give_up_rights(request: ForkRequest) -> None:
    """Apply the permanent rules: Landlock first, since the filter may refuse Landlock's calls."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if request.ruleset is not None:
        give_up(Ruleset(**request.ruleset))  # type: ignore[arg-type]
    else:
        forbid_new_privileges()
    load_filter(bytes.fromhex(request.program))


def _mount(source: str, target: str, flags: int, data: str = "") -> None:
    kind = b"tmpfs" if source == "tmpfs" else None
    _checked(_libc.mount(source.encode(), target.encode(), kind, flags, data.encode()), target)


def _checked(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
