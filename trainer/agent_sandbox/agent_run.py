"""An agent sandbox: the sandbox in which a coding agent edits a task's files.

Unlike a run, the agent may use the network. It cannot see the node's files. Of the user's home
directory it sees only the named paths (`trainer.agent_sandbox.view`). It has no terminal and no
input. It gets only the listed environment variables, and its resource usage is limited. All
processes that it started end when it ends, or when the node ends.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import Rejected, SafetyError
from trainer.agent_sandbox.first_process import AgentSandboxSpec, remove_folder
from trainer.agent_sandbox.installed import installation
from trainer.agent_sandbox.running_command import AgentLimits, Places, RunningCommand
from trainer.agent_sandbox.view import View, bubblewrap_arguments, landlock_rules, link_into
from trainer.agent_sandbox.worktree import EditedFiles, Given, edited_files, lay_out, note
from trainer.host.processes import own_threads
from trainer.sandbox import tier as tiers
from trainer.sandbox.confined import give_to, release_uid, throwaway_uid
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.process_limit import control_group
from trainer.sandbox.tier import Tier

NOTE_BYTES: Final = 4096
_TRUNCATION_ABI = 3  # before it, Landlock lets a process truncate a file that it may read


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAccess:
    """A command's paths in the user's home directory, its environment variables and its limits.

    `home` is the user's home directory. The folders `hidden` are never accessible. `shown`
    (read-only) and `kept` (writable) come from `trainer.agent_sandbox.view.nameable`; paths that do
    not exist are left out. This module adds HOME, PWD and PATH to `environment`, and TMPDIR in
    tiers weaker than full.
    """

    home: Path
    hidden: tuple[Path, ...]
    shown: tuple[Path, ...]
    kept: tuple[Path, ...]
    environment: Mapping[str, str]
    limits: AgentLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The edited files, or the reason they are rejected; and the command's note and last output.

    `status` is the command's exit status, None if it was killed. `seconds` is its duration.
    """

    result: EditedFiles | Rejected
    note: bytes
    output_tail: str
    status: int | None
    seconds: float


def require_agent_sandbox() -> Tier:
    """Return this machine's sandbox tier. Raises SafetyError if it cannot hold an agent sandbox."""
    tier = tiers.probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox, no command: {tier.detail}", tier.hint)
    lacking = ""
    if tier.name == "container" and landlock_abi() < _TRUNCATION_ABI:
        lacking = "stop a command from emptying files (Linux 6.2 or newer can)"
    if tier.name == "partial" and not can_scope_signals():
        lacking = "stop signals to other processes (Linux 6.12 or newer can)"
    if lacking:
        raise SafetyError(
            f"commands are not run here: this kernel's Landlock cannot {lacking}", tier.hint
        )
    return tier


async def work(
    access: AgentAccess, given: Given, command: Callable[[str], Sequence[str]], *, note_name: str
) -> AgentResult:
    """Let a command edit the given files in a temporary folder, and return the result.

    When this returns, the command's processes and the folder are gone. `command` gets the folder's
    path and returns the command's words, which are passed on unchanged. The command's note is the
    file `note_name` in the folder `given.notes`.

    Raises SafetyError if no agent sandbox is available, ConfigurationError if the program does not
    exist, OSError if there is no space for a folder.
    """
    tier = require_agent_sandbox()
    folder = Path(tempfile.mkdtemp(prefix="arnode-"))
    uid = throwaway_uid() if tier.name == "container" else None
    try:
        spec, places = await asyncio.to_thread(
            _prepare, folder, access, given, command, tier=tier, uid=uid
        )
        began_s = time.monotonic()
        running = await RunningCommand.begin(spec, access.limits, places)
        try:
            return await _result(running, Path(spec.worktree), given, note_name, began_s)
        finally:
            await running.close()
    finally:
        if uid is not None:
            release_uid(uid)
        await asyncio.to_thread(_remove_left_over, folder)


async def _result(
    running: RunningCommand, worktree: Path, given: Given, note_name: str, began_s: float
) -> AgentResult:
    status, said = await running.status(), b""
    seconds = time.monotonic() - began_s
    if status is None:
        result: EditedFiles | Rejected = Rejected(running.fault)
    elif status:
        result = Rejected(f"it ended with status {status}")
    else:
        result = await asyncio.to_thread(edited_files, worktree, given)
        said = note(worktree, given, note_name, limit_bytes=NOTE_BYTES)
    return AgentResult(
        result=result,
        note=said,
        output_tail=running.output_tail,
        status=status,
        seconds=seconds,
    )


def _prepare(
    folder: Path,
    access: AgentAccess,
    given: Given,
    command: Callable[[str], Sequence[str]],
    *,
    tier: Tier,
    uid: int | None,
) -> tuple[AgentSandboxSpec, Places]:
    """Write the files into a folder; return how to start the command, and where it may write."""
    folder = folder.resolve()
    worktree, home, temporary = (folder / name for name in ("work", "home", "tmp"))
    for path in (worktree, home, temporary):
        path.mkdir()
    lay_out(worktree, given)
    words = command(str(worktree))
    search_path = access.environment.get("PATH", os.defpath)
    view = View(
        home=access.home,
        worktree=worktree,
        hidden=access.hidden,
        installed=installation(words, home=access.home, search_path=search_path),
        shown=tuple(filter(Path.exists, access.shown)),
        kept=tuple(filter(Path.exists, access.kept)),
    )
    limits, is_full = access.limits, tier.name == "full"
    own = {"HOME": str(access.home), "PWD": str(worktree), "PATH": search_path}
    if not is_full:
        link_into(home, view)
        own |= {"HOME": str(home), "TMPDIR": str(temporary)}
    if uid is not None:
        give_to(uid, folder)
    rules = landlock_rules(view, home=home, temporary=temporary)
    spec = AgentSandboxSpec(
        command=[view.installed.program, *words[1:]],
        environment={**access.environment, **own},
        folder=str(folder),
        worktree=str(worktree),
        bubblewrap=bubblewrap_arguments(view, limits.scratch_bytes) if is_full else None,
        uid=uid,
        rules={str(path): allowed for path, allowed in rules.items()},
        processes=limits.threads + (0 if uid is not None else own_threads()),
        group=str(control_group() or ""),
        file_bytes=limits.scratch_bytes,
    )
    kept = tuple(path for path in view.kept if path.is_dir())
    return spec, Places(folder=folder, kept=kept, in_memory=view.in_memory if is_full else ())


def _remove_left_over(folder: Path) -> None:
    """Remove the folder if the first process did not, because it never started or was killed."""
    if folder.exists():
        remove_folder(folder)
