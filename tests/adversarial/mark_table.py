"""Ways to leave a mark for a later process, each played by two processes that must not meet.

`marks/*.txt` is real attack code, kept from linters by its name: `leave(bits)` marks some objects
and not others, `read(count)` says a number for each. `preamble.txt` stands before each. The area
under the ROC curve says how well the numbers tell marked objects from unmarked ones: 1 for a
perfect reading, about a half for none. Nothing here needs pytest: the soak plays the same ways.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
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
# A process that scores text, behind its gate; one that trains; a program that may start others.
Writer = Literal["scoring", "training", "program"]
EVERY_WRITER: Final[tuple[Writer, ...]] = ("scoring", "training", "program")
CLEAR: Final = 0.9  # an area from which on a reading is no chance
TRIES: Final = 3
_LARGE_PAGE: Final = 2 << 20
_TWO_DAYS_NS: Final = 2 * 86_400 * 10**9
_GO: Final = b"G"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way: how many objects it marks, which writers it is closed to, and who reads.

    A reader that trains reads times best: a scoring one is held up at each look-up. Forks of one
    zygote, writer and reader alike, share most.
    """

    name: str
    count: int = 64
    writers: tuple[Writer, ...] = EVERY_WRITER
    reader: Role = "serve"
    given_bytes: int = 1
    starts: bool = False  # something before the gate is shut
    on_old_files: bool = False  # which nobody has read for two days
    in_namespaces: bool = False  # played in the open, it would leave something on this machine

    @property
    def text(self) -> str:
        """Its code, with what stands before it."""
        return "\n".join((MARKS / f"{name}.txt").read_text() for name in ("preamble", self.name))


