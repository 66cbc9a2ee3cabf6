"""Which sandbox this machine can give, found by trying it, and how to get a better one."""

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TierName = Literal["full", "none"]

_PROBE_TIMEOUT_S = 20
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A tier, what was seen, and the mend where nothing can run."""

    name: TierName
    detail: str
    mend: str = ""


@functools.cache
def probe_tier() -> Tier:
    """Run `bwrap … true` as runs will be started; a program on PATH alone proves nothing."""
    command = [
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--cap-drop", "ALL", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
        "--size", "4096", "--tmpfs", "/tmp", "--remount-ro", "/", "true",  # noqa: S108
    ]  # fmt: skip
    # The mounts of a real run as well: in containers those fail first.
    try:
        probe = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except FileNotFoundError:
        return Tier(
            name="none",
            detail="bubblewrap (bwrap) is not installed",
            mend="install your distribution's package `bubblewrap` (PyPI's is something else)",
        )
    except subprocess.TimeoutExpired:
        return Tier(
            name="none",
            detail=f"bwrap did not finish in {_PROBE_TIMEOUT_S} s",
            mend="try `bwrap --ro-bind / / true` by hand",
        )
    if probe.returncode == 0:
        return Tier(name="full", detail="bubblewrap and seccomp")
    said = probe.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return Tier(name="none", detail=f"bwrap cannot make a sandbox: {said}", mend=_mend())


def _mend() -> str:
    if _APPARMOR.exists() and _APPARMOR.read_text().strip() == "1":
        return (
            "AppArmor forbids user namespaces: allow them for bwrap with a profile "
            "(`userns,` in /etc/apparmor.d/bwrap), then `sudo systemctl reload apparmor`"
        )
    return (
        "user namespaces are needed: `sysctl kernel.unprivileged_userns_clone` and "
        "`user.max_user_namespaces` must not be 0; in Docker, start with "
        "`--security-opt seccomp=unconfined`"
    )
