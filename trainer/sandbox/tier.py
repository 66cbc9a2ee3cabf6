"""Finds the sandbox tier of this machine by trying each, and hints at how to get a better one."""

import functools
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from protocol.errors import ArnodeError, SafetyError
from trainer.host.system_packages import install_hint
from trainer.sandbox.backend import SandboxBackend
from trainer.sandbox.bubblewrap import Bubblewrap
from trainer.sandbox.confined import (
    THROWAWAY_UIDS,
    Confined,
    confining,
    make_box,
    specification,
    throwaway_uid,
)
from trainer.sandbox.fork_probe import fork_once
from trainer.sandbox.forked import ForkedConfined, ForkedInNamespaces
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import READ, can_scope_signals
from trainer.sandbox.profile import Profile
from trainer.sandbox.visible import INSIDE, SHOWN_CODE, visible_tree

TierName = Literal["full", "container", "partial", "none"]

_PROBE_TIMEOUT_S = 20
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_SELFTEST = SHOWN_CODE[INSIDE] / "selftest.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A sandbox tier. `detail` says what was found, `hint` how to get a better one, if possible."""

    name: TierName
    detail: str
    hint: str = ""


def make_backend(profile: Profile) -> SandboxBackend:
    """Return the sandbox backend for this machine's tier. Raises SafetyError for tier none."""
    tier = probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox, no run: {tier.detail}", tier.hint)
    if profile.has_loopback and tier.name != "full":
        # Landlock's network rules name ports, not addresses: a rule that allows a port here allows
        # that port on every host.
        raise SafetyError(
            "programs that ask language models need a private loopback network, which only"
            f" sandbox tier full has; this machine has tier {tier.name}",
            tier.hint,
        )
    is_forked = profile.may_be_forked and not why_nothing_is_forked()
    if tier.name == "full":
        return ForkedInNamespaces(profile) if is_forked else Bubblewrap(profile)
    backend_type = ForkedConfined if is_forked else Confined
    return backend_type(profile, as_throwaway=tier.name == "container")


@functools.cache
def why_nothing_is_forked() -> str:
    """Return why this machine's sandboxes are not forked; empty if they are.

    It forks one sandbox to find out. Call it from the main thread.
    """
    tier = probe_tier()
    if tier.name == "none":
        return "there is no sandbox"
    try:
        said = fork_once(in_namespaces=tier.name == "full", as_throwaway=tier.name == "container")
    except (OSError, ArnodeError) as fault:
        return str(fault)
    return "" if said == "contained" else said or "no sandbox was forked"


@functools.cache
def probe_tier() -> Tier:
    """Test the tiers from the best down, and return the first that works completely."""
    full = _probe_full()
    if full.name == "full":
        return full
    weaker = _probe_weaker()
    if weaker.name == "none":
        return replace(full, detail=f"{full.detail}; without it: {weaker.detail}")
    return replace(weaker, detail=f"{weaker.detail}; {full.detail}", hint=full.hint)


def _probe_full() -> Tier:
    """Run `bwrap … true` with a run's options: a `bwrap` that is on PATH may still not work."""
    command = [
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--cap-drop", "ALL", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
        "--size", "4096", "--tmpfs", "/tmp", "--remount-ro", "/", "true",  # noqa: S108
    ]  # fmt: skip
    # Use the mounts of a real run as well: in containers those fail first.
    try:
        probe = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (FileNotFoundError, PermissionError):  # the latter: it is not executable
        return _none(
            "bubblewrap (bwrap) is not installed",
            install_hint("bubblewrap"),
        )
    except subprocess.TimeoutExpired:
        return _none(
            f"bwrap did not finish in {_PROBE_TIMEOUT_S} s",
            "try `bwrap --ro-bind / / true` by hand",
        )
    if probe.returncode == 0:
        return Tier(name="full", detail="bubblewrap and seccomp")
    said = probe.stderr.decode(errors="replace").strip().rpartition("\n")[2].partition(" See <")[0]
    return _none(f"bwrap cannot make a sandbox ({said})", _hint())


def _probe_weaker() -> Tier:
    if not landlock_abi():
        return _none(
            "the kernel has no Landlock (Linux 5.13 or newer with Landlock enabled has it)"
        )
    # Root inside a user namespace may have no other uids to switch to.
    if os.geteuid() == 0 and _is_mapped(THROWAWAY_UIDS):
        if folder := _closed_folder():
            return _none(
                f"arnode is installed in {folder}, which other users cannot enter: "
                f"run `chmod o+x {folder}`, or install it elsewhere"
            )
        return _try_out("container", "a throw-away uid, Landlock and seccomp")
    if not can_scope_signals():
        return _none("this kernel's Landlock cannot block signals (Linux 6.12 or newer can)")
    return _try_out("partial", "Landlock and seccomp under your own user")


def _none(detail: str, hint: str = "") -> Tier:
    return Tier(name="none", detail=detail, hint=hint)


def _try_out(name: Literal["container", "partial"], detail: str) -> Tier:
    """Run arnode's self-test in the sandbox: the tier works if every attack is refused."""
    uid = throwaway_uid() if name == "container" else None
    folder = make_box(uid)
    try:
        with Path(os.devnull).open("rb") as nothing:
            spec = specification(
                folder,
                visible_tree(),
                uid=uid,
                profile=Profile(
                    role="serve", harness=INSIDE, memory_bytes=1 << 30, scratch_bytes=1 << 20
                ),
                channel=nothing.fileno(),
                program=[str(_SELFTEST), str(Path.home())],
            )
            spec = replace(spec, rules={**spec.rules, str(_SELFTEST): READ})
            with subprocess.Popen(
                confining(spec),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={},
                cwd="/",
                pass_fds=(nothing.fileno(),),
            ) as probe:
                assert probe.stdout is not None  # noqa: S101 -- PIPE was asked for
                said = probe.stdout.read().decode(errors="replace").strip().rpartition("\n")[2]
    except (OSError, ArnodeError) as fault:
        return _none(str(fault))
    return Tier(name=name, detail=detail) if said == "contained" else _none(said)


def _is_mapped(uids: range) -> bool:
    """Return True if our user namespace maps these uids (/proc/self/uid_map)."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= uids.start and uids.stop <= first + count:
            return True
    return False


def _closed_folder() -> Path | None:
    """Return a parent folder of a visible path that other users cannot enter; None without one."""
    for path in (binding.host for binding in visible_tree().bindings):
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                return folder
    return None


def _hint() -> str:
    if _APPARMOR.exists() and _APPARMOR.read_text().strip() == "1":
        return (
            "AppArmor forbids user namespaces: allow them for bwrap with a profile "
            "(`userns,` in /etc/apparmor.d/bwrap), then `sudo systemctl reload apparmor`"
        )
    return (
        "user namespaces are needed: `sysctl kernel.unprivileged_userns_clone` and "
        "`user.max_user_namespaces` must not be 0; in Docker, start with "
        "`--security-opt seccomp=unconfined`; as root on a kernel with Landlock, as on a rented "
        "pod, arnode runs without them"
    )
