"""A sandbox for one program that reads untrusted files and starts no other program.

It shows the program, its libraries and the given paths. In tier full nothing else exists inside; in
the weaker tiers Landlock refuses everything else. There is no network. No other program is visible
that a malicious file could make it run. `python narrow.py SPEC` applies the limits and becomes the
program.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

_ASKED_S: Final = 20
_CACHE: Final = "/etc/ld.so.cache"  # where the loader finds libraries in unusual folders
_NULL: Final = "/dev/null"
_RANDOM: Final = "/dev/urandom"
_MEMORY_BYTES: Final = 4 << 30
_CPU_S: Final = 120
_LIBRARY: Final = re.compile(r"(?:=> |^\s*)(/\S+) \(0x", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow:
    """The sandbox settings of one program, passed as JSON on a command line.

    `shown` are the paths that it may read, `writable` those that it may also write. `is_alone`
    forbids it to start any process, even another copy of itself. `file_bytes` limits the size of
    each file that it writes. `narrowed` fills in `tier` and `libraries`.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    shown: Sequence[str]
    writable: Sequence[str] = ()
    is_alone: bool = True
    file_bytes: int = 1 << 30
    tier: str = ""
    libraries: Sequence[str] = ()


def narrowed(narrow: Narrow) -> list[str]:
    """Return the command that runs a program in this sandbox.

    Raises SafetyError if there is no sandbox.
    """
    from protocol.errors import SafetyError
    from trainer.host.interpreter import python_command
    from trainer.sandbox.tier import probe_tier

    tier = probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox: {tier.detail}", tier.hint)
    libraries = _libraries(narrow.command[0])
    spec = asdict(replace(narrow, tier=tier.name, libraries=libraries))
    return [*python_command("-S", "-B"), __file__, json.dumps(spec)]


@cache
def _libraries(program: str) -> tuple[str, ...]:
    """Return the libraries and the loader of a program, and the loader's cache."""
    ldd = shutil.which("ldd")
    if ldd is None:
        return ()
    said = subprocess.run([ldd, program], capture_output=True, timeout=_ASKED_S, check=False)
    found = _LIBRARY.findall(said.stdout.decode(errors="replace"))
    return (*sorted(set(found)), *([_CACHE] if Path(_CACHE).exists() else []))


def main() -> None:
    """Apply the limits and become the program."""
    from trainer.sandbox.inside.restrictions import lower_limit
    from trainer.sandbox.sealed import in_memory
    from trainer.sandbox.seccomp import seccomp_program

    narrow = Narrow(**json.loads(sys.argv[1]))
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, narrow.file_bytes),
    ):
        lower_limit(limit, most)
    is_confined = narrow.tier != "full"
    program = seccomp_program(single_process=narrow.is_alone, is_confined=is_confined)
    if is_confined:
        _confine(narrow, program)
        os.execve(narrow.command[0], list(narrow.command), narrow.environment)  # noqa: S606
    filters = in_memory(program)
    os.set_inheritable(filters, True)
    words = [*_bubblewrap(narrow), "--seccomp", str(filters), "--", *narrow.command]
    os.execve(shutil.which("bwrap") or "bwrap", words, narrow.environment)  # noqa: S606


def _confine(narrow: Narrow, program: bytes) -> None:
    from trainer.sandbox.inside.restrictions import load_filter
    from trainer.sandbox.landlock import DEVICE, READ, WRITE, Access, restrict_self

    data = Access.READ_FILE | Access.READ_DIR
    rules = {Path(one): data for one in narrow.shown}
    rules |= {Path(one): READ for one in (narrow.command[0], *narrow.libraries)}
    rules |= {Path(one): WRITE & ~Access.EXECUTE for one in narrow.writable}
    rules |= {Path(_NULL): DEVICE, Path(_RANDOM): Access.READ_FILE}
    os.chdir("/")
    restrict_self(rules)
    load_filter(program)


def _bubblewrap(narrow: Narrow) -> list[str]:
    words = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    words += ["--new-session", "--cap-drop", "ALL", "--dev", "/dev"]
    for path in (narrow.command[0], *narrow.libraries, *narrow.shown):
        words += ["--ro-bind", str(Path(path).resolve()), path]
    for path in narrow.writable:
        words += ["--bind", path, path]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
