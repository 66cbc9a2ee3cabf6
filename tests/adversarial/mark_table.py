"""Ways to leave a mark for a later process, played by two processes that must not meet.

`marks/*.txt` is real attack code, kept from linters by its name: `leave(bits)` marks some objects
and not others, `read(count)` says a number for each. `preamble.txt` stands before each. The area
under the ROC curve says how well the numbers separate marked objects from unmarked ones: 1 for a
perfect reading, about a half for none. Ways that are played together have objects of their own.
Nothing here needs pytest: the soak plays the same ways, each alone.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.program.harness import HARNESS as PROGRAM_HARNESS
from trainer.program.harness.files import File, pack_files
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile, Role
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import Sealed, sealed
from trainer.sandbox.seccomp import last_program
from trainer.sandbox.visible import visible_tree

MARKS: Final = Path(__file__).parent / "marks"
# One process scores text behind its syscall gate, one trains, and a program may start others.
Writer = Literal["scoring", "training", "program"]
EVERY_WRITER: Final[tuple[Writer, ...]] = ("scoring", "training", "program")
CLEAR: Final = (
    0.9  # an area from which on a reading is no chance; what is reversed separates as well
)
TRIES: Final = 3
_LARGE_PAGE: Final = 2 << 20
_TWO_DAYS_NS: Final = 2 * 86_400 * 10**9
_APART: Final = ("unshare", "--ipc", "--user", "--map-root-user")
_GO: Final = b"G"
_LEFT: Final = "left all marks"
_ROLES: Final[dict[Writer, Role]] = {"scoring": "serve", "training": "train", "program": "solve"}

Half = Literal["leave", "read"]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way: how many objects it marks, which writers it is closed to, and who reads.

    A reader that trains reads times best: a scoring one is held up at each look-up. Forks of one
    zygote, writer and reader alike, share most. `files_from` is the first of the files it marks.
    """

    name: str
    count: int = 64
    files_from: int = 0
    writers: tuple[Writer, ...] = EVERY_WRITER
    reader: Role = "serve"
    given_bytes: int = 1
    starts: bool = False  # something before the syscall gate is shut
    on_old_files: bool = False  # which nobody has read for two days
    in_namespaces: bool = False  # played in the open, it would leave something on this machine
    by_owner: bool = False  # of devices, which are root's

    @property
    def text(self) -> str:
        """The code with its preamble."""
        return "\n".join((MARKS / f"{name}.txt").read_text() for name in ("preamble", self.name))


Bits = Mapping[Way, Sequence[bool]]  # of the objects of each way, which it is to mark

WAYS: Final = (
    # The first to be left: what it has begun goes on until then.
    Way(name="parked_calls", count=24, writers=("scoring",), reader="train", starts=True),
    Way(name="write_hints"),
    Way(name="file_times", count=40, by_owner=True),
    # A training may look names up: it has seen no text that is scored.
    Way(name="looked_up_names", writers=("scoring",), reader="train", starts=True),
    # Without namespaces a training reads what it likes of what is shown.
    Way(
        name="access_times",
        files_from=64,
        writers=("scoring",),
        reader="train",
        on_old_files=True,
    ),
    Way(name="page_cache", files_from=128, reader="train"),
    Way(
        name="huge_pages",
        count=8,
        given_bytes=8 * _LARGE_PAGE,
        writers=("scoring", "training"),  # a program is given an instance, which it reads once
    ),
    Way(name="keys", count=8, in_namespaces=True),
    Way(name="standard_input", count=2, writers=("scoring", "training")),
)


def drawn_bits(count: int) -> list[bool]:
    """Return half ones and half zeros, in a new order each time."""
    bits = [place % 2 == 0 for place in range(count)]
    secrets.SystemRandom().shuffle(bits)
    return bits


