"""The first process of tiers container and partial: `python confine.py SPEC`.

`trainer.sandbox.confined` starts it, and it forks. The child gives up its rights one after the
other and becomes the harness. The parent stays outside and adopts orphaned processes of the child.
When the child ends, or the node closes the parent's standard input, the parent kills them all. Then
it removes the sandbox's folder.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_SET_CHILD_SUBREAPER, _SET_DEATH_SIGNAL = 36, 1  # prctl(2)
_POLL_MS = 50
_DESCRIPTORS = 1 << 20  # more than any process has open


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfinementSpec:
    """The settings from `trainer.sandbox.confined`; paths are the host's.

    `folder` is the sandbox's folder, removed at the end; its `job` is the working folder. `uid` is
    None to keep the current user (tier partial). `rules` are the Landlock rights beneath each path.
    `channel` is the only descriptor that the child inherits. With `forks` the child is a zygote: it
    keeps some capabilities to fork sandboxes, and loads no filter because each fork loads one.
    """

    command: list[str]
    environment: dict[str, str]
    folder: str
    uid: int | None
    rules: dict[str, int]
    channel: int
    single_process: bool
    has_card: bool
    has_pairs: bool
    weighs_memory: bool
    restricts_later: bool
    processes: int
    file_bytes: int
    forks: bool = False
    kept_capabilities: int = 0


def main() -> None:
    """Fork, confine the child, wait for it, and clean up."""
    spec = ConfinementSpec(**json.loads(sys.argv[1]))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if not child:
        try:
            _become(spec, libc)
        except BaseException as error:  # noqa: BLE001 -- the fork must never run the parent's code
            os.write(1, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os.close(spec.channel)
    status = outlive(child)
    end_all(spec.uid)
    # Use `rm`, which does not recurse on the stack: a candidate can nest folders without limit.
    os.spawnvp(os.P_WAIT, "rm", ["rm", "-rf", "--", spec.folder])  # noqa: S606
    os._exit(status)


def _become(spec: ConfinementSpec, libc: ctypes.CDLL) -> None:
    """Give up every right and execute the command. Returns only by raising."""
    from trainer.sandbox.inside.restrictions import (
        become_user,
        keep_capabilities,
        load_filter,
        lower_limit,
    )
    from trainer.sandbox.landlock import Access, restrict_self
    from trainer.sandbox.seccomp import seccomp_program

    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    program = seccomp_program(
        single_process=spec.single_process,
        is_confined=True,
        has_card=spec.has_card,
        has_pairs=spec.has_pairs,
        weighs_memory=spec.weighs_memory,
        restricts_later=spec.restricts_later,
    )
    os.umask(0o077)
    if spec.uid is not None:
        become_user(spec.uid, processes=spec.processes)
    keep_capabilities(spec.kept_capabilities)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lower_limit(resource.RLIMIT_FSIZE, spec.file_bytes)
    os.chdir(Path(spec.folder, "job"))
    libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:
        raise SystemExit("the node ended")
    restrict_self({Path(path): Access(allowed) for path, allowed in spec.rules.items()})
    os.set_inheritable(spec.channel, True)
    os.closerange(3, spec.channel)
    os.closerange(spec.channel + 1, _DESCRIPTORS)
    if not spec.forks:
        load_filter(program)
    os.execve(spec.command[0], spec.command, spec.environment)  # noqa: S606


def outlive(child: int) -> int:
    """Wait until the child ends or standard input closes; reap orphans meanwhile.

    Return the child's exit status, 1 if it was killed.
    """
    watched = select.poll()
    watched.register(0, select.POLLIN | select.POLLHUP)
    while not watched.poll(_POLL_MS):
        while True:
            reaped, status = os.waitpid(-1, os.WNOHANG)
            if reaped == child:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
            if not reaped:
                break
    return 1


def end_all(uid: int | None) -> None:
    """Kill until no descendant is left. Orphans have become children of this process."""
    while True:
        if uid is None:
            _kill_descendants(os.getpid())
        else:
            _kill_everything_of(uid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _kill_everything_of(uid: int) -> None:
    """Kill all processes of a uid with one call, so that no fork escapes.

    A helper with that uid makes the call, so it reaches no other user's processes.
    """
    helper = os.fork()
    if not helper:
        os.setresuid(uid, uid, uid)
        os.kill(-1, signal.SIGKILL)  # never itself (kill(2))
        os._exit(0)
    os.waitpid(helper, 0)


def _kill_descendants(pid: int) -> None:
    from trainer.host.processes import family_of

    for descendant in family_of(pid)[1:]:
        try:
            os.kill(descendant, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
