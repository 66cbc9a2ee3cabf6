"""Tiers container and partial: Landlock and seccomp, without namespaces.

Container is for root without user namespaces, as on most rented machines: every run has a
throw-away uid. Partial is for an ordinary user without user namespaces: runs have the user's uid,
so only this node's own experiments run. In both, a run sees the real paths of the installation. It
can find out if a file exists and which processes run. Its disk usage is watched but has no hard
limit. See docs/threat-model.md.
"""

import asyncio
import json
import os
import resource
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path

from protocol.errors import SafetyError
from trainer.cards import nvidia
from trainer.host.interpreter import python_command
from trainer.host.processes import uids_in_use
from trainer.sandbox import confine
from trainer.sandbox.backend import (
    SandboxBackend,
    boot_arguments,
    environment,
    files_bytes,
    holds_too_much,
    in_time,
)
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.confine import ConfinementSpec
from trainer.sandbox.landlock import CARD, DEVICE, OWN, READ, WRITE
from trainer.sandbox.packages import shown_packages
from trainer.sandbox.process_limit import SPARE
from trainer.sandbox.profile import Profile
from trainer.sandbox.spawned import SpawnedProcess, spawn
from trainer.sandbox.toolchains import shown_by
from trainer.sandbox.visible import FLAGS, VisiblePath, VisibleTree, visible_tree
from trainer.sandbox.zygote import Started

# systemd's range for users that exist only while a service runs; no other programs use it.
THROWAWAY_UIDS = range(61184, 65520)
# CAP_KILL, CAP_SETGID and CAP_SETUID: the rights of root that a zygote keeps.
_KEPT = 1 << 5 | 1 << 6 | 1 << 7
BOXES = "boxes"  # in a zygote's folder: the folders of the sandboxes that it forks
_COMPILED = "compiled"
SCRATCH = ("job", "tmp", _COMPILED)
_DEVICES = ("/dev/null",)
_DEVICES_TO_READ = ("/dev/urandom", "/proc/cpuinfo")

_taken: set[int] = set()  # uids that sandboxes of this process use


class Confined(SandboxBackend):
    """A sandbox in a temporary folder; with `as_throwaway`, under a throw-away uid."""

    def __init__(self, profile: Profile, *, as_throwaway: bool) -> None:
        super().__init__(profile)
        self._as_throwaway = as_throwaway
        self._uid: int | None = None
        self._folder: Path | None = None
        self._process: SpawnedProcess | None = None

    async def start(self, channel: int) -> SpawnedProcess:
        """Make the folder and start `trainer.sandbox.confine` in it."""
        self._uid = throwaway_uid() if self._as_throwaway else None
        self._folder = make_box(self._uid)
        if self.profile.compiles:
            self.compiled = self._folder / _COMPILED
        tree = visible_tree(with_cuda=self.profile.card is not None)
        _link_visible(self._folder, _shown(tree, self.profile))
        boot = self._folder / "arnode" / self.profile.harness / "boot.py"
        spec = specification(
            self._folder,
            tree,
            uid=self._uid,
            profile=self.profile,
            channel=channel,
            program=[str(boot), *boot_arguments(self.profile, channel)],
        )
        self._process = await SpawnedProcess.start(
            self.with_low_priority(confining(spec)), pass_fds=(channel,), has_lifeline=True
        )
        return self._process

    def attach(self, pid: int) -> None:
        """Do nothing: the sandbox's first process, which is outside it, ends everything inside."""

    def kill(self) -> None:
        """Close the lifeline of the first process."""
        if self._process is not None:
            self._process.let_go()

    async def emptied(self) -> None:
        """Wait for the first process, which ends last and removes the folder."""
        if self._process is not None:
            await in_time(self._process.wait())
        elif self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder)
        self._folder = None
        if self._uid is not None:
            release_uid(self._uid)
            self._uid = None

    def fill_compiled(self, code: CompiledCode, tree: bytes) -> None:
        """Copy compiled code to the folder `compiled`, and make the sandbox's user its owner."""
        super().fill_compiled(code, tree)
        if self.compiled is not None and self._uid is not None:
            give_to(self._uid, self.compiled)

    def is_overfull(self) -> bool:
        """Return True if the scratch folders exceed their limit, which only this check enforces."""
        if self._folder is None:
            return False
        return holds_too_much(self.profile, [self._folder / name for name in SCRATCH])

    def files_bytes(self) -> int:
        """Return the size of the files in its scratch folders, which are on a disk here."""
        if self._folder is None:
            return 0
        return files_bytes(self.profile, [self._folder / name for name in SCRATCH])