def area_under_curve(bits: Sequence[bool], numbers: Sequence[float]) -> float:
    """Return how often a marked object's number is above an unmarked one's; ties count half."""
    ones = [number for number, bit in zip(numbers, bits, strict=True) if bit]
    zeros = [number for number, bit in zip(numbers, bits, strict=True) if not bit]
    above = sum((one > zero) + (one == zero) / 2 for one in ones for zero in zeros)
    return above / (len(ones) * len(zeros))


def areas_of(bits: Bits, numbers: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the area of each way, by its name."""
    return {way.name: area_under_curve(own, numbers[way.name]) for way, own in bits.items()}


def passing(ways: Sequence[Way], writer: Writer) -> dict[str, list[float]]:
    """Return the areas of the ways by which marks pass between sandboxes, of several readings each.

    One reading may be right by chance: a way is left out as soon as one of its readings is wrong.
    """
    passed = {way: list[float]() for way in ways}
    for _ in range(TRIES):
        bits = {way: drawn_bits(way.count) for way in passed}
        areas = areas_of(bits, asyncio.run(read_in_sandboxes(bits, writer))) if bits else {}
        passed = {
            way: [*found, areas[way.name]]
            for way, found in passed.items()
            if max(areas[way.name], 1 - areas[way.name]) >= CLEAR
        }
    return {way.name: found for way, found in passed.items()}


def read_in_the_open(bits: Bits) -> dict[str, list[float]]:
    """Play ways by two ordinary processes, one after the other."""
    _prepare(bits)
    token = secrets.token_hex(4)
    with _given(bits) as given, given.opened() as descriptor:
        opening = f"import os\nPACKAGES, GIVEN = {str(_packages())!r}, {descriptor}\n"
        code = opening + (
            f"if not os.fork():\n    exec({_half('leave', bits, token)!r})\n"
            f"os.wait()\n{_half('read', bits, token)}"
        )
        is_apart = any(way.in_namespaces for way in bits)
        played = subprocess.run(
            [*(_APART if is_apart else ()), sys.executable, "-c", code],
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    return _numbers(played.stdout)


def can_be_played_in_the_open(way: Way) -> bool:
    """True if this machine and user let the test look at a way without a sandbox."""
    if way.by_owner and os.geteuid() != 0:
        return False
    if not way.in_namespaces:
        return True
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([*_APART, "true"], check=False).returncode == 0


async def read_in_sandboxes(bits: Bits, writer: Writer) -> dict[str, list[float]]:
    """Play ways by a sandbox of a kind of writer, and later by one of each kind of reader."""
    _prepare(bits)
    token = secrets.token_hex(4)
    role = _ROLES[writer]
    with _given(bits) as given:
        said = await _played("leave", bits, token, role, given, is_gated=writer == "scoring")
        if _LEFT not in said.splitlines():
            raise RuntimeError(f"the writer came to no end: {said}")
        numbers = {}
        for reader in sorted({role if role == "solve" else way.reader for way in bits}):
            own = {way: bits[way] for way in bits if reader in ("solve", way.reader)}
            numbers |= _numbers(await _played("read", own, token, reader, given))
    return numbers


async def _played(
    half: Half, bits: Bits, token: str, role: Role, given: Sealed, *, is_gated: bool = False
) -> str:
    """Run one half in a sandbox; return what it printed."""
    is_program = role == "solve"
    profile = Profile(
        role=role,
        harness=PROGRAM_HARNESS if is_program else HARNESS,
        memory_bytes=800 << 20,
        scratch_bytes=8 << 20,
        single_process=not is_program,
    )
    sandbox = await Sandbox.launch(profile)
    try:
        async with asyncio.timeout(120):
            if is_program:
                await _have_imported(sandbox, _half(half, bits, token))
            else:
                code = _half(half, bits, token, between=_BETWEEN)
                await _have_run(sandbox, code, role, given, is_gated=is_gated)
            with contextlib.suppress(SandboxEnded):
                await sandbox.receive(b"?")
        await sandbox.settled()
    finally:
        await sandbox.close()
    return sandbox.output_tail()


async def _have_run(
    sandbox: Sandbox, code: str, role: Role, given: Sealed, *, is_gated: bool
) -> None:
    """Run a script of the language model that receives memory, and waits to be continued."""
    await sandbox.send(JOB, program_message(_RECEIVED + code, role))
    with given.opened() as descriptor:
        await sandbox.send(_GO, descriptor=descriptor)
    await sandbox.receive(b"S")
    if is_gated:
        await sandbox.shut_gate()
    await sandbox.send(_GO)


async def _have_imported(sandbox: Sandbox, code: str) -> None:
    """Have a candidate imported that may start processes."""
    job: dict[str, object] = {"entry": "solve.py:solve", "module": None, "run": None}
    job |= {"encoding": "json", "seed": 1, "waits": True, "filter": last_program().hex()}
    text = f"{_WHERE.format(module='numpy')}GIVEN = None\n{code}"
    with sealed(pack_files([File(path="solve.py", data=text.encode())])) as files:
        await sandbox.send(JOB, json.dumps(job).encode(), files)


def _numbers(said: str) -> dict[str, list[float]]:
    """Return the numbers of each way, of the last line that was printed."""
    numbers: dict[str, list[float]] = json.loads(said.strip().rpartition("\n")[2])
    return numbers


_WHERE = """
import os, {module}
PACKAGES = os.path.dirname(os.path.dirname({module}.__file__))
"""
_RECEIVED = f"""{_WHERE.format(module="torch")}
from trainer.language_model.harness import session
GIVEN = session.channel.receive()[2]
"""
_BETWEEN = """
session.channel.send(b"S")
session.channel.receive()
"""
# Each way is loaded on its own; those that start something do so before the gate is shut.
_HALF = """
import json, os, sys
ways = {{}}
for name, text, constants in {loaded!r}:
    ways[name] = constants | {{"PACKAGES": PACKAGES, "GIVEN": GIVEN}}
    exec(text, ways[name])
for name in {starting!r}:
    ways[name]["start"]()
{between}
{action}
sys.stdout.flush()
os._exit(0)
"""
_ACTIONS: Final[dict[Half, str]] = {
    "leave": f"""
for name, bits in {{bits!r}}.items():
    ways[name]["leave"](bits)
print({_LEFT!r})
""",
    "read": """
numbers = {{name: ways[name]["read"](len(bits)) for name, bits in {bits!r}.items()}}
print(json.dumps(numbers))
""",
}


def _half(half: Half, bits: Bits, token: str, *, between: str = "") -> str:
    """Return the code of one half, which uses PACKAGES and GIVEN."""
    constants = [
        {"COUNT": way.count, "FILES_FROM": way.files_from, "NAMES": f"{token}-{way.name}"}
        for way in bits
    ]
    return _HALF.format(
        loaded=[(way.name, way.text, own) for way, own in zip(bits, constants, strict=True)],
        starting=[way.name for way in reversed([*bits]) if way.starts and half == "leave"],
        between=between,
        action=_ACTIONS[half].format(bits={way.name: list(bits[way]) for way in bits}),
    )


def _given(bits: Bits) -> contextlib.closing[Sealed]:
    """Return memory that all processes of a playing are given."""
    return contextlib.closing(Sealed([bytes(max(way.given_bytes for way in bits))]))


def _packages() -> Path:
    return next(one.host for one in visible_tree().bindings if one.host.name == "sympy").parent


def _prepare(bits: Bits) -> None:
    """Bring all that is shown to memory, as a runner does; let files of this user's seem old."""
    for path in _shown_files():
        path.read_bytes()
        if any(way.on_old_files for way in bits):
            written = path.stat()
            with contextlib.suppress(PermissionError):  # another user's: it stays as it is
                os.utime(path, ns=(written.st_atime_ns - _TWO_DAYS_NS, written.st_mtime_ns))


def _shown_files() -> list[Path]:
    return [Path(within, name) for within, _, names in os.walk(_packages() / "sympy")
            for name in names if name.endswith(".py")]  # fmt: skip