WAYS: Final = (
    Way(name="write_hints"),
    Way(name="file_times", count=40),
    # A training may look names up: it has seen no text that is scored.
    Way(name="looked_up_names", writers=("scoring",), reader="train"),
    Way(name="parked_calls", count=24, writers=("scoring",), reader="train", starts=True),
    # Without namespaces a training reads what it likes of what is shown.
    Way(name="access_times", writers=("scoring",), reader="train", on_old_files=True),
    Way(name="page_cache", reader="train"),
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


def passing(way: Way, writer: Writer) -> list[float]:
    """Return the areas of a way by which marks pass between sandboxes, of several readings.

    One reading may be right by chance. Return nothing if any of them is not.
    """
    areas = []
    for _ in range(TRIES):
        bits = drawn_bits(way.count)
        areas.append(area_under_curve(bits, asyncio.run(read_in_sandboxes(way, bits, writer))))
        if areas[-1] < CLEAR:
            return []
    return areas


def read_in_the_open(way: Way, bits: Sequence[bool]) -> list[float]:
    """Play a way by two ordinary processes, one after the other."""
    _prepare(way)
    with (
        contextlib.closing(Sealed([bytes(way.given_bytes)])) as given,
        given.opened() as descriptor,
    ):
        start = "start(); " if way.starts else ""
        code = _constants(way, _packages(), secrets.token_hex(4), descriptor) + (
            f"if not os.fork():\n    exec({way.text!r})\n"
            f"    {start}leave({list(bits)})\n    os._exit(0)\n"
            f"os.wait()\nexec({way.text!r})\nprint(read({way.count}))\n"
        )
        apart = ["unshare", "--ipc", "--user", "--map-root-user"] if way.in_namespaces else []
        played = subprocess.run(
            [*apart, sys.executable, "-c", code],
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    return _numbers(played.stdout)


def can_be_played_in_the_open(way: Way) -> bool:
    """True if this machine lets the test look at a way without a sandbox."""
    if not way.in_namespaces:
        return True
    unshare = shutil.which("unshare")
    command = ["unshare", "--ipc", "--user", "--map-root-user", "true"]
    return unshare is not None and subprocess.run(command, check=False).returncode == 0


async def read_in_sandboxes(way: Way, bits: Sequence[bool], writer: Writer) -> list[float]:
    """Play a way by two sandboxes: one of a kind of writer, and later one that may still read."""
    names = secrets.token_hex(4)
    _prepare(way)
    leave, read = f"leave({list(bits)})", f"print(read({way.count}))"
    begin = "start()\n" if way.starts else ""
    if writer == "program":
        await _played_by_program(way, names, leave)
        return _numbers(await _played_by_program(way, names, read))
    with contextlib.closing(Sealed([bytes(way.given_bytes)])) as given:
        role: Role = "train" if writer == "training" else "serve"
        gated = writer == "scoring"
        await _played(way, given, names, leave, role, gated=gated, begin=begin)
        return _numbers(await _played(way, given, names, read, way.reader))


async def _played(
    way: Way,
    given: Sealed,
    names: str,
    action: str,
    role: Role,
    *,
    gated: bool = False,
    begin: str = "",
) -> str:
    """Run one half; return the last line that it printed."""
    profile = Profile(role=role, harness=HARNESS, memory_bytes=800 << 20, scratch_bytes=8 << 20)
    sandbox = await Sandbox.launch(profile)
    try:
        await sandbox.send(JOB, program_message(_inside(way, names, action, begin=begin), role))
        async with asyncio.timeout(120):
            with given.opened() as descriptor:
                await sandbox.send(_GO, descriptor=descriptor)
            await sandbox.receive(b"S")
            if gated:
                await sandbox.shut_gate()
            await sandbox.send(_GO)
            with contextlib.suppress(SandboxEnded):
                await sandbox.receive(b"?")
        await sandbox.settled()
    finally:
        await sandbox.close()
    return sandbox.output_tail()


async def _played_by_program(way: Way, names: str, action: str) -> str:
    """Run one half when a candidate is imported that may start processes."""
    profile = Profile(
        role="solve",
        harness=PROGRAM_HARNESS,
        memory_bytes=800 << 20,
        scratch_bytes=8 << 20,
        single_process=False,
    )
    code = _WHERE.format(module="numpy") + f"COUNT, NAMES = {way.count}, {names!r}\n"
    code += f"exec({way.text!r})\n{action}\nsys.stdout.flush()\nos._exit(0)\n"
    job: dict[str, object] = {"entry": "solve.py:solve", "run": None, "encoding": "json"}
    job |= {"seed": 1, "core": None, "waits": True, "filter": last_program().hex()}
    sandbox = await Sandbox.launch(profile)
    try:
        with sealed(pack_files([File(path="solve.py", data=code.encode())])) as files:
            await sandbox.send(JOB, json.dumps(job).encode(), files)
        async with asyncio.timeout(120):
            with contextlib.suppress(SandboxEnded):
                await sandbox.receive(b"?")
        await sandbox.settled()
    finally:
        await sandbox.close()
    return sandbox.output_tail()


def _numbers(said: str) -> list[float]:
    """Return the numbers of the last line that was printed."""
    return [float(number) for number in json.loads(said.strip().rpartition("\n")[2])]


_WHERE = """
import os, sys, {module}
PACKAGES = os.path.dirname(os.path.dirname({module}.__file__))
"""


def _inside(way: Way, names: str, action: str, *, begin: str) -> str:
    return f"""{_WHERE.format(module="torch")}
from trainer.language_model.harness import session
COUNT, NAMES = {way.count}, {names!r}
GIVEN = session.channel.receive()[2]
exec({way.text!r})
{begin}session.channel.send(b"S")
session.channel.receive()
{action}
sys.stdout.flush()
os._exit(0)
"""


def _constants(way: Way, packages: Path, names: str, given: int) -> str:
    return (
        f"import os\nPACKAGES, NAMES = {str(packages)!r}, {names!r}\n"
        f"COUNT, GIVEN = {way.count}, {given}\n"
    )


def _packages() -> Path:
    return next(one.host for one in visible_tree().bindings if one.host.name == "sympy").parent


def _prepare(way: Way) -> None:
    """Bring all that is shown to memory, as a runner does; let files of this user's seem old."""
    for path in _shown_files():
        path.read_bytes()
        if way.on_old_files:
            written = path.stat()
            with contextlib.suppress(PermissionError):  # another user's: it stays as it is
                os.utime(path, ns=(written.st_atime_ns - _TWO_DAYS_NS, written.st_mtime_ns))


def _shown_files() -> list[Path]:
    return [Path(within, name) for within, _, names in os.walk(_packages() / "sympy")
            for name in names if name.endswith(".py")]  # fmt: skip
