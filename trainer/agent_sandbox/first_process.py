"""The first process of an agent sandbox: `python first_process.py`, which reads its job from stdin.

`trainer.agent_sandbox.running_command` starts it outside the sandbox. Its child enters the sandbox
and becomes the command, whose output is stdout. When the command ends, or when stdin is closed for
any reason, all processes that it started are ended. The exit status is written to stderr. The node
then reads the folder and closes stdin, after which the folder is removed. So nothing remains if the
node is killed.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

END_OF_SPEC: Final = b"\n"  # ends the job; after it, stdin is only kept open
_NICE: Final = 10  # measured runs have priority
_SET_CHILD_SUBREAPER, _SET_DEATH_SIGNAL, _SET_KEEPCAPS, _AMBIENT = 36, 1, 8, 47  # prctl(2)
_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_DESCRIPTORS = 1 << 20  # more than any process has open


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSandboxSpec:
    """A job from `trainer.agent_sandbox.agent_run`; all paths are the host's.

    `folder` is removed at the end; the command works in `worktree`. `bubblewrap` has the arguments
    for tier full. It is None for Landlock, whose `rules` give the allowed access below each path.
    `uid` is the user to become, None for no change. `group` is the control group to join, "" for
    none (`trainer.sandbox.process_limit`).
    """

    command: list[str]
    environment: dict[str, str]
    folder: str
    worktree: str
    bubblewrap: list[str] | None
    uid: int | None
    rules: dict[str, int]
    processes: int
    group: str
    file_bytes: int


def main() -> None:
    """Fork, run the command in the sandboxed child, outlive it, and clean up."""
    from trainer.sandbox.confine import end_all, outlive

    line = sys.stdin.buffer.readline()
    if not line.endswith(END_OF_SPEC):
        raise SystemExit("the node ended")
    spec = AgentSandboxSpec(**json.loads(line))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if not child:
        try:
            os.dup2(1, 2)
            _become(spec, libc)
        except BaseException as error:  # noqa: BLE001 -- the fork must never run the parent's code
            os.write(1, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # now the output ends when the last process in the sandbox ends
    status = outlive(child)
    end_all(spec.uid)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # the node has ended
        os.write(2, f"{status}\n".encode())
    select.select([0], [], [])
    remove_folder(Path(spec.folder))
    os._exit(0)


def remove_folder(folder: Path) -> None:
    """Remove a folder of any depth and size, even if its permissions forbid it."""
    removing = ["rm", "-rf", "--", str(folder)]
    if subprocess.call(removing, stderr=subprocess.DEVNULL):
        subprocess.call(["chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL)
        subprocess.call(removing)


def _become(spec: AgentSandboxSpec, libc: ctypes.CDLL) -> None:
    """Enter the sandbox and execute the command. Never returns, except by an exception."""
    from trainer.sandbox.inside.restrictions import lower_limit
    from trainer.sandbox.seccomp import networked_program

    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.umask(0o077)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lower_limit(resource.RLIMIT_FSIZE, spec.file_bytes)
    program = networked_program(is_confined=spec.bubblewrap is None)
    if spec.group:
        Path(spec.group).write_text("0\n")
    if spec.uid is None:
        # Counts all that our user runs; in namespaces only what runs there (Linux 5.14).
        lower_limit(resource.RLIMIT_NPROC, spec.processes)
    if spec.bubblewrap is not None:
        _die_with_parent(libc)
        _enter_namespaces(spec, spec.bubblewrap, program)
    _give_up_rights(spec, libc, program)
    os.chdir(spec.worktree)
    os.execve(spec.command[0], spec.command, spec.environment)  # noqa: S606


def _enter_namespaces(spec: AgentSandboxSpec, arguments: list[str], program: bytes) -> None:
    # Not on the command line, where other users of this machine could read the folders' names.
    from trainer.sandbox.sealed import in_memory

    filters = in_memory(program)
    words = in_memory("\0".join([*arguments, "--seccomp", str(filters)]).encode() + b"\0")
    for descriptor in (filters, words):
        os.set_inheritable(descriptor, True)
    command = ["bwrap", "--args", str(words), "--", *spec.command]
    os.execvpe(command[0], command, spec.environment)  # noqa: S606


def _give_up_rights(spec: AgentSandboxSpec, libc: ctypes.CDLL, program: bytes) -> None:
    from trainer.sandbox.inside.restrictions import become_user, keep_capabilities, load_filter
    from trainer.sandbox.landlock import Access, restrict_self

    if spec.uid is None:
        keep_capabilities()
    else:
        # The files of the command and of the user belong to root. This capability ignores their
        # modes. Landlock, which makes no exception for root, still allows only the named paths.
        libc.prctl(_SET_KEEPCAPS, 1, 0, 0, 0)
        become_user(spec.uid, processes=spec.processes)
        keep_capabilities(1 << _CAP_DAC_OVERRIDE)
        if libc.prctl(_AMBIENT, _AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0):
            raise OSError(ctypes.get_errno(), "the capability CAP_DAC_OVERRIDE cannot be kept")
    _die_with_parent(libc)
    rules = {Path(path): Access(allowed) for path, allowed in spec.rules.items()}
    restrict_self(rules, is_networked=True)
    os.closerange(3, _DESCRIPTORS)
    load_filter(program)


def _die_with_parent(libc: ctypes.CDLL) -> None:
    libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:
        raise SystemExit("the node ended")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