def start_zygote(
    profile: Profile, control: int, program: list[str], *, as_throwaway: bool
) -> Started:
    """Start a zygote's program as the current user.

    `program` is the program's path, relative to the zygote's folder, and its arguments.
    With `as_throwaway` the zygote keeps root's rights to become other users and to signal them.
    """
    folder = make_box(None)
    (folder / BOXES).mkdir(mode=0o711)
    tree = visible_tree()
    _link_visible(folder, _shown(tree, profile))
    script, *arguments = program
    spec = specification(
        folder,
        tree,
        uid=None,
        profile=profile,
        channel=control,
        program=[str(folder / script), *arguments],
    )
    spec = replace(
        spec,
        forks=True,
        kept_capabilities=_KEPT if as_throwaway else 0,
        rules={**spec.rules, str(folder / BOXES): int(WRITE)},
        file_bytes=resource.RLIM_INFINITY,
    )
    process = spawn(confining(spec), has_lifeline=True, pass_fds=(control,))
    return Started(process=process, folder=folder)


def specification(
    folder: Path,
    tree: VisibleTree,
    *,
    uid: int | None,
    profile: Profile,
    channel: int,
    program: list[str],
) -> ConfinementSpec:
    """Return the settings for `trainer.sandbox.confine` to run a Python program in a folder."""
    interpreter = str(Path(sys.executable).resolve())
    scratch, card = [str(folder / name) for name in SCRATCH], profile.card
    libraries = str(Path(sys.base_prefix, "lib"))
    rules = tree.rules() | dict.fromkeys((folder, *map(Path, _DEVICES_TO_READ)), READ)
    shown = (*shown_by(profile.tools), *shown_packages(profile.packages), *profile.data)
    rules |= {binding.host: READ for binding in shown}
    rules |= dict.fromkeys(map(Path, scratch), WRITE) | dict.fromkeys(map(Path, _DEVICES), DEVICE)
    if card is not None:
        rules |= dict.fromkeys(map(Path, nvidia.SYSTEM_FOLDERS + nvidia.PROC_ENTRIES), READ)
        rules |= dict.fromkeys(nvidia.device_files(card), CARD)
        if not profile.waits:  # the driver names its threads there
            rules[Path("/proc/self")] = OWN
    return ConfinementSpec(
        command=[interpreter, *FLAGS, *program],
        environment=environment(
            profile,
            home=scratch[0],
            temporary=scratch[1],
            libraries=libraries,
            compiled=scratch[2],
            has_shared_memory=False,
        ),
        folder=str(folder),
        uid=uid,
        rules={str(path): allowed for path, allowed in rules.items()},
        channel=channel,
        single_process=profile.single_process,
        has_card=card is not None,
        has_pairs=profile.may_have_pairs,
        weighs_memory=profile.weighs_memory,
        restricts_later=profile.restricts_later,
        processes=profile.threads + SPARE,
        file_bytes=profile.scratch_bytes,
    )


def confining(spec: ConfinementSpec) -> list[str]:
    """Return the command of the first process."""
    return [*python_command("-S", "-B"), confine.__file__, json.dumps(asdict(spec))]


def make_box(uid: int | None, *, within: Path | None = None) -> Path:
    """Make a sandbox's folder with its scratch folders."""
    folder = Path(tempfile.mkdtemp(prefix="arnode-", dir=within))
    try:
        folder.chmod(0o711)
        for name in SCRATCH:
            (folder / name).mkdir(mode=0o700)
            if uid is not None:
                os.chown(folder / name, uid, uid)
    except OSError:
        shutil.rmtree(folder)
        raise
    return folder


def _shown(tree: VisibleTree, profile: Profile) -> tuple[VisiblePath, ...]:
    return (*tree.bindings, *shown_packages(profile.packages), *profile.data)


def _link_visible(folder: Path, shown: Iterable[VisiblePath]) -> None:
    """Link code, packages and data to where the harness looks for them, instead of bind mounts."""
    for binding in shown:
        if binding.inside.startswith(("/packages/", "/arnode/", "/data/")):
            link = folder / binding.inside[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            for made in takewhile(lambda above: above != folder, link.parents):
                made.chmod(0o755)  # regardless of the umask, so that another user can enter
            link.symlink_to(binding.host)


def throwaway_uid() -> int:
    """Return a uid that owns no process. Raises SafetyError if all are in use."""
    free = sorted(set(THROWAWAY_UIDS) - uids_in_use() - _taken)
    if not free:
        raise SafetyError("no throw-away uid is free for a run", "end other runs on this machine")
    uid = secrets.choice(free)
    _taken.add(uid)
    return uid


def give_to(uid: int, folder: Path) -> None:
    """Make a uid the owner of a folder and of everything in it."""
    for within, _, names in os.walk(folder):
        for path in (within, *(f"{within}/{name}" for name in names)):
            os.chown(path, uid, uid, follow_symlinks=False)


def release_uid(uid: int) -> None:
    """Make a uid available again. It must own no process."""
    _taken.discard(uid)
